/** A raw disk image in a file. Reads, writes and syncs are done before they return: what the guest is told is so. */
import { accessSync, closeSync, constants, fdatasyncSync, fstatSync, openSync, readSync, realpathSync, statSync, writeSync } from 'node:fs';
import { OverlayDisk, type BlockBackend } from '../devices/block-backend';
import type { DriveConfig } from '../hypervisor/pci-functions';
import { DiskError, reasonOf } from './disk-error';
import { requireRaw } from './disk-format';
import { lockDisk } from './disk-lock';

/** What happens at a disk, in this order: what was asked of the host and is done, and what the guest was told. */
export type DiskEvent =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: number }
  /** The host's fdatasync has returned. */
  | { readonly kind: 'sync' }
  /** The guest can see that its request is done. */
  | { readonly kind: 'completion'; readonly request: string; readonly succeeded: boolean }
  /** The host could not do it, for a reason that the guest does not hear. */
  | { readonly kind: 'failure'; readonly request: 'read' | 'write' | 'flush'; readonly reason: string };

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
    try {
      const image = realpathSync(path);
      requireRegular(image, path);
      accessSync(image, readOnly ? constants.R_OK : constants.R_OK | constants.W_OK);
      file = openSync(image, readOnly ? 'r' : 'r+');
      requireRaw(file, path);
      const { size } = fstatSync(file);
      return new DiskImage(path, file, size, readOnly, lockDisk(image, file, readOnly ? 'read' : 'write'), observe);
    } catch (error) {
      if (file !== undefined) closeSync(file);
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
        if (count === 0) return this.failed('read', 'the file has become shorter');
        done += count;
      }
    } catch (error) {
      return this.failed('read', reasonOf(error));
    }
    return bytes;
  }

  write(offset: number, bytes: Uint8Array): boolean {
    if (this.closed) return false;
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(this.file, bytes, done, bytes.length - done, offset + done);
    } catch (error) {
      this.failed('write', reasonOf(error));
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
    } catch (error) {
      this.broken = true;
      this.failed('flush', reasonOf(error));
      return false;
    }
    this.observe({ kind: 'sync' }, this.path);
    return true;
  }

  private failed(request: 'read' | 'write' | 'flush', reason: string): undefined {
    this.observe({ kind: 'failure', request, reason }, this.path);
  }

  completed(request: string, succeeded: boolean): void {
    this.observe({ kind: 'completion', request, succeeded }, this.path);
  }

  /** What was not flushed may still be lost by a crash of the host. Requests that come later fail. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    // The lock has the file's number in its name, which others of this process may have after this.
    this.unlock();
    closeSync(this.file);
  }
}

/** Before it is opened: opening a pipe waits for its other end. */
function requireRegular(image: string, path: string): void {
  const status = statSync(image);
  if (status.isFile()) return;
  throw new DiskError(`cannot use ${path} as a disk: it is ${status.isDirectory() ? 'a directory' : 'not a regular file'}; give a raw image`);
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

/** Undefined: opening it will say what is wrong. */
function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** Throws DiskError for a file that is written and given more than once, by whatever names. */
function requireDistinct(files: readonly DiskFile[], throwAway: boolean): void {
  const seen = new Map<string, { path: string; written: boolean }>();
  for (const { path, readOnly } of files) {
    const identity = identityOf(path);
    if (identity === undefined) continue;
    const written = !readOnly && !throwAway;
    const other = seen.get(identity);
    if (other !== undefined && (written || other.written))
      throw new DiskError(
        `the disk ${path} is given twice${other.path === path ? '' : `, as ${other.path} too`}: a disk that is written must be the only use of its file; give it once, or read-only each time`,
      );
    seen.set(identity, { path, written });
  }
}

/**
 * Opens the files of all disks, or none. Throws DiskError.
 * @param throwAway writes stay in memory, and are gone at the end.
 */
export function openDisks(files: readonly DiskFile[], throwAway: boolean, observe?: DiskObserver): OpenDisks {
  const images: DiskImage[] = [];
  const close = (): void => images.splice(0).forEach((image) => image.close());
  requireDistinct(files, throwAway);
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
