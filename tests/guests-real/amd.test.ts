/** Debian's cloud kernel on the bare machine with AMD's identity: what an AMD processor's kernel does that an Intel one's does not. */
import type { GuestRun, Script } from '../guest-run';
import { MARKER, bootDebian, expectHealthy, some } from './debian';

const PROMPT = 'guest# ';
/** Spins in user space: retired instructions are to be seen by the performance counter of the NMI watchdog. */
const SCRIPT: Script = [
  'cat /proc/cpuinfo',
  'cat /proc/mtrr',
  'cat /sys/devices/system/cpu/vulnerabilities/*',
  'dmesg -r -l err,crit,alert,emerg',
  'poweroff -f',
].map((c) => [PROMPT, `${c}\n`] as const);
/** What Linux says of registers, firmware and clocks that are not as they should be. */
const COMPLAINTS =
  /Firmware Bug|FW_BUG|unchecked MSR|Failed to access|Broken PMU|calibration failed|not work|microcode: .*fail|Vulnerable|disabled by BIOS|clocksource.*skew/i;

describe.each(some(1, ['amd-svm', 'amd']))('Debian cloud kernel, bare, --cpu %s', (cpu) => {
  let run: GuestRun;
  beforeAll(() => {
    run = bootDebian('bare', { cpu }, SCRIPT);
  });

  it('boots to a shell and powers off, without a complaint', () => {
    expect(run.console).toContain(MARKER);
    expectHealthy(run.console);
    expect(run.console).not.toMatch(COMPLAINTS);
    expect(run.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
  });
  it('knows an AMD processor', () => {
    expect(run.console).toMatch(/vendor_id\t: AuthenticAMD/);
    expect(run.console).toMatch(/cpu family\t: 25/);
    expect(run.console).toMatch(/smpboot: CPU0: vmexit AMD-compatible processor \(family: 0x19, model: 0x11, stepping: 0x1\)/);
    expect(/^flags\t.* svm /m.test(run.console)).toBe(cpu === 'amd-svm');
  });
  it('takes the paths of AMD processors', () => {
    // The time stamp counter is calibrated, because CPUID does not tell its frequency.
    expect(run.console).toMatch(/tsc: Fast TSC calibration using PIT/);
    expect(run.console).toMatch(/tsc: Detected (1000\.0\d\d|999\.9\d\d) MHz processor/);
    expect(run.console).toContain('Performance Events: AMD PMU driver.');
    expect(run.console).toContain('Mitigation: Enhanced / Automatic IBRS');
    expect(run.console).toContain('Last level dTLB entries: 4KB 3072, 2MB 3072, 4MB 1536, 1GB 0');
  });
});
