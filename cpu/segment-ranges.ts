import type { Cpu } from './cpu';
import { R, S, seg } from './layout';

const ALL = 0xffff_ffff_ffff_ffffn;
const CODE = 8,
  EXPAND_DOWN = 4,
  READ_WRITE = 2,
  SYSTEM_S = 0x10,
  PRESENT = 0x80,
  DB = 0x4000,
  UNUSABLE = 0x1_0000;

/**
 * Derives which offsets of segment register `s` may be read and written (inclusive ranges; low > high refuses everything),
 * so that an access is two compares. In 64-bit mode nothing is limited. SDM "Limit Checking", "Type Checking".
 */
export function rangesOf(cpu: Cpu, s: number): void {
  const access = cpu.segmentAccess(s);
  const put = (readLow: bigint, readHigh: bigint, writeLow: bigint, writeHigh: bigint): void => {
    cpu.set64(seg(s, S.READ_LOW), readLow);
    cpu.set64(seg(s, S.READ_HIGH), readHigh);
    cpu.set64(seg(s, S.WRITE_LOW), writeLow);
    cpu.set64(seg(s, S.WRITE_HIGH), writeHigh);
  };
  if (cpu.codeSize === 64) return put(0n, ALL, 0n, ALL);
  const limit = BigInt(cpu.segmentLimit(s));
  const real = (cpu.get32(R.CR0) & 1) === 0 || cpu.v86;
  if (real) return put(0n, limit, 0n, limit);
  if ((access & UNUSABLE) !== 0 || (access & PRESENT) === 0 || (access & SYSTEM_S) === 0) return put(1n, 0n, 1n, 0n);
  const code = (access & CODE) !== 0;
  const readable = !code || (access & READ_WRITE) !== 0;
  const writable = !code && (access & READ_WRITE) !== 0;
  const expandDown = !code && (access & EXPAND_DOWN) !== 0;
  const low = expandDown ? limit + 1n : 0n;
  const high = expandDown ? ((access & DB) !== 0 ? 0xffff_ffffn : 0xffffn) : limit;
  put(readable ? low : 1n, readable ? high : 0n, writable ? low : 1n, writable ? high : 0n);
}
