/**
 * Rounding and the floating-point exceptions that come with it: SDM volume 1, "Rounding" and "Floating-Point Exception Conditions".
 * Flags have the positions that FSW and MXCSR share; tininess is detected after rounding.
 */
import { bitLength, finite, infinity, zero, type Float, type Precision } from './float-format';

/** Exception flags, bits 5:0 of FSW and MXCSR. */
export const Exception = { IE: 1, DE: 2, ZE: 4, OE: 8, UE: 0x10, PE: 0x20 } as const;
/** Found before anything is computed: unmasked, they leave the destination as it was. */
export const PRE_COMPUTATION = Exception.IE | Exception.DE | Exception.ZE;

/** RC of FCW and MXCSR. */
export enum Rounding {
  Nearest,
  Down,
  Up,
  Zero,
}

/** Which NaN a two-operand instruction delivers: SSE the first operand, x87 the larger significand. */
export enum NanRule {
  First,
  Larger,
}

/** Controls of a computation, and the flags it raises. */
export class FloatContext {
  rounding = Rounding.Nearest;
  /** Exception bits that are not masked. */
  unmasked = 0;
  /** MXCSR.DAZ and FTZ; x87 has neither. */
  denormalsAreZero = false;
  flushToZero = false;
  /** Raised so far. */
  flags = 0;
  /** The last rounding was inexact / increased the magnitude (C1 of the x87). */
  inexact = false;
  roundedUp = false;

  constructor(
    readonly nanRule: NanRule,
    /** Subtracted from the exponent on an unmasked overflow, added on underflow; 0: such results go nowhere. */
    readonly exponentAdjust: number,
  ) {}

  raise(flags: number): void {
    this.flags |= flags;
  }
}

/** Rounds n / 2^drop to an integer (drop >= 1), noting inexact and roundedUp. */
export function roundOff(n: bigint, drop: number, sign: number, context: FloatContext): bigint {
  const shift = BigInt(drop);
  const kept = n >> shift;
  const rest = n - (kept << shift);
  if (rest === 0n) {
    context.inexact = false;
    context.roundedUp = false;
    return kept;
  }
  context.inexact = true;
  let up: boolean;
  if (context.rounding === Rounding.Nearest) {
    const half = 1n << (shift - 1n);
    up = rest > half || (rest === half && (kept & 1n) !== 0n);
  } else up = context.rounding === (sign !== 0 ? Rounding.Down : Rounding.Up);
  context.roundedUp = up;
  return up ? kept + 1n : kept;
}

/**
 * Rounds the positive number n * 2^exponent to `precision`. When n stands for an inexact value, its bit 0 must be sticky and lie at
 * least two bits below what the precision keeps.
 */
export function round(sign: number, n: bigint, exponent: number, precision: Precision, context: FloatContext): Float {
  const bits = precision.bits;
  const length = bitLength(n);
  let top = exponent + length - 1;
  let kept: bigint;
  if (length > bits) {
    kept = roundOff(n, length - bits, sign, context);
    if (kept >> BigInt(bits) !== 0n) {
      kept >>= 1n;
      top++;
    }
    kept <<= BigInt(64 - bits);
  } else {
    context.inexact = false;
    context.roundedUp = false;
    kept = n << BigInt(64 - length);
  }
  if (top < precision.minExponent) return underflow(sign, n, exponent, finite(sign, top, kept), precision, context);
  if (top > precision.maxExponent) return overflow(sign, finite(sign, top, kept), precision, context);
  if (context.inexact) context.raise(Exception.PE);
  return finite(sign, top, kept);
}

/** `unbounded`: the result as it would be with an unlimited exponent. */
function underflow(sign: number, n: bigint, exponent: number, unbounded: Float, precision: Precision, context: FloatContext): Float {
  if ((context.unmasked & Exception.UE) !== 0) {
    context.raise(Exception.UE | (context.inexact ? Exception.PE : 0));
    return adjusted(unbounded, context.exponentAdjust, context);
  }
  if (context.flushToZero) {
    context.raise(Exception.UE | Exception.PE);
    return zero(sign);
  }
  const lowest = precision.minExponent - (precision.bits - 1);
  let drop = lowest - exponent;
  if (drop <= 0) return unbounded;
  // Far below the smallest denormal only the fact that there is something counts.
  const length = bitLength(n);
  if (drop > length + 2) {
    n = 1n;
    drop = 3;
  }
  const kept = roundOff(n, drop, sign, context);
  // Underflow is reported when the result is both tiny and inexact.
  if (context.inexact) context.raise(Exception.UE | Exception.PE);
  if (kept === 0n) return zero(sign);
  const keptLength = bitLength(kept);
  return finite(sign, lowest + keptLength - 1, kept << BigInt(64 - keptLength));
}

function overflow(sign: number, unbounded: Float, precision: Precision, context: FloatContext): Float {
  if ((context.unmasked & Exception.OE) !== 0) {
    context.raise(Exception.OE | (context.inexact ? Exception.PE : 0));
    return adjusted(unbounded, -context.exponentAdjust, context);
  }
  context.raise(Exception.OE | Exception.PE);
  context.inexact = true;
  context.roundedUp = context.rounding === Rounding.Nearest || context.rounding === (sign !== 0 ? Rounding.Down : Rounding.Up);
  if (context.roundedUp) return infinity(sign);
  return finite(sign, precision.maxExponent, ((1n << BigInt(precision.bits)) - 1n) << BigInt(64 - precision.bits));
}

/** SDM "Numeric Overflow Exception (#O)", unmasked response with a register destination: the exponent wrapped by 24576. */
function adjusted(f: Float, by: number, context: FloatContext): Float {
  if (by === 0) return f;
  const exponent = f.exponent + by;
  if (exponent >= -16382 && exponent <= 16383) return { ...f, exponent };
  // FSCALE alone leaves even the adjusted range: infinity or zero.
  context.raise(Exception.PE);
  context.inexact = true;
  context.roundedUp = exponent > 0;
  return exponent > 0 ? infinity(f.sign) : zero(f.sign);
}
