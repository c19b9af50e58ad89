import { ALL_SIZES, WIDE_SIZES, type Definition } from './definition';
import type { Stage } from '../stage/stage';
import type { OperandSize } from '../stage/staging';
import { and, c32, c64, eq, ne, or, remu, rotl, rotr, sar, select, shl, shr, sub, wrap, xor, zext, type Value } from '../stage/wasm';

/**
 * Shifts and rotates. The count is masked to 5 bits (6 for 64-bit operands); a masked count of zero changes no flag.
 * Immediate counts arrive masked and non-zero (the decoder turns zero counts into SHIFT_NONE), counts in CL are tested here.
 */
interface Shifted {
  readonly result: Value;
  readonly cf: Value;
  readonly of: Value;
}

/** Count in the operand's own wasm type. */
function count(e: Stage): Value {
  const c = e.source(8);
  return e.let(e.size === 64 ? and(zext(c), c64(63)) : and(c, c32(31)));
}
const bit0 = (e: Stage, v: Value): Value => and(e.toI32(v), c32(1));

function shift(op: string, compute: (e: Stage, a: Value, c: Value) => Shifted): Definition {
  return {
    op,
    sizes: ALL_SIZES,
    forms: ['ri', 'mi', 'rc', 'mc'],
    semantics: (e) => {
      const c = count(e);
      const a = e.destination();
      const { result, cf, of } = compute(e, a, c);
      const r = e.let(result);
      const carry = e.let(cf);
      const overflow = e.let(of);
      e.write(r);
      if (e.spec.form[1] === 'i') e.flagsMixed(r, carry, overflow);
      else e.when(ne(c, e.k(0)), () => e.flagsMixed(r, carry, overflow));
    },
  };
}

/** Rotates change CF and OF only. */
function rotate(op: string, compute: (e: Stage, a: Value, c: Value, carryIn: Value) => Shifted): Definition {
  return {
    op,
    sizes: ALL_SIZES,
    forms: ['ri', 'mi', 'rc', 'mc'],
    semantics: (e) => {
      const c = count(e);
      const a = e.destination();
      const old = e.arithmetic();
      const { result, cf, of } = compute(e, a, c, and(old, c32(1)));
      const flags = e.let(or(or(and(old, c32(~0x801)), cf), shl(of, c32(11))));
      e.write(result);
      if (e.spec.form[1] === 'i') e.flagsEager(flags);
      else e.when(ne(c, e.k(0)), () => e.flagsEager(flags));
    },
  };
}

/** Rotates of 8- and 16-bit operands work on i32 copies. */
function rotateBits(e: Stage, a: Value, c: Value, left: boolean): Value {
  if (e.size >= 32) return left ? rotl(a, c) : rotr(a, c);
  const n = e.let(and(c, c32(e.size - 1)));
  const back = and(sub(c32(e.size), n), c32(e.size - 1));
  return e.cut(left ? or(shl(a, n), shr(a, back)) : or(shr(a, n), shl(a, back)));
}

/** Rotate through carry, as a rotate of size + 1 bits. */
function throughCarry(e: Stage, a: Value, c: Value, carry: Value, left: boolean): { result: Value; cf: Value } {
  const cf = e.let(carry);
  if (e.size === 64) {
    const one = e.let(eq(c, c64(1)));
    const zero = e.let(eq(c, c64(0)));
    const wide = zext(cf);
    const far = e.let(select(c64(0), left ? shr(a, sub(c64(65), c)) : shl(a, sub(c64(65), c)), one));
    const near = left ? or(shl(a, c), shl(wide, sub(c, c64(1)))) : or(shr(a, c), shl(wide, sub(c64(64), c)));
    const out = left ? shr(a, sub(c64(64), c)) : shr(a, sub(c, c64(1)));
    return { result: e.let(select(a, or(near, far), zero)), cf: e.let(select(cf, and(wrap(out), c32(1)), zero)) };
  }
  const n = e.size + 1;
  const steps = e.let(zext(e.size === 32 ? c : remu(c, c32(n))));
  const v = e.let(or(zext(a), shl(zext(cf), c64(e.size))));
  const back = sub(c64(n), steps);
  const r = e.let(left ? or(shl(v, steps), shr(v, back)) : or(shr(v, steps), shl(v, back)));
  return { result: e.let(e.cut(wrap(r))), cf: e.let(and(wrap(shr(r, c64(e.size))), c32(1))) };
}

const topTwo = (e: Stage, r: Value): Value => xor(e.msb(r), bit0(e, shr(r, e.k(e.size - 2))));

function double(op: string, left: boolean): Definition {
  return {
    op,
    sizes: WIDE_SIZES,
    forms: ['rri', 'mri', 'rrc', 'mrc'],
    semantics: (e) => {
      const c = count(e);
      const b = e.let(e.readRegister('src', e.size));
      const a = e.destination();
      let r: Value;
      let cf: Value;
      if (e.size === 64) {
        const zero = e.let(eq(c, c64(0)));
        const back = sub(c64(64), c);
        r = e.let(select(a, left ? or(shl(a, c), shr(b, back)) : or(shr(a, c), shl(b, back)), zero));
        cf = and(wrap(left ? shr(a, sub(c64(64), c)) : shr(a, sub(c, c64(1)))), c32(1));
      } else {
        const n = c64(e.size);
        const steps = e.let(zext(c));
        const v = e.let(left ? or(shl(zext(a), n), zext(b)) : or(shl(zext(b), n), zext(a)));
        r = e.let(e.cut(wrap(left ? shr(shl(v, steps), n) : shr(v, steps))));
        cf = and(wrap(left ? shr(zext(a), sub(n, steps)) : shr(zext(a), sub(steps, c64(1)))), c32(1));
      }
      const carry = e.let(cf);
      e.write(r);
      e.when(ne(c, e.k(0)), () => e.flagsMixed(r, carry, e.let(xor(e.msb(r), e.msb(a)))));
    },
  };
}

export const SHIFT: readonly Definition[] = [
  shift('SHL', (e, a, c) => {
    const cf = e.size === 64 ? and(wrap(shr(a, sub(c64(64), c))), c32(1)) : and(wrap(shr(shl(zext(a), zext(c)), c64(e.size))), c32(1));
    const result = e.let(e.cut(shl(a, c)));
    const carry = e.let(cf);
    return { result, cf: carry, of: xor(e.msb(result), carry) };
  }),
  shift('SHR', (e, a, c) => ({ result: shr(a, c), cf: bit0(e, shr(a, sub(c, e.k(1)))), of: e.msb(a) })),
  shift('SAR', (e, a, c) => {
    const s = e.let(e.signed(a));
    return { result: e.cut(sar(s, c)), cf: bit0(e, sar(s, sub(c, e.k(1)))), of: c32(0) };
  }),
  rotate('ROL', (e, a, c) => {
    const result = e.let(rotateBits(e, a, c, true));
    const cf = e.let(bit0(e, result));
    return { result, cf, of: xor(e.msb(result), cf) };
  }),
  rotate('ROR', (e, a, c) => {
    const result = e.let(rotateBits(e, a, c, false));
    return { result, cf: e.msb(result), of: topTwo(e, result) };
  }),
  rotate('RCL', (e, a, c, carry) => {
    const { result, cf } = throughCarry(e, a, c, carry, true);
    return { result, cf, of: xor(e.msb(result), cf) };
  }),
  rotate('RCR', (e, a, c, carry) => {
    const { result, cf } = throughCarry(e, a, c, carry, false);
    return { result, cf, of: topTwo(e, result) };
  }),
  double('SHLD', true),
  double('SHRD', false),
  // A shift by an immediate that masks to zero: no flags, but a 32-bit register destination is still written.
  { op: 'SHIFT_NONE', sizes: ALL_SIZES as readonly OperandSize[], forms: ['r', 'm'], keepsFlags: true, semantics: (e) => e.write(e.destination()) },
];
