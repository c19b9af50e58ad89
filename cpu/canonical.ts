/**
 * Canonical addresses: SDM volume 1, "Canonical Addressing"; APM volume 2, "Canonical Address Form". There are two widths. What an access
 * or a branch may use is the current one, which follows CR4.LA57. What registers take that only hold an address (segment bases, GDTR, IDTR,
 * MSRs), and what TLB invalidations are given, is checked against the width that the processor supports, whatever CR4.LA57 is.
 */
import type { CpuProfile } from './interfaces';

export type LinearAddressWidth = 48 | 57;

/** MAXLINADDR: CPUID Fn8000_0008 EAX[15:8]. */
export const linearAddressWidth = (profile: CpuProfile): LinearAddressWidth => (profile.has('la57') ? 57 : 48);

/** Bits 63:width-1 of an unsigned 64-bit address are equal. */
export const isCanonical = (linear: bigint, width: LinearAddressWidth): boolean => BigInt.asUintN(64, BigInt.asIntN(width, linear)) === linear;

/** The same for bits 63:32 of an address, a 32-bit number of either sign: no bit that decides lies lower. */
export const isCanonicalHigh = (high: number, width: LinearAddressWidth): boolean => canonicalHigh(high, width) === (high | 0);

/** Bits 63:32 of an address whose bits 63:width become those of bit width-1. */
export const canonicalHigh = (high: number, width: LinearAddressWidth): number => (high << (64 - width)) >> (64 - width);
