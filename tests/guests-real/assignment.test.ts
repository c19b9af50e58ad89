/** Debian in a VM on an NVMe disk that is a physical one: through VT-d under VT-x, through AMD-Vi under AMD-V. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RecordedRun } from '../../debugger/recorder';
import type { RecordingHeader, RecordingLine } from '../../debugger/recording';
import { Replay } from '../../debugger/replay';
import { readSnapshot, writeSnapshot } from '../../debugger/snapshot/file';
import { Guest, type GuestConfig } from '../../hypervisor/guest';
import { runGuest, type GuestRun, type Script } from '../guest-run';
import { debianFile, expectHealthy, MEMORY, QUIET } from './debian';
import { contentsOf, ext4Image, fsckComplaint, overlayOf } from './disk-files';

const HELLO = 'hello from the host\n';
const IMAGE = ext4Image(16 << 20, HELLO);
const cloud = { commandLine: QUIET, memoryBytes: MEMORY, image: debianFile('vmlinuz'), initrd: debianFile('initramfs-disks.cpio.gz') };

const PROMPT = 'guest# ';
const WORK = [
  'mkdir /nvme; mount -t ext4 /dev/nvme0n1 /nvme && cat /nvme/hello',
  'dd if=/dev/zero of=/nvme/zeroes bs=64k count=16; dd if=/bin/busybox of=/nvme/program bs=64k count=24; (cd /nvme; md5sum zeroes program > sums)',
  'sync; echo 3 > /proc/sys/vm/drop_caches; (cd /nvme; md5sum -c sums; cat sums)',
  'rm /nvme/hello; umount /nvme; lspci -n; cat /proc/interrupts',
  'poweroff -f',
];
const SCRIPT: Script = WORK.map((command) => [PROMPT, `${command}\n`] as const);

interface Run extends GuestRun {
  readonly disk: Uint8Array;
  readonly refused: readonly string[];
}

function work(backend: GuestConfig['backend'], assign?: readonly string[]): Run {
  const disk = overlayOf(IMAGE);
  const refused: string[] = [];
  const run = runGuest({ ...cloud, backend, assign, drives: [{ kind: 'nvme', backend: disk }], explainIommu: (line) => void refused.push(line) }, SCRIPT);
  return { ...run, disk: contentsOf(disk), refused };
}

const withoutTimes = (console: string): string[] =>
  console
    .slice(console.indexOf(PROMPT))
    .replace(/^\[ *\d+\.\d+\] /gm, '')
    // How often which interrupt came.
    .split('\n')
    .filter((line) => !/^ *[A-Z0-9]+: +\d/.test(line));

describe('file-system work on an assigned NVMe disk', () => {
  const runs = { vmx: undefined as Run | undefined, svm: undefined as Run | undefined };

  it.each(['vmx', 'svm'] as const)('%s: is done, through the IOMMU, without a fault, and leaves a clean file system', (backend) => {
    const run = (runs[backend] = work(backend, ['nvme0']));
    const { console, stop, disk, refused, guest } = run;
    expectHealthy(console);
    expect(console).toContain(HELLO.trim());
    expect(console).toMatch(/zeroes: OK\s+program: OK/);
    // 1 MiB of zeroes.
    expect(console).toContain('b6d81b360a5672d80c27430f39153e2c  zeroes');
    expect(console).toMatch(/PCI-MSI \d+-edge\s+nvme0q1/);
    expect(console).not.toMatch(/I\/O error|EXT4-fs error|timeout|reset controller/i);
    expect(stop).toMatchObject({ kind: 'ended', because: 'power-off' });
    expect(fsckComplaint(disk)).toBeUndefined();
    expect([refused, guest.assignment!.faults]).toEqual([[], []]);
    const { translations, interrupts, posted, blocked, blockedInterrupts } = guest.physicalIommu!.counts;
    expect(translations).toBeGreaterThan(1000);
    expect(backend === 'vmx' ? posted : interrupts).toBeGreaterThan(20);
    expect([blocked, blockedInterrupts]).toEqual([0, 0]);
  });

  it('prints the same bytes under both backends, and what it prints on an emulated disk', () => {
    const { vmx, svm } = runs;
    expect(svm!.console).toBe(vmx!.console);
    expect(svm!.instructions).toBe(vmx!.instructions);
    const emulated = work('vmx');
    expect(withoutTimes(vmx!.console)).toEqual(withoutTimes(emulated.console));
  });
});

/** Goes on to the end of the script, from command `next` on. */
function play(next: number, make: (output: (byte: number) => void) => Guest): string {
  let [console, from] = ['', 0];
  const guest: Guest = make((byte) => {
    console += String.fromCharCode(byte);
    if (next >= SCRIPT.length || !console.endsWith(PROMPT) || console.length === from) return;
    from = console.length;
    guest.sendSerial(Buffer.from(SCRIPT[next++][1]));
  });
  while (guest.run(guest.time + 1e9).kind === 'limit');
  return console;
}

it('goes on from a snapshot in the middle of the work, in the same guest and from a file, to the same end', () => {
  const disk = overlayOf(IMAGE);
  const { guest } = runGuest({ ...cloud, backend: 'vmx', assign: ['nvme0'], drives: [{ kind: 'nvme', backend: disk }] }, SCRIPT.slice(0, 2), {
    until: 'md5sum zeroes program > sums)',
  });
  guest.run(guest.time + 20e6);
  const state = guest.saveState();
  const folder = mkdtempSync(join(tmpdir(), 'vmexit-'));
  const path = join(folder, 'snapshot');
  writeSnapshot(path, state);
  const ends = [state, readSnapshot(path)].map((from) => {
    const fresh = overlayOf(IMAGE);
    const console = play(2, (serialOutput) => Guest.fromState(from, { serialOutput, drives: [{ kind: 'nvme', backend: fresh }] }));
    return { console, disk: contentsOf(fresh) };
  });
  rmSync(folder, { recursive: true });
  expect(ends[1].console).toBe(ends[0].console);
  expect(ends[0].console).toMatch(/zeroes: OK\s+program: OK/);
  expect(Buffer.compare(ends[0].disk, ends[1].disk)).toBe(0);
  expect(fsckComplaint(ends[0].disk)).toBeUndefined();
});

it('replays a recording of the boot up to where the driver has found the disk', () => {
  const config = (): GuestConfig => ({ ...cloud, backend: 'svm', cpu: 'amd', assign: ['nvme0'], drives: [{ kind: 'nvme', backend: overlayOf(IMAGE) }], serialOutput: () => {} }); // prettier-ignore
  const lines: RecordingLine[] = [];
  const recorded = new RecordedRun(config(), (line) => void lines.push(line));
  const interrupts = (): number => recorded.guest.physicalIommu!.counts.interrupts;
  while (interrupts() < 5 && recorded.guest.time < 2e9) recorded.run(recorded.guest.time + 50e6);
  recorded.end('limit');
  expect(interrupts()).toBeGreaterThanOrEqual(5);
  const replay = new Replay({ header: {} as RecordingHeader, lines }, config()).run();
  let step = replay.next();
  while (step.done !== true) step = replay.next();
  expect(step.value).toMatchObject({ divergence: undefined, incomplete: false, instructions: recorded.guest.instructions });
});
