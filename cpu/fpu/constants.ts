/** Mathematical constants in fixed point, with CONSTANT_BITS bits behind the point, computed from their series. */

export const CONSTANT_BITS = 320;

/** Bits computed beyond CONSTANT_BITS, so that the truncations below do not show. */
const GUARD = 32n;
const ONE = 1n << (BigInt(CONSTANT_BITS) + GUARD);

/** atan(1 / n) = 1/n - 1/3n^3 + 1/5n^5 - ... */
function arcTangentOfInverse(n: bigint): bigint {
  let sum = 0n;
  let power = ONE / n;
  for (let k = 1n; power !== 0n; k += 2n) {
    sum += (k & 2n) === 0n ? power / k : -(power / k);
    power /= n * n;
  }
  return sum;
}

/** atanh(1 / n), twice of which is ln((n + 1) / (n - 1)). */
function hyperbolicArcTangentOfInverse(n: bigint): bigint {
  let sum = 0n;
  let power = ONE / n;
  for (let k = 1n; power !== 0n; k += 2n) {
    sum += power / k;
    power /= n * n;
  }
  return sum;
}

const pi = 4n * (4n * arcTangentOfInverse(5n) - arcTangentOfInverse(239n));
const ln2 = 2n * hyperbolicArcTangentOfInverse(3n);
/** ln 10 = 3 ln 2 + ln 1.25. */
const ln10 = 3n * ln2 + 2n * hyperbolicArcTangentOfInverse(9n);

export const PI = pi >> GUARD;
export const LN_2 = ln2 >> GUARD;
/** log2 e, log2 10, log10 2. */
export const LOG2_E = ((ONE * ONE) / ln2) >> GUARD;
export const LOG2_10 = ((ln10 * ONE) / ln2) >> GUARD;
export const LG_2 = ((ln2 * ONE) / ln10) >> GUARD;

/** SDM volume 1, "Approximation of Pi": the value that Intel's processors reduce trigonometric arguments by, 66 bits behind the point. */
export const PI_66 = 0xc_90fd_aa22_168c_234cn;
