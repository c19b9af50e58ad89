/** Snapshot files: the same guest comes out, from any process; anything else is refused with its reason. */
import fc from 'fast-check';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ByteSection, fromJson, toJson } from '../../debugger/snapshot/encoding';
import { readSnapshot, SNAPSHOT_VERSION, SnapshotFileError, writeSnapshot } from '../../debugger/snapshot/file';
import { Guest } from '../../hypervisor/guest';
import { guestDigest } from '../guest-digest';
import { SNAPSHOT_KERNEL } from '../machine/snapshot-kernel';

let folder: string;
let path: string;
let guest: Guest;
let whole: Buffer;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'snapshot-'));
  path = join(folder, 'guest.snapshot');
  guest = new Guest({ image: SNAPSHOT_KERNEL, format: 'flat64', memoryBytes: 16 << 20, backend: 'vmx', kvmParavirt: true, serialOutput: () => {} });
  guest.run(20_000);
  writeSnapshot(path, guest.saveState());
  whole = readFileSync(path);
});
afterAll(() => rmSync(folder, { recursive: true }));

function problemOf(bytes: Uint8Array): SnapshotFileError {
  const other = join(folder, 'other');
  writeFileSync(other, bytes);
  try {
    readSnapshot(other);
  } catch (error) {
    if (error instanceof SnapshotFileError) return error;
    throw error;
  }
  throw new Error('was taken');
}

test('a guest from a file stands where the original stood, and ends as it ends', () => {
  const copy = Guest.fromState(readSnapshot(path), { serialOutput: () => {} });
  expect(guestDigest(copy)).toBe(guestDigest(guest));
  const original = Guest.fromState(guest.saveState(), { serialOutput: () => {} });
  expect(copy.run(1e9)).toEqual(original.run(1e9));
  expect(guestDigest(copy)).toBe(guestDigest(original));
});

test('equal states make equal files, whatever was written before', () => {
  const again = join(folder, 'again');
  writeSnapshot(again, readSnapshot(path));
  expect(readFileSync(again).equals(whole)).toBe(true);
});

test('only touched memory is in the file', () => {
  // 16 MiB and 32 MiB for the hypervisor; page tables, boot tables, image and buffers are what was written.
  expect(whole.length).toBeLessThan(2 << 20);
});

test.each([
  ['an empty file', Buffer.alloc(0), 'foreign', /not a snapshot of vmexit/],
  ['an ELF file', Buffer.from('\x7fELF and more', 'latin1'), 'foreign', /not a snapshot/],
  ['a text file', Buffer.from('snapshot'), 'foreign', /not a snapshot/],
] as const)('%s is foreign', (_what, bytes, problem, message) => {
  expect(problemOf(bytes)).toMatchObject({ problem, message: expect.stringMatching(message) });
});

test('a file of a newer version is refused with both versions', () => {
  const newer = Buffer.from(whole);
  newer.writeUInt32LE(SNAPSHOT_VERSION + 1, 8);
  const error = problemOf(newer);
  expect([error.problem, error.message]).toEqual(['newer', expect.stringMatching(/has format 2, and this vmexit knows formats up to 1: use a newer vmexit/)]);
});

test('a file cut off anywhere is refused', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: whole.length - 1 }), (length) => {
      const error = problemOf(whole.subarray(0, length));
      expect([error.problem, error.message]).toEqual(['truncated', expect.stringMatching(new RegExp(`ends after ${length} of \\d+ bytes`))]);
    }),
    { numRuns: 30, seed: 31, examples: [[1], [7], [8], [71], [72], [whole.length - 1]] },
  );
});

test('any changed bit is noticed', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: whole.length * 8 - 1 }), (bit) => {
      const changed = Buffer.from(whole);
      changed[bit >>> 3] ^= 1 << (bit & 7);
      expect(['foreign', 'newer', 'truncated', 'corrupt']).toContain(problemOf(changed).problem);
    }),
    { numRuns: 40, seed: 32, examples: Array.from({ length: 72 }, (_, byte): [number] => [byte * 8]) },
  );
});

test('bytes behind the end are noticed', () => {
  expect(problemOf(Buffer.concat([whole, Buffer.alloc(1)])).problem).toBe('corrupt');
});

test('a file that is not there is refused as such', () => {
  expect(() => readSnapshot(join(folder, 'nothing'))).toThrow(/nothing: the file cannot be read \(ENOENT/);
});

test('writing that fails leaves the old file, and nothing else', () => {
  const before = readdirSync(folder).sort();
  const broken = { ...guest.saveState(), platform: { uart: () => {} } } as unknown as Parameters<typeof writeSnapshot>[1];
  expect(() => writeSnapshot(path, broken)).toThrow(/a function is not plain data/);
  expect(() => writeSnapshot(join(folder, 'missing', 'x'), guest.saveState())).toThrow(/ENOENT/);
  expect(readFileSync(path).equals(whole)).toBe(true);
  expect(readdirSync(folder).sort()).toEqual(before);
});

describe('the encoding', () => {
  const leaf = fc.oneof(
    fc.integer(),
    fc.double(),
    fc.string(),
    fc.boolean(),
    fc.constant(null),
    fc.constant(undefined),
    fc.bigInt(),
    fc.uint8Array(),
    fc.uint32Array(),
    fc.float64Array(),
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('value')),
      fc.dictionary(
        fc.string({ unit: 'grapheme-ascii' }).filter((key) => key !== '$' && key !== '__proto__'),
        tie('value'),
      ),
    ),
  }));

  test('gives back what went in', () => {
    fc.assert(
      fc.property(value, (data) => {
        const section = new ByteSection();
        const json = JSON.stringify(toJson(data, section));
        expect(fromJson(JSON.parse(json), Buffer.concat(section.parts))).toEqual(data);
      }),
      { numRuns: 300, seed: 33 },
    );
  });

  test.each([
    ['a Map', new Map(), /a Map is not plain data/],
    ['a function', () => 0, /a function is not plain data/],
    ['a class instance', new (class Thing {})(), /a Thing is not plain data/],
    ['a property named $', { $: 1 }, /a property named \$/],
  ])('refuses %s', (_what, data, message) => {
    expect(() => toJson({ deep: [data] }, new ByteSection())).toThrow(message);
  });
});
