import { Frequency } from '../../devices/frequency';
import { PIT_HERTZ, Pit8254 } from '../../devices/pit8254';
import { TestBench, Wire } from './test-bench';

/** First nanosecond at which the n-th rising CLK edge has been seen. */
const cycle = (n: number): number => Number((BigInt(n) * 1_000_000_000n + BigInt(PIT_HERTZ - 1)) / BigInt(PIT_HERTZ));

function setup() {
  const bench = new TestBench();
  const irq0 = new Wire(bench);
  const pit = new Pit8254(bench.scheduler, irq0);
  pit.attach(bench.ports);
  const at = (n: number): void => bench.advanceTo(cycle(n));
  const read16 = (port: number): number => {
    const low = bench.in(port);
    return low | (bench.in(port) << 8);
  };
  const load = (port: number, control: number, count: number): void => {
    bench.out(0x43, control);
    bench.out(port, count & 0xff);
    bench.out(port, count >> 8);
  };
  const out2 = (): number => (bench.in(0x61) >> 5) & 1;
  return { bench, irq0, pit, at, read16, load, out2 };
}

test('the oscillator converts exactly over days', () => {
  const f = new Frequency(PIT_HERTZ);
  for (const n of [0, 1, 2, 1193181, 1193182, 1193183, 123456789012]) {
    expect(f.time(n)).toBe(cycle(n));
    expect(f.cycles(f.time(n))).toBe(n);
    if (n > 0) expect(f.cycles(f.time(n) - 1)).toBe(n - 1);
  }
});

describe('counter 2 through port 61h', () => {
  test('Linux pit_calibrate_tsc: OUT rises N + 1 clocks after the count', () => {
    const { bench, at, load, out2 } = setup();
    bench.out(0x61, (bench.in(0x61) & ~0x02) | 0x01);
    load(0x42, 0xb0, 11931); // CAL_LATCH for 10 ms
    expect(out2()).toBe(0);
    at(11931);
    expect(out2()).toBe(0);
    at(11932);
    expect(out2()).toBe(1);
  });

  test('Linux quick_pit_calibrate: the high byte counts down from FFh', () => {
    const { bench, at, load } = setup();
    bench.out(0x61, 0x01);
    load(0x42, 0xb0, 0xffff);
    at(1);
    const msb = (): number => (bench.in(0x42), bench.in(0x42));
    expect(msb()).toBe(0xff);
    at(1 + 0xff);
    expect(msb()).toBe(0xff);
    at(1 + 0x100);
    expect(msb()).toBe(0xfe);
  });

  test('GATE low holds a mode 0 count', () => {
    const { bench, at, load, read16, out2 } = setup();
    bench.out(0x61, 0x01);
    load(0x42, 0xb0, 100);
    at(11);
    bench.out(0x61, 0x00);
    at(1000);
    expect(read16(0x42)).toBe(90);
    bench.out(0x61, 0x01);
    at(1000 + 89);
    expect(out2()).toBe(0);
    at(1000 + 90);
    expect(out2()).toBe(1);
  });

  test('mode 1: GATE triggers a one-shot and retriggers it', () => {
    const { bench, at, load, out2 } = setup();
    load(0x42, 0xb2, 50);
    at(10);
    expect(out2()).toBe(1);
    bench.out(0x61, 0x01);
    at(11);
    expect(out2()).toBe(0);
    at(40);
    bench.out(0x61, 0x00);
    bench.out(0x61, 0x01);
    at(41 + 49);
    expect(out2()).toBe(0);
    at(41 + 50);
    expect(out2()).toBe(1);
  });

  test('mode 5: a strobe of one clock after the triggered count', () => {
    const { bench, at, load, out2 } = setup();
    load(0x42, 0xba, 20);
    bench.out(0x61, 0x01);
    at(1 + 19);
    expect(out2()).toBe(1);
    at(1 + 20);
    expect(out2()).toBe(0);
    at(1 + 21);
    expect(out2()).toBe(1);
  });

  test('refresh toggles every 18 clocks, bits 7:6 and the parity enables are plain', () => {
    const { bench, at } = setup();
    bench.out(0x61, 0xff);
    at(17);
    expect(bench.in(0x61) & 0x10).toBe(0);
    at(18);
    expect(bench.in(0x61) & 0x10).toBe(0x10);
    at(36);
    expect(bench.in(0x61) & 0xdf).toBe(0x0f);
  });
});

describe('mode 2', () => {
  test('counts N to 1, OUT low while the count is 1', () => {
    const { bench, at, load, read16, out2 } = setup();
    bench.out(0x61, 0x01);
    load(0x42, 0xb4, 3);
    const seen: [number, number][] = [];
    for (let n = 1; n <= 7; n++) {
      at(n);
      seen.push([read16(0x42), out2()]);
    }
    expect(seen).toEqual([
      [3, 1],
      [2, 1],
      [1, 0],
      [3, 1],
      [2, 1],
      [1, 0],
      [3, 1],
    ]);
  });

  test('IRQ0 rises once a period, exactly; HZ=250', () => {
    const { at, irq0, load } = setup();
    load(0x40, 0x34, 4773);
    irq0.riseTimes.length = 0;
    at(1 + 4773 * 5);
    expect(irq0.riseTimes).toEqual([1, 2, 3, 4, 5].map((k) => cycle(1 + 4773 * k)));
  });

  test('a new count waits for the end of the period', () => {
    const { bench, at, irq0, load } = setup();
    load(0x40, 0x34, 1000);
    irq0.riseTimes.length = 0;
    at(500);
    bench.out(0x40, 100);
    bench.out(0x40, 0);
    at(1 + 1000 + 250);
    expect(irq0.riseTimes).toEqual([1001, 1101, 1201].map(cycle));
  });

  test('GATE low forces OUT high, GATE high reloads', () => {
    const { bench, at, load, read16, out2 } = setup();
    bench.out(0x61, 0x01);
    load(0x42, 0xb4, 100);
    at(100); // CE is 1
    expect(out2()).toBe(0);
    bench.out(0x61, 0x00);
    expect(out2()).toBe(1);
    at(150);
    bench.out(0x61, 0x01);
    at(151);
    expect(read16(0x42)).toBe(100);
  });
});

describe('mode 3', () => {
  test('an even count goes down by two, twice a period', () => {
    const { bench, at, load, read16, out2 } = setup();
    bench.out(0x61, 0x01);
    load(0x42, 0xb6, 6);
    const seen: [number, number][] = [];
    for (let n = 1; n <= 7; n++) {
      at(n);
      seen.push([read16(0x42), out2()]);
    }
    expect(seen).toEqual([
      [6, 1],
      [4, 1],
      [2, 1],
      [6, 0],
      [4, 0],
      [2, 0],
      [6, 1],
    ]);
  });

  test('an odd count is high one clock longer', () => {
    const { bench, at, load, read16, out2 } = setup();
    bench.out(0x61, 0x01);
    load(0x42, 0xb6, 5);
    const seen: [number, number][] = [];
    for (let n = 1; n <= 6; n++) {
      at(n);
      seen.push([read16(0x42), out2()]);
    }
    expect(seen).toEqual([
      [4, 1],
      [2, 1],
      [0, 1],
      [4, 0],
      [2, 0],
      [4, 1],
    ]);
  });

  test('the BIOS default: 65536 clocks, 18.2 Hz', () => {
    const { at, irq0, load } = setup();
    load(0x40, 0x36, 0);
    irq0.riseTimes.length = 0;
    at(1 + 65536 * 3);
    expect(irq0.riseTimes).toEqual([1, 2, 3].map((k) => cycle(1 + 65536 * k)));
  });

  test('a new count takes over at the end of the half', () => {
    const { bench, at, load, out2 } = setup();
    bench.out(0x61, 0x01);
    load(0x42, 0xb6, 100);
    at(10);
    bench.out(0x42, 20);
    bench.out(0x42, 0);
    at(50);
    expect(out2()).toBe(1);
    at(51);
    expect(out2()).toBe(0);
    at(60);
    expect(out2()).toBe(0);
    at(61);
    expect(out2()).toBe(1);
  });
});

test('mode 4 (Linux one-shot): one edge N + 1 clocks after the load', () => {
  const { at, irq0, load } = setup();
  load(0x40, 0x38, 1000);
  irq0.riseTimes.length = 0;
  at(200_000);
  expect(irq0.riseTimes).toEqual([cycle(1 + 1001)]);
});

test('mode 0 on counter 0 drops IRQ0 and raises it at terminal count', () => {
  const { at, irq0, load } = setup();
  load(0x40, 0x30, 10);
  expect(irq0.level).toBe(false);
  at(100_000);
  expect(irq0.riseTimes).toEqual([cycle(11)]);
});

test('mode 0: the first byte of a new count stops counting', () => {
  const { bench, at, load, read16 } = setup();
  bench.out(0x61, 1);
  load(0x42, 0xb0, 1000);
  at(101);
  bench.out(0x42, 0x10);
  at(500);
  expect(read16(0x42)).toBe(900);
  bench.out(0x42, 0x00);
  at(501 + 6);
  expect(read16(0x42)).toBe(10);
});

describe('reading', () => {
  test('a latched count stays until both bytes are read', () => {
    const { bench, at, load, read16 } = setup();
    load(0x40, 0x34, 0x8000);
    at(1 + 0x10);
    bench.out(0x43, 0x00);
    at(1 + 0x500);
    bench.out(0x43, 0x00); // ignored while latched
    expect(read16(0x40)).toBe(0x7ff0);
    expect(read16(0x40)).toBe(0x8000 - 0x500);
  });

  test('read-back: status first, then the count', () => {
    const { bench, at, load, read16 } = setup();
    load(0x40, 0x34, 1000);
    bench.out(0x43, 0xe2); // status of counter 0
    expect(bench.in(0x40)).toBe(0x80 | 0x40 | 0x34); // OUT high, null count
    at(11);
    bench.out(0x43, 0xc2); // both
    expect(bench.in(0x40)).toBe(0x80 | 0x34);
    expect(read16(0x40)).toBe(990);
  });

  test('low-only and high-only access', () => {
    const { bench, at } = setup();
    bench.out(0x43, 0x14);
    bench.out(0x40, 200);
    at(101);
    expect(bench.in(0x40)).toBe(100);
    bench.out(0x43, 0x24);
    bench.out(0x40, 0x20);
    at(102 + 0x100);
    expect(bench.in(0x40)).toBe(0x1f);
  });

  test('BCD counts decimally, 0 being 10000', () => {
    const { at, load, read16 } = setup();
    load(0x40, 0x35, 0x0000);
    at(1 + 1);
    expect(read16(0x40)).toBe(0x9999);
    load(0x40, 0x35, 0x1234);
    at(3 + 35);
    expect(read16(0x40)).toBe(0x1199);
  });
});
