/**
 * Floating-point numbers taken apart, and the formats they come in: IEEE 754 binary32 and binary64, and the x87 double
 * extended-precision format. SDM volume 1, "Floating-Point Data Types".
 *
 * Everything here works on bit patterns: a NaN never becomes a JavaScript number, because an engine may quiet it or lose its payload.
 */

export enum Kind {
  Zero,
  Finite,
  Infinity,
  QuietNaN,
  SignalingNaN,
  /** Pseudo-NaN, pseudo-infinity or unnormal of the extended format: an invalid operand. */
  Unsupported,
}

/** A number of any format. */
export interface Float {
  readonly kind: Kind;
  /** 1: negative. */
  readonly sign: number;
  /** Finite: the value is significand * 2^(exponent - 63). */
  readonly exponent: number;
  /** Finite: 64 bits, bit 63 set. NaN: the fraction left-justified below bit 63, which is set. Otherwise 0. */
  readonly significand: bigint;
  /** It came from a denormal encoding. */
  readonly denormal: boolean;
}

/** What rounding needs to know of a format. */
export interface Precision {
  /** Bits of significand, the integer bit included. */
  readonly bits: number;
  /** Exponents of the smallest and the largest normal number. */
  readonly minExponent: number;
  readonly maxExponent: number;
}

export const SINGLE: Precision = { bits: 24, minExponent: -126, maxExponent: 127 };
export const DOUBLE: Precision = { bits: 53, minExponent: -1022, maxExponent: 1023 };
export const EXTENDED: Precision = { bits: 64, minExponent: -16382, maxExponent: 16383 };
/** Results of x87 arithmetic under precision control: fewer bits, full range of exponents. */
export const EXTENDED_24: Precision = { ...EXTENDED, bits: 24 };
export const EXTENDED_53: Precision = { ...EXTENDED, bits: 53 };

/** An x87 register: sign and exponent in 16 bits, significand in 64. */
export interface ExtendedBits {
  readonly signExponent: number;
  readonly significand: bigint;
}

const INTEGER_BIT = 1n << 63n;
const QUIET_BIT = 1n << 62n;

export const zero = (sign: number): Float => ({ kind: Kind.Zero, sign, exponent: 0, significand: 0n, denormal: false });
export const infinity = (sign: number): Float => ({ kind: Kind.Infinity, sign, exponent: 0, significand: 0n, denormal: false });
export const finite = (sign: number, exponent: number, significand: bigint): Float => ({ kind: Kind.Finite, sign, exponent, significand, denormal: false });
export const ONE = finite(0, 0, INTEGER_BIT);
/** QNaN floating-point indefinite: the masked response to an invalid operation. */
export const INDEFINITE: Float = { kind: Kind.QuietNaN, sign: 1, exponent: 0, significand: INTEGER_BIT | QUIET_BIT, denormal: false };

export const isNaN = (f: Float): boolean => f.kind === Kind.QuietNaN || f.kind === Kind.SignalingNaN;
export const negated = (f: Float): Float => ({ ...f, sign: f.sign ^ 1 });
/** The NaN with its quiet bit set. */
export const quieted = (f: Float): Float => (f.kind === Kind.QuietNaN ? f : { ...f, kind: Kind.QuietNaN, significand: f.significand | QUIET_BIT });

const scratchDouble = new Float64Array(1);
const scratchWords = new Uint32Array(scratchDouble.buffer);

/** Bits that `n` (positive, below 2^1023) needs. */
export function bitLength(n: bigint): number {
  scratchDouble[0] = Number(n);
  const length = (scratchWords[1] >>> 20) - 1022;
  // The conversion rounds: all ones become the next power of two.
  return scratchWords[0] === 0 && (scratchWords[1] & 0xf_ffff) === 0 && n >> BigInt(length - 1) === 0n ? length - 1 : length;
}

/** The number whose bit 0 has weight 2^exponent, exactly; `n` is positive and has at most 64 significant bits. */
export function normalised(sign: number, n: bigint, exponent: number, denormal = false): Float {
  const length = bitLength(n);
  const significand = length <= 64 ? n << BigInt(64 - length) : n >> BigInt(length - 64);
  return { kind: Kind.Finite, sign, exponent: exponent + length - 1, significand, denormal };
}

function special(sign: number, fraction: bigint): Float {
  if (fraction === 0n) return infinity(sign);
  return { kind: (fraction & QUIET_BIT) !== 0n ? Kind.QuietNaN : Kind.SignalingNaN, sign, exponent: 0, significand: fraction | INTEGER_BIT, denormal: false };
}

/** `denormalsAreZero`: MXCSR.DAZ. */
export function unpackSingle(bits: number, denormalsAreZero = false): Float {
  const sign = bits >>> 31;
  const exponent = (bits >>> 23) & 0xff;
  const fraction = bits & 0x7f_ffff;
  if (exponent === 0xff) return special(sign, BigInt(fraction) << 40n);
  if (exponent !== 0) return finite(sign, exponent - 127, BigInt(fraction | 0x80_0000) << 40n);
  if (fraction === 0 || denormalsAreZero) return zero(sign);
  return normalised(sign, BigInt(fraction), -149, true);
}

/** The two halves of a binary64. */
export function unpackDouble(low: number, high: number, denormalsAreZero = false): Float {
  const sign = high >>> 31;
  const exponent = (high >>> 20) & 0x7ff;
  const fraction = (BigInt(high & 0xf_ffff) << 32n) | BigInt(low >>> 0);
  if (exponent === 0x7ff) return special(sign, fraction << 11n);
  if (exponent !== 0) return finite(sign, exponent - 1023, (fraction << 11n) | INTEGER_BIT);
  if (fraction === 0n || denormalsAreZero) return zero(sign);
  return normalised(sign, fraction, -1074, true);
}

export function unpackExtended(signExponent: number, significand: bigint): Float {
  const sign = (signExponent >>> 15) & 1;
  const exponent = signExponent & 0x7fff;
  if (exponent === 0) {
    // With the integer bit set it is a pseudo-denormal, which counts as a denormal.
    return significand === 0n ? zero(sign) : normalised(sign, significand, -16445, true);
  }
  if (significand < INTEGER_BIT) return { kind: Kind.Unsupported, sign, exponent: 0, significand: 0n, denormal: false };
  if (exponent === 0x7fff) return special(sign, significand - INTEGER_BIT);
  return finite(sign, exponent - 16383, significand);
}

export function packSingle(f: Float): number {
  const sign = f.sign * 0x8000_0000;
  switch (f.kind) {
    case Kind.Zero:
      return sign;
    case Kind.Finite:
      if (f.exponent < -126) return sign + Number(f.significand >> BigInt(40 - 126 - f.exponent));
      return sign + (f.exponent + 127) * 0x80_0000 + (Number(f.significand >> 40n) & 0x7f_ffff);
    default:
      return sign + 0x7f80_0000 + (Number(f.significand >> 40n) & 0x7f_ffff);
  }
}

export function packDouble(f: Float): bigint {
  const sign = BigInt(f.sign) << 63n;
  const fraction = (f.significand >> 11n) & 0xf_ffff_ffff_ffffn;
  switch (f.kind) {
    case Kind.Zero:
      return sign;
    case Kind.Finite:
      if (f.exponent < -1022) return sign | (f.significand >> BigInt(11 - 1022 - f.exponent));
      return sign | (BigInt(f.exponent + 1023) << 52n) | fraction;
    default:
      return sign | (0x7ffn << 52n) | fraction;
  }
}

export function packExtended(f: Float): ExtendedBits {
  const sign = f.sign << 15;
  switch (f.kind) {
    case Kind.Zero:
      return { signExponent: sign, significand: 0n };
    case Kind.Finite:
      if (f.exponent < -16382) return { signExponent: sign, significand: f.significand >> BigInt(-16382 - f.exponent) };
      return { signExponent: sign | (f.exponent + 16383), significand: f.significand };
    default:
      return { signExponent: sign | 0x7fff, significand: f.significand | INTEGER_BIT };
  }
}
