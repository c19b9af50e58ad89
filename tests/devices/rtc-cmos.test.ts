import { RtcCmos } from '../../devices/rtc-cmos';
import { TestBench, Wire } from './test-bench';

const MS = 1_000_000;
const SECOND = 1000 * MS;
const LEAP_DAY = 1_709_251_197; // Thu 2024-02-29 23:59:57 UTC

function setup(startEpochSeconds = LEAP_DAY) {
  const bench = new TestBench();
  const irq8 = new Wire(bench);
  const rtc = new RtcCmos({ scheduler: bench.scheduler, interrupt: irq8, startEpochSeconds, lowRam: 0x4000_0000, highRam: 0x2000_0000 });
  rtc.attach(bench.ports);
  const get = (r: number): number => {
    bench.out(0x70, r);
    return bench.in(0x71);
  };
  const set = (r: number, v: number): void => {
    bench.out(0x70, r);
    bench.out(0x71, v);
  };
  /** Century, year, month, day, weekday, hour, minute, second. */
  const clock = (): number[] => [0x32, 9, 8, 7, 6, 4, 2, 0].map(get);
  return { bench, irq8, rtc, get, set, clock };
}

describe('time of day', () => {
  test('BCD, 24 hours, across a leap day', () => {
    const { bench, clock } = setup();
    expect(clock()).toEqual([0x20, 0x24, 0x02, 0x29, 5, 0x23, 0x59, 0x57]);
    bench.advanceTo(3 * SECOND - 1);
    expect(clock()[7]).toBe(0x59);
    bench.advanceTo(3 * SECOND);
    expect(clock()).toEqual([0x20, 0x24, 0x03, 0x01, 6, 0, 0, 0]);
  });

  test('the century turns', () => {
    const { bench, clock } = setup(946_684_799); // Fri 1999-12-31 23:59:59
    expect(clock()).toEqual([0x19, 0x99, 0x12, 0x31, 6, 0x23, 0x59, 0x59]);
    bench.advance(SECOND);
    expect(clock()).toEqual([0x20, 0x00, 0x01, 0x01, 7, 0, 0, 0]);
  });

  test('Linux mc146818_set_time, here in binary 12-hour format', () => {
    const { bench, get, set, clock } = setup();
    set(0x0b, get(0x0b) | 0x80);
    set(0x0a, get(0x0a) | 0x70);
    const values: [number, number][] = [
      [9, 25],
      [8, 7],
      [7, 4],
      [6, 6],
      [4, 0x80 | 12],
      [2, 59],
      [0, 58],
      [0x32, 20],
    ];
    set(0x0b, 0x84); // DM, 12 hours, SET
    for (const [register, value] of values) set(register, value);
    bench.advance(10 * SECOND);
    expect(get(0)).toBe(58); // frozen
    set(0x0b, 0x04);
    set(0x0a, 0x26);
    bench.advance(500 * MS); // first update half a second after the divider starts
    expect(clock()).toEqual([20, 25, 7, 4, 6, 0x8c, 59, 59]);
    bench.advance(SECOND);
    expect(clock()).toEqual([20, 25, 7, 4, 6, 0x81, 0, 0]);
  });

  test('UIP: from 2228 us before the update to its end, unless SET', () => {
    const { bench, get, set } = setup();
    bench.advanceTo(SECOND - 2228_000 - 1);
    expect(get(0x0a)).toBe(0x26);
    bench.advanceTo(SECOND - 2228_000);
    expect(get(0x0a)).toBe(0xa6);
    bench.advanceTo(SECOND - 1);
    expect(get(0x0a)).toBe(0xa6);
    set(0x0b, 0x82);
    expect(get(0x0a)).toBe(0x26);
    set(0x0b, 0x02);
    bench.advanceTo(SECOND);
    expect(get(0x0a)).toBe(0x26);
    expect(get(0)).toBe(0x58);
  });

  test('the Linux read protocol never sees a torn time', () => {
    const { bench, get, clock } = setup();
    for (let i = 0; i < 3000; i++) {
      bench.advance(1_037_000);
      if (get(0x0a) & 0x80) continue;
      const before = get(0);
      bench.advance(200_000); // shorter than tBUC = 244 us
      expect(clock()[7]).toBe(before);
    }
  });
});

describe('interrupts', () => {
  test('update-ended: once a second, read of C clears', () => {
    const { bench, irq8, get, set } = setup();
    set(0x0b, 0x12);
    bench.advanceTo(SECOND);
    expect(irq8.level).toBe(true);
    expect(irq8.riseTimes).toEqual([SECOND]);
    expect(get(0x0c) & 0x90).toBe(0x90);
    expect(irq8.level).toBe(false);
    expect(get(0x0c)).toBe(0);
    bench.advanceTo(5 * SECOND);
    expect(irq8.riseTimes).toEqual([SECOND, 2 * SECOND]); // not acknowledged, so no further edge
  });

  test('SET clears UIE', () => {
    const { get, set } = setup();
    set(0x0b, 0x92);
    expect(get(0x0b)).toBe(0x82);
  });

  test.each([
    [0x0f, 2],
    [0x0d, 8],
    [0x06, 1024],
    [0x03, 8192],
    [0x01, 256],
    [0x02, 128],
  ])('periodic rate %i is %i Hz', (rate, hertz) => {
    const { bench, irq8, get, set } = setup();
    set(0x0a, 0x20 | rate);
    set(0x0b, 0x42);
    get(0x0c);
    irq8.rises = 0;
    for (let t = 0; t < SECOND; t += 61_000) {
      bench.advance(61_000);
      if (irq8.level) expect(get(0x0c) & 0xc0).toBe(0xc0);
    }
    expect(Math.abs(irq8.rises - hertz)).toBeLessThanOrEqual(1);
  });

  test('periodic flag is set without its enable; rate 0 is none', () => {
    const { bench, irq8, get, set } = setup();
    get(0x0c);
    bench.advance(976_563);
    expect(get(0x0c)).toBe(0x40);
    expect(irq8.rises).toBe(0);
    set(0x0a, 0x20);
    bench.advance(500 * MS);
    expect(get(0x0c)).toBe(0);
  });

  test('alarm at a time of day', () => {
    const { bench, irq8, get, set } = setup();
    set(5, 0x00);
    set(3, 0x01);
    set(1, 0x30);
    set(0x0b, 0x22);
    bench.advanceTo(200 * SECOND);
    expect(irq8.riseTimes).toEqual([93 * SECOND]); // 23:59:57 -> 00:01:30
    expect(get(0x0c) & 0xa0).toBe(0xa0);
    bench.advanceTo(93 * SECOND + 86_400 * SECOND);
    expect(irq8.rises).toBe(2);
  });

  test('alarm with "don\'t care" hours and minutes comes every minute', () => {
    const { bench, irq8, get, set } = setup();
    set(5, 0xff);
    set(3, 0xc0);
    set(1, 0x00);
    set(0x0b, 0x22);
    for (let i = 0; i < 181; i++) {
      bench.advance(SECOND);
      if (irq8.level) get(0x0c);
    }
    expect(irq8.riseTimes).toEqual([3 * SECOND, 63 * SECOND, 123 * SECOND]);
  });

  test('an alarm that names no time never comes', () => {
    const { bench, irq8, set } = setup();
    set(5, 0x99);
    set(0x0b, 0x22);
    bench.advance(3 * 86_400 * SECOND);
    expect(irq8.rises).toBe(0);
  });

  test('Linux mc146818_does_rtc_work: bits 6:0 of register D are 0, VRT is set', () => {
    const { get, set } = setup();
    set(0x0d, 0x7f);
    expect(get(0x0d)).toBe(0x80);
  });
});

describe('CMOS', () => {
  test('memory sizes', () => {
    const { get } = setup();
    const word = (a: number): number => get(a) | (get(a + 1) << 8);
    expect(word(0x15)).toBe(640);
    expect(word(0x17)).toBe(0xffff);
    expect(word(0x34)).toBe((1024 - 16) * 16); // 64 KiB units
    expect(word(0x5b)).toBe(512 * 16);
    let sum = 0;
    for (let a = 0x10; a <= 0x2d; a++) sum += get(a);
    expect((get(0x2e) << 8) | get(0x2f)).toBe(sum);
  });

  test('128 bytes; bit 7 of the index is the NMI mask', () => {
    const { get, set } = setup();
    set(0x7f, 0x5a);
    expect(get(0xff)).toBe(0x5a);
    set(0x0f, 0x0a);
    expect(get(0x0f)).toBe(0x0a);
  });
});
