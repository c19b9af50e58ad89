/** RAM in a snapshot file: the numbers of the frames that are not zeroes, and their pages one after the other. */
import { PAGE_SIZE } from '../../memory/physical-memory';
import { CHUNK_PAGES, pageOf, type RamPage, type RamState } from '../../memory/ram-state';

export interface RamSection {
  readonly frames: number;
  /** Ascending. */
  readonly present: Uint32Array;
  readonly pages: readonly Uint8Array[];
}

export function ramSection(ram: RamState): RamSection {
  const present: number[] = [];
  const pages: Uint8Array[] = [];
  for (let frame = 0; frame < ram.frames; frame++) {
    const page = pageOf(ram, frame);
    if (page === undefined) continue;
    present.push(frame);
    pages.push(page);
  }
  return { frames: ram.frames, present: Uint32Array.from(present), pages };
}

/** @param bytes the pages; they are viewed, not copied. Throws RangeError when numbers and pages do not fit together. */
export function ramFrom(frames: number, present: Uint32Array, bytes: Uint8Array): RamState {
  if (bytes.length !== present.length * PAGE_SIZE) throw new RangeError(`${present.length} pages of RAM in ${bytes.length} bytes`);
  const chunks = new Array<RamPage[] | undefined>(Math.ceil(frames / CHUNK_PAGES)).fill(undefined);
  present.forEach((frame, i) => {
    if (frame >= frames) throw new RangeError(`frame ${frame} of ${frames}`);
    const chunk = (chunks[Math.floor(frame / CHUNK_PAGES)] ??= new Array<RamPage>(CHUNK_PAGES).fill(undefined));
    chunk[frame % CHUNK_PAGES] = bytes.subarray(i * PAGE_SIZE, (i + 1) * PAGE_SIZE);
  });
  return { frames, chunks };
}
