/** Snapshots of a running machine, wherever it stands: the run that goes on from one is the straight run. */
import { Activity } from '../../cpu/cpu';
import { Guest, seededEntropy, type GuestConfig } from '../../hypervisor/guest';
import type { GuestState } from '../../hypervisor/guest-state';
import { pagesBeside } from '../../memory/ram-state';
import { exactDigest, guestDigest } from '../guest-digest';
import { SNAPSHOT_KERNEL, snapshotKernelOutput } from './snapshot-kernel';
import { runs } from '../runs';

const LIMIT = 1e9;
const MEMORY = 16 << 20;

class Recorded {
  console = '';
  readonly guest: Guest;

  constructor(
    readonly backend: 'bare' | 'vmx' | 'svm',
    from?: GuestState,
    more: Partial<GuestConfig> = {},
  ) {
    const serialOutput = (byte: number): void => void (this.console += String.fromCharCode(byte));
    if (from !== undefined) this.guest = Guest.fromState(from, { serialOutput });
    else this.guest = new Guest({ image: SNAPSHOT_KERNEL, format: 'flat64', memoryBytes: MEMORY, backend, serialOutput, ...more });
  }

  /** To the end: what was printed on the way, and what then stands. */
  finish(): { console: string; stop: unknown; digest: string } {
    this.console = '';
    const stop = this.guest.run(LIMIT);
    return { console: this.console, stop, digest: guestDigest(this.guest) };
  }
}

const REP_STOSB = 0x10_00ab;
const REP_MOVSB = 0x10_00bc;
const PATCHED = 0x10_00c5;

/** Where a guest stands, as far as this test wants to have been there. */
function place({ guest, backend }: Recorded): string[] {
  const cpu = guest.machine.cpu;
  if (backend !== 'bare' && !cpu.guestMode) return [guest.vm!.vcpu.saveState().halted ? 'halted' : 'between exit and entry'];
  const places: string[] = [];
  if (cpu.activity === Activity.Halted) places.push('halted');
  if (cpu.inShadow()) places.push(cpu.shadowByMovSs ? 'shadow of MOV SS' : 'shadow of STI');
  const rip = Number(cpu.rip);
  // A REP instruction that has begun: its count is not what it was set to.
  if (rip === REP_STOSB && cpu.gpr32(1) < 1800) places.push('inside REP STOSB');
  if (rip === REP_MOVSB && cpu.gpr32(1) < 1500) places.push('inside REP MOVSB');
  if (rip === PATCHED) places.push('behind a change of the next instruction');
  if (rip > 0x10_0002 && rip < 0x10_0022) places.push('in the interrupt handler');
  return places;
}

const WANTED = ['halted', 'shadow of STI', 'inside REP STOSB', 'inside REP MOVSB', 'behind a change of the next instruction', 'in the interrupt handler'];

describe.each(['bare', 'vmx', 'svm'] as const)('%s', (backend) => {
  let straight: ReturnType<Recorded['finish']>;
  let instructions: number;
  beforeAll(() => {
    const run = new Recorded(backend);
    straight = run.finish();
    instructions = run.guest.instructions;
  });

  test('the straight run prints a letter a tick and powers off', () => {
    expect(straight.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
    expect(straight.console.length).toBeGreaterThanOrEqual(40);
    expect(straight.console).toBe(snapshotKernelOutput(straight.console.length));
    expect(instructions).toBeGreaterThan(50_000);
  });

  test('taking snapshots changes nothing', () => {
    const [run, without] = [new Recorded(backend), new Recorded(backend)];
    for (let tick = 2000; run.guest.run(tick).kind === 'limit'; tick += 2000) run.guest.saveState();
    for (let tick = 2000; without.guest.run(tick).kind === 'limit'; tick += 2000);
    expect([run.console, run.guest.instructions, guestDigest(run.guest)]).toEqual([straight.console, instructions, straight.digest]);
    // Not even of what is cached.
    expect(exactDigest(run.guest)).toBe(exactDigest(without.guest));
  });

  test('from every kind of place the run goes on the same: in this guest and in another', () => {
    const run = new Recorded(backend);
    const wanted = new Map<string, { state: GuestState; printed: number }>();
    // Steps of a prime number of ticks, and one by one for two rounds of the loop.
    for (let tick = 1; run.guest.run(tick).kind === 'limit'; tick += tick > 2000 && tick < 12_000 ? 1 : 499) {
      for (const name of place(run)) if (!wanted.has(name)) wanted.set(name, { state: run.guest.saveState(), printed: run.console.length });
    }
    expect([...wanted.keys()]).toEqual(expect.arrayContaining([...WANTED, ...(backend === 'bare' ? ['shadow of MOV SS'] : [])]));
    for (const { state, printed } of wanted.values()) {
      const expected = { ...straight, console: straight.console.slice(printed) };
      run.guest.restoreState(state);
      expect(run.finish()).toEqual(expected);
      const copy = new Recorded(backend, structuredClone(state));
      expect(copy.finish()).toEqual(expected);
      expect(exactDigest(copy.guest)).toBe(exactDigest(run.guest));
    }
  });

  test('backwards and forwards between many snapshots of one run', () => {
    const run = new Recorded(backend);
    const points: { state: GuestState; digest: string }[] = [];
    for (let tick = 1999; run.guest.run(tick).kind === 'limit'; tick += 3989) points.push({ state: run.guest.saveState(), digest: guestDigest(run.guest) });
    expect(points.length).toBeGreaterThan(15);
    // Each one after each other one would take long: a walk that meets near and far neighbours in both directions.
    for (let i = 0, n = 0; n < runs(1) * points.length; n++, i = (i * 7 + 5) % points.length) {
      run.guest.restoreState(points[i].state);
      expect(guestDigest(run.guest)).toBe(points[i].digest);
      run.guest.run(run.guest.time + 701 * (n % 5));
    }
    run.guest.restoreState(points[0].state);
    run.console = '';
    expect(run.finish().digest).toBe(straight.digest);
  });

  test('a snapshot costs the pages written since the one before', () => {
    const { guest } = new Recorded(backend);
    guest.run(10_000);
    const first = guest.saveState();
    const again = guest.saveState();
    expect(pagesBeside(again.machine.ram, first.machine.ram)).toBe(0);
    guest.run(20_000);
    const second = guest.saveState();
    // The buffers (two pages each), stack, code, and what the hypervisor writes: VMCS, root stack.
    expect(pagesBeside(second.machine.ram, first.machine.ram)).toBeGreaterThan(2);
    expect(pagesBeside(second.machine.ram, first.machine.ram)).toBeLessThan(16);
    expect(pagesBeside(first.machine.ram, undefined)).toBeGreaterThan(10);
  });
});

test('the snapshot of a powered-off guest is powered off', () => {
  const run = new Recorded('vmx');
  const { stop } = run.finish();
  expect(new Recorded('vmx', run.guest.saveState()).guest.run(LIMIT)).toEqual(stop);
});

test('a stop that was asked for and has not happened is part of the snapshot', () => {
  const run = new Recorded('bare');
  run.guest.run(1000);
  run.guest.stop();
  const copy = new Recorded('bare', run.guest.saveState());
  expect(copy.guest.run(LIMIT).kind).toBe('stopped');
  expect(copy.guest.run(LIMIT).kind).toBe('ended');
});

describe('refused, with a reason', () => {
  test('inside run()', () => {
    let refusal: unknown;
    const guest: Guest = new Guest({
      image: SNAPSHOT_KERNEL,
      format: 'flat64',
      memoryBytes: MEMORY,
      backend: 'bare',
      serialOutput: () => {
        try {
          guest.saveState();
        } catch (error) {
          refusal = error;
        }
      },
    });
    guest.run(LIMIT);
    expect(String(refusal)).toMatch(/cannot be taken while the guest runs: call stop\(\)/);
  });

  test('into a guest with other settings, which stays as it was', () => {
    const bare = new Recorded('bare').guest;
    const vmx = new Recorded('vmx', undefined, { hpet: false }).guest;
    vmx.run(5000);
    const before = guestDigest(vmx);
    expect(() => vmx.restoreState(bare.saveState())).toThrow(
      /backend is "bare" there and "vmx" here; hpet is the default there and false here.*Guest\.fromState/,
    );
    expect(guestDigest(vmx)).toBe(before);
  });

  test('an entropy source without state', () => {
    const { guest } = new Recorded('bare', undefined, { entropy: { next: () => 4n } });
    expect(() => guest.saveState()).toThrow(/the entropy source given to this guest cannot be part of a snapshot: it has no saveState\(\)/);
  });
});

test('random numbers go on where they were', () => {
  const source = seededEntropy(7);
  source.next();
  const state = source.saveState();
  const expected = [source.next(), source.next()];
  const other = seededEntropy(0);
  other.restoreState(state);
  expect([other.next(), other.next()]).toEqual(expected);
});

test('host frames in another order, poisoned, no HPET, KVM leaves: settings come back from the snapshot', () => {
  const run = new Recorded('vmx', undefined, { frameSeed: 9, poison: 0xa5, hpet: false, kvmParavirt: true });
  run.guest.run(30_000);
  const copy = new Recorded('vmx', structuredClone(run.guest.saveState()));
  expect(copy.finish()).toEqual(run.finish());
});
