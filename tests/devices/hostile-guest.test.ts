/** Any sequence of accesses leaves every device alive, its registers in width, and its snapshot faithful. */
import fc from 'fast-check';
import { A20Gate } from '../../devices/a20-gate';
import { ACPI_PM_BASE, ACPI_PM_SIZE, AcpiPm } from '../../devices/acpi-pm';
import type { AccessSize } from '../../devices/bus';
import type { Stateful } from '../../memory/stateful';
import { DebugConsole } from '../../devices/debug-ports';
import { Hpet } from '../../devices/hpet';
import { I8042 } from '../../devices/i8042';
import { PicPair } from '../../devices/pic8259';
import { Pit8254 } from '../../devices/pit8254';
import { Ps2Keyboard } from '../../devices/ps2-keyboard';
import { Ps2Mouse } from '../../devices/ps2-mouse';
import { RtcCmos } from '../../devices/rtc-cmos';
import { SystemPorts } from '../../devices/system-ports';
import { Uart16550 } from '../../devices/uart16550';
import { TestBench, Wire } from './test-bench';

const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);
const PORTS = [
  ...range(0x20, 2), ...range(0xa0, 2), ...range(0x4d0, 2), ...range(0x40, 4), 0x61, 0x60, 0x64, ...range(0x70, 2),
  0x80, 0x92, 0xcf9, 0xe9, ...range(0x3f8, 8), ...range(ACPI_PM_BASE, ACPI_PM_SIZE),
]; // prettier-ignore

function board() {
  const bench = new TestBench();
  const { scheduler, ports } = bench;
  const int = new Wire();
  const pic = new PicPair(int);
  const a20 = new A20Gate();
  const irq = pic.inputs;
  const hpet = new Hpet({
    scheduler,
    irq0: irq[0],
    irq8: irq[8],
    routes: new Map([
      [20, new Wire()],
      [23, new Wire()],
    ]),
  });
  const pit = new Pit8254(scheduler, hpet.pitInput);
  const rtc = new RtcCmos({ scheduler, interrupt: hpet.rtcInput, startEpochSeconds: 1e9, lowRam: 1 << 28, highRam: 0 });
  const uart = new Uart16550({ base: 0x3f8, interrupt: irq[4], scheduler, transmit: () => {} });
  const keyboard = new Ps2Keyboard();
  const kbc = new I8042({ irq1: irq[1], irq12: irq[12], a20, reset: () => {}, keyboard, mouse: new Ps2Mouse() });
  const system = new SystemPorts({ a20, reset: () => {} });
  const pm = new AcpiPm({ scheduler, sci: irq[9], powerOff: () => {} });
  const devices: Stateful[] = [pit, rtc, uart, kbc, system, pm, hpet, pic];
  for (const d of [pic, pit, rtc, uart, kbc, system, pm, new DebugConsole(0xe9, () => {})]) d.attach(ports);
  return { bench, pic, hpet, uart, keyboard, devices };
}

interface Step {
  port: number;
  size: AccessSize;
  write: boolean;
  value: number;
  wait: number;
  hpet: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  port: fc.constantFrom(...PORTS),
  size: fc.constantFrom<AccessSize[]>(1, 1, 1, 2, 4),
  write: fc.boolean(),
  value: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 0xffff_ffff })),
  wait: fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 20_000_000 })),
  hpet: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
});

type Board = ReturnType<typeof board>;

function run({ bench, pic, hpet, uart, keyboard }: Board, s: Step): number {
  bench.advance(s.wait);
  uart.receive([s.value & 0xff]);
  keyboard.type([s.value & 0xff]);
  if (s.value % 5 === 0) pic.acknowledge();
  if (s.hpet && s.write) hpet.writeMmio((s.port * 4) & 0x3ff, s.size, s.value);
  if (s.hpet) return hpet.readMmio((s.port * 4) & 0x3ff, s.size) >>> 0;
  if (s.write) bench.ports.write(s.port, s.size, s.value);
  return bench.ports.read(s.port, s.size);
}

test('no access sequence throws, hangs or yields a value out of width', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 50, maxLength: 400 }), (steps) => {
      const machine = board();
      for (const s of steps) {
        const value = run(machine, s);
        expect(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * s.size)).toBe(true);
      }
      // Nothing the guest does may pile up: only the host's own input waits.
      expect(machine.uart.pendingInput).toBeLessThanOrEqual(steps.length + 16);
      expect(JSON.stringify(machine.devices.map((d) => d.saveState())).length).toBeLessThan(20_000);
    }),
    { numRuns: 60, seed: 1 },
  );
});

test('a restored snapshot answers as the original does', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), fc.array(step, { minLength: 20, maxLength: 120 }), (before, after) => {
      const original = board();
      for (const s of before) run(original, s);
      const copy = board();
      const image = JSON.parse(JSON.stringify(original.devices.map((d) => d.saveState()))) as unknown[];
      copy.bench.advanceTo(original.bench.now);
      copy.devices.forEach((d, i) => d.restoreState(image[i]));
      for (const s of after) expect(run(copy, s)).toBe(run(original, s));
      expect(copy.devices.map((d) => d.saveState())).toEqual(original.devices.map((d) => d.saveState()));
    }),
    { numRuns: 60, seed: 2 },
  );
});
