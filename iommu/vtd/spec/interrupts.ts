/** Interrupt remapping and posting: VT-d specification, "Interrupt Remapping" and "Interrupt Posting". */

/** Address of a remappable interrupt request. Bits 1:0 do not matter. */
export const RemappableAddress = { HANDLE_15: 0x4, SHV: 0x8, FORMAT: 0x10, HANDLE_SHIFT: 5, HANDLE_LOW: 0x7fff } as const;
/** Data of one with SHV. */
export const RemappableData = { SUBHANDLE: 0xffff, RESERVED: 0xffff_0000 } as const;

/** Interrupt remapping table entry: 128 bits. Bit positions of the lower half. */
export const Irte = {
  BYTES: 16,
  P: 1n << 0n,
  FPD: 1n << 1n,
  DM: 1n << 2n,
  RH: 1n << 3n,
  TM: 1n << 4n,
  DLM_SHIFT: 5n,
  /** 1: posted. */
  IM: 1n << 15n,
  VECTOR_SHIFT: 16n,
  DESTINATION_SHIFT: 32n,
  RESERVED: 0xff00_7000n,
  /** Without extended interrupt mode the destination is bits 47:40. */
  RESERVED_XAPIC: 0xffff_00ff_0000_0000n,
  XAPIC_DESTINATION_SHIFT: 40n,
  /** Upper half, both formats: SID 15:0, SQ 17:16, SVT 19:18. */
  SID: 0xffffn,
  SQ_SHIFT: 16n,
  SVT_SHIFT: 18n,
  RESERVED_HIGH: 0xffff_ffff_fff0_0000n,
} as const;

/** The posted format. Available bits are 11:8 in both. */
export const PostedIrte = {
  URG: 1n << 14n,
  RESERVED: 0x3f_ff00_30fcn,
  PDA_LOW_SHIFT: 38n,
  RESERVED_HIGH: 0xfff0_0000n,
  PDA_HIGH_SHIFT: 32n,
} as const;

/** Source validation type and source-id qualifier. */
export const Svt = { None: 0, Requester: 1, BusRange: 2, Reserved: 3 } as const;
/** Bits of the function number that SQ leaves out of the comparison. */
export const SQ_IGNORES: readonly number[] = [0, 0x4, 0x6, 0x7];

/** Delivery modes as in a message; 3 and 6 are reserved. */
export const RESERVED_DELIVERY_MODES: readonly number[] = [3, 6];

/** Posted interrupt descriptor: 64 bytes. Offsets of its parts. */
export const PostedDescriptor = {
  BYTES: 64,
  PIR: 0,
  /** Dword: ON 0, SN 1, reserved 15:2, NV 23:16, reserved 31:24. */
  CONTROL: 32,
  ON: 0x1,
  SN: 0x2,
  CONTROL_RESERVED: 0xff00_fffc,
  NV_SHIFT: 16,
  NDST: 36,
  /** The rest is reserved. */
  RESERVED: 40,
} as const;
