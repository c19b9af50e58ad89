/** Snapshots of a booting Linux: bare and in a VM, at fixed instruction counts and at awkward places, here and in another process. */
import { execFileSync } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeSnapshot } from '../../debugger/snapshot/file';
import { Activity } from '../../cpu/cpu';
import { Guest } from '../../hypervisor/guest';
import type { GuestState } from '../../hypervisor/guest-state';
import type { VcpuObserver } from '../../hypervisor/vcpu';
import { guestDigest } from '../guest-digest';
import { some } from './debian';

/** Prepared by scripts/fetch-guests.sh from Debian packages. */
const CACHE = join(__dirname, '../../.cache/guests');
const file = (name: string): Uint8Array => {
  const path = join(CACHE, name);
  if (!existsSync(path)) throw new Error(`${path} is missing: run scripts/fetch-guests.sh first`);
  return readFileSync(path);
};

/** User space has been reached, and the shell waits for what nobody types: the processor halts, and timers wake it now and then. */
const END = 950_000_000;
const IDLE = 690_000_000;
/** The decompressor, early kernel, drivers, user space. */
const COUNTS = [30_000_000, 250_000_000, 500_000_000, 640_000_000];

/** A guest whose output and exits are watched from the moment it is made. */
class Watched {
  console = '';
  private readonly exits: Hash = createHash('sha256');
  readonly guest: Guest;

  constructor(backend: 'bare' | 'vmx' | 'svm', from?: GuestState) {
    const serialOutput = (byte: number): void => void (this.console += String.fromCharCode(byte));
    const observer: VcpuObserver = {
      exit: ({ instructions, rip, raw }) => void this.exits.update(`${instructions} ${rip} ${raw.code} ${raw.qualification}\n`),
    };
    if (from !== undefined) this.guest = Guest.fromState(from, { serialOutput, observer });
    else {
      const commandLine = 'console=ttyS0 panic=-1 nokaslr cryptomgr.notests';
      this.guest = new Guest({
        image: file('vmlinuz'),
        initrd: file('initramfs.cpio.gz'),
        commandLine,
        memoryBytes: 256 << 20,
        backend,
        serialOutput,
        observer,
      });
    }
  }

  /** Everything observable of running to `limit`; `exits` covers those since this object was made. */
  to(limit: number): { console: string; instructions: number; digest: string } {
    this.guest.run(limit);
    return { console: this.console, instructions: this.guest.instructions, digest: guestDigest(this.guest) };
  }

  exitDigest(): string {
    return this.exits.copy().digest('hex');
  }
}

describe.each(some(1, ['vmx', 'bare', 'svm'] as const))('the cloud kernel, %s', (backend) => {
  let end: { console: string; instructions: number; digest: string };
  let exitDigest: string;
  const snapshots: { state: GuestState; printed: number; exits: string }[] = [];
  beforeAll(() => {
    const straight = new Watched(backend);
    end = straight.to(END);
    exitDigest = straight.exitDigest();
    expect(end.console).toContain('vmexit: user space reached');
  });

  const expectedFrom = (printed: number) => ({ ...end, console: end.console.slice(printed) });

  it('runs the same while snapshots are taken', () => {
    const run = new Watched(backend);
    for (const count of COUNTS) {
      run.guest.run(count);
      expect(run.guest.instructions).toBeLessThanOrEqual(count);
      snapshots.push({ state: run.guest.saveState(), printed: run.console.length, exits: run.exitDigest() });
    }
    expect(run.to(END)).toEqual(end);
    expect(run.exitDigest()).toBe(exitDigest);
    // Back to each of them, last first, in the guest that has been at the end.
    for (const { state, printed } of [...snapshots].reverse()) {
      run.guest.restoreState(state);
      run.console = '';
      expect(run.to(END)).toEqual(expectedFrom(printed));
    }
  });

  it('runs the same in fresh guests, with the same exits', () => {
    const digests = new Set<string>();
    for (const { state, printed } of [snapshots[2], structuredClone(snapshots[2])]) {
      const run = new Watched(backend, state);
      expect(run.to(END)).toEqual(expectedFrom(printed));
      digests.add(run.exitDigest());
    }
    expect(digests.size).toBe(1);
  });

  it('goes on from a file in another process', () => {
    const folder = mkdtempSync(join(tmpdir(), 'snapshot-'));
    try {
      const path = join(folder, 'guest.snapshot');
      const { state, printed } = snapshots[2];
      writeSnapshot(path, state);
      const script = join(__dirname, 'go-on.ts');
      const options = { cwd: join(__dirname, '../..'), encoding: 'utf8', maxBuffer: 1 << 26 } as const;
      const output = execFileSync(process.execPath, ['-r', 'ts-node/register', script, path, `${END}`], options);
      expect(JSON.parse(output)).toEqual(expectedFrom(printed));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('goes on from inside REP, from an interrupt shadow, and halted', () => {
    const run = new Watched(backend, snapshots[3].state);
    const { guest } = run;
    const { cpu } = guest.machine;
    const found = new Map<string, GuestState>();
    let before = -1n;
    for (let steps = 0; found.size < 2 && steps < 2_000_000; steps++) {
      guest.run(guest.time + 1);
      const rip = guest.vm === undefined || cpu.guestMode ? cpu.rip : -1n;
      const place = rip < 0n ? undefined : cpu.inShadow() ? 'shadow' : rip === before ? 'inside REP' : undefined;
      if (place !== undefined && !found.has(place)) found.set(place, guest.saveState());
      before = rip;
    }
    guest.run(IDLE);
    expect(guest.vm ? guest.vm.vcpu.saveState().halted : cpu.activity === Activity.Halted).toBe(true);
    found.set('halted', guest.saveState());
    expect([...found.keys()].sort()).toEqual(['halted', 'inside REP', 'shadow']);
    for (const state of found.values()) {
      const copy = new Watched(backend, structuredClone(state));
      expect({ ...copy.to(END), console: '' }).toEqual({ ...end, console: '' });
      guest.restoreState(state);
      expect({ ...run.to(END), console: '' }).toEqual({ ...end, console: '' });
    }
  });
});
