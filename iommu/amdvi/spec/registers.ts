/** Memory-mapped registers: AMD IOMMU specification, "IOMMU MMIO Registers". Same order, same names. */

/** Offsets in the register window. All are 64 bits wide. */
export const Register = {
  DEVICE_TABLE_BASE: 0x0000, COMMAND_BUFFER_BASE: 0x0008, EVENT_LOG_BASE: 0x0010, CONTROL: 0x0018,
  EXCLUSION_BASE: 0x0020, EXCLUSION_LIMIT: 0x0028, EXTENDED_FEATURE: 0x0030, PPR_LOG_BASE: 0x0038,
  HARDWARE_EVENT_UPPER: 0x0040, HARDWARE_EVENT_LOWER: 0x0048, HARDWARE_EVENT_STATUS: 0x0050,
  GA_LOG_BASE: 0x00e0, GA_LOG_TAIL_ADDRESS: 0x00e8,
  X2APIC_GENERAL_INTERRUPT: 0x0170, X2APIC_PPR_INTERRUPT: 0x0178, X2APIC_GA_INTERRUPT: 0x0180,
  EXTENDED_FEATURE_2: 0x01a0,
  COMMAND_HEAD: 0x2000, COMMAND_TAIL: 0x2008, EVENT_HEAD: 0x2010, EVENT_TAIL: 0x2018, STATUS: 0x2020,
  GA_HEAD: 0x2040, GA_TAIL: 0x2048,
} as const; // prettier-ignore
/** 16 KiB: without performance counters there is nothing beyond. */
export const REGISTER_WINDOW = 0x4000;

/** IOMMU Control Register: bit positions. Bits of features that are absent read 0. */
export const Control = {
  IommuEn: 0, HtTunEn: 1, EventLogEn: 2, EventIntEn: 3, ComWaitIntEn: 4, InvTimeOut: 5, PassPW: 8, ResPassPW: 9, Coherent: 10, Isoc: 11,
  CmdBufEn: 12, GAEn: 17, GAMEn: 25, GALogEn: 28, GAIntEn: 29, XTEn: 50, IntCapXTEn: 51,
} as const; // prettier-ignore
/** Guest virtual APIC mode, GAMEn: 0 legacy, 1 with the GA log. */
export const GuestApicMode = { Legacy: 0, Log: 1 } as const;

/** IOMMU Status Register. */
export const Status = {
  EventOverflow: 0x001, EventLogInt: 0x002, ComWaitInt: 0x004, EventLogRun: 0x008, CmdBufRun: 0x010,
  GALogRun: 0x100, GALOverflow: 0x200, GALogInt: 0x400,
} as const; // prettier-ignore
/** RW1C. */
export const STATUS_CLEARABLE = Status.EventOverflow | Status.EventLogInt | Status.ComWaitInt | Status.GALOverflow | Status.GALogInt;

/** Exclusion Base Register, low half. */
export const Exclusion = { EN: 0x1, ALLOW: 0x2 } as const;
/** Hardware Event Status Register: valid, overflow. */
export const HardwareEvent = { HEV: 0x1, HEO: 0x2 } as const;

/** Extended Feature Register: exactly what executes. Bit positions. */
const Feature = { PreFSup: 0, XTSup: 2, IASup: 6, GASup: 7, HESup: 8, HATS: 10, GAMSup: 21 } as const;
/** HATS 10b: six levels of host page tables. GAMSup 001b: GAMEn 0 and 1. */
const HATS_SIX_LEVELS = 2n;
const GAM_WITH_LOG = 1n;
export const EXTENDED_FEATURES =
  [Feature.PreFSup, Feature.XTSup, Feature.IASup, Feature.GASup, Feature.HESup].reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n) |
  (HATS_SIX_LEVELS << BigInt(Feature.HATS)) |
  (GAM_WITH_LOG << BigInt(Feature.GAMSup));
export const MAX_LEVELS = 6;

const CONTROL_BITS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 17, 25, 26, 27, 28, 29, 50, 51].reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n);
const BUFFER_BASE = 0x0f0f_ffff_ffff_f000n;
const X2APIC_INTERRUPT = 0xff00_00ff_ffff_ff04n;

export interface RegisterLayout {
  readonly offset: number;
  /** What software may write; the rest keeps its value. */
  readonly writable: bigint;
  readonly reset: bigint;
}

const row = (offset: number, writable: bigint, reset = 0n): RegisterLayout => ({ offset, writable, reset });

/** STATUS and HARDWARE_EVENT_STATUS are not plain: their bits are cleared by writing 1. */
export const REGISTERS: readonly RegisterLayout[] = [
  row(Register.DEVICE_TABLE_BASE, 0x000f_ffff_ffff_f1ffn),
  // The smallest buffer, 256 entries, is what the length fields reset to.
  row(Register.COMMAND_BUFFER_BASE, BUFFER_BASE, 8n << 56n),
  row(Register.EVENT_LOG_BASE, BUFFER_BASE, 8n << 56n),
  row(Register.CONTROL, CONTROL_BITS),
  row(Register.EXCLUSION_BASE, 0x000f_ffff_ffff_f003n),
  row(Register.EXCLUSION_LIMIT, 0x000f_ffff_ffff_f000n),
  row(Register.EXTENDED_FEATURE, 0n, EXTENDED_FEATURES),
  row(Register.PPR_LOG_BASE, 0n),
  row(Register.HARDWARE_EVENT_UPPER, 0n),
  row(Register.HARDWARE_EVENT_LOWER, 0n),
  row(Register.HARDWARE_EVENT_STATUS, 0n),
  row(Register.GA_LOG_BASE, BUFFER_BASE, 8n << 56n),
  row(Register.GA_LOG_TAIL_ADDRESS, 0x000f_ffff_ffff_fff8n),
  row(Register.X2APIC_GENERAL_INTERRUPT, X2APIC_INTERRUPT),
  row(Register.X2APIC_PPR_INTERRUPT, 0n),
  row(Register.X2APIC_GA_INTERRUPT, X2APIC_INTERRUPT),
  row(Register.EXTENDED_FEATURE_2, 0n),
  row(Register.COMMAND_HEAD, 0x7_fff0n),
  row(Register.COMMAND_TAIL, 0x7_fff0n),
  row(Register.EVENT_HEAD, 0x7_fff0n),
  row(Register.EVENT_TAIL, 0x7_fff0n),
  row(Register.STATUS, 0n),
  row(Register.GA_HEAD, 0xfff8n),
  row(Register.GA_TAIL, 0xfff8n),
];

/** Base of a table or buffer. */
export const BASE_ADDRESS = 0x000f_ffff_ffff_f000n;
/** Device table base: 4 KiB units less one. */
export const DEVICE_TABLE_SIZE = 0x1ffn;
/** Lengths of the command buffer and of the logs: the power of two of their entries, from 8 on. */
export const LENGTH_SHIFT = 56n;
export const SHORTEST_LENGTH = 8;
