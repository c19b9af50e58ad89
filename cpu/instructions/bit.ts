import { WIDE_SIZES, type Definition } from './definition';
import type { Stage } from '../stage/stage';
import { and, c32, c64, clz, ctz, eqz, ne, or, popcnt, sar, shl, shr, sub, xor, type Value } from '../stage/wasm';

/** BT and its kin: a register index into memory is a signed bit offset of any size; otherwise it is taken modulo the operand. */
function bitTest(op: string, change: ((e: Stage, a: Value, mask: Value) => Value) | undefined): Definition {
  return {
    op,
    sizes: WIDE_SIZES,
    forms: ['rr', 'mr', 'ri', 'mi'],
    semantics: (e) => {
      const index = e.let(e.source(e.size));
      if (e.spec.form === 'mr') {
        const shift = Math.log2(e.size);
        e.moveAddress(shl(sar(e.signed64(index), c64(shift)), c64(shift - 3)));
      }
      const n = e.let(and(index, e.k(e.size - 1)));
      const a = change ? e.destination() : e.peek();
      const bit = e.let(and(e.toI32(shr(a, n)), c32(1)));
      if (change) e.write(change(e, a, e.let(shl(e.k(1), n))));
      e.flagsEager(or(and(e.arithmetic(), c32(~1)), bit));
    },
  };
}

function scan(op: string, position: (e: Stage, a: Value) => Value): Definition {
  return {
    op,
    sizes: WIDE_SIZES,
    forms: ['rr', 'rm'],
    flags: 'LOGIC',
    // The destination of a zero source is undefined in the manual; processors leave it alone.
    semantics: (e) => {
      const a = e.source();
      const p = e.let(position(e, a));
      e.when(ne(a, e.k(0)), () => e.setRegister('dst', p, e.size));
      e.flagsLogic(a);
    },
  };
}

const countFlags = (e: Stage, zero: Value, carry: Value): void => e.flagsEager(or(shl(zero, c32(6)), carry));
/** Width-correct leading zeros of a zero-extended operand. */
const leadingZeros = (e: Stage, a: Value): Value => (e.size === 64 ? clz(a) : sub(clz(a), c32(32 - e.size)));

export const BIT: readonly Definition[] = [
  bitTest('BT', undefined),
  bitTest('BTS', (_e, a, mask) => or(a, mask)),
  bitTest('BTR', (e, a, mask) => and(a, xor(mask, e.k(-1)))),
  bitTest('BTC', (_e, a, mask) => xor(a, mask)),
  scan('BSF', (_e, a) => ctz(a)),
  scan('BSR', (e, a) => sub(e.k(e.size - 1), leadingZeros(e, a))),
  {
    op: 'POPCNT',
    sizes: WIDE_SIZES,
    forms: ['rr', 'rm'],
    semantics: (e) => {
      const a = e.source();
      e.setRegister('dst', popcnt(a), e.size);
      countFlags(e, e.let(eqz(a)), c32(0));
    },
  },
  {
    op: 'LZCNT',
    sizes: WIDE_SIZES,
    forms: ['rr', 'rm'],
    semantics: (e) => {
      const a = e.source();
      const n = e.let(leadingZeros(e, a));
      e.setRegister('dst', n, e.size);
      countFlags(e, e.let(eqz(n)), e.let(eqz(a)));
    },
  },
  {
    op: 'TZCNT',
    sizes: WIDE_SIZES,
    forms: ['rr', 'rm'],
    semantics: (e) => {
      const a = e.source();
      const n = e.let(e.size === 16 ? ctz(or(a, c32(0x1_0000))) : ctz(a));
      e.setRegister('dst', n, e.size);
      countFlags(e, e.let(eqz(n)), e.let(eqz(a)));
    },
  },
];
