/**
 * A snapshot of a guest as one file, that any process of the same version of the format can go on from.
 *
 *   magic (8) | format version u32 | 0 u32 | bytes of JSON u64 | bytes of arrays u64 | bytes of pages u64 | SHA-256 of all but itself (32)
 *   JSON | arrays | pages of RAM
 *
 * Little-endian. JSON, arrays and pages begin at multiples of 8.
 */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import type { GuestState } from '../../hypervisor/guest-state';
import { ByteSection, fromJson, toJson } from './encoding';
import { ramFrom, ramSection } from './ram-section';

/** Like PNG's: not text, and damaged by transfers that translate line ends. */
const MAGIC = Uint8Array.of(0x89, 0x56, 0x4d, 0x58, 0x0d, 0x0a, 0x1a, 0x0a);
/** Goes up whenever an older reader would misunderstand a file. */
export const SNAPSHOT_VERSION = 1;
const HEADER = { VERSION: 8, JSON: 16, ARRAYS: 24, PAGES: 32, HASH: 40, LENGTH: 72 } as const;

export type SnapshotFileProblem = 'unreadable' | 'foreign' | 'newer' | 'truncated' | 'corrupt';

/** Why a file was refused. `message` is for people. */
export class SnapshotFileError extends Error {
  constructor(
    readonly problem: SnapshotFileProblem,
    path: string,
    explanation: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${explanation}`, options);
    this.name = 'SnapshotFileError';
  }
}

/** Whether a file begins as a snapshot does. */
export const looksLikeSnapshot = (file: Uint8Array): boolean => file.length >= MAGIC.length && MAGIC.every((byte, i) => byte === file[i]);

/** Writes the whole file under another name and then renames it: `path` has the old contents, or the new ones. Throws what node:fs throws. */
export function writeSnapshot(path: string, state: GuestState): void {
  const { ram, ...machine } = state.machine;
  const { frames, present, pages } = ramSection(ram);
  const arrays = new ByteSection();
  const json = padded(Buffer.from(JSON.stringify(toJson({ ...state, machine, ram: { frames, present } }, arrays))));
  const body = [json, ...arrays.parts, ...pages];
  const header = Buffer.alloc(HEADER.LENGTH);
  header.set(MAGIC);
  header.writeUInt32LE(SNAPSHOT_VERSION, HEADER.VERSION);
  header.writeBigUInt64LE(BigInt(json.length), HEADER.JSON);
  header.writeBigUInt64LE(BigInt(arrays.length), HEADER.ARRAYS);
  header.writeBigUInt64LE(BigInt(pages.reduce((sum, page) => sum + page.length, 0)), HEADER.PAGES);
  header.set(checksum(header, body), HEADER.HASH);
  writeAtomically(path, [header, ...body]);
}

/** Throws SnapshotFileError for a file that is no snapshot, not whole, changed, or of a newer version. */
export function readSnapshot(path: string): GuestState {
  const file = readWhole(path);
  const start = file.subarray(0, MAGIC.length);
  if (!MAGIC.subarray(0, start.length).every((byte, i) => byte === start[i]) || file.length === 0) {
    throw new SnapshotFileError('foreign', path, 'this is not a snapshot of vmexit');
  }
  if (file.length < HEADER.LENGTH) throw truncated(path, file.length, HEADER.LENGTH);
  const version = file.readUInt32LE(HEADER.VERSION);
  if (version > SNAPSHOT_VERSION) {
    throw new SnapshotFileError('newer', path, `the file has format ${version}, and this vmexit knows formats up to ${SNAPSHOT_VERSION}: use a newer vmexit`);
  }
  const [json, arrays, pages] = [HEADER.JSON, HEADER.ARRAYS, HEADER.PAGES].map((at) => Number(file.readBigUInt64LE(at)));
  const expected = HEADER.LENGTH + json + arrays + pages;
  if (file.length < expected) throw truncated(path, file.length, expected);
  const body = file.subarray(HEADER.LENGTH);
  const intact = checksum(file, [body]).equals(file.subarray(HEADER.HASH, HEADER.LENGTH));
  if (file.length !== expected || version < 1 || !intact) {
    throw new SnapshotFileError('corrupt', path, 'the contents do not match the checksum: the file was changed after it was written; use another copy');
  }
  try {
    const arrayBytes = body.subarray(json, json + arrays);
    const data = fromJson(JSON.parse(body.toString('utf8', 0, json)), arrayBytes) as StoredState;
    const { ram, ...state } = data;
    // Pages are views of a buffer that begins where they do, because they are compared by words.
    const pageBytes = new Uint8Array(body.subarray(json + arrays, json + arrays + pages));
    return { ...state, machine: { ...state.machine, ram: ramFrom(ram.frames, ram.present, pageBytes) } };
  } catch (cause) {
    throw new SnapshotFileError('corrupt', path, `the contents make no snapshot (${(cause as Error).message})`, { cause });
  }
}

/** The state with RAM apart. */
type StoredState = Omit<GuestState, 'machine'> & {
  readonly machine: Omit<GuestState['machine'], 'ram'>;
  readonly ram: { readonly frames: number; readonly present: Uint32Array };
};

const truncated = (path: string, has: number, needs: number): SnapshotFileError =>
  new SnapshotFileError('truncated', path, `the file ends after ${has} of ${needs} bytes: it was not copied whole; copy it again`);

function readWhole(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new SnapshotFileError('unreadable', path, `the file cannot be read (${(cause as Error).message})`, { cause });
  }
}

function checksum(header: Buffer, body: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256').update(header.subarray(0, HEADER.HASH));
  for (const part of body) hash.update(part);
  return hash.digest();
}

/** JSON text may end in blanks. */
function padded(text: Buffer): Buffer {
  return Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
}

function writeAtomically(path: string, parts: readonly Uint8Array[]): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = openSync(temporary, 'w');
    try {
      for (const part of gathered(parts)) for (let done = 0; done < part.length;) done += writeSync(file, part, done);
      // The name must not lead to contents that a power failure could still take away.
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

const GATHER = 1 << 20;
/** Small parts together: a write for every page would be thousands. */
function* gathered(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for (const part of parts) {
    waiting.push(part);
    size += part.length;
    if (size < GATHER) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    size = 0;
  }
  yield Buffer.concat(waiting);
}
