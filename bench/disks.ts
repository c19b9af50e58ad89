/**
 * What a disk request costs a VM, by the way in which the disk is given to it: exits, instructions, and requests a CPU second of this
 * process. `node dist/bench/disks.js [requests]` after scripts/fetch-guests.sh. Debian's cloud kernel reads 4 KiB at a time, one request
 * after the other, past its page cache; a short run is taken from a long one, so that starting the program does not count.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OverlayDisk } from '../devices/block-backend';
import { Guest, type GuestConfig } from '../hypervisor/guest';
import { textTable } from './text-table';

const CACHE = join(process.cwd(), '.cache/guests');
const PROMPT = 'guest# ';
const BLOCK = 4096;
const DISK_BYTES = 32 << 20;
const FEW = 200;

type Way = Pick<GuestConfig, 'drives' | 'assign'>;

const disk = (): OverlayDisk => new OverlayDisk({ size: DISK_BYTES, read: (_offset, length) => new Uint8Array(length) });
const WAYS: readonly { readonly name: string; readonly device: string; readonly way: () => Way }[] = [
  { name: 'emulated NVMe', device: '/dev/nvme0n1', way: () => ({ drives: [{ kind: 'nvme', backend: disk() }] }) },
  { name: 'virtio-blk', device: '/dev/vda', way: () => ({ drives: [{ kind: 'virtio-blk', backend: disk() }] }) },
  { name: 'assigned NVMe', device: '/dev/nvme0n1', way: () => ({ drives: [{ kind: 'nvme', backend: disk() }], assign: ['nvme0'] }) },
];

interface Cost {
  readonly exits: number;
  readonly instructions: number;
  readonly seconds: number;
  readonly virtualSeconds: number;
}

/** Runs commands at the guest's prompt, and tells what each cost from the prompt before it to the prompt behind it. */
function costs(backend: 'vmx' | 'svm', way: Way, commands: readonly string[]): Cost[] {
  let console = '';
  const guest: Guest = new Guest({
    ...way,
    image: readFileSync(join(CACHE, 'vmlinuz')),
    initrd: readFileSync(join(CACHE, 'initramfs-disks.cpio.gz')),
    commandLine: 'console=ttyS0 panic=-1 nokaslr cryptomgr.notests quiet',
    memoryBytes: 256 << 20,
    backend,
    serialOutput: (byte) => {
      console += String.fromCharCode(byte);
      if (console.endsWith(PROMPT)) guest.stop();
    },
  });
  const toPrompt = (): Cost => {
    const before = { exits: exits(guest), instructions: guest.instructions, time: guest.time, cpu: process.cpuUsage() };
    console = '';
    while (!console.endsWith(PROMPT)) {
      const stop = guest.run(guest.time + 1e9);
      if (stop.kind === 'ended') throw new Error(`the guest ended (${stop.explanation}):\n${console}`);
    }
    const { user, system } = process.cpuUsage(before.cpu);
    return {
      exits: exits(guest) - before.exits,
      instructions: guest.instructions - before.instructions,
      seconds: (user + system) / 1e6,
      virtualSeconds: (guest.time - before.time) / 1e9,
    };
  };
  toPrompt();
  return commands.map((command) => {
    guest.sendSerial(Buffer.from(`${command}\n`));
    const cost = toPrompt();
    if (!console.includes('records in')) throw new Error(`the guest did not read: ${console}`);
    return cost;
  });
}

const exits = (guest: Guest): number => guest.exitRows(0).reduce((sum, { count }) => sum + count, 0);

function row(name: string, device: string, backend: 'vmx' | 'svm', way: Way, requests: number): string[] {
  const read = (count: number): string => `dd if=${device} of=/dev/null bs=${BLOCK} count=${count} iflag=direct`;
  const [, few, many] = costs(backend, way, [read(FEW), read(FEW), read(FEW + requests)]);
  const each = (what: keyof Cost): number => (many[what] - few[what]) / requests;
  return [
    `${name}, ${backend}`,
    each('exits').toFixed(2),
    each('instructions').toFixed(0),
    (1 / each('seconds')).toFixed(0),
    (1 / each('virtualSeconds')).toFixed(0),
  ];
}

function main(requests: number): void {
  const rows = WAYS.flatMap(({ name, device, way }) => (['vmx', 'svm'] as const).map((backend) => row(name, device, backend, way(), requests)));
  process.stdout.write(textTable(['disk', 'exits/request', 'instructions/request', 'requests/CPU s', 'requests/virtual s'], rows));
}

main(Number(process.argv[2] ?? 4000));
