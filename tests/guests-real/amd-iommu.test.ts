/**
 * Debian's full kernel on the AMD processor with its IOMMU (the cloud kernel is built without AMD_IOMMU): interrupt remapping, and an NVMe
 * disk whose DMA goes through the page tables that Linux makes.
 */
import { createHash } from 'node:crypto';
import { OverlayDisk } from '../../devices/block-backend';
import type { Guest } from '../../hypervisor/guest';
import type { RemappingFault, StaleUse } from '../../iommu/remapping';
import { runGuest, type GuestRun, type Script } from '../guest-run';
import { MARKER, MEMORY, QUIET, debianFile, expectHealthy, some } from './debian';

const PROMPT = 'guest# ';
const COMMANDS = [
  'cat /proc/interrupts; ls /sys/class/iommu',
  'yes vmexit | dd of=/dev/nvme0n1 bs=64k count=32 iflag=fullblock; sync; echo 3 > /proc/sys/vm/drop_caches',
  'dd if=/dev/nvme0n1 bs=64k count=32 | md5sum',
  'echo all d"one"',
];
const SCRIPT: Script = COMMANDS.map((c) => [PROMPT, `${c}\n`] as const);
const WRITTEN = Buffer.alloc(32 << 16, 'vmexit\n');
const DISK_BYTES = 16 << 20;
/** 00:04.0 */
const NVME = 0x20;
const REGISTERS = 0xfed8_0000;

interface Watched extends GuestRun {
  readonly disk: OverlayDisk;
  readonly faults: RemappingFault[];
  readonly stale: StaleUse[];
}

function boot(extra: string): Watched {
  const faults: RemappingFault[] = [];
  const stale: StaleUse[] = [];
  const disk = new OverlayDisk({ size: DISK_BYTES, read: (_, length) => new Uint8Array(length) });
  const config: Parameters<typeof runGuest>[0] = {
    backend: 'bare',
    cpu: 'amd',
    iommu: true,
    image: debianFile('vmlinuz-full'),
    initrd: debianFile('initramfs-disks-full.cpio.gz'),
    commandLine: `${QUIET} amd_iommu_dump ${extra}`,
    memoryBytes: MEMORY,
    drives: [{ kind: 'nvme', backend: disk }],
  };
  const prepare = ({ platform }: Guest): void => {
    platform.iommu!.observer = { fault: (fault) => faults.push(fault), stale: (use) => stale.push(use) };
  };
  return { ...runGuest(config, SCRIPT, { prepare, until: 'all done' }), disk, faults, stale };
}

describe.each(
  some(1, [
    ['iommu.strict=0', 'Translated'],
    ['iommu=pt', 'Passthrough'],
    ['iommu.strict=1', 'Translated'],
  ]),
)('Debian, bare on AMD with AMD-Vi, %s', (extra, domain) => {
  let run: Watched;
  beforeAll(() => {
    run = boot(extra);
  });

  it('finds the IOMMU by its ACPI table, and nothing to complain of', () => {
    expect(run.console).toContain(MARKER);
    expectHealthy(run.console);
    expect(run.console).toContain('AMD-Vi: Using IVHD type 0x40');
    expect(run.console).toContain('AMD-Vi: device: 0000:00:00.2 cap: 0040 flags: 20 info 0000');
    expect(run.console).toMatch(/DEV_SPECIAL\(IOAPIC\[15\]\)\s+devid: 0000:00:14\.0/);
    expect(run.console).toContain('AMD-Vi: Using global IVHD EFR:0x2009c5, EFR2:0x0');
    expect(run.console).toContain('pci 0000:00:00.2: AMD-Vi: Found IOMMU cap 0x40');
    expect(run.console).toMatch(/Extended features \(0x2009c5, 0x0\): PreF X2APIC IA GA HE GA_vAPIC/);
    expect(run.console).toMatch(new RegExp(`iommu: Default domain type: ${domain}`));
    expect(run.console).not.toMatch(/EFR mismatch|No southbridge IOAPIC|Disabling interrupt remapping|Completion-Wait loop timed out/);
    expect(run.console).toContain('ivhd0');
  });

  it('remaps interrupts in x2APIC mode', () => {
    expect(run.console).toContain('AMD-Vi: Interrupt remapping enabled');
    expect(run.console).toContain('AMD-Vi: X2APIC enabled');
    expect(run.console).toContain('AMD-Vi: Virtual APIC enabled');
    expect(run.console).toMatch(/IR-IO-APIC\s+\d+-edge\s+ttyS0/);
    expect(run.console).toMatch(/IR-PCI-MSI\s+\d+-edge\s+nvme0q1/);
    expect(run.guest.platform.iommu!.counts.interrupts).toBeGreaterThan(100);
  });

  it('drives the disk through it, without a fault or a stale use', () => {
    expect(run.console).toContain(`${createHash('md5').update(WRITTEN).digest('hex')}  -`);
    expect(Buffer.from(run.disk.read(0, WRITTEN.length)!).equals(WRITTEN)).toBe(true);
    const { counts } = run.guest.platform.iommu!;
    expect(counts.translations).toBeGreaterThan(500);
    expect([counts.blocked, counts.blockedInterrupts, run.faults, run.stale]).toEqual([0, 0, [], []]);
  });

  if (extra === 'iommu.strict=0')
    it('stops the disk at a page-table entry that is cleared under it, once the translation is invalidated', () => {
      const { guest, faults, stale } = run;
      const { memory } = guest.machine;
      const unit = guest.platform.iommu!;
      const { entry, address, domain } = firstMapping(guest);
      expect(unit.translate(NVME, address, 4, true)).toMatchObject({ kind: 'mapped' });
      const before = memory.read64(entry);
      memory.write64(entry, 0n);
      expect(unit.translate(NVME, address, 4, true)).toMatchObject({ kind: 'mapped' });
      expect(stale).toMatchObject([
        {
          cache: 'IOTLB',
          requester: NVME,
          cached: { address: entry, value: [before] },
          now: [0n],
          missing: expect.stringContaining('INVALIDATE_IOMMU_PAGES: domain '),
        },
      ]);
      // The next command of Linux's own ring.
      const tail = memory.read32(REGISTERS + 0x2008);
      const command = Number(memory.read64(REGISTERS + 0x08) & 0x000f_ffff_ffff_f000n) + tail;
      memory.write64(command, (3n << 60n) | (BigInt(domain) << 32n));
      memory.write64(command + 8, BigInt(address));
      memory.write32(REGISTERS + 0x2008, (tail + 16) % 8192);
      expect(unit.translate(NVME, address, 4, true)).toMatchObject({ kind: 'blocked' });
      expect(faults).toMatchObject([{ request: 'write', requester: NVME, address, code: 2, refusedBy: { address: entry, value: [0n] }, recorded: true }]);
      const logged = Number(memory.read64(REGISTERS + 0x10) & 0x000f_ffff_ffff_f000n) + ((memory.read32(REGISTERS + 0x2018) + 8192 - 16) % 8192);
      // IO_PAGE_FAULT, RW: "[IO_PAGE_FAULT device=00:04.0 domain=… flags=0x0020]".
      expect(memory.read64(logged)).toBe((2n << 60n) | (0x020n << 48n) | (BigInt(domain) << 32n) | BigInt(NVME));
      expect(memory.read64(logged + 8)).toBe(BigInt(address));
    });
});

/** The first page that Linux's tables map for the disk. */
function firstMapping({ machine: { memory } }: Guest): { entry: number; address: number; domain: number } {
  const deviceTable = Number(memory.read64(REGISTERS) & 0x000f_ffff_ffff_f000n);
  const [dte0, dte1] = [memory.read64(deviceTable + 32 * NVME), memory.read64(deviceTable + 32 * NVME + 8)];
  const search = (table: number, level: number, base: number): { entry: number; address: number } | undefined => {
    for (let i = 0; i < 512; i++) {
      const [entry, address] = [table + 8 * i, base + i * 2 ** (3 + 9 * level)];
      const value = memory.read64(entry);
      if ((value & 1n) === 0n) continue;
      const next = Number((value >> 9n) & 7n);
      const found = next === 0 ? { entry, address } : next === 7 ? undefined : search(Number(value & 0x000f_ffff_ffff_f000n), next, address);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return { ...search(Number(dte0 & 0x000f_ffff_ffff_f000n), Number((dte0 >> 9n) & 7n), 0)!, domain: Number(dte1 & 0xffffn) };
}
