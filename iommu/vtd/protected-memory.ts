/**
 * Protected memory regions: VT-d specification, "Protected Memory Regions". They keep DMA that is not translated out of what software
 * needs before it has set up translation. Refused accesses "are not recorded or reported as remapping faults".
 */
export interface ProtectedRegions {
  readonly enabled: boolean;
  /** First and last byte; a region whose limit is below its base protects nothing. */
  readonly low: readonly [base: number, limit: number];
  readonly high: readonly [base: number, limit: number];
}

/** Bits of a base that are always 0, and of a limit that are always 1: software finds out by writing. */
export const PROTECTED_GRANULE = 0x10_0000;

/** Bytes from `address` on that may be accessed, at most `length`; 0: the first is protected. */
export function unprotectedRun({ enabled, low, high }: ProtectedRegions, address: number, length: number): number {
  if (!enabled) return length;
  let run = length;
  for (const [base, limit] of [low, high]) {
    if (limit < base || address > limit) continue;
    if (address >= base) return 0;
    run = Math.min(run, base - address);
  }
  return run;
}
