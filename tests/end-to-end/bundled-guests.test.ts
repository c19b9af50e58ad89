import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runGuest } from '../guest-run';

const image = (name: string): Uint8Array => readFileSync(join(__dirname, `../../guests/bundled/${name}/${name}.elf`));
const MEMORY = 256 << 20;

/** Printed by the same image under `qemu-system-x86_64 -kernel bench.elf -append quick` (TCG, QEMU 7.2). */
const QEMU_CHECKS: Record<string, string> = {
  alu: 'fa9832e5ba64f22b',
  memory: '1a3f0618996e8',
  fib: '452f',
  bytecode: '4bcbb7c22bc',
  'copy-32MiB-apart': '9e3779b97f4a7c15',
  xorshift: '1c1f81d09eb79b68',
  crc32: 'becc196c',
  sieve: '2dd6',
  'pointer-chase': '6712',
  mandelbrot: '4056',
  'page-fault': '31fb00',
  syscall: '30d4',
  interrupt: '186a',
  'port-io': '124f80',
  'port-out': '30d4',
  mmio: '4630c',
  cpuid: '30d4',
  cr3: '4e2',
  'self-modifying': '2faa26',
};

describe.each(['bare', 'vmx', 'svm'] as const)('bundled guests (%s)', (backend) => {
  it('hello says hello and powers off', () => {
    const run = runGuest({ image: image('hello'), memoryBytes: MEMORY, backend });
    expect(run.console).toContain('Hello from 64-bit long mode.');
    expect(run.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
  });

  it('the tour takes every stop', () => {
    const run = runGuest({ image: image('tour'), memoryBytes: MEMORY, backend });
    expect(run.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
    for (let stop = 1; stop <= 13; stop++) expect(run.console).toContain(`[${String(stop).padStart(2)}] `);
    expect(run.console).toContain('good-bye');
    expect(run.console).not.toMatch(/unexpected/);
  });

  it('bench computes what QEMU computes', () => {
    const run = runGuest({ image: image('bench'), memoryBytes: MEMORY, backend, commandLine: 'quick' });
    expect(run.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
    const rows = Object.fromEntries([...run.console.matchAll(/^(\S+) +(\d+) +([0-9a-f]+) +\d+\r?$/gm)].map((m) => [m[1], m[3]]));
    expect(rows).toEqual(QEMU_CHECKS);
  });
});

describe('bare and in a VM', () => {
  it.each(['hello', 'tour'])('%s prints the same bytes and retires the same instructions', (name) => {
    const bare = runGuest({ image: image(name), memoryBytes: MEMORY, backend: 'bare' });
    for (const backend of ['vmx', 'svm'] as const) {
      const vm = runGuest({ image: image(name), memoryBytes: MEMORY, backend });
      expect(vm.console).toBe(bare.console);
      expect([vm.instructions, vm.time]).toEqual([bare.instructions, bare.time]);
    }
  });

  it.each(['vmx', 'svm'] as const)('%s does not depend on which host frames stand behind guest memory, and touches no other', (backend) => {
    const runs = [1, 2].map((frameSeed) => runGuest({ image: image('tour'), memoryBytes: 64 << 20, backend, frameSeed, poison: 0xa5 }));
    const plain = runGuest({ image: image('tour'), memoryBytes: 64 << 20, backend });
    for (const run of runs) {
      expect(run.console).toBe(plain.console);
      const memory = run.guest.machine.memory;
      const poisoned = Buffer.alloc(4096, 0xa5);
      for (const { base, size } of run.guest.freeFrames()) {
        for (let page = base; page < base + size; page += 4096) expect(Buffer.compare(memory.readBytes(page, 4096), poisoned)).toBe(0);
      }
    }
  });

  it.each(['vmx', 'svm'] as const)('%s: two runs have the same exits', (backend) => {
    const [a, b] = [0, 1].map(() => runGuest({ image: image('tour'), memoryBytes: MEMORY, backend }, [], { digest: true }));
    expect(a.exits).toBeGreaterThan(1000);
    expect([b.exitDigest, b.instructions]).toEqual([a.exitDigest, a.instructions]);
  });
});
