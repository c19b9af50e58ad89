/** Debian's cloud kernel with a busybox initramfs, as the tests of real guests boot it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestConfig } from '../../hypervisor/guest';
import { runGuest, type GuestRun, type RunOptions, type Script } from '../guest-run';

/** Prepared by scripts/fetch-guests.sh from Debian packages. */
const CACHE = join(__dirname, '../../.cache/guests');

export const debianFile = (name: string): Uint8Array => {
  const path = join(CACHE, name);
  if (!existsSync(path)) throw new Error(`${path} is missing: run scripts/fetch-guests.sh first`);
  return readFileSync(path);
};

/** The initramfs prints it from user space. */
export const MARKER = 'vmexit: user space reached';
export const QUIET = 'console=ttyS0 panic=-1 nokaslr cryptomgr.notests';
export const MEMORY = 256 << 20;

export const everything = process.env.VMEXIT_TESTS === 'all';
/**
 * The first `count` of the cases; all of them with VMEXIT_TESTS=all in the environment. For variants that show once more, on another kernel,
 * backend or seed, what the first one shows: a boot takes a while.
 */
export const some = <T>(count: number, cases: readonly T[]): T[] => (everything ? [...cases] : cases.slice(0, count));

type Backend = GuestConfig['backend'];
type Extra = Partial<Omit<GuestConfig, 'image' | 'backend'>> & { readonly image?: string };

/** Boots to the marker, or to the end of `script`. */
export function bootDebian(backend: Backend, extra: Extra = {}, script: Script = [], options: RunOptions = {}): GuestRun {
  const { image = 'vmlinuz', ...config } = extra;
  return runGuest(
    { commandLine: QUIET, memoryBytes: MEMORY, ...config, image: debianFile(image), initrd: debianFile('initramfs.cpio.gz'), backend },
    script,
    script.length === 0 ? { until: MARKER, ...options } : options,
  );
}

/** Nothing in the log that a kernel says of a broken machine. */
export function expectHealthy(console: string): void {
  expect(console).not.toMatch(/WARNING:|BUG:|Oops|Call Trace|Kernel panic|clocksource: .* unstable|soft lockup|unexpected/);
}
