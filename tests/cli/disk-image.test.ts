import { spawnSync } from 'node:child_process';
import { existsSync, linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDrives } from '../../cli/disk-image';
import { DiskImage } from '../../library/disk-image';
import { parseDrive } from '../../cli/drive-option';
import { checkRunOptions } from '../../cli/run-options';

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'disk-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const file = (name: string, bytes: Uint8Array | string = new Uint8Array(1024)): string => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};

describe('--drive', () => {
  test.each([
    ['a.img', { path: 'a.img', kind: 'nvme', readOnly: false }],
    ['a.img,if=virtio', { path: 'a.img', kind: 'virtio-blk', readOnly: false }],
    ['a.img,readonly,if=nvme', { path: 'a.img', kind: 'nvme', readOnly: true }],
    ['a,,b.img,readonly', { path: 'a,b.img', kind: 'nvme', readOnly: true }],
  ])('%s', (text, drive) => expect(parseDrive(text)).toEqual(drive));

  test.each([
    ['', 'give the file of the disk first'],
    ['a.img,if=ide', '"if=ide" is not understood; give if=nvme (the default), if=virtio, readonly'],
    ['a.img,cache=none', '"cache=none" is not understood'],
    ['a.img,if=toString', 'not understood'],
  ])('refuses %s', (text, message) => expect(() => parseDrive(text)).toThrow(message));

  test('is an option of run, and may be repeated', () => {
    expect(checkRunOptions({ image: 'x', drive: ['a', 'b,if=virtio'] }).drive.map(({ kind }) => kind)).toEqual(['nvme', 'virtio-blk']);
    expect(() => checkRunOptions({ image: 'x', drive: ['a,if=ide'] })).toThrow('--drive a,if=ide');
  });
});

describe('an image', () => {
  test('reads, writes, syncs; what was written is in the file', () => {
    const path = file('disk');
    const image = DiskImage.open(path, false);
    expect([image.size, image.write(512, new Uint8Array(512).fill(7)), image.flush(), image.read(511, 2)]).toEqual([1024, true, true, Uint8Array.of(0, 7)]);
    image.close();
    expect(readFileSync(path)[512]).toBe(7);
    expect(readdirSync(folder)).toEqual(['disk']);
  });

  test.each([
    ['missing', () => join(folder, 'none'), 'there is no such file'],
    ['a folder', () => folder, 'it is a directory'],
    ['empty', () => file('empty', ''), 'it is empty; make it larger, with truncate -s 64M'],
    ['odd-sized', () => file('odd', new Uint8Array(1000)), 'its 1000 bytes are not a whole number of 512-byte sectors; round it up, with truncate -s %512'],
    [
      'a qcow2 image',
      () => file('q', Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(508)])),
      'a qcow2 image; convert it, with qemu-img convert -O raw',
    ],
    ['no regular file', () => '/dev/null', 'it is not a regular file'],
  ])('%s: one clear message, and no lock is left', (_, path, message) => {
    expect(() => DiskImage.open(path(), false)).toThrow(message);
    expect(readdirSync(folder).filter((name) => name.includes('.lock'))).toEqual([]);
  });

  test('a file that became shorter fails reads; one that cannot be written fails writes', () => {
    const path = file('disk');
    const image = DiskImage.open(path, true);
    writeFileSync(path, new Uint8Array(512));
    expect([image.read(0, 512)?.length, image.read(512, 512), image.write(0, new Uint8Array(512))]).toEqual([512, undefined, false]);
    image.close();
  });
});

describe('the lock', () => {
  test('a second writer is refused, by any name of the file; a reader too; after the end both may', () => {
    const path = file('disk');
    symlinkSync(path, join(folder, 'alias'));
    const first = DiskImage.open(path, false);
    expect(() => DiskImage.open(join(folder, 'alias'), false)).toThrow(`is in use: process ${process.pid} writes it`);
    expect(() => DiskImage.open(path, true)).toThrow('is in use');
    first.close();
    DiskImage.open(path, true).close();
    DiskImage.open(path, false).close();
    expect(existsSync(`${path}.lock`)).toBe(false);
  });

  test('that a process left behind which is no more does not count', () => {
    const path = file('disk');
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    for (const stale of [JSON.stringify({ pid, started: '1' }), JSON.stringify({ pid: process.pid, started: '1' }), 'half a lo']) {
      writeFileSync(`${path}.lock`, stale);
      DiskImage.open(path, false).close();
      expect(readdirSync(folder)).toEqual(['disk']);
    }
  });

  test('of another user is in force', () => {
    const path = file('disk');
    writeFileSync(`${path}.lock`, JSON.stringify({ pid: 1, started: '' }));
    linkSync(`${path}.lock`, `${path}.kept`);
    expect(() => DiskImage.open(path, false)).toThrow('process 1 writes it');
    expect(existsSync(`${path}.lock`)).toBe(true);
  });
});

describe('drives', () => {
  test('--snapshot-disk leaves the file alone, needs no lock, and can be part of snapshots', () => {
    const path = file('disk');
    const { drives, close } = openDrives([parseDrive(path)], true);
    const [{ backend }] = drives;
    expect([backend.readOnly, backend.write(0, new Uint8Array(512).fill(1)), backend.read(0, 1)]).toEqual([false, true, Uint8Array.of(1)]);
    expect([readFileSync(path)[0], existsSync(`${path}.lock`), 'saveState' in backend]).toEqual([0, false, true]);
    close();
  });

  test('all or none: the locks of the others are given back', () => {
    const path = file('disk');
    expect(() => openDrives([parseDrive(path), parseDrive(join(folder, 'none'))], false)).toThrow('there is no such file');
    expect(readdirSync(folder)).toEqual(['disk']);
  });

  test('the same file twice is refused', () => {
    const path = file('disk');
    expect(() => openDrives([parseDrive(path), parseDrive(path)], false)).toThrow('is in use');
  });
});
