/** Device table entry, 256 bits: AMD IOMMU specification, "Device Table Entry Format". Masks and positions are of its 64-bit quarters. */

export const DTE_BYTES = 32;
export const DTES_PER_PAGE = 128;

/** Bits 63:0. */
export const Dte0 = {
  V: 1n << 0n,
  TV: 1n << 1n,
  /** 0: no translation, 1 to 6: levels of the page tables, 7: reserved. */
  MODE_SHIFT: 9n,
  ROOT: 0x000f_ffff_ffff_f000n,
  IR: 1n << 61n,
  IW: 1n << 62n,
  /** HAD, PPR, GPRP, GIoV, GV, GLX and the GCR3 root are reserved as long as the features behind them are absent. */
  RESERVED: 0x9ff0_0000_0000_01fcn,
} as const;

/** Bits 127:64. */
export const Dte1 = {
  DOMAIN: 0xffffn,
  /** Suppress I/O page faults: after the first, and all. */
  SE: 1n << 33n,
  SA: 1n << 34n,
  /** Exclusion range allowed. */
  EX: 1n << 39n,
  /** Bit 106 and the GCR3 root. I, IoCtl, Cache, SD and SysMgt are there and concern what this bus does not have. */
  RESERVED: 0xffff_fc00_ffff_0000n,
} as const;

/** Bits 191:128. */
export const Dte2 = {
  IV: 1n << 0n,
  /** Power of two of the entries; 11 is the largest. */
  INT_TAB_LEN_SHIFT: 1n,
  /** Ignore unmapped interrupts: no events. */
  IG: 1n << 5n,
  INT_TABLE_ROOT: 0x000f_ffff_ffff_ffc0n,
  INIT_PASS: 1n << 56n,
  EINT_PASS: 1n << 57n,
  NMI_PASS: 1n << 58n,
  INT_CTL_SHIFT: 60n,
  LINT0_PASS: 1n << 62n,
  LINT1_PASS: 1n << 63n,
  RESERVED: 0x08f0_0000_0000_0000n,
} as const;
export const LARGEST_INT_TAB_LEN = 11;

/** What happens to fixed and arbitrated interrupts. */
export const IntCtl = { Abort: 0, Forward: 1, Remap: 2, Reserved: 3 } as const;

/** Bits 255:192: AttrV, Mode0FC and the snoop attribute are bits 63:54. */
export const Dte3 = { RESERVED: 0x003f_ffff_ffff_ffffn } as const;

/** An entry taken apart. Addresses are numbers below 2^52. */
export interface DeviceTableEntry {
  readonly words: readonly [bigint, bigint, bigint, bigint];
  readonly valid: boolean;
  readonly translationValid: boolean;
  readonly mode: number;
  readonly root: number;
  readonly read: boolean;
  readonly write: boolean;
  readonly domain: number;
  readonly suppressRepeated: boolean;
  readonly suppressAll: boolean;
  readonly exclusion: boolean;
  readonly interruptsValid: boolean;
  readonly interruptEntries: number;
  readonly ignoreUnmapped: boolean;
  readonly interruptRoot: number;
  readonly initPass: boolean;
  readonly extIntPass: boolean;
  readonly nmiPass: boolean;
  readonly intCtl: number;
}

export function decodeDte(words: readonly [bigint, bigint, bigint, bigint]): DeviceTableEntry {
  const [w0, w1, w2] = words;
  return {
    words,
    valid: (w0 & Dte0.V) !== 0n,
    translationValid: (w0 & Dte0.TV) !== 0n,
    mode: Number((w0 >> Dte0.MODE_SHIFT) & 7n),
    root: Number(w0 & Dte0.ROOT),
    read: (w0 & Dte0.IR) !== 0n,
    write: (w0 & Dte0.IW) !== 0n,
    domain: Number(w1 & Dte1.DOMAIN),
    suppressRepeated: (w1 & Dte1.SE) !== 0n,
    suppressAll: (w1 & Dte1.SA) !== 0n,
    exclusion: (w1 & Dte1.EX) !== 0n,
    interruptsValid: (w2 & Dte2.IV) !== 0n,
    interruptEntries: 2 ** Number((w2 >> Dte2.INT_TAB_LEN_SHIFT) & 0xfn),
    ignoreUnmapped: (w2 & Dte2.IG) !== 0n,
    interruptRoot: Number(w2 & Dte2.INT_TABLE_ROOT),
    initPass: (w2 & Dte2.INIT_PASS) !== 0n,
    extIntPass: (w2 & Dte2.EINT_PASS) !== 0n,
    nmiPass: (w2 & Dte2.NMI_PASS) !== 0n,
    intCtl: Number((w2 >> Dte2.INT_CTL_SHIFT) & 3n),
  };
}
