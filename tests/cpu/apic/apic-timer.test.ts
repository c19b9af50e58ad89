/** SDM "APIC Timer", "TSC-Deadline Mode". The input clock is 25 MHz: 40 ns a cycle. */
import { ApicBench, MASKED, PAGE } from './apic-bench';

const ONE = 0xb;
const PERIODIC = 0x2_0000;
const DEADLINE = 0x4_0000;
const TSC_DEADLINE = 0x6e0;

function timer(lvt: number, divide = ONE) {
  const b = ApicBench.enabled();
  b.set(PAGE.DIVIDE, divide);
  b.set(PAGE.LVT_TIMER, lvt);
  return b;
}
/** Takes and ends everything pending. */
function served(b: ApicBench): number[] {
  const taken = b.takeAll();
  for (let i = 0; i < taken.length; i++) b.set(PAGE.EOI, 0);
  return taken;
}

test.each([
  [0x0, 2], [0x1, 4], [0x2, 8], [0x3, 16], [0x8, 32], [0x9, 64], [0xa, 128], [0xb, 1],
])('divide configuration %p divides by %p', (divide, by) => {
  const b = timer(0x40, divide);
  b.set(PAGE.INITIAL, 10);
  b.bench.advance(40 * by * 4 - 1);
  expect(b.get(PAGE.CURRENT)).toBe(7);
  b.bench.advance(1);
  expect(b.get(PAGE.CURRENT)).toBe(6);
}); // prettier-ignore

test('one-shot: one interrupt when the count reaches 0, and it stays there', () => {
  const b = timer(0x40);
  b.set(PAGE.INITIAL, 100);
  b.bench.advance(3999);
  expect([b.get(PAGE.CURRENT), b.apic.pending()]).toEqual([1, false]);
  b.bench.advance(1);
  expect([b.get(PAGE.CURRENT), b.takeAll(), b.get(PAGE.INITIAL)]).toEqual([0, [0x40], 100]);
  b.set(PAGE.EOI, 0);
  b.bench.advance(100_000);
  expect(b.takeAll()).toEqual([]);
});

test('periodic: reloads, at exact distances', () => {
  const b = timer(PERIODIC | 0x40);
  b.set(PAGE.INITIAL, 25);
  const times: number[] = [];
  for (let t = 0; t < 5200; t += 10) {
    b.bench.advance(10);
    if (served(b).length > 0) times.push(b.bench.now);
  }
  expect(times).toEqual([1000, 2000, 3000, 4000, 5000]);
  expect(b.get(PAGE.CURRENT)).toBe(20);
});

test('an initial count of 0 stops both modes', () => {
  for (const mode of [0, PERIODIC]) {
    const b = timer(mode | 0x40);
    b.set(PAGE.INITIAL, 100);
    b.set(PAGE.INITIAL, 0);
    b.bench.advance(1e6);
    expect([b.apic.pending(), b.get(PAGE.CURRENT)]).toEqual([false, 0]);
  }
});

test('a masked timer counts without interrupting; unmasked later it goes on in step', () => {
  const b = timer(PERIODIC | MASKED | 0x40);
  b.set(PAGE.INITIAL, 25);
  b.bench.advance(2400);
  expect([b.apic.pending(), b.get(PAGE.CURRENT)]).toEqual([false, 15]);
  b.set(PAGE.LVT_TIMER, PERIODIC | 0x40);
  b.bench.advance(599);
  expect(b.apic.pending()).toBe(false);
  b.bench.advance(1);
  expect(b.apic.pending()).toBe(true);
});

test('a masked one-shot that ran out has run out: unmasking brings nothing', () => {
  const b = timer(MASKED | 0x40);
  b.set(PAGE.INITIAL, 25);
  b.bench.advance(2000);
  b.set(PAGE.LVT_TIMER, 0x40);
  b.bench.advance(1e6);
  expect([b.apic.pending(), b.get(PAGE.CURRENT)]).toEqual([false, 0]);
});

test('periodic -> one-shot goes on counting and stops at 0; back to periodic it stays at 0', () => {
  const b = timer(PERIODIC | 0x40);
  b.set(PAGE.INITIAL, 100);
  b.bench.advance(2000);
  b.set(PAGE.LVT_TIMER, 0x40);
  expect([b.get(PAGE.INITIAL), b.get(PAGE.CURRENT)]).toEqual([100, 50]);
  b.bench.advance(2000);
  expect([b.get(PAGE.CURRENT), served(b)]).toEqual([0, [0x40]]);
  b.set(PAGE.LVT_TIMER, PERIODIC | 0x40);
  b.bench.advance(100_000);
  expect([b.get(PAGE.CURRENT), served(b)]).toEqual([0, []]);
});

test('one-shot -> periodic while it counts: reloads when it gets to 0', () => {
  const b = timer(0x40);
  b.set(PAGE.INITIAL, 100);
  b.bench.advance(2000);
  b.set(PAGE.LVT_TIMER, PERIODIC | 0x40);
  b.bench.advance(2000);
  expect(served(b)).toEqual([0x40]);
  b.bench.advance(4000);
  expect(served(b)).toEqual([0x40]);
});

test('a new divide configuration changes the rate from here on', () => {
  const b = timer(0x40);
  b.set(PAGE.INITIAL, 100);
  b.bench.advance(2000);
  b.set(PAGE.DIVIDE, 0); // by 2
  expect(b.get(PAGE.CURRENT)).toBe(50);
  b.bench.advance(3999);
  expect(b.apic.pending()).toBe(false);
  b.bench.advance(1);
  expect(b.apic.pending()).toBe(true);
});

test('time that jumps over many periods is one interrupt', () => {
  const b = timer(PERIODIC | 0x40);
  b.set(PAGE.INITIAL, 1);
  b.bench.advanceTo(39);
  // A jump as HLT makes it: the scheduler runs at the end of it.
  const jump = 1_000_000_007;
  (b.bench as unknown as { time: number }).time = jump;
  b.bench.scheduler.run(jump);
  expect(served(b)).toEqual([0x40]);
  expect(b.bench.scheduler.next).toBe(1_000_000_040);
});

describe('TSC-deadline mode', () => {
  test('interrupts when the TSC gets there, disarms, and reads 0', () => {
    const b = timer(DEADLINE | 0x40);
    b.tscOffset = 1n << 40n;
    b.apic.writeMsr(TSC_DEADLINE, (1n << 40n) + 1000n);
    b.bench.advance(999);
    expect([b.apic.pending(), b.apic.readMsr(TSC_DEADLINE)]).toEqual([false, (1n << 40n) + 1000n]);
    b.bench.advance(1);
    expect([b.takeAll(), b.apic.readMsr(TSC_DEADLINE)]).toEqual([[0x40], 0n]);
  });

  test('a deadline in the past interrupts at once; 0 disarms', () => {
    const b = timer(DEADLINE | 0x40);
    b.bench.advance(5000);
    b.apic.writeMsr(TSC_DEADLINE, 1n);
    b.bench.advance(0);
    expect(b.takeAll()).toEqual([0x40]);
    b.apic.writeMsr(TSC_DEADLINE, 9000n);
    b.apic.writeMsr(TSC_DEADLINE, 0n);
    b.bench.advance(1e6);
    expect(b.bench.scheduler.next).toBe(Infinity);
  });

  test('a deadline beyond all time is kept and never comes', () => {
    const b = timer(DEADLINE | 0x40);
    b.apic.writeMsr(TSC_DEADLINE, (1n << 64n) - 1n);
    b.bench.advance(1e12);
    expect([b.apic.pending(), b.apic.readMsr(TSC_DEADLINE)]).toEqual([false, (1n << 64n) - 1n]);
  });

  test('writing the same deadline again after the TSC moved arms for the new time', () => {
    const b = timer(DEADLINE | 0x40);
    b.apic.writeMsr(TSC_DEADLINE, 10_000n);
    b.tscOffset = 9_000n;
    b.apic.writeMsr(TSC_DEADLINE, 10_000n);
    b.bench.advance(1000);
    expect(b.takeAll()).toEqual([0x40]);
  });

  test('the counter is out of use: initial count writes are ignored, current count reads 0', () => {
    const b = timer(DEADLINE | 0x40);
    b.set(PAGE.INITIAL, 100);
    expect([b.get(PAGE.INITIAL), b.get(PAGE.CURRENT)]).toEqual([0, 0]);
  });

  test('in other modes the MSR reads 0 and writes are ignored', () => {
    const b = timer(0x40);
    expect(b.apic.writeMsr(TSC_DEADLINE, 100n)).toBe(true);
    expect(b.apic.readMsr(TSC_DEADLINE)).toBe(0n);
    b.bench.advance(1000);
    expect(b.apic.pending()).toBe(false);
  });

  test('going into and out of the mode disarms', () => {
    const b = timer(0x40);
    b.set(PAGE.INITIAL, 100);
    b.set(PAGE.LVT_TIMER, DEADLINE | 0x40);
    b.bench.advance(10_000);
    expect(b.apic.pending()).toBe(false);
    b.apic.writeMsr(TSC_DEADLINE, 20_000n);
    b.set(PAGE.LVT_TIMER, 0x40);
    b.bench.advance(50_000);
    expect([b.apic.pending(), b.get(PAGE.CURRENT)]).toEqual([false, 0]);
    b.set(PAGE.LVT_TIMER, DEADLINE | 0x40);
    expect(b.apic.readMsr(TSC_DEADLINE)).toBe(0n);
  });

  test('a processor without it: #GP, and the mode bit does not stick', () => {
    const b = ApicBench.enabled({ tscDeadline: false });
    expect([b.apic.readMsr(TSC_DEADLINE), b.apic.writeMsr(TSC_DEADLINE, 1n)]).toEqual([undefined, false]);
    b.set(PAGE.LVT_TIMER, DEADLINE | 0x40);
    expect(b.get(PAGE.LVT_TIMER)).toBe(0x40);
  });
});
