/**
 * A decoded record: 32 bytes in linear memory, one for each instruction (or step of one) of the threaded interpreter.
 * Register fields are byte offsets into the vCPU block.
 */
export const Rec = {
  /** Index of the handler in the table, i32. */
  HANDLER: 0,
  /** Destination and source register, u16. */
  DST: 4,
  SRC: 6,
  /** Base and index register of the address, u16 (R.ZERO when absent, R.PAGE_BASE when RIP-relative). */
  BASE: 8,
  INDEX: 10,
  /** Scale as a shift count, u8. */
  SHIFT: 12,
  /** The same byte of a direct branch: not 0 if the operand size cuts its target to 16 bits. */
  IP16: 12,
  /** Instructions of the block up to and including this one, u8; set in records that end a block. */
  COUNT: 13,
  /** Page offset of the next instruction, u16 (may be >= 4096). */
  NEXT: 14,
  /** Immediate, i64; branch target as an offset from the page base. */
  IMMEDIATE: 16,
  /** Displacement, i32. */
  DISPLACEMENT: 24,
  /** Record of the branch target, i32, 0 while unknown. */
  LINK: 28,
} as const;

/** Longest block in instructions; compiled code runs only while at least this much budget is left. */
export const MAX_BLOCK = 32;

/** Why compiled code returned. */
export enum Status {
  Continue = 0,
  /** R.RIP is where to go on, everything before is charged; its record is not in the jump cache. */
  Lookup = 1,
  /** As Lookup, and EXIT_RECORD's LINK may be set once the target is found in the same page. */
  Link = 2,
  /** R.RIP is where to go on; less than MAX_BLOCK instructions of budget are left. */
  Budget = 3,
  /** The instruction at EXIT_RECORD did not complete: a fault, a VM exit, or it wants a slow step. */
  Unwound = 4,
  /** #DE at EXIT_RECORD. */
  DivideError = 5,
  /** The segment check of EXIT_RECORD failed: #SS(0) or #GP(0). */
  SegmentFault = 6,
  /** A TypeScript handler completed its instruction and wants the step loop to look around; R.RIP is where to go on. */
  Attention = 7,
  /** R.SSE_STATE does not let EXIT_RECORD execute: #UD or #NM. */
  SseUnavailable = 8,
  /** A 128-bit memory operand of EXIT_RECORD is not aligned: #GP(0). */
  Misaligned = 9,
  /** MMX may not be used at EXIT_RECORD, or an x87 exception is pending: #UD, #NM or #MF. */
  MmxUnavailable = 10,
  /** EXIT_RECORD may not branch to its target: #GP(0). */
  BranchFault = 11,
}
