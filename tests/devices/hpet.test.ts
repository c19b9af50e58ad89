import { Hpet } from '../../devices/hpet';
import { TestBench, Wire } from './test-bench';

function setup() {
  const bench = new TestBench();
  const [irq0, irq8, pin20, pin21] = [new Wire(bench), new Wire(bench), new Wire(bench), new Wire(bench)];
  const routes = new Map([
    [20, pin20],
    [21, pin21],
  ]);
  const hpet = new Hpet({ scheduler: bench.scheduler, irq0, irq8, routes });
  const get = (offset: number): number => hpet.readMmio(offset, 4) >>> 0;
  const set = (offset: number, value: number): void => hpet.writeMmio(offset, 4, value);
  return { bench, irq0, irq8, pin20, pin21, hpet, get, set };
}

test('capabilities: Intel, three 64-bit timers, legacy replacement, a period Linux accepts', () => {
  const { get } = setup();
  const id = get(0);
  expect(id >>> 16).toBe(0x8086);
  expect(id & 0xff).not.toBe(0);
  expect(((id >> 8) & 0x1f) + 1).toBe(3);
  expect(id & 0xa000).toBe(0xa000);
  expect(get(4)).toBe(10_000_000); // <= 100,000,000 fs
  expect(get(0x100) & 0x8030).toBe(0x0030);
  expect(get(0x120) & 0x8030).toBe(0x0020);
  expect(get(0x104)).toBe(0x0030_0000);
});

test('main counter: halted, set in halves, running from there', () => {
  const { bench, get, set } = setup();
  bench.advance(12_345);
  expect(get(0xf0)).toBe(0);
  set(0xf0, 0xffff_fff0);
  set(0xf4, 0x1);
  set(0x10, 1);
  bench.advance(159);
  expect([get(0xf0), get(0xf4)]).toEqual([0xffff_ffff, 1]);
  bench.advance(1);
  expect([get(0xf0), get(0xf4)]).toEqual([0, 2]);
  set(0x10, 0);
  bench.advance(1000);
  expect([get(0xf0), get(0xf4)]).toEqual([0, 2]);
});

test('Linux periodic set-up: VAL_SET, comparator, then period', () => {
  const { bench, irq0, get, set } = setup();
  set(0x10, 3);
  bench.advance(1_000);
  set(0x100, 0x04 | 0x08 | 0x40 | 0x100); // INT_ENB, periodic, VAL_SET, 32-bit
  set(0x108, 100 + 5_000);
  expect(get(0x100) & 0x40).toBe(0);
  set(0x108, 10_000);
  bench.advanceTo(400_000);
  expect(irq0.riseTimes).toEqual([51_000, 151_000, 251_000, 351_000]);
  expect(get(0x108)).toBe(100 + 5_000 + 40_000);
});

test('one-shot on a 32-bit timer fires at equality only', () => {
  const { bench, irq0, get, set } = setup();
  set(0x10, 3);
  set(0x100, 0x104);
  set(0x108, get(0xf0) + 1_000);
  bench.advanceTo(1_000_000);
  expect(irq0.riseTimes).toEqual([10_000]);
  set(0x108, get(0xf0) - 1); // in the past: one wrap to wait
  bench.advance(1_000_000);
  expect(irq0.rises).toBe(1);
  bench.advance(2 ** 32 * 10);
  expect(irq0.rises).toBe(2);
});

test('level mode: status bit holds the line until it is written 1', () => {
  const { bench, pin21, irq8, get, set } = setup();
  set(0x10, 1);
  set(0x140, 0x06 | (21 << 9));
  expect((get(0x140) >> 9) & 31).toBe(21);
  set(0x148, 500);
  set(0x14c, 0);
  bench.advance(5_000);
  expect([pin21.level, irq8.level, get(0x20)]).toEqual([true, false, 4]);
  set(0x20, 3);
  expect(pin21.level).toBe(true);
  set(0x20, 4);
  expect([pin21.level, get(0x20)]).toEqual([false, 0]);
});

test('a route outside the capability does not stick', () => {
  const { get, set } = setup();
  set(0x140, 0x04 | (20 << 9));
  set(0x140, 0x04 | (5 << 9));
  expect((get(0x140) >> 9) & 31).toBe(20);
});

test('legacy replacement takes IRQ0 and IRQ8 from the PIT and the RTC', () => {
  const { hpet, irq0, irq8, set } = setup();
  hpet.pitInput.set(true);
  hpet.rtcInput.set(true);
  expect([irq0.level, irq8.level]).toEqual([true, true]);
  set(0x10, 3);
  expect([irq0.level, irq8.level]).toEqual([false, false]);
  set(0x10, 1);
  expect([irq0.level, irq8.level]).toEqual([true, true]);
});

test('64-bit periodic value written as two halves', () => {
  const { bench, irq0, get, set } = setup();
  set(0x100, 0x4c);
  set(0x108, 2_000);
  set(0x10c, 0);
  set(0x10, 3);
  bench.advanceTo(100_000);
  expect(irq0.riseTimes).toEqual([20_000, 40_000, 60_000, 80_000, 100_000]);
  expect(get(0x108)).toBe(12_000);
});

test('a period of one count does not hang', () => {
  const { bench, set } = setup();
  set(0x100, 0x4c);
  set(0x108, 1);
  set(0x10c, 0);
  set(0x10, 3);
  bench.advance(10_000);
  expect(bench.now).toBe(10_000);
});
