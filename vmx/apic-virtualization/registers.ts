/**
 * Which registers of the APIC are virtualized. SDM "Virtual APIC State", "Virtualizing Reads from the APIC-Access Page", "Determining
 * Whether a Write Access is Virtualized". A register is 16 bytes of the page, of which the low four count.
 */

/** Offsets in the virtual-APIC page. */
// prettier-ignore
export const Offset = {
  ID:            0x020,
  VERSION:       0x030,
  TPR:           0x080,
  PPR:           0x0a0,
  EOI:           0x0b0,
  LDR:           0x0d0,
  DFR:           0x0e0,
  SVR:           0x0f0,
  ISR:           0x100,
  TMR:           0x180,
  IRR:           0x200,
  ESR:           0x280,
  ICR_LOW:       0x300,
  ICR_HIGH:      0x310,
  LVT_FIRST:     0x320,
  LVT_LAST:      0x370,
  INITIAL_COUNT: 0x380,
  DIVIDE:        0x3e0,
  SELF_IPI:      0x3f0,
} as const;

const range = (first: number, last: number): readonly number[] => Array.from({ length: (last - first) / 16 + 1 }, (_, i) => first + i * 16);
const eight = (first: number): readonly number[] => range(first, first + 0x70);

const BOTH = [
  Offset.ID, Offset.TPR, Offset.EOI, Offset.LDR, Offset.DFR, Offset.SVR, Offset.ESR, Offset.ICR_LOW, Offset.ICR_HIGH,
  ...range(Offset.LVT_FIRST, Offset.LVT_LAST), Offset.INITIAL_COUNT, Offset.DIVIDE,
] as const; // prettier-ignore

/** With "APIC-register virtualization". */
export const READABLE: ReadonlySet<number> = new Set([...BOTH, Offset.VERSION, ...eight(Offset.ISR), ...eight(Offset.TMR), ...eight(Offset.IRR)]);
export const WRITABLE: ReadonlySet<number> = new Set(BOTH);

/** Without it: the page offsets themselves. */
export const WITHOUT_REGISTERS: ReadonlySet<number> = new Set([Offset.TPR]);
/** ... but with "virtual-interrupt delivery". */
export const WITHOUT_REGISTERS_DELIVERING: ReadonlySet<number> = new Set([Offset.TPR, Offset.EOI, Offset.ICR_LOW]);

/** VICR_LO. SDM "Interrupt Command Register (ICR)". */
export const Icr = {
  VECTOR: 0xff,
  /** Must be 0 for a self-IPI: 31:20, 17:16, delivery status (12), reserved (13), edge (15), fixed (10:8). */
  NOT_SELF_IPI: 0xfff3_b700,
  SHORTHAND: 0xc_0000,
  SHORTHAND_SELF: 0x4_0000,
} as const;
