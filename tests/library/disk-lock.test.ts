/** Who may use a disk image beside whom, as the names of the locks in its folder say, and where the host allows no locks. */
import type * as fileSystem from 'node:fs';
import { linkSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskImage, openDisks, type DiskEvent } from '../../library/disk-image';

/** What the host answers instead of doing it, by the name of the call. */
const mockErrors: Partial<Record<'writeFileSync' | 'readdirSync' | 'rmSync' | 'writeSync' | 'fdatasyncSync', string>> = {};
jest.mock('node:fs', () => {
  const real = jest.requireActual<typeof fileSystem>('node:fs');
  const failing = <A extends unknown[], R>(name: keyof typeof mockErrors, call: (...args: A) => R) => {
    return (...args: A): R => {
      const code = mockErrors[name];
      if (code !== undefined) throw Object.assign(new Error(code), { code });
      return call(...args);
    };
  };
  return {
    ...real,
    writeFileSync: failing('writeFileSync', real.writeFileSync),
    readdirSync: failing('readdirSync', real.readdirSync as (path: string) => string[]),
    rmSync: failing('rmSync', real.rmSync),
    writeSync: failing('writeSync', real.writeSync as (file: number, bytes: Uint8Array) => number),
    fdatasyncSync: failing('fdatasyncSync', real.fdatasyncSync),
  };
});

let folder: string;
let disk: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lock-'));
  disk = join(folder, 'disk');
  writeFileSync(disk, new Uint8Array(1024));
});
afterEach(() => {
  for (const name of Object.keys(mockErrors) as (keyof typeof mockErrors)[]) delete mockErrors[name];
  rmSync(folder, { recursive: true });
});

/** What a process would leave beside `disk`. Process 1 lives as long as the system does. */
const claim = (use: 'read' | 'write', { pid = 1, started = '0', inode = statSync(disk).ino } = {}): string => {
  const name = `disk.lock.${use}.${inode}.${pid}.${started}.20`;
  writeFileSync(join(folder, name), '');
  return name;
};
/** No process has it: Linux has 2^22 at most. */
const NOBODY = 2 ** 22 + 1;
const reads = (): void => DiskImage.open(disk, true).close();
const writes = (): void => DiskImage.open(disk, false).close();

describe('another process', () => {
  test('reads: readers may, writers not', () => {
    const name = claim('read');
    reads();
    expect(writes).toThrow(`the disk ${disk} is in use: process 1 reads it (its lock is ${name}); end that machine first, or use a copy of the file`);
    expect(readdirSync(folder)).toEqual(['disk', name]);
  });

  test('writes: nobody may', () => {
    const name = claim('write');
    expect(reads).toThrow('process 1 writes it');
    expect(writes).toThrow('process 1 writes it');
    expect(readdirSync(folder)).toEqual(['disk', name]);
  });

  test('writes the image, which is given by a link in another folder', () => {
    claim('write');
    mkdirSync(join(folder, 'other'));
    const alias = join(folder, 'other', 'alias');
    symlinkSync(disk, alias);
    expect(() => DiskImage.open(alias, true)).toThrow('process 1 writes it');
  });

  test('writes the image under the name that it had before', () => {
    claim('write');
    const renamed = join(folder, 'renamed');
    renameSync(disk, renamed);
    expect(() => DiskImage.open(renamed, false)).toThrow('process 1 writes it');
  });

  test.each<[string, Parameters<typeof claim>[1]]>([
    ['is no more', { pid: NOBODY }],
    ['is no more, and another one has its number', { pid: process.pid, started: '1' }],
  ])('%s: its locks do not count, and go', (_, owner) => {
    claim('read', owner);
    claim('write', owner);
    writes();
    expect(readdirSync(folder)).toEqual(['disk']);
  });

  test('is no more, and its lock cannot be removed: it is in nobody’s way', () => {
    const name = claim('write', { pid: NOBODY });
    mockErrors.rmSync = 'EPERM';
    const image = DiskImage.open(disk, false);
    delete mockErrors.rmSync;
    image.close();
    expect(readdirSync(folder)).toEqual(['disk', name]);
  });

  test('used another file of this name, or is none of ours', () => {
    claim('write', { inode: statSync(disk).ino + 1 });
    mkdirSync(`${disk}.lock`);
    writeFileSync(`${disk}.lock.write.1`, 'x');
    reads();
    writes();
  });
});

describe('this process', () => {
  test('readers do not exclude each other; a writer waits for the last of them', () => {
    const readers = [DiskImage.open(disk, true), DiskImage.open(disk, true)];
    for (const reader of readers) {
      expect(writes).toThrow('this process reads it');
      reader.close();
    }
    writes();
    expect(readdirSync(folder)).toEqual(['disk']);
  });

  test('a writer excludes everybody', () => {
    const writer = DiskImage.open(disk, false);
    expect(reads).toThrow('this process writes it');
    expect(writes).toThrow('this process writes it');
    writer.close();
    reads();
  });
});

describe('hard links', () => {
  test('what has two names is read only: who uses it by the other one, in another folder, is not seen', () => {
    mkdirSync(join(folder, 'other'));
    linkSync(disk, join(folder, 'other', 'disk'));
    expect(writes).toThrow('the file has 2 names (hard links)');
    reads();
    expect(readdirSync(folder)).toEqual(['disk', 'other']);
  });

  test('one that is made while the disk is written lets nobody in', () => {
    const writer = DiskImage.open(disk, false);
    const link = join(folder, 'link');
    linkSync(disk, link);
    for (const readOnly of [false, true]) expect(() => DiskImage.open(link, readOnly)).toThrow(readOnly ? 'this process writes it' : 'hard links');
    writer.close();
  });
});

describe('a host that allows no locks', () => {
  test.each([
    ['EACCES', 'permission denied'],
    ['ENOSPC', 'no space is left on the device'],
    ['EEXIST', 'EEXIST'],
  ])('%s: writers hear what could not be made, and leave nothing', (code, reason) => {
    mockErrors.writeFileSync = code;
    expect(writes).toThrow(
      `cannot write the disk ${disk}: the lock beside it cannot be made: ${reason}; let this user write in the folder ${folder}, or give the disk read-only`,
    );
    expect(readdirSync(folder)).toEqual(['disk']);
  });

  test('readers go without, but not beside a writer whom they see', () => {
    mockErrors.writeFileSync = 'EROFS';
    const image = DiskImage.open(disk, true);
    expect(readdirSync(folder)).toEqual(['disk']);
    image.close();
    delete mockErrors.writeFileSync;
    claim('write');
    mockErrors.writeFileSync = 'EACCES';
    expect(reads).toThrow('process 1 writes it');
  });

  test('a folder that cannot be listed: nobody would be seen', () => {
    mockErrors.readdirSync = 'EACCES';
    expect(writes).toThrow('the locks beside it cannot be seen: permission denied');
    reads();
    delete mockErrors.readdirSync;
    expect(readdirSync(folder)).toEqual(['disk']);
  });
});

describe('the disks of one machine', () => {
  const file = (path: string, readOnly: boolean) => ({ path, kind: 'nvme' as const, readOnly });

  test.each([
    [false, false],
    [true, false],
    [false, true],
  ])('one file twice, read-only %s and %s, is refused, and no lock is left', (first, second) => {
    expect(() => openDisks([file(disk, first), file(disk, second)], false)).toThrow(`the disk ${disk} is given twice: `);
    const link = join(folder, 'link');
    linkSync(disk, link);
    expect(() => openDisks([file(link, first), file(disk, second)], false)).toThrow(`the disk ${disk} is given twice, as ${link} too: `);
    expect(readdirSync(folder)).toEqual(['disk', 'link']);
  });

  test('twice is right when nobody writes it', () => {
    openDisks([file(disk, true), file(disk, true)], false).close();
    openDisks([file(disk, false), file(disk, false)], true).close();
    expect(readdirSync(folder)).toEqual(['disk']);
  });
});

test('a failure of the host is told with its reason', () => {
  const failures: DiskEvent[] = [];
  const image = DiskImage.open(disk, false, (event) => void failures.push(event));
  Object.assign(mockErrors, { writeSync: 'ENOSPC', fdatasyncSync: 'EIO' });
  expect([image.write(0, new Uint8Array(512)), image.flush(), image.read(1024, 512)]).toEqual([false, false, undefined]);
  expect(failures).toEqual([
    { kind: 'failure', request: 'write', reason: 'no space is left on the device' },
    { kind: 'failure', request: 'flush', reason: 'EIO' },
    { kind: 'failure', request: 'read', reason: 'the file has become shorter' },
  ]);
  image.close();
});
