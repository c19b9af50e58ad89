/** Block device: VIRTIO 1.2, "Block Device". */
import { requireUsable, restoreDisk, saveDisk, SECTOR, zeroRange, type BlockBackend } from '../block-backend';
import type { DescriptorChain } from './descriptor-chain';
import type { RequestResult, VirtioDeviceType } from './device-type';
import { BROKEN } from './split-queue';

const Feature = { SEG_MAX: 1 << 2, RO: 1 << 5, BLK_SIZE: 1 << 6, FLUSH: 1 << 9, DISCARD: 1 << 13, WRITE_ZEROES: 1 << 14 } as const;
const RequestType = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 } as const;
const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(RequestType).map(([name, type]) => [type, name]));
export const BlockStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;
type Status = (typeof BlockStatus)[keyof typeof BlockStatus];

const HEADER = 16;
const ID_BYTES = 20;
const QUEUE_SIZE = 256;
/** Header and status take a descriptor each. */
const SEG_MAX = QUEUE_SIZE - 2;
const RANGE = 16;
const UNMAP = 1;
/** Of one discard or write zeroes request. */
const MAX_RANGES = 16;
const MAX_SECTORS = 32_768;
/** Data moves this much at a time. */
const CHUNK = 64 << 10;
const CONFIG_BYTES = 60;
const TWO32 = 0x1_0000_0000;

interface Range {
  readonly offset: number;
  readonly length: number;
}

export class VirtioBlock implements VirtioDeviceType {
  readonly deviceId = 2;
  readonly name = 'block device';
  readonly classCode = 0x01_8000;
  readonly queues = [QUEUE_SIZE];
  readonly features: number;
  /** The request whose result the driver does not see yet. */
  private last = { request: '', succeeded: false };

  /** @param serial what Get ID answers, at most 20 ASCII characters. Throws RangeError for a store that no disk can have. */
  constructor(
    private readonly backend: BlockBackend,
    private readonly serial: string,
  ) {
    requireUsable(backend);
    const writable = Feature.FLUSH | Feature.DISCARD | Feature.WRITE_ZEROES;
    this.features = Feature.SEG_MAX | Feature.BLK_SIZE | (backend.readOnly ? Feature.RO : writable);
  }

  config(): Uint8Array {
    const bytes = new Uint8Array(CONFIG_BYTES);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(this.backend.size / SECTOR), true); // capacity
    view.setUint32(12, SEG_MAX, true);
    view.setUint32(20, SECTOR, true); // blk_size
    view.setUint32(36, MAX_SECTORS, true); // max_discard_sectors
    view.setUint32(40, MAX_RANGES, true);
    view.setUint32(44, 1, true); // discard_sector_alignment
    view.setUint32(48, MAX_SECTORS, true); // max_write_zeroes_sectors
    view.setUint32(52, MAX_RANGES, true);
    return bytes;
  }

  /** Header, data, and a byte of status at the very end. */
  process(_queue: number, chain: DescriptorChain, negotiated: number): RequestResult {
    const header = chain.readableBytes >= HEADER && chain.writableBytes >= 1 ? chain.read(0, HEADER) : undefined;
    if (header === undefined) return BROKEN;
    const view = new DataView(header.buffer);
    const sector = view.getUint32(12, true) * TWO32 + view.getUint32(8, true);
    const type = view.getUint32(0, true);
    const result = this.request(type, sector, chain, negotiated);
    if (result === BROKEN) return BROKEN;
    const { status, written } = result;
    this.last = { request: NAMES.get(type) ?? 'unknown', succeeded: status === BlockStatus.OK };
    return chain.write(chain.writableBytes - 1, Uint8Array.of(status)) ? written + 1 : BROKEN;
  }

  completed(): void {
    this.backend.completed?.(this.last.request, this.last.succeeded);
  }

  private request(type: number, sector: number, chain: DescriptorChain, negotiated: number): { status: Status; written: number } | typeof BROKEN {
    switch (type) {
      case RequestType.IN:
        return this.read(this.range(sector, chain.writableBytes - 1), chain);
      case RequestType.OUT:
        return this.write(this.range(sector, chain.readableBytes - HEADER), chain, negotiated);
      case RequestType.FLUSH:
        return finished(this.backend.flush() ? BlockStatus.OK : BlockStatus.IOERR);
      case RequestType.GET_ID:
        return this.getId(chain);
      case RequestType.DISCARD:
      case RequestType.WRITE_ZEROES:
        return this.ranges(type, chain, negotiated);
      default:
        return finished(BlockStatus.UNSUPP);
    }
  }

  /** Undefined: not whole sectors, or beyond the end. */
  private range(sector: number, length: number): Range | undefined {
    return length % SECTOR === 0 && sector + length / SECTOR <= this.backend.size / SECTOR ? { offset: sector * SECTOR, length } : undefined;
  }

  private read(range: Range | undefined, chain: DescriptorChain): { status: Status; written: number } | typeof BROKEN {
    if (range === undefined) return finished(BlockStatus.IOERR);
    for (let at = 0; at < range.length; at += CHUNK) {
      const bytes = this.backend.read(range.offset + at, Math.min(CHUNK, range.length - at));
      if (bytes === undefined) return { status: BlockStatus.IOERR, written: at };
      if (!chain.write(at, bytes)) return BROKEN;
    }
    return { status: BlockStatus.OK, written: range.length };
  }

  private write(range: Range | undefined, chain: DescriptorChain, negotiated: number): { status: Status; written: number } | typeof BROKEN {
    if (range === undefined || this.backend.readOnly) return finished(BlockStatus.IOERR);
    for (let at = 0; at < range.length; at += CHUNK) {
      const bytes = chain.read(HEADER + at, Math.min(CHUNK, range.length - at));
      if (bytes === undefined) return BROKEN;
      if (!this.backend.write(range.offset + at, bytes)) return finished(BlockStatus.IOERR);
    }
    return finished(this.settle(negotiated));
  }

  /** "If FLUSH was not negotiated, the device MUST behave as a write-through cache". */
  private settle(negotiated: number): Status {
    return (negotiated & Feature.FLUSH) !== 0 || this.backend.flush() ? BlockStatus.OK : BlockStatus.IOERR;
  }

  private getId(chain: DescriptorChain): { status: Status; written: number } | typeof BROKEN {
    const length = Math.min(ID_BYTES, chain.writableBytes - 1);
    const id = new Uint8Array(ID_BYTES);
    for (let i = 0; i < Math.min(ID_BYTES, this.serial.length); i++) id[i] = this.serial.charCodeAt(i);
    return chain.write(0, id.subarray(0, length)) ? { status: BlockStatus.OK, written: length } : BROKEN;
  }

  /** A store can be told nothing but contents: discarded sectors become zeroes, like written ones. All ranges are checked before the first changes. */
  private ranges(type: number, chain: DescriptorChain, negotiated: number): { status: Status; written: number } | typeof BROKEN {
    if ((negotiated & (type === RequestType.DISCARD ? Feature.DISCARD : Feature.WRITE_ZEROES)) === 0) return finished(BlockStatus.UNSUPP);
    const length = chain.readableBytes - HEADER;
    if (length === 0 || length % RANGE !== 0 || length > MAX_RANGES * RANGE) return finished(BlockStatus.IOERR);
    const bytes = chain.read(HEADER, length);
    if (bytes === undefined) return BROKEN;
    const view = new DataView(bytes.buffer);
    const ranges: Range[] = [];
    for (let at = 0; at < length; at += RANGE) {
      const [sectors, flags] = [view.getUint32(at + 8, true), view.getUint32(at + 12, true)];
      // "The device MUST set UNSUPP for a reserved flag", and unmap means nothing for discard.
      if ((flags & ~(type === RequestType.DISCARD ? 0 : UNMAP)) !== 0) return finished(BlockStatus.UNSUPP);
      const range = this.range(view.getUint32(at + 4, true) * TWO32 + view.getUint32(at, true), sectors * SECTOR);
      if (range === undefined || sectors > MAX_SECTORS) return finished(BlockStatus.IOERR);
      ranges.push(range);
    }
    const zeroed = ranges.every((range) => zeroRange(this.backend, range.offset, range.length));
    return finished(zeroed ? this.settle(negotiated) : BlockStatus.IOERR);
  }

  saveState(): unknown {
    return saveDisk(this.backend);
  }

  restoreState(state: unknown): void {
    restoreDisk(this.backend, state);
  }
}

const finished = (status: Status): { status: Status; written: number } => ({ status, written: 0 });
