/** Translation structures in memory: VT-d specification, "Translation Structure Formats". Bit positions in 64-bit halves. */

/** Root entry: 128 bits, one a bus. The upper half is reserved. */
export const RootEntry = { BYTES: 16, P: 1n, RESERVED: 0xffen, CTP: 0xffff_ffff_ffff_f000n } as const;

/** Context entry: 128 bits, one a device and function. */
export const ContextEntry = {
  BYTES: 16,
  P: 1n,
  FPD: 2n,
  TT_SHIFT: 2n,
  RESERVED: 0xff0n,
  SLPTPTR: 0xffff_ffff_ffff_f000n,
  /** Upper half. Bits 6:3 are available to software. */
  AW: 0x7n,
  RESERVED_HIGH: 0xffff_ffff_ff00_0080n,
  DID_SHIFT: 8n,
} as const;
/** Domain identifiers have as many bits as CAP.ND says. */
export const DID_BITS = 16;

/** Translation type. */
export const TranslationType = { MultiLevel: 0, DeviceTlb: 1, PassThrough: 2 } as const;

/** Levels of the tables by AW, which also are the bits of CAP.SAGAW. AW 1: 39 bits, 2: 48 bits, 3: 57 bits. */
export const LEVELS_BY_AW: Readonly<Record<number, number | undefined>> = { 1: 3, 2: 4, 3: 5 };
export const agawOf = (levels: number): number => 12 + 9 * levels;

/** Second-level paging entry. Bits 63, 61:52 and 10:8, 6:2 are ignored. */
export const SlEntry = {
  R: 1n,
  W: 2n,
  PS: 0x80n,
  /** Snoop behaviour of a leaf; reserved in an entry that references a table. */
  SNP: 0x800n,
  /** Transient mapping: reserved without device-TLBs. */
  TM: 1n << 62n,
  ADDRESS: 0x000f_ffff_ffff_f000n,
} as const;

/** Names of the entries by level, leaf first. */
export const SL_NAMES: readonly string[] = ['', 'SL-PTE', 'SL-PDE', 'SL-PDPE', 'SL-PML4E', 'SL-PML5E'];

/** Bytes that an entry of a level maps or covers. */
export const coverage = (level: number): number => 2 ** (3 + 9 * level);
/** Levels whose entries may map a page: 4 KiB, 2 MiB, 1 GiB. */
export const LARGEST_LEAF = 3;
export const SL_BITS = 9;
export const SL_ENTRIES = 512;
