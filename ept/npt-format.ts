/**
 * Formats of nested page tables: those of the host's paging mode. APM volume 2, "Nested Paging" and "Page Translation and Protection".
 * An entry is 64 bits, or 32 without PAE; every flag but no-execute stands in its low word.
 */

/** Bits of an entry, low word. */
export const NptEntry = {
  PRESENT: 1 << 0,
  WRITE: 1 << 1,
  USER: 1 << 2,
  ACCESSED: 1 << 5,
  DIRTY: 1 << 6,
  /** The entry maps a large page. */
  LARGE: 1 << 7,
  /** Ignored in entries that map a page; must be zero in PML4 entries and PDP entries that refer to a table. */
  GLOBAL: 1 << 8,
  /** A page-directory-pointer entry of PAE: bits 2:1 and 8:5 must be zero. */
  PAE_POINTER_RESERVED: 0x1e6,
} as const;
/** No-execute (bit 63) as it stands in the high word, if EFER.NXE is 1. */
export const NO_EXECUTE_HIGH = 0x8000_0000;

/** EXITINFO1 of a nested page fault, bits 31:0. APM "Nested versus Guest Page Faults, Fault Ordering". */
export const NptError = {
  PRESENT: 1 << 0,
  WRITE: 1 << 1,
  USER: 1 << 2,
  RESERVED: 1 << 3,
  FETCH: 1 << 4,
} as const;
/** Bits 63:32. */
export const NptErrorHigh = {
  /** Bit 32: the final access of the guest. */
  FINAL: 1 << 0,
  /** Bit 33: the guest's page tables were being walked. */
  TABLE: 1 << 1,
} as const;

/** How the host translates, which is how nested tables are walked: hCR0, hCR4 and hEFER as they were at VMRUN. */
export interface NestedPagingMode {
  /** Levels of the walk: 5 and 4 in long mode, 3 with PAE, 2 without. */
  readonly levels: 2 | 3 | 4 | 5;
  /** EFER.NXE: bit 63 of an entry is no-execute rather than reserved. */
  readonly nxe: boolean;
  /** CR4.PSE: large pages with two levels. */
  readonly pse: boolean;
}
