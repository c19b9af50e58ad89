/** Physical Region Pages: NVM Express Base Specification 1.4, "Physical Region Page Entry and List". */
import { Status, type StatusCode } from './status';

/** A run of memory on the bus. */
export interface Segment {
  readonly address: number;
  readonly length: number;
}

export type ReadMemory = (address: number, length: number) => Uint8Array | undefined;

const ENTRY = 8;
const TWO32 = 0x1_0000_0000;

/** The memory of a transfer of `length` bytes, or why the command fails. `pageSize` is CC.MPS in bytes. */
export function prpSegments(prp1: number, prp2: number, length: number, pageSize: number, read: ReadMemory): Segment[] | StatusCode {
  // "Bits 1:0 shall be cleared": memory is addressed in dwords.
  if (prp1 % 4 !== 0) return Status.PRP_OFFSET_INVALID;
  const first = Math.min(length, pageSize - (prp1 % pageSize));
  const segments: Segment[] = [{ address: prp1, length: first }];
  const left = length - first;
  if (left === 0) return segments;
  if (left <= pageSize) {
    // PRP2 is the second page: "the offset shall be 0h".
    if (prp2 % pageSize !== 0) return Status.PRP_OFFSET_INVALID;
    segments.push({ address: prp2, length: left });
    return segments;
  }
  // PRP2 points to a list: "qword aligned, and may also have a non-zero offset".
  if (prp2 % ENTRY !== 0) return Status.PRP_OFFSET_INVALID;
  return appendList(segments, prp2, left, pageSize, read);
}

/** Each further list page holds an entry at least, so a chain that bites its tail ends with the transfer. */
function appendList(segments: Segment[], firstList: number, length: number, pageSize: number, read: ReadMemory): Segment[] | StatusCode {
  let list = firstList;
  for (let left = length; left > 0;) {
    const wanted = Math.ceil(left / pageSize);
    const room = (pageSize - (list % pageSize)) / ENTRY;
    const entries = read(list, Math.min(wanted, room) * ENTRY);
    if (entries === undefined) return Status.DATA_TRANSFER_ERROR;
    const view = new DataView(entries.buffer, entries.byteOffset, entries.length);
    // "If more than a single PRP List is required, the last entry of the list is a pointer to the next one".
    const pages = wanted > room ? room - 1 : wanted;
    const entry = (i: number): number => view.getUint32(i * ENTRY + 4, true) * TWO32 + view.getUint32(i * ENTRY, true);
    for (let i = 0; i < pages; i++) {
      const address = entry(i);
      if (address % pageSize !== 0) return Status.PRP_OFFSET_INVALID;
      const chunk = Math.min(left, pageSize);
      segments.push({ address, length: chunk });
      left -= chunk;
    }
    if (pages === wanted) break;
    list = entry(pages);
    if (list % pageSize !== 0) return Status.PRP_OFFSET_INVALID;
  }
  return segments;
}
