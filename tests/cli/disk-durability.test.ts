/** A guest hears that a flush is done only after the host's fdatasync has returned: the calls to the host, and what guests are told, in order. */
import type * as fileSystem from 'node:fs';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDrives } from '../../cli/disk-image';
import type { DiskEvent } from '../../library/disk-image';
import { parseDrive } from '../../cli/drive-option';
import { createGuestRunner } from '../../cli/guest-machine';
import { NvmeDriver, DATA } from '../devices/pci/nvme/nvme-driver';
import { DISK_LOG, RECORD, sequences } from './disk-log';

/** What really reaches the host, whoever reports what. */
const mockCalls: string[] = [];
let mockSyncFails = false;
jest.mock('node:fs', () => {
  const real = jest.requireActual<typeof fileSystem>('node:fs');
  return {
    ...real,
    writeSync: (...args: Parameters<typeof real.writeSync>) => {
      const written = real.writeSync(...args);
      mockCalls.push('write returned');
      return written;
    },
    fdatasyncSync: (file: number) => {
      mockCalls.push('fdatasync called');
      if (mockSyncFails) throw Object.assign(new Error('EIO'), { code: 'EIO' });
      real.fdatasyncSync(file);
      mockCalls.push('fdatasync returned');
    },
  };
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'durability-'));
  mockCalls.length = 0;
  mockSyncFails = false;
});
afterEach(() => rmSync(folder, { recursive: true }));

const SLOTS = 8;
/** Host calls and what the disk says of itself, in one list. */
const note = (event: DiskEvent): void => void (event.kind === 'completion' && mockCalls.push(`${event.request} ${event.succeeded ? 'completed' : 'failed'}`));

function open(kind: 'nvme' | 'virtio', observe: (event: DiskEvent) => void = note) {
  const path = join(folder, 'disk');
  writeFileSync(path, new Uint8Array(SLOTS * RECORD));
  return { path, ...openDrives([parseDrive(`${path},if=${kind}`)], false, observe) };
}

function runLog(records: number, drives: ReturnType<typeof open>['drives'], output: (byte: number) => void) {
  const runner = createGuestRunner({
    image: readFileSync(DISK_LOG),
    imageName: 'disk-log',
    modules: [],
    commandLine: `records=${records}`,
    format: 'auto',
    memoryBytes: 16 << 20,
    bare: false,
    backend: 'vmx',
    cpu: 'intel',
    kvmParavirt: false,
    rtcStart: 0,
    seed: 0,
    drives,
    serialOutput: output,
  });
  return runner.run(100e6);
}

const ONE_RECORD = ['write returned', 'OUT completed', 'fdatasync called', 'fdatasync returned', 'FLUSH completed'];

test('virtio: write, completion, fdatasync, and only then the completion of the flush and what the guest prints', () => {
  const { path, drives, close } = open('virtio');
  let line = '';
  const stop = runLog(3, drives, (byte) => {
    line += String.fromCharCode(byte);
    if (!line.endsWith('\n')) return;
    if (line.startsWith('flushed')) mockCalls.push(line.trim());
    line = '';
  });
  close();
  expect(stop).toMatchObject({ kind: 'ended', outcome: { kind: 'power-off' } });
  expect(mockCalls.filter((call) => call !== 'IN completed')).toEqual([...ONE_RECORD, 'flushed 1', ...ONE_RECORD, 'flushed 2', ...ONE_RECORD, 'flushed 3']);
  expect(sequences(readFileSync(path)).slice(0, 5)).toEqual([undefined, 1, 2, 3, undefined]);
});

test('NVMe: the same for Flush, and for a write with FUA', () => {
  const { drives, close } = open('nvme');
  const driver = new NvmeDriver(drives[0].backend).startIo();
  mockCalls.length = 0;
  driver.io({ opcode: 1, prp1: DATA, cdw: [0, 0, 0] });
  expect(mockCalls.splice(0)).toEqual(['write returned', 'Write completed']);
  driver.io({ opcode: 0 });
  expect(mockCalls.splice(0)).toEqual(['fdatasync called', 'fdatasync returned', 'Flush completed']);
  driver.io({ opcode: 1, prp1: DATA, cdw: [0, 0, 0x4000_0000] });
  expect(mockCalls).toEqual(['write returned', 'fdatasync called', 'fdatasync returned', 'Write completed']);
  close();
});

test('the trace of a disk says the same: a sync before each completed flush', () => {
  const events: string[] = [];
  const { drives, close } = open('virtio', (event) => void events.push(event.kind === 'completion' ? event.request : event.kind));
  runLog(2, drives, () => {});
  close();
  expect(events.filter((event) => event !== 'IN')).toEqual(['write', 'OUT', 'sync', 'FLUSH', 'write', 'OUT', 'sync', 'FLUSH']);
});

test('a host that cannot sync: the flush fails, and every later one, for what is lost is not known', () => {
  const { drives, close } = open('virtio');
  mockSyncFails = true;
  let console = '';
  runLog(3, drives, (byte) => (console += String.fromCharCode(byte)));
  expect(console).toContain('request 4 at sector 0 failed with status 1');
  expect(console).not.toContain('flushed');
  expect(mockCalls.slice(-3)).toEqual(['OUT completed', 'fdatasync called', 'FLUSH failed']);
  mockSyncFails = false;
  expect(drives[0].backend.flush()).toBe(false);
  close();
});
