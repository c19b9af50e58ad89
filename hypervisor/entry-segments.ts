/** Segment registers as a boot protocol wants them, in the order of Segment. */
import type { EntryState } from '../guests/boot/entry-state';

export interface LoadedSegment {
  readonly selector: number;
  readonly base: number | bigint;
  readonly limit: number;
  /** Access rights as the VMCS has them; bit 16 is "unusable". */
  readonly access: number;
}

const UNUSABLE: LoadedSegment = { selector: 0, base: 0, limit: 0, access: 0x1_0000 };
const BUSY_TSS: LoadedSegment = { selector: 0, base: 0, limit: 0xffff, access: 0x8b };

/** ... with an unusable LDTR and a busy TSS where the protocol names none. */
export function entrySegments(state: EntryState): readonly LoadedSegment[] {
  const { es, cs, ss, ds, fs, gs, ldtr, tr } = state.segments;
  return [es, cs, ss, ds, fs, gs, ldtr ?? UNUSABLE, tr ?? BUSY_TSS];
}
