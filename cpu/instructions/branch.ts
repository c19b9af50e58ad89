import type { Definition } from './definition';
import type { Stage } from '../stage/stage';
import { and, c32, eqz, ne, sub, wrap, type Value } from '../stage/wasm';

/** rCX of the address size, decremented. */
function decrementCount(e: Stage): Value {
  const rcx = e.gpr(1);
  const n = e.let(e.size === 64 ? sub(rcx, e.k(1)) : e.cut(sub(wrap(rcx), c32(1))));
  e.setGprSized(1, n);
  return n;
}

function loop(op: string, also: ((e: Stage) => Value) | undefined): Definition {
  return {
    op,
    sizes: [16, 32, 64],
    forms: ['j'],
    keepsFlags: true,
    endsBlock: true,
    semantics: (e) => {
      const more = ne(decrementCount(e), e.k(0));
      const taken = e.let(also ? and(more, also(e)) : more);
      e.checkTarget(taken);
      e.commit();
      e.goIf(taken);
    },
  };
}

function jumpIndirect(e: Stage): void {
  const target = e.peek();
  e.checkIp(target, e.size);
  e.goToIp(target, e.size);
}

/** Near branches; `size` of LOOP and JCXZ is the address size. */
export const BRANCH: readonly Definition[] = [
  { op: 'JMP', sizes: [16, 32, 64], forms: ['j'], keepsFlags: true, endsBlock: true, semantics: (e) => e.goDirect() },
  { op: 'JMPI', sizes: [16, 32, 64], forms: ['r', 'm'], keepsFlags: true, usesStack: true, endsBlock: true, semantics: jumpIndirect },
  { op: 'JCC', sizes: [32], forms: ['j'], keepsFlags: true, endsBlock: true, conditional: 'specialised', semantics: (e) => e.goIf(e.let(e.condition(e.cc))) },
  loop('LOOP', undefined),
  loop('LOOPE', (e) => e.condition(4)),
  loop('LOOPNE', (e) => e.condition(5)),
  {
    op: 'JCXZ',
    sizes: [16, 32, 64],
    forms: ['j'],
    keepsFlags: true,
    endsBlock: true,
    semantics: (e) => e.goIf(e.let(eqz(e.size === 64 ? e.gpr(1) : e.cut(wrap(e.gpr(1)))))),
  },
];
