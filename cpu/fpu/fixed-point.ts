/** Elementary functions of fixed-point numbers: x stands for x / 2^bits. The error is a few units of the last place. */
import { CONSTANT_BITS, LN_2 } from './constants';
import { integerSquareRoot } from './softfloat';

/** A constant of constants.ts with `bits` bits behind the point. */
export const withBits = (constant: bigint, bits: number): bigint =>
  bits <= CONSTANT_BITS ? constant >> BigInt(CONSTANT_BITS - bits) : constant << BigInt(bits - CONSTANT_BITS);

/** Sine and cosine, |x| <= pi / 4, from their Taylor series. */
export function sine(x: bigint, bits: number): bigint {
  return alternating(x, 1n, x, bits);
}

export function cosine(x: bigint, bits: number): bigint {
  return alternating(1n << BigInt(bits), 0n, x, bits);
}

/** first - first x^2 / (n+1)(n+2) + ... */
function alternating(first: bigint, n: bigint, x: bigint, bits: number): bigint {
  const shift = BigInt(bits);
  const square = (x * x) >> shift;
  let sum = 0n;
  for (let term = first, k = n; term !== 0n && term !== -1n; k += 2n) {
    sum += term;
    term = -(((term * square) >> shift) / ((k + 1n) * (k + 2n)));
  }
  return sum;
}

/** Arc tangent, 0 <= x <= 1. */
export function arcTangent(x: bigint, bits: number): bigint {
  const shift = BigInt(bits);
  const one = 1n << shift;
  // atan x = 2 atan(x / (1 + sqrt(1 + x^2))), three times: the argument falls below 0.1.
  const HALVINGS = 3n;
  for (let i = 0n; i < HALVINGS; i++) x = (x << shift) / (one + integerSquareRoot((one << shift) + x * x));
  const square = (x * x) >> shift;
  let sum = 0n;
  let negative = false;
  for (let power = x, k = 1n; power !== 0n; k += 2n) {
    sum += negative ? -(power / k) : power / k;
    negative = !negative;
    power = (power * square) >> shift;
  }
  return sum << HALVINGS;
}

/** ln((1 + x) / (1 - x)) = 2 atanh x, |x| < 1/2. */
export function twiceHyperbolicArcTangent(x: bigint, bits: number): bigint {
  const shift = BigInt(bits);
  const square = (x * x) >> shift;
  let sum = 0n;
  for (let power = x, k = 1n; power !== 0n && power !== -1n; k += 2n) {
    sum += power / k;
    power = (power * square) >> shift;
  }
  return sum << 1n;
}

/** 2^x - 1, |x| <= 1. */
export function powerOfTwoMinusOne(x: bigint, bits: number): bigint {
  const shift = BigInt(bits);
  const y = (x * withBits(LN_2, bits)) >> shift;
  let sum = 0n;
  for (let term = y, k = 2n; term !== 0n && term !== -1n; k++) {
    sum += term;
    term = ((term * y) >> shift) / k;
  }
  return sum;
}
