import type { GuestRun, Script } from '../guest-run';
import { MARKER, bootDebian, expectHealthy } from './debian';

const PROMPT = 'guest# ';
const COMMANDS = [
  'uname -a',
  'cat /proc/cpuinfo',
  'cat /proc/interrupts',
  'i=0; while [ $i -lt 5 ]; do echo loop $i; i=$((i+1)); done',
  'time sleep 1',
  'dd if=/dev/zero of=/tmp/x bs=64k count=32 && md5sum /tmp/x',
  'dmesg | tail -n 3',
  'poweroff -f',
];
const SCRIPT: Script = COMMANDS.map((c) => [PROMPT, `${c}\n`] as const);

describe('Debian cloud kernel, bzImage', () => {
  let vmx: GuestRun;
  beforeAll(() => {
    vmx = bootDebian('vmx', {}, SCRIPT, { digest: true });
  });

  it('boots in VMX non-root operation to a shell that works, and powers off', () => {
    expectHealthy(vmx.console);
    expect(vmx.console).toContain(MARKER);
    expect(vmx.console).toMatch(/Linux \(none\) 6\.1\.\S+-cloud-amd64 .* x86_64 GNU\/Linux/);
    expect(vmx.console).toMatch(/model name\s+: vmexit/);
    expect(vmx.console).toMatch(/LOC:\s+\d+\s+Local timer interrupts/);
    expect(vmx.console).toContain('loop 4');
    expect(vmx.console).toMatch(/real\s+0m 1\.00s/);
    // MD5 of 2 MiB of zeroes.
    expect(vmx.console).toContain('b2d1236c286a3c0704224fe4105eca49');
    expect(vmx.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
    expect(vmx.exits).toBeGreaterThan(50_000);
  });

  it('prints the same bytes bare, timestamps included, and retires the same number of instructions', () => {
    const bare = bootDebian('bare', {}, SCRIPT);
    expect(bare.console).toBe(vmx.console);
    expect([bare.instructions, bare.time]).toEqual([vmx.instructions, vmx.time]);
    expect(bare.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
  });

  it('prints the same bytes under AMD-V with the same CPU identity, and retires the same number of instructions', () => {
    const svm = bootDebian('svm', {}, SCRIPT);
    expect(svm.console).toBe(vmx.console);
    expect([svm.instructions, svm.time]).toEqual([vmx.instructions, vmx.time]);
    expect(svm.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
  });

  it('has the same exits in a second run', () => {
    const again = bootDebian('vmx', {}, SCRIPT, { digest: true });
    expect(again.console).toBe(vmx.console);
    expect([again.exitDigest, again.instructions]).toEqual([vmx.exitDigest, vmx.instructions]);
  });

  it('boots with KASLR and the crypto self-tests on, and prints the same bytes bare', () => {
    const [run, bare] = (['vmx', 'bare'] as const).map((backend) => bootDebian(backend, { commandLine: 'console=ttyS0 panic=-1' }));
    expectHealthy(run.console);
    expect(run.console).toContain(MARKER);
    expect([bare.console, bare.instructions]).toEqual([run.console, run.instructions]);
  });
});

it('Debian cloud kernel finds KVM when it is shown one', () => {
  const run = bootDebian('vmx', { kvmParavirt: true });
  expectHealthy(run.console);
  expect(run.console).toContain('Hypervisor detected: KVM');
  expect(run.console).toContain('kvm-clock: Using msrs 4b564d01 and 4b564d00');
  expect(run.console).toContain(MARKER);
});

it('Debian cloud kernel, vmlinux through PVH, with 3 GiB of RAM: the same bytes bare and in a VM', () => {
  const [run, bare] = (['vmx', 'bare'] as const).map((backend) => bootDebian(backend, { image: 'vmlinux', memoryBytes: 3072 * 2 ** 20 }));
  expectHealthy(run.console);
  expect(run.console).toContain(MARKER);
  expect([bare.console, bare.instructions]).toEqual([run.console, run.instructions]);
});
