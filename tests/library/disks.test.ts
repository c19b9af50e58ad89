/** Disks, devices and their assignment, given to a computer of the library as the command line gives them. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Computer, ConfigurationError, type ComputerConfiguration } from '../../index';
import { DISK_LOG, RECORD, sequences } from '../cli/disk-log';

const SLOTS = 8;
const RECORDS = 3;
const log = readFileSync(DISK_LOG);
let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'library-disks-'));
  file = join(folder, 'disk');
  writeFileSync(file, new Uint8Array(SLOTS * RECORD));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A guest that writes and flushes records on a virtio disk. */
const computer = (more: Partial<ComputerConfiguration>): Computer =>
  new Computer({ image: log, memory: '16M', commandLine: `records=${RECORDS}`, drives: [{ file, interface: 'virtio' }], ...more });
const written = (): (number | undefined)[] => sequences(readFileSync(file)).filter((sequence) => sequence !== undefined);

it.each<[string, Partial<ComputerConfiguration>]>([
  ['in a VM', {}],
  ['on the physical machine', { backend: 'bare' }],
  ['behind an IOMMU', { backend: 'bare', iommu: true }],
])('what the guest flushes is in the file: %s', (_, more) => {
  const c = computer(more);
  expect(c.run()).toMatchObject({ kind: 'ended', because: 'power-off' });
  expect(written()).toEqual([1, 2, 3]);
  c.close();
});

it('readOnly and NVMe are what the guest finds', () => {
  const c = computer({
    drives: [
      { file, interface: 'virtio', readOnly: true },
      { file: join(folder, 'disk'), readOnly: true },
    ],
  });
  c.run();
  expect(c.console).not.toContain('flushed');
  expect(written()).toEqual([]);
  // Class 01h, subclass 08h, programming interface 02h: an NVMe controller; in slot 5, because the virtio disk is in slot 4.
  const { ports } = c.guest.vm!;
  ports.write(0xcf8, 4, 0x8000_2808);
  expect(ports.read(0xcfc, 4) >>> 8).toBe(0x01_0802);
  c.close();
});

it('snapshotDisk keeps it out of the file, and the past can be visited', () => {
  const c = computer({ snapshotDisk: true, history: true });
  c.run();
  const shown = c.console;
  expect(c.reverseStep(1000).kind).toBe('step');
  expect(c.run()).toMatchObject({ kind: 'ended' });
  expect(c.console).toBe(shown);
  expect(written()).toEqual([]);
  c.close();
});

it('a disk is locked until the computer is closed, or was never built', () => {
  const first = computer({});
  expect(() => computer({})).toThrow(/^drives: the disk .* is in use/);
  first.close();
  first.close();
  expect(() => computer({ image: new Uint8Array(10) })).toThrow('10 bytes');
  expect(readdirSync(folder)).toEqual(['disk']);
  // The guest of a closed computer gets errors; no other file with the same number is written.
  expect(() => first.run({ instructions: 3_000_000 })).toThrow(/^this computer is closed/);
  first.guest.run(3_000_000);
  expect(written()).toEqual([]);
});

it('devices are found where they are on the command line', () => {
  const c = computer({ drives: [], devices: ['edu', 'virtio-rng'] });
  expect(() => c.guest.saveState()).not.toThrow();
  const assigned = computer({ drives: [{ file }], devices: ['edu'], assign: ['edu0', 'nvme0'] });
  expect(assigned.guest.assignment).toBeDefined();
  assigned.close();
});

it.each<[string, Partial<ComputerConfiguration>, RegExp]>([
  ['a file that is not there', { drives: [{ file: '/nowhere/disk' }] }, /^drives: cannot write the disk \/nowhere\/disk: there is no such file/],
  ['a key of another tool', { drives: [{ file: 'x', format: 'raw' } as never] }, /^drives\.0: .*format/],
  ['an interface', { drives: [{ file: 'x', interface: 'ide' as never }] }, /^drives\.0\.interface: /],
  ['more than the PCI bus has room for', { devices: new Array<'edu'>(27).fill('edu') }, /^drives, devices: 28 were given, and the PCI bus has room for 27/],
  ['a device', { devices: ['toaster' as never] }, /^devices\.0: /],
  ['snapshotDisk without disks', { drives: [], snapshotDisk: true }, /^snapshotDisk: there is no disk; give drives too$/],
  ['a history of what cannot be taken back', { history: true }, /^history: going back needs the disk .* as it was; set snapshotDisk, or readOnly/],
  ['an unknown name', { assign: ['disk0'] }, /^assign: there is no device "disk0" to assign; there are nvme0/],
  ['a disk that is not given', { assign: ['nvme1'] }, /^assign: there is no nvme1; put an NVMe disk in drives too$/],
  ['a device that is not given', { assign: ['edu0'] }, /^assign: there is no edu0; put "edu" in devices too$/],
  ['a device twice', { drives: [{ file: 'x' }], assign: ['nvme0', 'nvme0'] }, /^assign: nvme0 can be assigned once$/],
  ['assignment without a VM', { backend: 'bare', drives: [{ file: 'x' }], assign: ['nvme0'] }, /^assign: a bare machine has all devices already/],
  ['assignment with an IOMMU inside', { iommu: true, drives: [{ file: 'x' }], assign: ['nvme0'] }, /^assign: the VM's own IOMMU cannot translate/],
])('%s is refused', (_, more, message) => {
  expect(() => computer(more)).toThrow(ConfigurationError);
  expect(() => computer(more)).toThrow(message);
  expect(readdirSync(folder)).toEqual(['disk']);
});
