/** Descriptor chains: Virtual I/O Device (VIRTIO) 1.2, "The Virtqueue Descriptor Table". What a driver says is checked; nothing of it is trusted. */
import type { DmaPort } from '../dma';

export interface Buffer {
  readonly address: number;
  readonly length: number;
}

const DescriptorFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;
const DESCRIPTOR = 16;
const TWO32 = 0x1_0000_0000;

/** The buffers of one request, as two streams of bytes: how a driver cuts them up means nothing ("Message Framing"). */
export class DescriptorChain {
  readonly readableBytes: number;
  readonly writableBytes: number;

  constructor(
    /** Index of the first descriptor: the name of the chain. */
    readonly head: number,
    private readonly readable: readonly Buffer[],
    private readonly writable: readonly Buffer[],
    private readonly dma: DmaPort,
  ) {
    const total = (buffers: readonly Buffer[]): number => buffers.reduce((sum, { length }) => sum + length, 0);
    this.readableBytes = total(readable);
    this.writableBytes = total(writable);
  }

  /** [offset, offset + length) of what the driver wrote, which must be there. Undefined: a transfer was refused. */
  read(offset: number, length: number): Uint8Array | undefined {
    const bytes = new Uint8Array(length);
    const complete = each(this.readable, offset, length, (address, at, count) => {
      const chunk = this.dma.read(address, count);
      if (chunk !== undefined) bytes.set(chunk, at);
      return chunk !== undefined;
    });
    return complete ? bytes : undefined;
  }

  /** Puts bytes at `offset` of what the device may write, where there must be room. False: a transfer was refused. */
  write(offset: number, bytes: Uint8Array): boolean {
    return each(this.writable, offset, bytes.length, (address, at, count) => this.dma.write(address, bytes.subarray(at, at + count)));
  }
}

/** Hands the runs of [offset, offset + length) to `transfer` until one is refused. */
function each(buffers: readonly Buffer[], offset: number, length: number, transfer: (address: number, at: number, count: number) => boolean): boolean {
  let [skip, done] = [offset, 0];
  for (const buffer of buffers) {
    if (done === length) break;
    if (skip >= buffer.length) {
      skip -= buffer.length;
      continue;
    }
    const count = Math.min(buffer.length - skip, length - done);
    if (!transfer(buffer.address + skip, done, count)) return false;
    done += count;
    skip = 0;
  }
  return done === length;
}

interface Table {
  readonly address: number;
  readonly entries: number;
}

/**
 * Follows a chain from `head` through the descriptor table. Undefined: the driver broke a rule, or memory refused to be read. A chain has at
 * most `table.entries` descriptors, so that loops end.
 */
export function walkChain(head: number, table: Table, indirectAllowed: boolean, dma: DmaPort): DescriptorChain | undefined {
  const readable: Buffer[] = [];
  const writable: Buffer[] = [];
  const limit = table.entries;
  let current: Table = table;
  let indirect = false;
  let index = head;
  for (let count = 0; ;) {
    if (index >= current.entries) return undefined;
    const bytes = dma.read(current.address + index * DESCRIPTOR, DESCRIPTOR);
    if (bytes === undefined) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, DESCRIPTOR);
    const address = view.getUint32(4, true) * TWO32 + view.getUint32(0, true);
    const [length, flags] = [view.getUint32(8, true), view.getUint16(12, true)];
    if ((flags & DescriptorFlag.INDIRECT) !== 0) {
      // "The driver MUST NOT set both INDIRECT and NEXT", nor INDIRECT within an indirect table, nor an empty table.
      const entries = length / DESCRIPTOR;
      if (!indirectAllowed || indirect || (flags & DescriptorFlag.NEXT) !== 0 || entries === 0 || !Number.isInteger(entries)) return undefined;
      current = { address, entries };
      indirect = true;
      index = 0;
      continue;
    }
    if (++count > limit) return undefined;
    const buffer = { address, length };
    if ((flags & DescriptorFlag.WRITE) !== 0) writable.push(buffer);
    // "Any device-writable descriptors are placed after device-readable ones".
    else if (writable.length > 0) return undefined;
    else readable.push(buffer);
    if ((flags & DescriptorFlag.NEXT) === 0) return new DescriptorChain(head, readable, writable, dma);
    index = view.getUint16(14, true);
  }
}
