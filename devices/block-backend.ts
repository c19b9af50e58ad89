/** What a disk model stores its blocks in. The models do no I/O themselves; the one who builds the machine brings the store. */
import { isStateful, type Stateful } from '../memory/stateful';

export const SECTOR = 512;

/**
 * Whole sectors at byte offsets inside [0, size): the models check ranges. A failure of the host is a value, which the model reports as
 * its standard says. A store that can be part of a snapshot is `Stateful` as well.
 */
export interface BlockBackend {
  /** Bytes, a multiple of 512, at least one sector. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Undefined: the host could not read. */
  read(offset: number, length: number): Uint8Array | undefined;
  /** False: the host could not write; what is stored there now is not known. Never called when read-only. */
  write(offset: number, bytes: Uint8Array): boolean;
  /** True: everything that was written before survives a crash of the host. */
  flush(): boolean;
  /** Told when the guest's memory says that a request is done. `request` is what the device's standard calls it. */
  completed?(request: string, succeeded: boolean): void;
}

/** A whole disk that this is not: for the message to whoever built the machine. Throws RangeError. */
export function requireUsable({ size }: BlockBackend): void {
  if (!Number.isSafeInteger(size) || size < SECTOR || size % SECTOR !== 0)
    throw new RangeError(`a disk of ${size} bytes is not a whole number of ${SECTOR}-byte sectors`);
}

/** What a snapshot keeps of a disk: nothing of one that does not change. Throws Error for a disk that changes and cannot say how. */
export function saveDisk(backend: BlockBackend): unknown {
  if (isStateful(backend)) return backend.saveState();
  if (backend.readOnly) return undefined;
  throw new Error('a disk that the guest writes to a file cannot be part of a snapshot: let writes go to an OverlayDisk (--snapshot-disk)');
}

export function restoreDisk(backend: BlockBackend, state: unknown): void {
  if (isStateful(backend)) backend.restoreState(state);
}

/** Zeroes are written this much at a time. */
const ZERO_CHUNK = 64 << 10;

/**
 * Makes a range read as zeroes. What does so already is not written, so that discarding a whole disk does not fill the holes of a sparse
 * file. False: the host could not write.
 */
export function zeroRange(backend: BlockBackend, offset: number, length: number): boolean {
  for (let at = offset; at < offset + length; at += ZERO_CHUNK) {
    const chunk = Math.min(ZERO_CHUNK, offset + length - at);
    const present = backend.read(at, chunk);
    if (present?.every((byte) => byte === 0)) continue;
    if (!backend.write(at, new Uint8Array(chunk))) return false;
  }
  return true;
}

/** Sectors of the overlay, as data. */
export interface OverlayState {
  /** Numbers of the blocks that were written, and their contents, one block after the other. */
  blocks: readonly (readonly [block: number, bytes: Uint8Array])[];
}

const BLOCK = 4096;

/**
 * A disk in memory over another one, which is only read: throw-away writes. Its writes are part of snapshots; they share the blocks, for a
 * block is replaced and never changed.
 */
export class OverlayDisk implements BlockBackend, Stateful<OverlayState> {
  readonly readOnly = false;
  readonly size: number;
  private blocks = new Map<number, Uint8Array>();

  constructor(private readonly base: Pick<BlockBackend, 'size' | 'read'>) {
    this.size = base.size;
  }

  read(offset: number, length: number): Uint8Array | undefined {
    let out: Uint8Array | undefined;
    for (let done = 0; done < length;) {
      const at = offset + done;
      const [block, start] = [Math.floor(at / BLOCK), at % BLOCK];
      const chunk = Math.min(length - done, BLOCK - start);
      const bytes = this.blocks.get(block)?.subarray(start, start + chunk) ?? this.base.read(at, chunk);
      if (bytes === undefined) return undefined;
      if (chunk === length) return new Uint8Array(bytes);
      (out ??= new Uint8Array(length)).set(bytes, done);
      done += chunk;
    }
    return out ?? new Uint8Array(0);
  }

  write(offset: number, bytes: Uint8Array): boolean {
    for (let done = 0; done < bytes.length;) {
      const at = offset + done;
      const [block, start] = [Math.floor(at / BLOCK), at % BLOCK];
      const chunk = Math.min(bytes.length - done, BLOCK - start);
      const fresh = this.block(block);
      if (fresh === undefined) return false;
      fresh.set(bytes.subarray(done, done + chunk), start);
      this.blocks.set(block, fresh);
      done += chunk;
    }
    return true;
  }

  /** A copy of a block as it reads now; the last one may be shorter. */
  private block(block: number): Uint8Array | undefined {
    const [start, written] = [block * BLOCK, this.blocks.get(block)];
    const bytes = written ?? this.base.read(start, Math.min(BLOCK, this.size - start));
    // Not slice(): that of a Node Buffer is no copy.
    return bytes && new Uint8Array(bytes);
  }

  flush(): boolean {
    return true;
  }

  saveState(): OverlayState {
    return { blocks: [...this.blocks] };
  }

  restoreState({ blocks }: OverlayState): void {
    this.blocks = new Map(blocks);
  }
}

/** A disk of zeroes in memory. */
export function memoryDisk(size: number): OverlayDisk {
  return new OverlayDisk({ size, read: (_offset, length) => new Uint8Array(length) });
}
