const magnitude = (f80: bigint): bigint => f80 & ~(1n << 79n);
const ONE = (0x3fffn << 64n) | (1n << 63n);
/** 1 - sqrt(1/2), rounded down. */
const YL2XP1_LIMIT = (0x3ffdn << 64n) | 0x95f6_1998_0c43_36f7n;

/** Vectors whose result the manual leaves undefined, or leaves to the processor. */
export function notComparable(op: string, _record: number, [st0]: readonly [bigint, bigint]): boolean {
  const finite = magnitude(st0) >> 64n !== 0x7fffn;
  if (op === 'F2XM1') return finite && magnitude(st0) > ONE;
  if (op === 'FYL2XP1') return finite && magnitude(st0) > YL2XP1_LIMIT;
  return false;
}
