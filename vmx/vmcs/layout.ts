/**
 * Where this processor keeps what in a VMCS region. The SDM leaves the format of the VMCS data to the processor; ours has
 * 8 bytes for every field of Appendix B, in its order, so that state moves in 32-bit words whatever the width of the field.
 */
import { FIELD_NAMES, FieldWidth, VMCS, isHighAccess, widthOf, type FieldName } from './fields';

/** "VMCS revision identifier" (bits 30:0 of the first word) of this layout. */
export const VMCS_REVISION = 0x0076_6d31;
/** IA32_VMX_BASIC[44:32]. */
export const VMCS_REGION_SIZE = 4096;

/** Offsets in the region. SDM "Format of the VMCS Region"; the launch state is ours to place. */
export const Region = {
  REVISION: 0,
  ABORT_INDICATOR: 4,
  /** Not `Launched`: clear. */
  LAUNCH_STATE: 8,
  FIELDS: 16,
} as const;

/** Bit 31 of the first word: "shadow-VMCS indicator". */
export const SHADOW_INDICATOR = 0x8000_0000;
/** Value of the LAUNCH_STATE word of a launched VMCS; an odd pattern, so that a region that was never VMCLEARed is not launched by luck. */
export const LAUNCHED = 0x6c61_756e;

/** Offset of each field in the region. */
export const OFFSET = Object.fromEntries(FIELD_NAMES.map((name, i) => [name, Region.FIELDS + i * 8])) as Readonly<Record<FieldName, number>>;

/** Encodings run from 0 to 7fffh: offset of the (half of a) field, or 0 where the encoding means nothing. */
export const OFFSET_BY_ENCODING: Uint16Array = ((): Uint16Array => {
  const offsets = new Uint16Array(0x8000);
  for (const name of FIELD_NAMES) {
    const encoding = VMCS[name];
    offsets[encoding] = OFFSET[name];
    if (widthOf(encoding) === FieldWidth.Bits64) offsets[encoding | 1] = OFFSET[name] + 4;
  }
  return offsets;
})();

/** How many bits a VMREAD or VMWRITE of `encoding` moves in 64-bit mode. */
export function accessBits(encoding: number): 16 | 32 | 64 {
  if (isHighAccess(encoding)) return 32;
  const width = widthOf(encoding);
  return width === FieldWidth.Bits16 ? 16 : width === FieldWidth.Bits32 ? 32 : 64;
}

/** Field at an offset of the region. */
export const fieldAt = (offset: number): FieldName => FIELD_NAMES[(offset - Region.FIELDS) >>> 3];
/** Position of a field in the table: the key of per-field bookkeeping. */
export const fieldNumber = (offset: number): number => (offset - Region.FIELDS) >>> 3;
