/** Conversions between floating-point numbers, integers and packed BCD. SDM volume 1, "Integer Data Types", "BCD and Packed BCD Integers". */
import { Kind, normalised, zero, type Float } from './float-format';
import { invalid, nanResult, denormalOperand } from './softfloat';
import { Exception, Rounding, roundOff, type FloatContext } from './rounding';

/** Integer of a signed value that fits 64 bits. */
export function fromInteger(value: bigint): Float {
  if (value === 0n) return zero(0);
  return value < 0n ? normalised(1, -value, 0) : normalised(0, value, 0);
}

/** Magnitude of a finite number rounded to an integer, as context.rounding has it; notes inexact and roundedUp. */
function integerMagnitude(a: Float, context: FloatContext): bigint {
  const drop = 63 - a.exponent;
  if (drop <= 0) {
    context.inexact = false;
    context.roundedUp = false;
    return a.significand << BigInt(-drop);
  }
  // Below one half only the fact that it is not zero counts.
  return drop > 66 ? roundOff(1n, 3, a.sign, context) : roundOff(a.significand, drop, a.sign, context);
}

/**
 * Signed integer of `bits` bits. NaN, infinity and values out of range: #I and the integer indefinite (the most negative integer).
 * A denormal operand is not reported.
 */
export function toInteger(a: Float, bits: number, context: FloatContext, truncate = false): bigint {
  const indefinite = -(1n << BigInt(bits - 1));
  context.roundedUp = false;
  if (a.kind === Kind.Zero) return 0n;
  if (a.kind !== Kind.Finite || a.exponent > bits) {
    context.raise(Exception.IE);
    return indefinite;
  }
  const rounding = context.rounding;
  if (truncate) context.rounding = Rounding.Zero;
  const magnitude = integerMagnitude(a, context);
  context.rounding = rounding;
  const value = a.sign !== 0 ? -magnitude : magnitude;
  if (value < indefinite || value >= -indefinite) {
    context.raise(Exception.IE);
    context.roundedUp = false;
    return indefinite;
  }
  if (context.inexact) context.raise(Exception.PE);
  return value;
}

/** FRNDINT: the number rounded to an integral value. */
export function roundToIntegral(a: Float, context: FloatContext): Float {
  const nan = nanResult(a, a, context);
  if (nan) return nan;
  if (denormalOperand(a, a, context)) return a;
  if (a.kind !== Kind.Finite || a.exponent >= 63) return a;
  const magnitude = integerMagnitude(a, context);
  if (context.inexact) context.raise(Exception.PE);
  return magnitude === 0n ? zero(a.sign) : normalised(a.sign, magnitude, 0);
}

/** Packed BCD indefinite, 80 bits. */
const BCD_INDEFINITE = 0xffff_c000_0000_0000_0000n;
const BCD_LIMIT = 10n ** 18n;

/** 80 bits: 18 digits, the sign in bit 79. */
export function toPackedBcd(a: Float, context: FloatContext): bigint {
  context.roundedUp = false;
  if (a.kind === Kind.Zero) return BigInt(a.sign) << 79n;
  if (a.kind !== Kind.Finite || a.exponent > 63) {
    invalid(context);
    return BCD_INDEFINITE;
  }
  const magnitude = integerMagnitude(a, context);
  if (magnitude >= BCD_LIMIT) {
    invalid(context);
    context.roundedUp = false;
    return BCD_INDEFINITE;
  }
  if (context.inexact) context.raise(Exception.PE);
  // The decimal digits of the number, read as hexadecimal digits.
  return (BigInt(a.sign) << 79n) | BigInt(`0x${magnitude.toString()}`);
}

/** Digits above 9 are undefined by the manual: here they count with their value. */
export function fromPackedBcd(bits: bigint): Float {
  const sign = Number((bits >> 79n) & 1n);
  let value = 0n;
  for (let shift = 68n; shift >= 0n; shift -= 4n) value = value * 10n + ((bits >> shift) & 15n);
  return value === 0n ? zero(sign) : normalised(sign, value, 0);
}
