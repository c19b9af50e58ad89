import { ALL_SIZES, BINARY_FORMS, type Definition } from './definition';
import type { Stage } from '../stage/stage';
import { add, and, c32, eq, eqz, ltu, or, select, shr, sub, wrap, xor, zext, type Value } from '../stage/wasm';

/** The carry flag at the operand's width. */
const carryIn = (e: Stage, carry: Value): Value => (e.size === 64 ? zext(carry) : carry);

export const ARITHMETIC: readonly Definition[] = [
  {
    op: 'ADD',
    sizes: ALL_SIZES,
    forms: BINARY_FORMS,
    flags: 'ADD',
    semantics: (e) => {
      const b = e.source();
      const a = e.destination();
      const r = e.let(e.cut(add(a, b)));
      e.write(r);
      e.flagsAdd(r, a);
    },
  },
  {
    op: 'ADC',
    sizes: ALL_SIZES,
    forms: BINARY_FORMS,
    flags: 'MIX',
    semantics: (e) => {
      const b = e.source();
      const a = e.destination();
      const carry = e.let(e.carry());
      const r = e.let(e.cut(add(add(a, b), carryIn(e, carry))));
      e.write(r);
      // A carry leaves when the sum wrapped: below a, or equal to a with a carry coming in.
      e.flagsMixed(r, or(ltu(r, a), and(carry, eq(r, a))), e.msb(and(xor(a, r), xor(b, r))), auxiliary(e, a, b, r));
    },
  },
  {
    op: 'SUB',
    sizes: ALL_SIZES,
    forms: BINARY_FORMS,
    flags: 'SUB',
    semantics: (e) => {
      const b = e.source();
      const a = e.destination();
      const r = e.let(e.cut(sub(a, b)));
      e.write(r);
      e.flagsSub(r, a);
    },
  },
  {
    op: 'SBB',
    sizes: ALL_SIZES,
    forms: BINARY_FORMS,
    flags: 'MIX',
    semantics: (e) => {
      const b = e.source();
      const a = e.destination();
      const borrow = e.let(e.carry());
      const r = e.let(e.cut(sub(sub(a, b), carryIn(e, borrow))));
      e.write(r);
      e.flagsMixed(r, or(ltu(a, b), and(borrow, eq(a, b))), e.msb(and(xor(a, b), xor(a, r))), auxiliary(e, a, b, r));
    },
  },
  {
    op: 'CMP',
    sizes: ALL_SIZES,
    forms: BINARY_FORMS,
    flags: 'SUB',
    semantics: (e) => {
      const b = e.source();
      const a = e.peek();
      const r = e.let(e.cut(sub(a, b)));
      e.flagsSub(r, a);
    },
  },
  {
    op: 'INC',
    sizes: ALL_SIZES,
    forms: ['r', 'm'],
    flags: 'INC',
    semantics: (e) => {
      const r = e.let(e.cut(add(e.destination(), e.k(1))));
      e.write(r);
      e.flagsStep('INC', r);
    },
  },
  {
    op: 'DEC',
    sizes: ALL_SIZES,
    forms: ['r', 'm'],
    flags: 'DEC',
    semantics: (e) => {
      const r = e.let(e.cut(sub(e.destination(), e.k(1))));
      e.write(r);
      e.flagsStep('DEC', r);
    },
  },
  {
    op: 'NEG',
    sizes: ALL_SIZES,
    forms: ['r', 'm'],
    flags: 'SUB',
    semantics: (e) => {
      const a = e.destination();
      const r = e.let(e.cut(sub(e.k(0), a)));
      e.write(r);
      e.flagsSub(r, e.k(0));
    },
  },
  {
    op: 'XADD',
    sizes: ALL_SIZES,
    forms: ['rr', 'mr'],
    flags: 'ADD',
    semantics: (e) => {
      const b = e.source();
      const a = e.destination();
      const r = e.let(e.cut(add(a, b)));
      // The source first: with one register for both, the sum stays.
      e.setRegister('src', a, e.size);
      e.write(r);
      e.flagsAdd(r, a);
    },
  },
  {
    op: 'CMPXCHG',
    sizes: ALL_SIZES,
    forms: ['rr', 'mr'],
    flags: 'SUB',
    semantics: (e) => {
      const b = e.source();
      const a = e.destination();
      const accumulator = e.let(e.size === 64 ? e.gpr(0) : e.cut(wrap(e.gpr(0))));
      const equal = e.let(eq(accumulator, a));
      // Memory is written either way; a register destination only when they were equal.
      if (e.destinationInMemory) e.write(select(b, a, equal));
      else e.when(equal, () => e.write(b));
      e.when(eqz(equal), () => e.setGprSized(0, a));
      const r = e.let(e.cut(sub(accumulator, a)));
      e.flagsSub(r, accumulator);
    },
  },
];

/** AF as i32 0/1: carry out of bit 3. */
function auxiliary(e: Stage, a: Value, b: Value, r: Value): Value {
  return and(shr(e.toI32(xor(xor(a, b), r)), c32(4)), c32(1));
}
