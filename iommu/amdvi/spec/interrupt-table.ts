/**
 * Interrupt remapping table entries, 32 bits without and 128 bits with guest virtual APIC support (GAEn): AMD IOMMU specification,
 * "Interrupt Remapping Tables, Guest Virtual APIC Not Enabled" and "Interrupt Virtualization Tables with Guest Virtual APIC Enabled".
 */

/** The first dword means the same in both sizes, but for destination and vector. */
export const Irte = {
  RemapEn: 1 << 0,
  SupIOPF: 1 << 1,
  IntTypeShift: 2,
  IntType: 7,
  RqEoi: 1 << 5,
  DM: 1 << 6,
  GuestMode: 1 << 7,
  /** GuestMode = 1. */
  GALogIntr: 1 << 2,
  IsRun: 1 << 6,
} as const;
export const IRTE32_BYTES = 4;
export const IRTE128_BYTES = 16;
/** What a walk calls the small entries, of which two share a quadword. */
export const IRTE32_NAME = '32-bit interrupt remapping table entry';
const IRTE32 = { GUEST_MODE_AND_RESERVED: 0xff00_0080 } as const;
const IRTE128 = {
  LOW_RESERVED: 0xffff_ffff_0000_0000n,
  HIGH_RESERVED: 0x00ff_ffff_ffff_ff00n,
  GUEST_LOW_RESERVED: 0x38n,
  GUEST_HIGH_RESERVED: 0x00f0_0000_0000_0f00n,
  GUEST_ROOT: 0x000f_ffff_ffff_f000n,
} as const;

/** Interrupt types that a table entry may ask for, as delivery modes of a message; the others pass by bits of the device table entry. */
export const IntType = { Fixed: 0, Arbitrated: 1 } as const;

/** Bits of the message data that select the entry. Bits 10:9 would make the message something other than fixed or arbitrated. */
export const INDEX_MASK = 0x7ff;

/** Guest virtual APIC backing page: first register of the IRR; 32 vectors every 16 bytes. */
export const BACKING_PAGE_IRR = 0x200;

export type InterruptEntry =
  | { readonly kind: 'remapped'; readonly type: number; readonly logical: boolean; readonly destination: number; readonly vector: number }
  | {
      readonly kind: 'guest';
      readonly log: boolean;
      readonly running: boolean;
      readonly destination: number;
      readonly tag: number;
      readonly vector: number;
      /** Physical address of the backing page. */
      readonly backingPage: number;
    }
  | { readonly kind: 'invalid'; readonly reason: string };

const typeOf = (low: number): number => (low >>> Irte.IntTypeShift) & Irte.IntType;
const invalid = (reason: string): InterruptEntry => ({ kind: 'invalid', reason });
const badType = (type: number): InterruptEntry => invalid(`IntType ${type} is reserved`);

export const remapEnabled = (low: number): boolean => (low & Irte.RemapEn) !== 0;
export const suppressesFaults = (low: number): boolean => (low & Irte.SupIOPF) !== 0;

/** An entry with RemapEn = 1. */
export function decodeIrte32(value: number): InterruptEntry {
  if ((value & IRTE32.GUEST_MODE_AND_RESERVED) !== 0) return invalid('GuestMode or a reserved bit is set in a 32-bit entry');
  const type = typeOf(value);
  if (type > IntType.Arbitrated) return badType(type);
  return { kind: 'remapped', type, logical: (value & Irte.DM) !== 0, destination: (value >>> 8) & 0xff, vector: (value >>> 16) & 0xff };
}

/**
 * An entry with RemapEn = 1.
 * @param guestMode GAMEn allows entries in guest mode.
 * @param wide XTEn: destinations have 32 bits.
 */
export function decodeIrte128(low: bigint, high: bigint, guestMode: boolean, wide: boolean): InterruptEntry {
  const dword = Number(low & 0xffff_ffffn);
  const destination = (dword >>> 8) + Number(high >> 56n) * 0x100_0000;
  const vector = Number(high & 0xffn);
  if ((dword & Irte.GuestMode) !== 0) {
    if (!guestMode) return invalid('GuestMode is set and GAMEn does not allow it');
    if ((low & IRTE128.GUEST_LOW_RESERVED) !== 0n || (high & IRTE128.GUEST_HIGH_RESERVED) !== 0n)
      return invalid('a reserved bit is set in an entry in guest mode');
    return {
      kind: 'guest',
      log: (dword & Irte.GALogIntr) !== 0,
      running: (dword & Irte.IsRun) !== 0,
      destination,
      tag: Number(low >> 32n),
      vector,
      backingPage: Number(high & IRTE128.GUEST_ROOT),
    };
  }
  if ((low & IRTE128.LOW_RESERVED) !== 0n || (high & IRTE128.HIGH_RESERVED) !== 0n) return invalid('a reserved bit is set in a 128-bit entry');
  const type = typeOf(dword);
  if (type > IntType.Arbitrated) return badType(type);
  return { kind: 'remapped', type, logical: (dword & Irte.DM) !== 0, destination: wide ? destination : destination & 0xff, vector };
}
