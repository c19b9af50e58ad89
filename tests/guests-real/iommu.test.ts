/** Debian's cloud kernel on the bare Intel machine with VT-d: DMA remapping and interrupt remapping as Linux drives them. */
import type { RemappingFault, StaleUse } from '../../iommu/remapping';
import type { GuestRun, Script } from '../guest-run';
import { MARKER, QUIET, bootDebian, expectHealthy, some } from './debian';

const PROMPT = 'guest# ';
const SCRIPT: Script = ['dmesg | grep -iE "dmar|iommu|remapp"', 'cat /proc/interrupts', 'ls /sys/kernel/iommu_groups', 'poweroff -f'].map(
  (c) => [PROMPT, `${c}\n`] as const,
);

describe.each(some(1, ['', 'iommu=pt', 'iommu.strict=1']))('Debian cloud kernel, bare, intel_iommu=on %s', (extra) => {
  let run: GuestRun;
  const faults: RemappingFault[] = [];
  const stale: StaleUse[] = [];
  beforeAll(() => {
    const prepare = ({ platform }: GuestRun['guest']): void => {
      platform.iommu!.observer = { fault: (f) => void faults.push(f), stale: (s) => void stale.push(s) };
    };
    run = bootDebian('bare', { iommu: true, commandLine: `${QUIET} intel_iommu=on ${extra}` }, SCRIPT, { prepare });
  });

  it('boots to a shell and powers off, without a complaint', () => {
    expect(run.console).toContain(MARKER);
    expectHealthy(run.console);
    expect(run.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
  });
  it('finds the unit by its ACPI table and switches it on', () => {
    expect(run.console).toMatch(/DMAR: Host address width 46/);
    expect(run.console).toMatch(/DMAR: DRHD base: 0x000000fed90000 flags: 0x1/);
    expect(run.console).toMatch(/DMAR-IR: Enabled IRQ remapping in x2apic mode/);
    expect(run.console).toMatch(/DMAR: Intel\(R\) Virtualization Technology for Directed I\/O/);
  });
  it('gets its interrupts through the remapping table, without a fault', () => {
    expect(run.console).toMatch(/IR-IO-APIC +4-edge +ttyS0/);
    expect(run.guest.platform.iommu!.counts.interrupts).toBeGreaterThan(100);
    expect(faults).toEqual([]);
    expect(stale).toEqual([]);
  });
});
