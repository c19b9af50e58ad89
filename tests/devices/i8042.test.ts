import { A20Gate } from '../../devices/a20-gate';
import { I8042 } from '../../devices/i8042';
import { Ps2Keyboard } from '../../devices/ps2-keyboard';
import { Ps2Mouse } from '../../devices/ps2-mouse';
import { TestBench, Wire } from './test-bench';

function setup({ mouse: withMouse = true } = {}) {
  const bench = new TestBench();
  const [irq1, irq12] = [new Wire(), new Wire()];
  const reset = jest.fn();
  const a20 = new A20Gate();
  const keyboard = new Ps2Keyboard();
  const mouse = new Ps2Mouse();
  const kbc = new I8042({ irq1, irq12, a20, reset, keyboard, mouse: withMouse ? mouse : undefined });
  kbc.attach(bench.ports);
  const status = (): number => bench.in(0x64);
  const command = (c: number, ...data: number[]): void => {
    bench.out(0x64, c);
    for (const d of data) bench.out(0x60, d);
  };
  /** Everything in the output buffer: [from aux, byte]. */
  const drain = (): [boolean, number][] => {
    const got: [boolean, number][] = [];
    for (let s = status(); s & 1; s = status()) got.push([(s & 0x20) !== 0, bench.in(0x60)]);
    return got;
  };
  const bytes = (): number[] => drain().map(([, byte]) => byte);
  return { bench, irq1, irq12, reset, a20, keyboard, mouse, kbc, status, command, drain, bytes };
}

describe("Linux's i8042 probe", () => {
  test('self test answers 55h, interface tests 00h', () => {
    const { command, bytes } = setup();
    command(0xaa);
    expect(bytes()).toEqual([0x55]);
    command(0xab);
    expect(bytes()).toEqual([0x00]);
    command(0xa9);
    expect(bytes()).toEqual([0x00]);
  });

  test('the command byte reads back', () => {
    const { command, bytes } = setup();
    command(0x60, 0x47);
    command(0x20);
    command(0x20);
    expect(bytes()).toEqual([0x47, 0x47]);
  });

  test('i8042_check_aux: loop, disable and enable show in the command byte', () => {
    const { command, drain, bytes } = setup();
    command(0xd3, 0x5a);
    expect(drain()).toEqual([[true, 0x5a]]);
    command(0xa7);
    command(0x20);
    expect(bytes()[0] & 0x20).toBe(0x20);
    command(0xa8);
    command(0x20);
    expect(bytes()[0] & 0x20).toBe(0);
  });

  test('i8042_set_mux_mode: the loop echoes F0 56 A4, so there is no multiplexer', () => {
    const { command, drain } = setup();
    for (const byte of [0xf0, 0x56, 0xa4]) {
      command(0xd3, byte);
      expect(drain()).toEqual([[true, byte]]);
    }
  });

  test('the looped byte raises IRQ12 when enabled, IRQ1 stays', () => {
    const { bench, irq1, irq12, command } = setup();
    command(0x60, 0x02);
    command(0xd3, 0xa5);
    expect([irq1.level, irq12.level]).toEqual([false, true]);
    bench.in(0x60);
    expect(irq12.level).toBe(false);
  });
});

describe('keyboard', () => {
  test('reset, identify (translated), disable, LEDs, typematic, echo', () => {
    const { bench, keyboard, bytes } = setup();
    bench.out(0x60, 0xff);
    expect(bytes()).toEqual([0xfa, 0xaa]);
    bench.out(0x60, 0xf2);
    expect(bytes()).toEqual([0xfa, 0xab, 0x41]);
    for (const [commandByte, parameter] of [
      [0xed, 0x05],
      [0xf3, 0x00],
    ]) {
      bench.out(0x60, commandByte);
      expect(bytes()).toEqual([0xfa]);
      bench.out(0x60, parameter);
      expect(bytes()).toEqual([0xfa]);
    }
    expect(keyboard.leds).toBe(5);
    bench.out(0x60, 0xee);
    expect(bytes()).toEqual([0xee]);
  });

  test('without translation the id is AB 83', () => {
    const { bench, command, bytes } = setup();
    command(0x60, 0x01);
    bench.out(0x60, 0xf2);
    expect(bytes()).toEqual([0xfa, 0xab, 0x83]);
  });

  test('scan codes arrive in set 1, one edge of IRQ1 each', () => {
    const { keyboard, irq1, bytes } = setup();
    keyboard.type([0x1c, 0xf0, 0x1c]); // "a" down and up
    keyboard.type([0xe0, 0x75, 0xe0, 0xf0, 0x75]); // cursor up
    const { rises } = irq1;
    expect(rises).toBe(1);
    expect(bytes()).toEqual([0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8]);
    expect(irq1.rises).toBe(6);
    expect(irq1.level).toBe(false);
  });

  test('a disabled interface holds the codes back', () => {
    const { keyboard, command, status, bytes } = setup();
    command(0xad);
    keyboard.type([0x1c]);
    expect(status() & 1).toBe(0);
    command(0xae);
    expect(bytes()).toEqual([0x1e]);
  });

  test('key presses beyond the buffer are lost, not stored', () => {
    const { keyboard, bytes } = setup();
    for (let i = 0; i < 10_000; i++) keyboard.type([0x1c]);
    expect(bytes().length).toBeLessThanOrEqual(65);
  });
});

describe('auxiliary port', () => {
  test('mouse: reset, identify, packet', () => {
    const { command, drain, mouse } = setup();
    command(0xd4, 0xff);
    expect(drain()).toEqual([
      [true, 0xfa],
      [true, 0xaa],
      [true, 0x00],
    ]);
    command(0xd4, 0xf2);
    expect(drain()).toEqual([
      [true, 0xfa],
      [true, 0x00],
    ]);
    command(0xd4, 0xf4);
    drain();
    mouse.move(-3, 5, 1);
    expect(drain().map(([, b]) => b)).toEqual([0x19, 0xfd, 0x05]);
  });

  test('nothing plugged in: FEh with the timeout flag', () => {
    const { bench, command, status } = setup({ mouse: false });
    command(0xd4, 0xf2);
    expect(status() & 0x61).toBe(0x61);
    expect(bench.in(0x60)).toBe(0xfe);
    expect(status() & 0x61).toBe(0);
  });
});

test('FEh pulses the reset line, F0h-FFh with bit 0 set do not', () => {
  const { reset, command } = setup();
  command(0xff);
  expect(reset).not.toHaveBeenCalled();
  command(0xfe);
  expect(reset).toHaveBeenCalledTimes(1);
});

test('A20 through the output port', () => {
  const { a20, command, bytes } = setup();
  a20.set('port92', false);
  command(0xd1, 0xdd);
  expect(a20.enabled).toBe(false);
  command(0xd0);
  expect(bytes()[0] & 0x03).toBe(0x01);
  command(0xd1, 0xdf);
  expect(a20.enabled).toBe(true);
  command(0xdd);
  expect(a20.enabled).toBe(false);
});
