import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runGuest, type GuestRun, type Script } from '../guest-run';

/** Prepared by scripts/fetch-guests.sh from Debian packages. */
const CACHE = join(__dirname, '../../.cache/guests');
const file = (name: string): Uint8Array => {
  const path = join(CACHE, name);
  if (!existsSync(path)) throw new Error(`${path} is missing: run scripts/fetch-guests.sh first`);
  return readFileSync(path);
};

const MARKER = 'vmexit: user space reached';
const QUIET = 'console=ttyS0 panic=-1 nokaslr cryptomgr.notests';
const MEMORY = 256 << 20;
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

const boot = (
  backend: 'bare' | 'vmx',
  extra: { commandLine?: string; image?: string; frameSeed?: number; poison?: number; until?: string; digest?: boolean; memoryBytes?: number } = {},
): GuestRun =>
  runGuest(
    {
      image: file(extra.image ?? 'vmlinuz'),
      initrd: file('initramfs.cpio.gz'),
      commandLine: extra.commandLine ?? QUIET,
      memoryBytes: extra.memoryBytes ?? MEMORY,
      backend,
      frameSeed: extra.frameSeed,
      poison: extra.poison,
    },
    extra.until ? [] : SCRIPT,
    { until: extra.until, digest: extra.digest },
  );

function expectHealthy(console: string): void {
  expect(console).not.toMatch(/WARNING:|BUG:|Oops|Call Trace|Kernel panic|clocksource: .* unstable|soft lockup|unexpected/);
}

describe('Debian cloud kernel, bzImage', () => {
  let vmx: GuestRun;
  beforeAll(() => {
    vmx = boot('vmx', { digest: true });
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
    const bare = boot('bare');
    expect(bare.console).toBe(vmx.console);
    expect([bare.instructions, bare.time]).toEqual([vmx.instructions, vmx.time]);
    expect(bare.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
  });

  it('has the same exits in a second run, with other host frames behind its memory, and leaves the rest of the host alone', () => {
    const again = boot('vmx', { digest: true, frameSeed: 7, poison: 0xa5 });
    expect(again.console).toBe(vmx.console);
    expect([again.exitDigest, again.instructions]).toEqual([vmx.exitDigest, vmx.instructions]);
    const poisoned = Buffer.alloc(4096, 0xa5);
    for (const { base, size } of again.guest.freeFrames()) {
      for (let page = base; page < base + size; page += 4096) expect(Buffer.compare(again.guest.machine.memory.readBytes(page, 4096), poisoned)).toBe(0);
    }
  });

  it('boots with KASLR and the crypto self-tests on', () => {
    const run = boot('vmx', { commandLine: 'console=ttyS0 panic=-1', until: MARKER });
    expectHealthy(run.console);
    expect(run.console).toContain(MARKER);
  });
});

it('Debian cloud kernel finds KVM when it is shown one', () => {
  const run = runGuest(
    { image: file('vmlinuz'), initrd: file('initramfs.cpio.gz'), commandLine: QUIET, memoryBytes: MEMORY, backend: 'vmx', kvmParavirt: true },
    [],
    { until: MARKER },
  );
  expectHealthy(run.console);
  expect(run.console).toContain('Hypervisor detected: KVM');
  expect(run.console).toContain('kvm-clock: Using msrs 4b564d01 and 4b564d00');
  expect(run.console).toContain(MARKER);
});

it('Debian cloud kernel, vmlinux through PVH, with 3 GiB of RAM', () => {
  const run = boot('vmx', { image: 'vmlinux', until: MARKER, memoryBytes: 3072 * 2 ** 20 });
  expectHealthy(run.console);
  expect(run.console).toContain(MARKER);
});
