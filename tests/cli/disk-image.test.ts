import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Logger } from 'pino';
import { diskLog, failureTeller, openDrives } from '../../cli/disk-image';
import { createGuestRunner } from '../../cli/guest-machine';
import { main } from '../../cli/main';
import type { Io } from '../../cli/run-command';
import { DiskImage } from '../../library/disk-image';
import { parseDrive } from '../../cli/drive-option';
import { checkRunOptions } from '../../cli/run-options';
import { image, TestClient } from '../debugger/dap/client';

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'disk-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const file = (name: string, bytes: Uint8Array | string = new Uint8Array(1024)): string => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};

/** A process that nobody looks at, but for its complaints. */
const ioOf = (errors: string[]): Io => ({
  stdin: new PassThrough(),
  stdout: new PassThrough(),
  stderr: { write: (text) => errors.push(String(text)) },
  now: () => 0,
  onInterrupt: () => () => {},
});

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
    ['a VHD of a fixed size', () => file('vhd', Buffer.concat([Buffer.alloc(1024), Buffer.from('conectix'), Buffer.alloc(504)])), 'it is a VHD image'],
    // What `qemu-img create -f vdi` writes: a text, and the signature BEDA107Fh behind it.
    [
      'a VDI image',
      () =>
        file('vdi', Buffer.concat([Buffer.from('<<< QEMU VM Virtual Disk Image >>>\n'.padEnd(0x40, '\0')), Buffer.from('7f10dabe', 'hex'), Buffer.alloc(444)])),
      'it is a VDI image; convert it',
    ],
    ['no regular file', () => '/dev/null', 'it is not a regular file'],
    [
      'a pipe, whose other end nobody waits for',
      () => {
        const pipe = join(folder, 'pipe');
        if (!existsSync(pipe)) execFileSync('mkfifo', [pipe]);
        return pipe;
      },
      'it is not a regular file',
    ],
  ])('%s: one clear message, and no lock is left', (_, path, message) => {
    const name = path();
    for (const readOnly of [false, true]) expect(() => DiskImage.open(name, readOnly)).toThrow(message);
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

describe('drives', () => {
  test('--snapshot-disk leaves the file alone, is a reader to others, and can be part of snapshots', () => {
    const path = file('disk');
    const { drives, close } = openDrives([parseDrive(path)], true);
    const [{ backend }] = drives;
    expect([backend.readOnly, backend.write(0, new Uint8Array(512).fill(1)), backend.read(0, 1)]).toEqual([false, true, Uint8Array.of(1)]);
    expect([readFileSync(path)[0], 'saveState' in backend]).toEqual([0, true]);
    DiskImage.open(path, true).close();
    expect(() => DiskImage.open(path, false)).toThrow('is in use: this process reads it');
    close();
    expect(readdirSync(folder)).toEqual(['disk']);
  });

  test('all or none: the locks of the others are given back', () => {
    const path = file('disk');
    expect(() => openDrives([parseDrive(path), parseDrive(join(folder, 'none'))], false)).toThrow('there is no such file');
    expect(readdirSync(folder)).toEqual(['disk']);
  });

  test('the same file twice is refused', () => {
    const path = file('disk');
    expect(() => openDrives([parseDrive(path), parseDrive(path)], false)).toThrow('is given twice');
  });

  test('a debugger reads its disks until the session ends', async () => {
    const path = file('disk');
    const client = await TestClient.connect();
    await client.run({ program: image('tour'), drive: [path], stopOnEntry: true });
    expect(readdirSync(folder)).toEqual(['disk', expect.stringMatching(/^disk\.lock\.read\./)]);
    await client.stop();
    for (let tries = 0; tries < 100 && readdirSync(folder).length > 1; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(readdirSync(folder)).toEqual(['disk']);
  });

  test('more than the PCI bus has room for: one line, and the status of bad usage', async () => {
    const spin = file('spin.bin', Buffer.from('ebfe', 'hex'));
    const drives = Array.from({ length: 28 }, () => ['--drive', `${file('disk')},readonly`]).flat();
    const errors: string[] = [];
    for (const command of ['run', 'debug']) expect(await main([command, spin, '--format', 'flat32', ...drives], ioOf(errors), createGuestRunner)).toBe(2);
    const message = 'vmexit: --drive, --device: 28 disks and devices: the PCI bus has room for 27; leave some out\n';
    expect(errors).toEqual([message, message]);
    expect(readdirSync(folder).sort()).toEqual(['disk', 'spin.bin']);
  });

  test('what the host could not do is told once for a disk and a kind of failure', () => {
    const told: string[] = [];
    const observe = failureTeller((message) => told.push(message));
    const full = { kind: 'failure', request: 'write', reason: 'no space is left on the device' } as const;
    observe({ kind: 'sync' }, 'a.img');
    for (const path of ['a.img', 'a.img', 'b.img']) observe(full, path);
    observe({ ...full, request: 'flush' }, 'a.img');
    expect(told).toEqual([
      'disk a.img: write failed: no space is left on the device; the guest is told of an I/O error',
      'disk b.img: write failed: no space is left on the device; the guest is told of an I/O error',
      'disk a.img: flush failed: no space is left on the device; the guest is told of an I/O error',
    ]);
  });

  test('that is a warning of the log, which the trace does not hide', () => {
    const [warn, trace] = [jest.fn(), jest.fn()];
    const failure = { kind: 'failure', request: 'read', reason: 'the file has become shorter' } as const;
    for (const isLevelEnabled of [() => false, () => true]) diskLog({ warn, trace, isLevelEnabled } as unknown as Logger)(failure, 'a.img');
    expect(warn).toHaveBeenCalledTimes(2);
    expect(trace.mock.calls).toEqual([[{ disk: 'a.img', ...failure }]]);
  });
});
