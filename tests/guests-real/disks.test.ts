/** Debian on NVMe and virtio disks: mounts ext4, writes, reads, checksums, unmounts; e2fsck on the host has the last word. */
import { createHash } from 'node:crypto';
import { Guest, type GuestConfig } from '../../hypervisor/guest';
import { runGuest, type Script } from '../guest-run';
import { debianFile, expectHealthy, MEMORY, QUIET, some } from './debian';
import { afterCrash, contentsOf, ext4Image, fsckComplaint, overlayOf, recordingDisk, recover } from './disk-files';

const PROMPT = 'guest# ';
const MIB = 1 << 20;
const HVC0 = 'from the guest over virtio';
const HELLO = 'hello from the host\n';
const IMAGE = ext4Image(16 * MIB, HELLO);

/** With the modules of virtio. */
const cloud = { commandLine: QUIET, memoryBytes: MEMORY, image: debianFile('vmlinuz'), initrd: debianFile('initramfs-disks.cpio.gz') };
/** Whose NVMe and ext4 are modules, too. */
const full = { commandLine: QUIET, memoryBytes: MEMORY, image: debianFile('vmlinuz-full'), initrd: debianFile('initramfs-disks-full.cpio.gz') };

const script = (commands: readonly string[]): Script => commands.map((command) => [PROMPT, `${command}\n`] as const);

/** Work on one disk, mounted at `at`. The checksum is of 1 MiB of zeroes and of a file that random bytes were written to. */
const work = (device: string, at: string): string[] => [
  `mkdir -p ${at}; mount -t ext4 ${device} ${at} && cat ${at}/hello`,
  `dd if=/dev/zero of=${at}/zeroes bs=64k count=16; dd if=/dev/urandom of=${at}/random bs=64k count=24; (cd ${at}; md5sum zeroes random > sums)`,
  `sync; echo 3 > /proc/sys/vm/drop_caches; (cd ${at}; md5sum -c sums; grep zeroes sums)`,
  `rm ${at}/hello; umount ${at}`,
];

const ZEROES = createHash('md5').update(new Uint8Array(MIB)).digest('hex');

function expectWorked(console: string): void {
  expectHealthy(console);
  expect(console).toContain(HELLO.trim());
  expect(console).toMatch(/zeroes: OK\s+random: OK/);
  expect(console).toContain(`${ZEROES}  zeroes`);
  expect(console).not.toMatch(/I\/O error|EXT4-fs error|timeout|reset controller/i);
}

function diskWork(kernel: typeof cloud, backend: GuestConfig['backend']) {
  const disks = [overlayOf(IMAGE), overlayOf(IMAGE)];
  const commands = [
    ...work('/dev/nvme0n1', '/nvme'),
    ...work('/dev/vda', '/virtio'),
    'cat /sys/class/misc/hw_random/rng_current; dd if=/dev/hwrng bs=64 count=1 | wc -c',
    `echo '${HVC0}' > /dev/hvc0`,
    'cat /proc/interrupts',
    'poweroff -f',
  ];
  const drives: GuestConfig['drives'] = [{ kind: 'nvme', backend: disks[0] }, { kind: 'virtio-blk', backend: disks[1] }]; // prettier-ignore
  let hvc0 = '';
  const virtioConsole = (byte: number): void => void (hvc0 += String.fromCharCode(byte));
  const run = runGuest({ ...kernel, backend, drives, devices: ['virtio-rng'], virtioConsole }, script(commands));
  return { ...run, disks, hvc0 };
}

describe.each(
  some(1, [
    ['cloud kernel', cloud],
    ['full kernel, drivers as modules', full],
  ] as const),
)('%s', (_, kernel) => {
  it('does file-system work on an NVMe disk and a virtio disk, with MSI-X, and leaves clean file systems', () => {
    const { console, stop, disks, hvc0 } = diskWork(kernel, 'vmx');
    expectWorked(console.slice(0, console.indexOf('/virtio')));
    expectWorked(console.slice(console.indexOf('/virtio')));
    expect(console).toMatch(/PCI-MSI \d+-edge\s+nvme0q1/);
    expect(console).toMatch(/PCI-MSI \d+-edge\s+virtio0-req\.0/);
    expect(console).toMatch(/virtio_rng\.0\s+1\+0 records in\s+1\+0 records out\s+64\s/);
    // A terminal turns the end of the line into two characters.
    expect(hvc0).toBe(`${HVC0}\r\n`);
    expect(stop).toMatchObject({ kind: 'ended', because: 'power-off' });
    expect(disks.map((disk) => fsckComplaint(contentsOf(disk)))).toEqual([undefined, undefined]);
  });
});

it('prints the same bytes bare and under both hypervisor backends, and leaves the same disks', () => {
  const digest = (run: ReturnType<typeof diskWork>) => [
    run.console,
    run.instructions,
    run.hvc0,
    ...run.disks.map((disk) => createHash('sha256').update(contentsOf(disk)).digest('hex')),
  ];
  const vmx = digest(diskWork(cloud, 'vmx'));
  expect(digest(diskWork(cloud, 'bare'))).toEqual(vmx);
  expect(digest(diskWork(cloud, 'svm'))).toEqual(vmx);
});

it('a read-only disk is one for the guest', () => {
  const backend = {
    size: IMAGE.length,
    readOnly: true,
    read: (at: number, length: number) => IMAGE.slice(at, at + length),
    write: () => false,
    flush: () => true,
  };
  const commands = ['cat /sys/block/nvme0n1/ro /sys/block/vda/ro', 'mkdir /mnt; mount -t ext4 -o ro /dev/nvme0n1 /mnt && cat /mnt/hello', 'poweroff -f'];
  const drives = (['nvme', 'virtio-blk'] as const).map((kind) => ({ kind, backend }));
  const { console } = runGuest({ ...cloud, backend: 'vmx', drives }, script(commands));
  expect(console).toMatch(/vda\/ro\s+1\s+1\s/);
  expect(console).toContain(HELLO.trim());
});

/** Runs a guest to its end, and types a script from its line `next` on; `heard` is told of every byte. */
function play(commands: Script, next: number, make: (output: (byte: number) => void) => Guest, heard: (console: string) => void = () => {}): string {
  let [console, from] = ['', 0];
  const guest: Guest = make((byte) => {
    console += String.fromCharCode(byte);
    heard(console);
    if (next >= commands.length || !console.endsWith(commands[next][0]) || console.length === from) return;
    from = console.length;
    guest.sendSerial(Buffer.from(commands[next++][1]));
  });
  while (guest.run(guest.time + 1e9).kind === 'limit');
  return console;
}

it('goes on from a snapshot in the middle of the work, disk included', () => {
  const commands = script([...work('/dev/nvme0n1', '/nvme'), 'poweroff -f']);
  const { guest } = runGuest({ ...cloud, backend: 'vmx', drives: [{ kind: 'nvme', backend: overlayOf(IMAGE) }] }, commands.slice(0, 2), {
    until: 'md5sum zeroes random > sums)',
  });
  // Into the writes of the second command.
  guest.run(guest.time + 40e6);
  const state = guest.saveState();
  const [one, other] = [state, structuredClone(state)].map((from) => {
    const disk = overlayOf(IMAGE);
    const console = play(commands, 2, (serialOutput) => Guest.fromState(from, { serialOutput, drives: [{ kind: 'nvme', backend: disk }] }));
    return { console, disk: contentsOf(disk) };
  });
  expect(one.console).toBe(other.console);
  expect(one.console).toMatch(/zeroes: OK\s+random: OK/);
  expect(Buffer.compare(one.disk, other.disk)).toBe(0);
  expect(fsckComplaint(one.disk)).toBeUndefined();
});

it('durability: after a crash at any moment the file system is whole, and holds what the guest had flushed', () => {
  const FILES = 6;
  const image = ext4Image(8 * MIB, HELLO);
  const { backend, operations } = recordingDisk(image);
  /** By file: how many operations the disk had done when the guest said that it was synced. */
  const synced: number[] = [];
  const each = (i: number): string => `dd if=/dev/urandom of=/mnt/big${i} bs=4k count=9; echo contents ${i} > /mnt/f${i}; sync; echo done:$((${i}+100)):`;
  const commands = script(['mkdir /mnt; mount -t ext4 /dev/vda /mnt', ...Array.from({ length: FILES }, (_, i) => each(i)), 'poweroff -f']);
  play(
    commands,
    0,
    (serialOutput) => new Guest({ ...cloud, backend: 'vmx', drives: [{ kind: 'virtio-blk', backend }], serialOutput }),
    (console) => {
      if (console.endsWith(`done:${synced.length + 100}:`)) synced.push(operations.length);
    },
  );
  expect(synced).toHaveLength(FILES);
  // Just before and after each flush, and in between.
  const flushes = operations.flatMap((operation, i) => (operation === 'flush' ? [i] : []));
  const moments = [...new Set([0, ...flushes.flatMap((i) => [i, i + 1, i + 3]), ...synced, operations.length])];
  for (const moment of moments) {
    const safe = synced.filter((count) => count <= moment).length;
    const files = Array.from({ length: safe }, (_, i) => `/f${i}`);
    expect(recover(afterCrash(image, operations, moment), ['/hello', ...files])).toEqual([HELLO, ...files.map((_, i) => `contents ${i}\n`)]);
  }
});
