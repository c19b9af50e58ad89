/**
 * FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1: computed in fixed point with far more bits than a register has and
 * rounded once.
 *
 * DEVIATION: the manual promises an error of at most 1 ulp. These results are correctly rounded (of the function with the processor's
 * approximation of pi), so the last bit may differ from a given processor, and #P is raised for every result that is not trivially exact.
 */
import type { Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import type { SystemInstructions } from '../system/table';
import { CONSTANT_BITS, LN_2, LOG2_E, PI, PI_66 } from './constants';
import { arcTangent, cosine, powerOfTwoMinusOne, sine, twiceHyperbolicArcTangent, withBits } from './fixed-point';
import { EXTENDED, Kind, ONE, bitLength, infinity, normalised, zero, type Float } from './float-format';
import { Exception, round } from './rounding';
import { denormalOperand, invalid, nanResult } from './softfloat';
import { binary, unary, unaryToPair } from './x87-arithmetic';
import { begin, setC2, x87 } from './x87-state';

/** Bits computed below the leading bit of a result. */
const WORKING_BITS = 140;
/** Below 2^TINY the second term of the series lies outside 64 bits. */
const TINY = -70;

/** Rounds n / 2^bits, of either sign; it is never exact. */
function rounded(n: bigint, bits: number): Float {
  const sign = n < 0n ? 1 : 0;
  return round(sign, ((sign !== 0 ? -n : n) << 2n) | 1n, -bits - 2, EXTENDED, x87);
}

/** a, displaced towards zero or away from it by less than half an ulp. */
function besides(a: Float, towardsZero: boolean): Float {
  return round(a.sign, (a.significand << 70n) + (towardsZero ? -1n : 1n), a.exponent - 63 - 70, EXTENDED, x87);
}

/** a in fixed point, exact if it has no bit below. */
function fixed(a: Float, bits: number): bigint {
  const shift = bits - 63 + a.exponent;
  const n = shift >= 0 ? a.significand << BigInt(shift) : a.significand >> BigInt(-shift);
  return a.sign !== 0 ? -n : n;
}

// ---- trigonometric functions ----

interface Reduced {
  /** Distance from the nearest multiple of pi / 2, in [-pi/4, pi/4]. */
  readonly rest: bigint;
  readonly bits: number;
  /** That multiple, modulo 4. */
  readonly quadrant: number;
}

const HALF_PI = PI_66 << BigInt(CONSTANT_BITS - 66 - 1);

/** Argument reduction: exact, by the approximation of pi that processors have. */
function reduce(a: Float): Reduced {
  const x = fixed({ ...a, sign: 0 }, CONSTANT_BITS);
  const half = HALF_PI;
  let quotient = x / half;
  let rest = x - quotient * half;
  if (rest << 1n > half) {
    rest -= half;
    quotient++;
  }
  if (rest === 0n) return { rest: 0n, bits: CONSTANT_BITS, quadrant: Number(quotient & 3n) };
  const bits = Math.min(CONSTANT_BITS, WORKING_BITS + CONSTANT_BITS - bitLength(rest < 0n ? -rest : rest));
  return { rest: rest >> BigInt(CONSTANT_BITS - bits), bits, quadrant: Number(quotient & 3n) };
}

const sineOf = (r: Reduced): bigint => {
  const value = (r.quadrant & 1) !== 0 ? cosine(r.rest, r.bits) : sine(r.rest, r.bits);
  return (r.quadrant & 2) !== 0 ? -value : value;
};
const cosineOf = (r: Reduced): bigint => sineOf({ ...r, quadrant: r.quadrant + 1 });

/** NaN, infinity; undefined for other operands. */
function trigonometricSpecial(a: Float): Float | undefined {
  return nanResult(a, a, x87) ?? (a.kind === Kind.Infinity ? invalid(x87) : undefined);
}

/** Operands of 2^63 and more are refused with C2 = 1. */
function outOfRange(a: Float, cpu: Cpu): boolean {
  if (a.kind !== Kind.Finite || a.exponent < 63) return false;
  setC2(cpu, true);
  return true;
}

function fsin(a: Float, cpu: Cpu): Float | undefined {
  const special = trigonometricSpecial(a);
  if (special) return special;
  if (outOfRange(a, cpu)) return undefined;
  if (denormalOperand(a, a, x87) || a.kind === Kind.Zero) return a;
  return sineResult(a);
}

function sineResult(a: Float): Float {
  if (a.exponent < TINY) return besides(a, true);
  const reduced = reduce(a);
  const n = sineOf(reduced);
  return n === 0n ? zero(a.sign) : rounded(a.sign !== 0 ? -n : n, reduced.bits);
}

function fcos(a: Float, cpu: Cpu): Float | undefined {
  const special = trigonometricSpecial(a);
  if (special) return special;
  if (outOfRange(a, cpu)) return undefined;
  if (denormalOperand(a, a, x87)) return a;
  return cosineResult(a);
}

function cosineResult(a: Float): Float {
  if (a.kind === Kind.Zero) return ONE;
  if (a.exponent < TINY) return besides(ONE, true);
  const reduced = reduce(a);
  const n = cosineOf(reduced);
  return n === 0n ? zero(0) : rounded(n, reduced.bits);
}

/** Sine, then cosine on top of it. */
function fsincos(a: Float, cpu: Cpu): readonly [Float, Float] | undefined {
  const special = trigonometricSpecial(a);
  if (special) return [special, special];
  if (outOfRange(a, cpu)) return undefined;
  if (denormalOperand(a, a, x87)) return [a, a];
  const cos = cosineResult(a);
  return [a.kind === Kind.Zero ? a : sineResult(a), cos];
}

/** Tangent, then 1.0 on top of it. */
function fptan(a: Float, cpu: Cpu): readonly [Float, Float] | undefined {
  const special = trigonometricSpecial(a);
  if (special) return [special, special];
  if (outOfRange(a, cpu)) return undefined;
  if (denormalOperand(a, a, x87)) return [a, a];
  if (a.kind === Kind.Zero) return [a, ONE];
  if (a.exponent < TINY) return [besides(a, false), ONE];
  const reduced = reduce(a);
  const [sin, cos] = [sineOf(reduced), cosineOf(reduced)];
  if (cos === 0n) return [infinity(a.sign), ONE];
  const quotient = (sin << BigInt(reduced.bits)) / cos;
  return [quotient === 0n ? zero(a.sign) : rounded(a.sign !== 0 ? -quotient : quotient, reduced.bits), ONE];
}

type Execute = (cpu: Cpu, insn: Insn) => void;

/** C2 is 0 unless the operand turns out to be out of range. */
function trigonometric(execute: Execute): Execute {
  return (cpu, insn) => {
    begin(cpu);
    setC2(cpu, false);
    execute(cpu, insn);
  };
}

/** quarters * pi / 4 with a sign. */
function piQuarters(sign: number, quarters: bigint): Float {
  const n = (quarters * PI) >> 2n;
  return rounded(sign !== 0 ? -n : n, CONSTANT_BITS);
}

/** Angle of the point (ST(0), ST(1)). SDM "FPATAN-Partial Arctangent", Table "FPATAN Results". */
function fpatan(x: Float, y: Float): Float {
  const nan = nanResult(x, y, x87);
  if (nan) return nan;
  if (denormalOperand(x, y, x87)) return x;
  if (y.kind === Kind.Infinity) return piQuarters(y.sign, x.kind !== Kind.Infinity ? 2n : x.sign === 0 ? 1n : 3n);
  if (y.kind === Kind.Zero || x.kind === Kind.Infinity) return x.sign === 0 ? zero(y.sign) : piQuarters(y.sign, 4n);
  if (x.kind === Kind.Zero) return piQuarters(y.sign, 2n);

  const steep = y.exponent > x.exponent || (y.exponent === x.exponent && y.significand > x.significand);
  const [small, large] = steep ? [x, y] : [y, x];
  const distance = large.exponent - small.exponent;
  if (!steep && x.sign === 0 && distance > -TINY) {
    // The quotient itself, a little less.
    const quotient = (small.significand << 135n) / large.significand;
    return round(y.sign, (quotient << 2n) - 1n, small.exponent - large.exponent - 137, EXTENDED, x87);
  }
  const bits = Math.min(CONSTANT_BITS - 2, WORKING_BITS + distance + 4);
  const shift = bits - distance;
  let angle = shift < 0 ? 1n : arcTangent((small.significand << BigInt(shift)) / large.significand, bits);
  const pi = withBits(PI, bits);
  if (steep) angle = x.sign === 0 ? (pi >> 1n) - angle : (pi >> 1n) + angle;
  else if (x.sign !== 0) angle = pi - angle;
  return rounded(y.sign !== 0 ? -angle : angle, bits);
}

// ---- powers and logarithms ----

/** 2^ST(0) - 1 for -1 <= ST(0) <= 1; outside, where the result is undefined, the operand stays. */
function f2xm1(a: Float): Float {
  const nan = nanResult(a, a, x87);
  if (nan) return nan;
  if (a.kind === Kind.Infinity) return a.sign === 0 ? a : { ...ONE, sign: 1 };
  if (denormalOperand(a, a, x87) || a.kind === Kind.Zero) return a;
  if (a.exponent >= 0) {
    if (a.exponent > 0 || a.significand !== ONE.significand) return a;
    x87.raise(Exception.PE);
    return a.sign === 0 ? a : { ...a, exponent: -1 };
  }
  if (a.exponent < TINY) {
    // x ln 2, with an error in the second term only.
    const product = (a.significand * withBits(LN_2, 128)) << 2n;
    return round(a.sign, product | 1n, a.exponent - 63 - 130, EXTENDED, x87);
  }
  const bits = WORKING_BITS - a.exponent;
  return rounded(powerOfTwoMinusOne(fixed(a, bits), bits), bits);
}

/** y times logarithm / 2^bits, where the logarithm is not 0. #P is raised even when the logarithm is exact. */
function timesLogarithm(y: Float, logarithm: bigint, bits: number, exact: boolean): Float {
  x87.raise(Exception.PE);
  const magnitude = logarithm < 0n ? -logarithm : logarithm;
  const product = (magnitude * y.significand) << 2n;
  return round(y.sign ^ (logarithm < 0n ? 1 : 0), exact ? product : product | 1n, y.exponent - 63 - bits - 2, EXTENDED, x87);
}

/** Cases of y * log2(x) in which one is 0 or infinite: `sign` that of the logarithm, `zeroLog` and `infiniteLog` its value. */
function specialProduct(y: Float, sign: number, zeroLog: boolean, infiniteLog: boolean): Float | undefined {
  const product = y.sign ^ sign;
  if (zeroLog) return y.kind === Kind.Infinity ? invalid(x87) : zero(product);
  if (infiniteLog) return y.kind === Kind.Zero ? invalid(x87) : infinity(product);
  if (y.kind === Kind.Infinity) return infinity(product);
  if (y.kind === Kind.Zero) return zero(product);
  return undefined;
}

/** ST(1) * log2(ST(0)). SDM "FYL2X-Compute y * log2x", Table "FYL2X Results". */
function fyl2x(x: Float, y: Float): Float {
  const nan = nanResult(x, y, x87);
  if (nan) return nan;
  if (x.kind === Kind.Zero) {
    if (y.kind === Kind.Zero) return invalid(x87);
    if (y.kind === Kind.Finite) x87.raise(Exception.ZE);
    return infinity(y.sign ^ 1);
  }
  if (x.sign !== 0) return invalid(x87);
  const isOne = x.kind === Kind.Finite && x.exponent === 0 && x.significand === ONE.significand;
  if (isOne && y.kind === Kind.Infinity) return invalid(x87);
  if (x.kind === Kind.Infinity && y.kind === Kind.Zero) return invalid(x87);
  if (denormalOperand(x, y, x87)) return x;
  const special = specialProduct(y, x.kind === Kind.Finite && x.exponent < 0 ? 1 : 0, isOne, x.kind === Kind.Infinity);
  if (special) return special;
  return logarithmOf(x, y);
}

function logarithmOf(x: Float, y: Float): Float {
  if (x.significand === ONE.significand) return timesLogarithm(y, BigInt(x.exponent), 0, true);
  // x = m * 2^e with m between sqrt(1/2) and sqrt(2).
  const above = x.significand > SQRT_2;
  const exponent = above ? x.exponent + 1 : x.exponent;
  const bits = 2 * WORKING_BITS - 80;
  const m = above ? x.significand << BigInt(bits - 64) : x.significand << BigInt(bits - 63);
  const one = 1n << BigInt(bits);
  const ln = twiceHyperbolicArcTangent(((m - one) << BigInt(bits)) / (m + one), bits);
  const log2 = (BigInt(exponent) << BigInt(bits)) + ((ln * withBits(LOG2_E, bits)) >> BigInt(bits));
  return timesLogarithm(y, log2, bits, false);
}
/** sqrt(2) as a significand. */
const SQRT_2 = 0xb504_f333_f9de_6484n;

/** ST(1) * log2(ST(0) + 1); the result is undefined unless |ST(0)| <= 1 - sqrt(1/2). */
function fyl2xp1(x: Float, y: Float): Float {
  const nan = nanResult(x, y, x87);
  if (nan) return nan;
  if (x.kind === Kind.Infinity && (x.sign !== 0 || y.kind === Kind.Zero)) return invalid(x87);
  if (x.kind === Kind.Zero && y.kind === Kind.Infinity) return invalid(x87);
  if (x.kind === Kind.Finite && x.sign !== 0 && x.exponent >= 0) return invalid(x87);
  if (denormalOperand(x, y, x87)) return x;
  const special = specialProduct(y, x.sign, x.kind === Kind.Zero, x.kind === Kind.Infinity);
  if (special) return special;
  if (x.exponent < TINY)
    return timesLogarithm({ ...y, sign: y.sign ^ x.sign, exponent: y.exponent + x.exponent - 63 }, x.significand * withBits(LOG2_E, 128), 128, false);
  if (x.exponent >= -1) {
    const sum = x.exponent > 70 ? x : normalised(0, fixed(x, 140) + (1n << 140n), -140);
    return logarithmOf(sum, y);
  }
  const bits = WORKING_BITS - x.exponent;
  const n = fixed(x, bits);
  const ln = twiceHyperbolicArcTangent((n << BigInt(bits)) / ((2n << BigInt(bits)) + n), bits);
  return timesLogarithm(y, (ln * withBits(LOG2_E, bits)) >> BigInt(bits), bits, false);
}

export const X87_TRANSCENDENTAL: SystemInstructions = {
  FSIN: { execute: trigonometric(unary(fsin)), endsBlock: false },
  FCOS: { execute: trigonometric(unary(fcos)), endsBlock: false },
  FSINCOS: { execute: trigonometric(unaryToPair(fsincos)), endsBlock: false },
  FPTAN: { execute: trigonometric(unaryToPair(fptan)), endsBlock: false },
  FPATAN: { execute: binary(fpatan, true), endsBlock: false },
  F2XM1: { execute: unary(f2xm1), endsBlock: false },
  FYL2X: { execute: binary(fyl2x, true), endsBlock: false },
  FYL2XP1: { execute: binary(fyl2xp1, true), endsBlock: false },
};
