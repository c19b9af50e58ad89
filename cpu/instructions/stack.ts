import type { Definition } from './definition';
import { add, c64 } from '../stage/wasm';

/** PUSH, POP, LEAVE and the near calls and returns: SDM "Procedure Calls, Interrupts, and Exceptions". */
export const STACK: readonly Definition[] = [
  {
    op: 'PUSH',
    sizes: [16, 32, 64],
    forms: ['r', 'm', 'i'],
    keepsFlags: true,
    usesStack: true,
    semantics: (e) => e.push(e.spec.form === 'i' ? e.immediate() : e.peek(), e.size),
  },
  {
    op: 'POP',
    sizes: [16, 32, 64],
    forms: ['r', 'm'],
    keepsFlags: true,
    usesStack: true,
    // RSP moves first, so that POP RSP keeps the popped value. A destination based on RSP uses the moved value: the decoder adds it.
    semantics: (e) => e.write(e.pop(e.size)),
  },
  {
    op: 'LEAVE',
    sizes: [16, 32, 64],
    forms: [''],
    keepsFlags: true,
    usesStack: true,
    semantics: (e) => {
      const frame = e.let(e.gpr(5));
      const v = e.stackRead(frame, e.size);
      e.setStackPointer(add(frame, c64(e.size / 8)));
      e.setGprSized(5, v);
    },
  },
  {
    op: 'CALL',
    sizes: [16, 32, 64],
    forms: ['j'],
    keepsFlags: true,
    usesStack: true,
    endsBlock: true,
    semantics: (e) => {
      e.checkCallTarget();
      e.push(e.size === 64 ? e.nextIp() : e.cut(e.toI32(e.nextIp())), e.size);
      e.commit();
      e.goDirect();
    },
  },
  {
    op: 'CALLI',
    sizes: [16, 32, 64],
    forms: ['r', 'm'],
    keepsFlags: true,
    usesStack: true,
    endsBlock: true,
    semantics: (e) => {
      const target = e.peek();
      e.checkIp(target, e.size);
      e.push(e.size === 64 ? e.nextIp() : e.cut(e.toI32(e.nextIp())), e.size);
      e.commit();
      e.goToIp(target, e.size);
    },
  },
  {
    op: 'RET',
    sizes: [16, 32, 64],
    forms: ['', 'i'],
    keepsFlags: true,
    usesStack: true,
    endsBlock: true,
    semantics: (e) => {
      const target = e.pop(e.size, e.spec.form === 'i' ? e.immediate(64) : c64(0));
      e.checkIp(target, e.size);
      e.commit();
      e.goToIp(target, e.size);
    },
  },
];
