/**
 * Formats of the extended page tables. SDM "Extended-Page-Table Pointer (EPTP)" and "The Extended Page Table Mechanism (EPT)".
 * An entry is 64 bits; everything but the address stands in its low word.
 */

/** Bits of an EPTP. */
export const Eptp = {
  MEMORY_TYPE: 0x7,
  /** Page-walk length minus 1, bits 5:3. */
  WALK_LENGTH_SHIFT: 3,
  ACCESSED_DIRTY: 0x40,
  SUPERVISOR_SHADOW_STACK: 0x80,
  RESERVED_LOW: 0xf00,
} as const;

/** Bits of an entry, low word. */
export const EptEntry = {
  READ: 1,
  WRITE: 2,
  EXECUTE: 4,
  PERMISSIONS: 7,
  /** Leaf entries: memory type in bits 5:3. */
  MEMORY_TYPE: 0x38,
  IGNORE_PAT: 0x40,
  /** The entry maps a 2-MByte or 1-GByte page. */
  LARGE: 0x80,
  ACCESSED: 0x100,
  DIRTY: 0x200,
} as const;

/** Levels of the walk that an EPTP asks for. */
export type EptLevels = 4 | 5;
const walkLength = (eptpLow: number): number => ((eptpLow >>> Eptp.WALK_LENGTH_SHIFT) & 7) + 1;
/** SDM "Extended-Page-Table Pointer (EPTP)": a page-walk length that the processor has. */
export const validWalkLength = (eptpLow: number, { fiveLevels }: EptCapabilities): boolean =>
  walkLength(eptpLow) === 4 || (fiveLevels && walkLength(eptpLow) === 5);
/** @param eptpLow of an EPTP whose page-walk length is valid. */
export const eptLevels = (eptpLow: number): EptLevels => (walkLength(eptpLow) === 5 ? 5 : 4);

/** Memory types an EPTP or a leaf may name: UC, WC, WT, WP, WB; 2, 3 and 7 are reserved. */
export const VALID_MEMORY_TYPES = (1 << 0) | (1 << 1) | (1 << 4) | (1 << 5) | (1 << 6);
export const MEMORY_TYPE_UC = 0;
export const MEMORY_TYPE_WB = 6;

/** Exit qualification of an EPT violation. SDM "Exit Qualification for EPT Violations". */
// prettier-ignore
export const EptQualification = {
  DATA_READ:            1 << 0,
  DATA_WRITE:           1 << 1,
  INSTRUCTION_FETCH:    1 << 2,
  /** Bits 5:3: the AND of bits 2:0 of all entries used. */
  PERMISSIONS_SHIFT:    3,
  LINEAR_ADDRESS_VALID: 1 << 7,
  /** The access was to the translation of the linear address; 0: to a guest paging-structure entry. Defined if bit 7 is 1. */
  FINAL_ACCESS:         1 << 8,
  // "Advanced VM-exit information for EPT violations", defined if bits 7 and 8 are 1.
  USER_MODE_LINEAR:     1 << 9,
  WRITABLE_LINEAR:      1 << 10,
  EXECUTE_DISABLE_LINEAR: 1 << 11,
  NMI_UNBLOCKING:       1 << 12,
} as const;

/** What a processor's EPT can do (IA32_VMX_EPT_VPID_CAP). */
export interface EptCapabilities {
  /** Page-walk length 5. */
  readonly fiveLevels: boolean;
  readonly pages1G: boolean;
  readonly executeOnly: boolean;
  readonly accessedDirty: boolean;
}
