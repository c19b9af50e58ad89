/** The x87 tag word: two bits a register as the FPU has it, one bit a register as FXSAVE and we keep it. */
import type { DebugTarget } from '../target';

/** SDM, "x87 FPU Tag Word". */
const Tag = { Valid: 0, Zero: 1, Special: 2, Empty: 3 } as const;
const TOP_SHIFT = 11n;
const EXPONENT = 0x7fffn;
const INTEGER_BIT = 1n << 63n;
const SIGNIFICAND = (1n << 64n) - 1n;

/** What FSTENV would find in a register that is not empty. */
function tagOf(value: bigint): number {
  const exponent = (value >> 64n) & EXPONENT;
  const significand = value & SIGNIFICAND;
  if (exponent === 0n && significand === 0n) return Tag.Zero;
  if (exponent === 0n || exponent === EXPONENT || (significand & INTEGER_BIT) === 0n) return Tag.Special;
  return Tag.Valid;
}

export function wholeTags(target: DebugTarget): number {
  const used = Number(target.readRegister('ftw'));
  const top = Number((target.readRegister('fsw') >> TOP_SHIFT) & 7n);
  let tags = 0;
  for (let physical = 0; physical < 8; physical++) {
    const tag = (used >> physical) & 1 ? tagOf(target.readRegister(`st${(physical - top) & 7}`)) : Tag.Empty;
    tags |= tag << (2 * physical);
  }
  return tags;
}

export function abridgedTags(tags: number): number {
  let used = 0;
  for (let physical = 0; physical < 8; physical++) if (((tags >> (2 * physical)) & 3) !== Tag.Empty) used |= 1 << physical;
  return used;
}
