/** Entries of the host page tables: AMD IOMMU specification, "I/O Page Tables for Host Translations". Bits 8:1 and 63 are ignored. */

export const PageEntry = {
  PR: 1n << 0n,
  /** 0: maps a page of the level's size; 7: maps a page whose size its address tells; else the level of the table it points to. */
  NEXT_LEVEL_SHIFT: 9n,
  ADDRESS: 0x000f_ffff_ffff_f000n,
  IR: 1n << 61n,
  IW: 1n << 62n,
  /** Of a page translation entry: U and FC are bits 59 and 60. */
  PTE_RESERVED: 0x07f0_0000_0000_0000n,
  PDE_RESERVED: 0x1ff0_0000_0000_0000n,
  /** What a cached entry must agree on with memory. */
  MEANING: 0x7fff_ffff_ffff_fe01n,
} as const;

export const NextLevel = { DefaultSize: 0, SizeInAddress: 7 } as const;

export const PAGE_SHIFT = 12;
export const LEVEL_BITS = 9;
export const ENTRY_BYTES = 8;
/** Address bits below the index of a table of `level`, 1 to 6: what one of its entries covers. */
export const levelShift = (level: number): number => PAGE_SHIFT + LEVEL_BITS * (level - 1);

/** log2 of the page size that address bits tell: the lowest zero from bit 12 on stands one below it. */
export function encodedPageShift(address: bigint): number {
  let shift = PAGE_SHIFT;
  while ((address >> BigInt(shift)) & 1n) shift++;
  return shift + 1;
}

/** As the manual calls the entries of a level. */
export const entryName = (level: number, maps: boolean): string => `level ${level} ${maps ? 'PTE' : 'PDE'}`;
