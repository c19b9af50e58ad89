import { ACPI_PM_BASE, AcpiPm, SLEEP_TYPE } from '../../devices/acpi-pm';
import { TestBench, Wire } from './test-bench';

function setup(timerBits?: 24 | 32) {
  const bench = new TestBench();
  const sci = new Wire(bench);
  const powerOff = jest.fn();
  const pm = new AcpiPm({ scheduler: bench.scheduler, sci, powerOff, timerBits });
  pm.attach(bench.ports);
  const in16 = (o: number): number => bench.ports.read(ACPI_PM_BASE + o, 2);
  const out16 = (o: number, v: number): void => bench.ports.write(ACPI_PM_BASE + o, 2, v);
  const timer = (): number => bench.ports.read(ACPI_PM_BASE + 8, 4);
  return { bench, sci, powerOff, pm, in16, out16, timer };
}

test('PM timer runs at 3.579545 MHz and wraps at 24 bits', () => {
  const { bench, timer } = setup();
  bench.advance(1_000_000_000);
  expect(timer()).toBe(3_579_545);
  bench.advanceTo(5_000_000_000);
  expect(timer()).toBe((3_579_545 * 5) % 2 ** 24);
});

test('32-bit timer', () => {
  const { bench, timer } = setup(32);
  bench.advanceTo(1000 * 1_000_000_000);
  expect(timer()).toBe(3_579_545_000);
});

test('TMR_STS whenever bit 23 changes, SCI when enabled', () => {
  const { bench, sci, in16, out16 } = setup();
  out16(2, 0x0001);
  const half = Math.ceil((2 ** 23 * 1e9) / 3_579_545);
  bench.advanceTo(half - 1);
  expect(in16(0)).toBe(0);
  bench.advanceTo(half);
  expect(in16(0)).toBe(1);
  expect(sci.level).toBe(true);
  out16(0, 1);
  expect(sci.level).toBe(false);
  bench.advanceTo(2 * half);
  expect(sci.riseTimes.length).toBe(2);
});

test('power button: status, SCI, write one to clear', () => {
  const { pm, sci, in16, out16 } = setup();
  pm.pressPowerButton();
  expect(sci.level).toBe(false);
  out16(2, 0x0100);
  expect(sci.level).toBe(true);
  expect(in16(0)).toBe(0x0100);
  out16(0, 0x0100);
  expect(sci.level).toBe(false);
  expect(in16(2)).toBe(0x0100);
});

test('SLP_EN with the S5 type powers off; other types and SLP_TYP alone do not', () => {
  const { powerOff, in16, out16 } = setup();
  expect(in16(4) & 1).toBe(1);
  out16(4, SLEEP_TYPE.S5 << 10);
  out16(4, 0x2000 | (SLEEP_TYPE.S0 << 10));
  expect(powerOff).not.toHaveBeenCalled();
  out16(4, 0x2000 | (SLEEP_TYPE.S5 << 10));
  expect(powerOff).toHaveBeenCalledTimes(1);
  expect(in16(4)).toBe((SLEEP_TYPE.S5 << 10) | 1);
});

test('GPE0: status under enable drives SCI', () => {
  const { bench, pm, sci } = setup();
  pm.raiseGpe(9);
  expect(bench.in(ACPI_PM_BASE + 0x21)).toBe(0x02);
  bench.out(ACPI_PM_BASE + 0x29, 0x02);
  expect(sci.level).toBe(true);
  bench.out(ACPI_PM_BASE + 0x21, 0x02);
  expect(sci.level).toBe(false);
});
