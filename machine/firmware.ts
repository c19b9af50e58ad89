/** What firmware has done to a processor before it starts an operating system. */
import type { CpuProfile } from '../cpu/interfaces';

const MTRR_DEF_TYPE = 0x2ff;
/** MTRRs enabled, fixed ranges enabled, write-back by default. */
const MTRR_WRITE_BACK = 0xc06n;

/** Leaves MSRs as firmware does, through whatever writes them. */
export function firmwareMsrs(profile: CpuProfile, write: (index: number, value: bigint) => void): void {
  if (profile.has('mtrr')) write(MTRR_DEF_TYPE, MTRR_WRITE_BACK);
}
