/**
 * Tags of the jump cache: a linear address XOR R.JUMP_KEY, 64 bits that must tell apart every address in every context and mode.
 *
 * With 48-bit addresses, bits 63:48 repeat bit 47, so the key has context and mode there. With 57 bits, bits 63:57 are left: enough for the
 * mode, while the context (12 bits) goes to bits 31:20. There it takes nothing from the address. The slot of an entry is the top
 * JUMP_CACHE_BITS of address * odd constant, modulo 2^32; addresses that differ by a multiple of 2^20 only are never in one slot, so of the
 * addresses that give a tag with different contexts, each slot can hold one. Tags of the two widths differ there too: no context is 0.
 */
import { JUMP_CACHE_BITS } from './layout';
import { HASH_FACTOR } from './stage/jump-hash';

const CONTEXT_SHIFT = 16;
const MODE_SHIFT = 28;
const MODE_MASK = 3;
/** The context in the low half of a key of 57-bit addresses: its bits must be among the top JUMP_CACHE_BITS. */
const LOW_CONTEXT_SHIFT = 20;
const LOW_CONTEXT_BITS = 32 - LOW_CONTEXT_SHIFT;
const BELOW_CONTEXT = (1 << LOW_CONTEXT_SHIFT) - 1;

/** @param context 1-4095. */
export const jumpKeyLow = (context: number, la57: boolean): number => (la57 ? (context << LOW_CONTEXT_SHIFT) >>> 0 : 0);
/** @param mode 0, 1 or 2: 16-, 32- or 64-bit code. */
export const jumpKeyHigh = (context: number, mode: number, la57: boolean): number => ((la57 ? 0 : context << CONTEXT_SHIFT) | (mode << MODE_SHIFT)) >>> 0;

/** The mode in the high half of a tag: bits 63:62 of a key are 0, so there the tag has the sign of its address. */
export const modeOfJump = (high: number): number => ((high >> 31) ^ (high >>> MODE_SHIFT)) & MODE_MASK;

/** The inverse of HASH_FACTOR modulo 2^32, by Newton's method: each step doubles the bits that are right. */
const INVERSE = [1, 2, 3, 4, 5].reduce((x) => Math.imul(x, 2 - Math.imul(HASH_FACTOR, x)), 1);

/** Bits 31:0 of the address of an entry: the slot says what the key has done to bits 31:20 of its tag. */
export function linearLowOfJump(slot: number, low: number): number {
  const rest = low & BELOW_CONTEXT;
  const top = slot >>> (JUMP_CACHE_BITS - LOW_CONTEXT_BITS);
  const ofRest = Math.imul(rest, HASH_FACTOR) >>> LOW_CONTEXT_SHIFT;
  return ((Math.imul(top - ofRest, INVERSE) << LOW_CONTEXT_SHIFT) | rest) >>> 0;
}

/** Bits 63:32 of the address of an entry. @param linearLow of linearLowOfJump. */
export function linearHighOfJump(linearLow: number, low: number, high: number): number {
  // A key of 48-bit addresses leaves the low half alone.
  if (linearLow === low >>> 0) return (high << 16) >> 16;
  return high ^ (modeOfJump(high) << MODE_SHIFT);
}
