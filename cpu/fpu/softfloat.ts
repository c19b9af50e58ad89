/**
 * Arithmetic and comparison, exact in integers and rounded once. Operands of any format; the result has the given precision.
 * An unmasked invalid, denormal or divide-by-zero exception ends the computation: the value returned is then meaningless and the
 * caller, seeing context.flags, must not store it.
 */
import { EXTENDED, INDEFINITE, Kind, infinity, isNaN, quieted, zero, type Float, type Precision } from './float-format';
import { Exception, NanRule, Rounding, round, type FloatContext } from './rounding';

/** Masked response to an invalid operation. */
export function invalid(context: FloatContext): Float {
  context.raise(Exception.IE);
  return INDEFINITE;
}

/** Result for operands of which one is a NaN or unsupported; undefined when none is. SDM "Rules for Handling NaNs". */
export function nanResult(a: Float, b: Float, context: FloatContext): Float | undefined {
  if (a.kind < Kind.QuietNaN && b.kind < Kind.QuietNaN) return undefined;
  if (a.kind === Kind.Unsupported || b.kind === Kind.Unsupported) return invalid(context);
  if (a.kind === Kind.SignalingNaN || b.kind === Kind.SignalingNaN) context.raise(Exception.IE);
  if (!isNaN(b)) return quieted(a);
  if (!isNaN(a)) return quieted(b);
  if (context.nanRule === NanRule.First) return quieted(a);
  if (a.kind !== b.kind) return a.kind === Kind.QuietNaN ? a : b;
  if (a.significand !== b.significand) return quieted(a.significand > b.significand ? a : b);
  return quieted(a.sign <= b.sign ? a : b);
}

/** Notes denormal operands; true when the exception is unmasked and ends the computation. */
export function denormalOperand(a: Float, b: Float, context: FloatContext): boolean {
  if (!a.denormal && !b.denormal) return false;
  context.raise(Exception.DE);
  return (context.unmasked & Exception.DE) !== 0;
}

export function add(a: Float, b: Float, precision: Precision, context: FloatContext): Float {
  return sum(a, b, b.sign, precision, context);
}

export function subtract(a: Float, b: Float, precision: Precision, context: FloatContext): Float {
  return sum(a, b, b.sign ^ 1, precision, context);
}

/** a + b with the sign of b replaced. */
function sum(a: Float, b: Float, bSign: number, precision: Precision, context: FloatContext): Float {
  const nan = nanResult(a, b, context);
  if (nan) return nan;
  if (a.kind === Kind.Infinity && b.kind === Kind.Infinity && a.sign !== bSign) return invalid(context);
  if (denormalOperand(a, b, context)) return a;
  if (a.kind === Kind.Infinity) return a;
  if (b.kind === Kind.Infinity) return infinity(bSign);
  if (b.kind === Kind.Zero) {
    if (a.kind === Kind.Zero) return zero(a.sign === bSign ? a.sign : zeroSign(context));
    return round(a.sign, a.significand, a.exponent - 63, precision, context);
  }
  if (a.kind === Kind.Zero) return round(bSign, b.significand, b.exponent - 63, precision, context);

  const aLarger = a.exponent >= b.exponent;
  const large = aLarger ? a : b;
  const small = aLarger ? b : a;
  const largeSign = aLarger ? a.sign : bSign;
  // 67 bits below the larger operand: room for guard bits after cancellation of one bit, the rest sticks to bit 0.
  const n = large.significand << 67n;
  const distance = large.exponent - small.exponent;
  let m: bigint;
  if (distance <= 67) m = small.significand << BigInt(67 - distance);
  else if (distance > 131) m = 1n;
  else m = (small.significand >> BigInt(distance - 67)) | 1n;
  const exponent = large.exponent - 63 - 67;
  if (a.sign === bSign) return round(largeSign, n + m, exponent, precision, context);
  const difference = n - m;
  if (difference === 0n) return zero(zeroSign(context));
  return difference > 0n ? round(largeSign, difference, exponent, precision, context) : round(largeSign ^ 1, -difference, exponent, precision, context);
}

/** Sign of the zero that x - x gives. */
const zeroSign = (context: FloatContext): number => (context.rounding === Rounding.Down ? 1 : 0);

export function multiply(a: Float, b: Float, precision: Precision, context: FloatContext): Float {
  const nan = nanResult(a, b, context);
  if (nan) return nan;
  const sign = a.sign ^ b.sign;
  if (a.kind === Kind.Infinity || b.kind === Kind.Infinity) {
    if (a.kind === Kind.Zero || b.kind === Kind.Zero) return invalid(context);
    denormalOperand(a, b, context);
    return infinity(sign);
  }
  if (denormalOperand(a, b, context)) return a;
  if (a.kind === Kind.Zero || b.kind === Kind.Zero) return zero(sign);
  return round(sign, a.significand * b.significand, a.exponent + b.exponent - 126, precision, context);
}

export function divide(a: Float, b: Float, precision: Precision, context: FloatContext): Float {
  const nan = nanResult(a, b, context);
  if (nan) return nan;
  const sign = a.sign ^ b.sign;
  if (a.kind === Kind.Infinity) {
    if (b.kind === Kind.Infinity) return invalid(context);
    denormalOperand(a, b, context);
    return infinity(sign);
  }
  if (b.kind === Kind.Zero) {
    if (a.kind === Kind.Zero) return invalid(context);
    // Of higher priority than #D, which is not reported beside it.
    context.raise(Exception.ZE);
    return infinity(sign);
  }
  if (denormalOperand(a, b, context)) return a;
  if (a.kind === Kind.Zero || b.kind === Kind.Infinity) return zero(sign);
  const n = a.significand << 67n;
  const quotient = n / b.significand;
  const sticky = quotient * b.significand === n ? 0n : 1n;
  return round(sign, quotient | sticky, a.exponent - b.exponent - 67, precision, context);
}

export function squareRoot(a: Float, precision: Precision, context: FloatContext): Float {
  const nan = nanResult(a, a, context);
  if (nan) return nan;
  if (a.kind === Kind.Zero) return a;
  if (a.sign !== 0) return invalid(context);
  if (denormalOperand(a, a, context)) return a;
  if (a.kind === Kind.Infinity) return a;
  // An even exponent and a radicand of 134 or 135 bits: 67 or 68 bits of root.
  const odd = (a.exponent - 63) & 1;
  const n = a.significand << BigInt(70 + odd);
  const root = integerSquareRoot(n);
  const sticky = root * root === n ? 0n : 1n;
  return round(0, (root << 1n) | sticky, (a.exponent - 63 - odd - 70) / 2 - 1, precision, context);
}

export function integerSquareRoot(n: bigint): bigint {
  if (n === 0n) return 0n;
  // The estimate has 52 good bits (below 2^1023), and Newton's iteration from above ends at the floor.
  let root = BigInt(Math.ceil(Math.sqrt(Number(n)) * (1 + 2 ** -50))) + 1n;
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

export enum Order {
  Less,
  Equal,
  Greater,
  Unordered,
}

/** Compares; a quiet NaN raises #I only when `signaling`. */
export function compare(a: Float, b: Float, signaling: boolean, context: FloatContext): Order {
  if (a.kind >= Kind.QuietNaN || b.kind >= Kind.QuietNaN) {
    if (signaling || a.kind > Kind.QuietNaN || b.kind > Kind.QuietNaN) context.raise(Exception.IE);
    return Order.Unordered;
  }
  denormalOperand(a, b, context);
  return order(a, b);
}

/** Order of two numbers that are not NaNs. */
export function order(a: Float, b: Float): Order {
  if (a.kind === Kind.Zero && b.kind === Kind.Zero) return Order.Equal;
  const aSign = a.kind === Kind.Zero ? 0 : a.sign !== 0 ? -1 : 1;
  const bSign = b.kind === Kind.Zero ? 0 : b.sign !== 0 ? -1 : 1;
  if (aSign !== bSign) return aSign < bSign ? Order.Less : Order.Greater;
  const magnitude = compareMagnitude(a, b);
  if (magnitude === 0) return Order.Equal;
  return magnitude * aSign < 0 ? Order.Less : Order.Greater;
}

/** -1, 0 or 1; neither is zero. */
function compareMagnitude(a: Float, b: Float): number {
  if (a.kind === Kind.Infinity || b.kind === Kind.Infinity) return Number(a.kind === Kind.Infinity) - Number(b.kind === Kind.Infinity);
  if (a.exponent !== b.exponent) return a.exponent < b.exponent ? -1 : 1;
  return a.significand === b.significand ? 0 : a.significand < b.significand ? -1 : 1;
}

/** The same value in another precision. `denormals`: a denormal operand is reported (SSE conversions do, x87 stores do not). */
export function convert(a: Float, precision: Precision, denormals: boolean, context: FloatContext): Float {
  const nan = nanResult(a, a, context);
  if (nan) return nan;
  if (denormals && denormalOperand(a, a, context)) return a;
  if (a.kind !== Kind.Finite) return a;
  if (precision === EXTENDED) return a;
  return round(a.sign, a.significand, a.exponent - 63, precision, context);
}
