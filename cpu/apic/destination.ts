/** For whom an interrupt message is: SDM "Determining IPI Destination", "Deriving Logical x2APIC ID from the Local x2APIC ID". */
export const BROADCAST8 = 0xff;
export const BROADCAST32 = 0xffff_ffff;
/** Upper nibble of DFR. */
const FLAT_MODEL = 0xf;
const ALL_CLUSTERS = 0xf;

/** Cluster number in 31:16, one bit in 15:0. */
export function x2apicLogicalId(id: number): number {
  return (((id >>> 4) << 16) | (1 << (id & 15))) >>> 0;
}

export function matchesX2apic(destination: number, logical: boolean, id: number, ldr: number): boolean {
  if (!logical) return destination === id;
  return destination >>> 16 === ldr >>> 16 && (destination & ldr & 0xffff) !== 0;
}

/** 8-bit destinations. In the cluster model bits 7:4 name the cluster and bits 3:0 the members. */
export function matchesXapic(destination: number, logical: boolean, id: number, ldr: number, dfr: number): boolean {
  if (!logical) return destination === id;
  const logicalId = ldr >>> 24;
  if (dfr >>> 28 === FLAT_MODEL) return (logicalId & destination) !== 0;
  const cluster = destination >>> 4;
  return (cluster === logicalId >>> 4 || cluster === ALL_CLUSTERS) && (logicalId & destination & 0xf) !== 0;
}
