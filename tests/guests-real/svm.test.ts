/** Debian's kernels under AMD-V, on a processor that says it is AMD's. */
import { MARKER, bootDebian, expectHealthy, some } from './debian';

const AMD = { cpu: 'amd' } as const;

it('the cloud kernel takes its AMD paths, and is the same under AMD-V, under VT-x and bare: bytes, instructions and time', () => {
  const svm = bootDebian('svm', AMD);
  expectHealthy(svm.console);
  expect(svm.console).toContain('CPU0: vmexit AMD-compatible processor (family: 0x19');
  expect(svm.console).toContain('Performance Events: AMD PMU driver.');
  expect(svm.console).toContain('Enhanced / Automatic IBRS');
  expect(svm.console).toContain(MARKER);
  for (const backend of ['bare', 'vmx'] as const) {
    const other = bootDebian(backend, AMD);
    expect(other.console).toBe(svm.console);
    expect([other.instructions, other.time]).toEqual([svm.instructions, svm.time]);
  }
});

it('a second run with permuted host frames and poisoned free ones is the same', () => {
  const [plain, moved] = [{}, { frameSeed: 7, poison: 0xa5 }].map((more) => bootDebian('svm', { ...AMD, ...more }, [], { digest: true }));
  expect(moved.console).toBe(plain.console);
  expect([moved.exitDigest, moved.instructions]).toEqual([plain.exitDigest, plain.instructions]);
});

it('the cloud kernel with KASLR and the crypto self-tests on', () => {
  const run = bootDebian('svm', { ...AMD, commandLine: 'console=ttyS0 panic=-1' });
  expectHealthy(run.console);
  expect(run.console).toContain(MARKER);
});

it('vmlinux through PVH, with 3 GiB of RAM', () => {
  const run = bootDebian('svm', { ...AMD, image: 'vmlinux', memoryBytes: 3072 * 2 ** 20 });
  expectHealthy(run.console);
  expect(run.console).toContain(MARKER);
});

describe('the full Debian kernel', () => {
  it.each(some(1, [['svm', 'amd'] as const, ['vmx', 'intel'] as const]))('%s: the same bytes as bare', (backend, cpu) => {
    const [run, bare] = ([backend, 'bare'] as const).map((b) => bootDebian(b, { cpu, image: 'vmlinuz-full' }));
    expectHealthy(run.console);
    expect(run.console).toMatch(/Linux version 6\.1\.\S+-amd64 /);
    expect(run.console).toContain(MARKER);
    expect([bare.console, bare.instructions]).toEqual([run.console, run.instructions]);
  });
});
