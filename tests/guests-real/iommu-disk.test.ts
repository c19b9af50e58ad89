/** Debian's cloud kernel on the bare Intel machine drives an NVMe disk whose every transfer and interrupt goes through VT-d. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlockBackend } from '../../devices/block-backend';
import { explainFault } from '../../iommu/explain';
import type { RemappingFault, StaleUse } from '../../iommu/remapping';
import type { GuestRun, Script } from '../guest-run';
import { QUIET, bootDebian, expectHealthy, some } from './debian';

const NVME = 0x20;
const DISK_BYTES = 16 << 20;
/** Copies a file of a megabyte or two, and reads it back from the disk after the caches are gone. */
const SCRIPT: Script = [
  'mkdir /mnt; mount -t ext4 /dev/nvme0n1 /mnt && cp /bin/busybox /mnt/f && umount /mnt',
  'echo 3 > /proc/sys/vm/drop_caches; mount -t ext4 /dev/nvme0n1 /mnt && cmp /bin/busybox /mnt/f && echo the same; umount /mnt',
  'cat /proc/interrupts; dmesg',
  'poweroff -f',
].map((c) => ['guest# ', `${c}\n`] as const);

interface Host {
  /** Makes a disk with an empty ext4 file system. */
  readonly disk: Uint8Array;
  /** What e2fsck says of it. Throws if it is not clean. */
  check(): string;
}

function withHost<T>(use: (host: Host) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'vmexit-'));
  const file = join(directory, 'disk.img');
  try {
    writeFileSync(file, new Uint8Array(DISK_BYTES));
    execFileSync('mkfs.ext4', ['-q', '-F', file]);
    const disk = new Uint8Array(readFileSync(file));
    const check = (): string => {
      writeFileSync(file, disk);
      return execFileSync('e2fsck', ['-fn', file], { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
    };
    return use({ disk, check });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const inMemory = (disk: Uint8Array): BlockBackend => ({
  size: disk.length,
  readOnly: false,
  read: (offset, length) => disk.slice(offset, offset + length),
  write: (offset, bytes) => {
    disk.set(bytes, offset);
    return true;
  },
  flush: () => true,
});

function boot(disk: Uint8Array, extra: string, prepare: (guest: GuestRun['guest']) => void): GuestRun {
  return bootDebian('bare', { iommu: true, drives: [{ kind: 'nvme', backend: inMemory(disk) }], commandLine: `${QUIET} intel_iommu=on ${extra}` }, SCRIPT, {
    prepare,
  });
}

test.each(some(2, ['', 'iommu=pt', 'iommu.strict=1']))(
  'intel_iommu=on %s: an ext4 file system is written and read back, and the host finds it clean',
  (extra) => {
    const faults: RemappingFault[] = [];
    const stale: StaleUse[] = [];
    withHost(({ disk, check }) => {
      const run = boot(disk, extra, ({ platform }) => {
        platform.iommu!.observer = { fault: (f) => void faults.push(f), stale: (s) => void stale.push(s) };
      });
      expectHealthy(run.console);
      expect(run.console).toMatch(/\nthe same/);
      expect(run.console).toMatch(/IR-PCI-MSI \d+-edge +nvme0q1/);
      expect(run.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
      expect(check()).toMatch(/12\/4096 files/);
      expect(run.guest.platform.iommu!.counts.translations).toBeGreaterThan(500);
    });
    expect([faults, stale]).toEqual([[], []]);
  },
);

/** Clears the entry that maps a page of the device, as software that unmaps it would, and invalidates the IOTLB by its register. */
function unmap({ machine: { memory } }: GuestRun['guest'], address: number): void {
  const VTD = 0xfed9_0000;
  const pointer = (at: number): number => Number(memory.read64(at) & 0xf_ffff_ffff_f000n);
  const context = pointer(pointer(VTD + 0x20)) + 16 * NVME;
  let table = pointer(context);
  for (let level = Number(memory.read64(context + 8) & 7n) + 2; ; level--) {
    const entry = table + 8 * (Math.floor(address / 2 ** (3 + 9 * level)) % 512);
    if (level === 1) {
      memory.write64(entry, 0n);
      break;
    }
    table = pointer(entry);
  }
  memory.write64(VTD + 0xf8, 0x9000_0000_0000_0000n);
}

test('a page that is unmapped under the device: the next transfer faults, Linux reads the record, and nothing is lost', () => {
  const faults: RemappingFault[] = [];
  let victim: number | undefined;
  withHost(({ disk, check }) => {
    const run = boot(disk, '', (guest) => {
      const unit = guest.platform.iommu!;
      unit.observer = { fault: (f) => void faults.push(f) };
      const translate = unit.translate.bind(unit);
      let transfers = 0;
      unit.translate = (requester, address, length, write) => {
        // Data that the disk delivers, not an entry of its queues; by the tenth, there is a file system to lose.
        if (requester === NVME && write && length >= 4096 && ++transfers === 10) unmap(guest, (victim = address));
        return translate(requester, address, length, write);
      };
    });
    expect(victim).toBeDefined();
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatchObject({ request: 'write', requester: NVME, address: victim, code: 5, recorded: true, refusedBy: { table: 'SL-PTE' } });
    expect(explainFault(faults[0])).toMatch(
      /^VT-d: write of 0x[0-9a-f]+ by 00:04.0 was blocked \(0x5\): .* SL-PTE at 0x[0-9a-f]+ = 0x0 <- refused\. See Intel VT-d/,
    );
    // The driver read the record through the registers, at its interrupt.
    const line = /DMAR: \[DMA Write NO_PASID\] Request device \[00:04\.0\] fault addr 0x([0-9a-f]+) \[fault reason 0x05\] PTE Write access is not set/.exec(
      run.console,
    );
    expect(parseInt(line![1], 16)).toBe(victim! - (victim! % 4096));
    expect(run.console).toMatch(/\nthe same/);
    expect(check()).toMatch(/12\/4096 files/);
  });
});
