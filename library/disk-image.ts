/** A raw disk image in a file. Reads, writes and syncs are done before they return: what the guest is told is so. */
import { accessSync, closeSync, constants, fdatasyncSync, fstatSync, openSync, readSync, realpathSync, writeSync } from 'node:fs';
import { OverlayDisk, SECTOR, type BlockBackend } from '../devices/block-backend';
import type { DriveConfig } from '../hypervisor/pci-functions';
import { DiskError, reasonOf } from './disk-error';
import { lockDisk, requireNoWriter } from './disk-lock';

/** What happens at a disk, in this order: what was asked of the host and is done, and what the guest was told. */
export type DiskEvent =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: number }
  /** The host's fdatasync has returned. */
  | { readonly kind: 'sync' }
  /** The guest can see that its request is done. */
  | { readonly kind: 'completion'; readonly request: string; readonly succeeded: boolean };

export type DiskObserver = (event: DiskEvent, path: string) => void;

export class DiskImage implements BlockBackend {
  /** The host failed to make data durable. It may forget what it could not write, so nothing is promised any more. */
  private broken = false;
  /** Another file may have its number now. */
  private closed = false;

  private constructor(
    private readonly path: string,
    private readonly file: number,
    readonly size: number,
    readonly readOnly: boolean,
    private readonly unlock: () => void,
    private readonly observe: DiskObserver,
  ) {}

  /** Throws DiskError for a file that cannot be a disk. A disk that is written belongs to one machine at a time. */
  static open(path: string, readOnly: boolean, observe: DiskObserver = () => {}): DiskImage {
    let file: number | undefined;
    let unlock = (): void => {};
    try {
      const image = realpathSync(path);
      accessSync(image, readOnly ? constants.R_OK : constants.R_OK | constants.W_OK);
      file = openSync(image, readOnly ? 'r' : 'r+');
      checkShape(file, path);
      if (readOnly) requireNoWriter(image);
      else unlock = lockDisk(image);
      return new DiskImage(path, file, fstatSync(file).size, readOnly, unlock, observe);
    } catch (error) {
      if (file !== undefined) closeSync(file);
      unlock();
      if (error instanceof DiskError) throw error;
      throw new DiskError(`cannot ${readOnly ? 'read' : 'write'} the disk ${path}: ${reasonOf(error)}`);
    }
  }

  read(offset: number, length: number): Uint8Array | undefined {
    if (this.closed) return undefined;
    const bytes = new Uint8Array(length);
    try {
      for (let done = 0; done < length;) {
        const count = readSync(this.file, bytes, done, length - done, offset + done);
        if (count === 0) return undefined; // The file has become shorter.
        done += count;
      }
    } catch {
      return undefined;
    }
    return bytes;
  }

  write(offset: number, bytes: Uint8Array): boolean {
    if (this.closed) return false;
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(this.file, bytes, done, bytes.length - done, offset + done);
    } catch {
      return false;
    }
    this.observe({ kind: 'write', offset, bytes: bytes.length }, this.path);
    return true;
  }

  flush(): boolean {
    if (this.readOnly) return true;
    if (this.broken || this.closed) return false;
    try {
      fdatasyncSync(this.file);
    } catch {
      this.broken = true;
      return false;
    }
    this.observe({ kind: 'sync' }, this.path);
    return true;
  }

  completed(request: string, succeeded: boolean): void {
    this.observe({ kind: 'completion', request, succeeded }, this.path);
  }

  /** What was not flushed may still be lost by a crash of the host. Requests that come later fail. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeSync(this.file);
    this.unlock();
  }
}

const FORMATS: readonly (readonly [magic: string, name: string])[] = [
  ['QFI\xfb', 'qcow2'],
  ['KDMV', 'VMDK'],
  ['conectix', 'VHD'],
  ['vhdxfile', 'VHDX'],
];
const LONGEST_MAGIC = 8;

function checkShape(file: number, path: string): void {
  const status = fstatSync(file);
  if (!status.isFile()) throw new DiskError(`cannot use ${path} as a disk: it is not a regular file; give a raw image`);
  const { size } = status;
  if (size === 0) throw new DiskError(`cannot use ${path} as a disk: it is empty; make it larger, with truncate -s 64M ${path}`);
  const start = Buffer.alloc(LONGEST_MAGIC);
  readSync(file, start, 0, LONGEST_MAGIC, 0);
  const format = FORMATS.find(([magic]) => start.toString('latin1').startsWith(magic));
  if (format !== undefined)
    throw new DiskError(`cannot use ${path} as a disk: it is a ${format[1]} image; convert it, with qemu-img convert -O raw ${path} disk.img`);
  if (size % SECTOR !== 0)
    throw new DiskError(
      `cannot use ${path} as a disk: its ${size} bytes are not a whole number of ${SECTOR}-byte sectors; round it up, with truncate -s %${SECTOR} ${path}`,
    );
}

/** A disk as users name it. */
export interface DiskFile {
  readonly path: string;
  readonly kind: DriveConfig['kind'];
  readonly readOnly: boolean;
}

export interface OpenDisks {
  readonly drives: readonly DriveConfig[];
  close(): void;
}

/**
 * Opens the files of all disks, or none. Throws DiskError.
 * @param throwAway writes stay in memory, and are gone at the end.
 */
export function openDisks(files: readonly DiskFile[], throwAway: boolean, observe?: DiskObserver): OpenDisks {
  const images: DiskImage[] = [];
  const close = (): void => images.splice(0).forEach((image) => image.close());
  try {
    const drives = files.map(({ path, kind, readOnly }): DriveConfig => {
      const image = DiskImage.open(path, readOnly || throwAway, observe);
      images.push(image);
      return { kind, backend: throwAway && !readOnly ? new OverlayDisk(image) : image };
    });
    return { drives, close };
  } catch (error) {
    close();
    throw error;
  }
}
