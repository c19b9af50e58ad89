/** Remapping hardware registers: VT-d specification, "Register Descriptions". Same order, same names. */

/** Offsets in the 4 KiB register window. */
export const Register = {
  VER: 0x00, CAP: 0x08, ECAP: 0x10, GCMD: 0x18, GSTS: 0x1c, RTADDR: 0x20, CCMD: 0x28,
  FSTS: 0x34, FECTL: 0x38, FEDATA: 0x3c, FEADDR: 0x40, FEUADDR: 0x44, AFLOG: 0x58,
  PMEN: 0x64, PLMBASE: 0x68, PLMLIMIT: 0x6c, PHMBASE: 0x70, PHMLIMIT: 0x78,
  IQH: 0x80, IQT: 0x88, IQA: 0x90, ICS: 0x9c, IECTL: 0xa0, IEDATA: 0xa4, IEADDR: 0xa8, IEUADDR: 0xac, IQERCD: 0xb0, IRTA: 0xb8,
  /** Where CAP.FRO and ECAP.IRO put the rest. */
  IVA: 0xf0, IOTLB: 0xf8, FRCD: 0x220,
} as const; // prettier-ignore
export const REGISTER_WINDOW = 0x1000;

/** Architecture version 1.0. */
export const VERSION = 0x10;

/** Capability Register, as bit numbers and field positions. */
export const Cap = {
  ND: 0, AFL: 3, RWBF: 4, PLMR: 5, PHMR: 6, CM: 7, SAGAW: 8, MGAW: 16, ZLR: 22, FRO: 24, SLLPS: 34, PSI: 39, NFR: 40, MAMV: 48, DWD: 54, DRD: 55, PI: 59,
} as const; // prettier-ignore
/** Extended Capability Register. */
export const Ecap = { C: 0, QI: 1, DT: 2, IR: 3, EIM: 4, PT: 6, SC: 7, IRO: 8, MHMV: 20, SMTS: 43 } as const;

/** Global Command and Global Status: the same bits in both. */
export const Global = {
  TE: 0x8000_0000, SRTP: 0x4000_0000, SFL: 0x2000_0000, EAFL: 0x1000_0000, WBF: 0x0800_0000,
  QIE: 0x0400_0000, IRE: 0x0200_0000, SIRTP: 0x0100_0000, CFI: 0x0080_0000,
} as const; // prettier-ignore

/** Root Table Address Register, low half: translation table mode (11:10) and address. */
export const Rtaddr = { TTM: 0xc00, ADDRESS: 0xffff_f000 } as const;

/** Context Command Register, high half. */
export const CcmdHigh = { ICC: 0x8000_0000, CIRG_SHIFT: 29, CAIG_SHIFT: 27, CAIG: 0x1800_0000, FM: 0x3 } as const;
/** IOTLB Invalidate Register, high half. */
export const IotlbHigh = { IVT: 0x8000_0000, IIRG_SHIFT: 28, IAIG_SHIFT: 25, IAIG: 0x0600_0000, DR: 0x2_0000, DW: 0x1_0000, DID: 0xffff } as const;
/** Invalidate Address Register, low half. */
export const Iva = { AM: 0x3f, IH: 0x40, ADDRESS: 0xffff_f000 } as const;

/** Fault Status Register. */
export const Fsts = { PFO: 0x01, PPF: 0x02, AFO: 0x04, APF: 0x08, IQE: 0x10, ICE: 0x20, ITE: 0x40, FRI_SHIFT: 8 } as const;
/** Fault Event Control and Invalidation Event Control. */
export const EventControl = { IM: 0x8000_0000, IP: 0x4000_0000 } as const;

/** Fault Recording Register: four dwords. */
export const FRCD_BYTES = 16;
export const Frcd = {
  ADDRESS: 0xffff_f000,
  /** Third dword. */
  SID: 0xffff,
  /** Fourth dword. T1: 0 write, 1 read. */
  FR: 0xff, T1: 0x4000_0000, F: 0x8000_0000,
} as const; // prettier-ignore

/** Protected Memory Enable Register. */
export const Pmen = { EPM: 0x8000_0000, PRS: 0x1 } as const;

/** Invalidation Queue Address Register, low half. DW is reserved without ECAP.SMTS. */
export const Iqa = { QS: 0x7, ADDRESS: 0xffff_f000 } as const;
/** Head and tail: bits 18:4. */
export const QUEUE_POINTER = 0x7_fff0;
/** Invalidation Completion Status Register. */
export const Ics = { IWC: 0x1 } as const;
/** Invalidation Queue Error Record: IQEI, "Invalidation Queue Error Info". */
export const QueueError = {
  None: 0,
  InvalidTail: 1,
  FetchError: 2,
  InvalidType: 3,
  ReservedField: 4,
} as const;
export type QueueErrorInfo = (typeof QueueError)[keyof typeof QueueError];

/** Interrupt Remapping Table Address Register, low half. */
export const Irta = { S: 0xf, EIME: 0x800, ADDRESS: 0xffff_f000 } as const;
