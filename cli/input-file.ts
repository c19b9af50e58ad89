/** A file that the user named, in memory. */
import { closeSync, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { fileError, UserError } from './user-error';

const GIB = 2 ** 30;
/** Beyond any kernel, ramdisk and symbol table; one Buffer can hold it. */
const LARGEST = 2 * GIB;
/** Of what comes out of a pipe, nobody knows how long it will be. */
const LARGEST_FROM_PIPE = GIB / 2;
const CHUNK = 1 << 20;

/** A pipe, like that of a shell's <(command), is read to its end. Throws UserError for what has none, and for what is no file. */
export function readFile(path: string, what: string): Uint8Array {
  const refuse = (reason: string): never => {
    throw new UserError(`cannot read ${what} ${path}: ${reason}`);
  };
  try {
    const file = openSync(path, 'r');
    try {
      const status = fstatSync(file);
      if (status.isDirectory()) refuse('it is a directory');
      if (!status.isFile() && !status.isFIFO()) refuse(`it is ${kindOf(status)}, not a file`);
      const most = status.isFile() ? LARGEST : LARGEST_FROM_PIPE;
      const bytes = status.size > most ? undefined : readToEnd(file, most, status.size);
      return bytes ?? refuse(`it has more than ${most / GIB} GiB${status.isFIFO() ? '; write what comes out of the pipe to a file first' : ''}`);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw error instanceof UserError ? error : fileError(error, `read ${what}`, path);
  }
}

/** The first bytes of a file that can be read again; nothing of any other, and of one that cannot be read. */
export function beginningOf(path: string, length: number): Uint8Array {
  try {
    const file = openSync(path, 'r');
    try {
      const bytes = new Uint8Array(length);
      return fstatSync(file).isFile() ? bytes.subarray(0, readSync(file, bytes)) : new Uint8Array(0);
    } finally {
      closeSync(file);
    }
  } catch {
    return new Uint8Array(0);
  }
}

function kindOf(status: Stats): string {
  if (status.isCharacterDevice()) return 'a character device';
  return status.isBlockDevice() ? 'a block device' : 'a socket';
}

/** Undefined when there are more than `most` bytes. What /proc shows has a size of 0 and contents all the same. */
function readToEnd(file: number, most: number, size: number): Uint8Array | undefined {
  const chunks: Buffer[] = [];
  let total = 0;
  for (let next = Buffer.allocUnsafe(Math.max(size + 1, CHUNK)), used = 0; ;) {
    const count = readSync(file, next, used, next.length - used, null);
    used += count;
    total += count;
    if (total > most) return undefined;
    if (count === 0 || used === next.length) {
      chunks.push(next.subarray(0, used));
      if (count === 0) break;
      next = Buffer.allocUnsafe(CHUNK);
      used = 0;
    }
  }
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, total);
}
