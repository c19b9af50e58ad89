import { A20Gate } from '../../devices/a20-gate';
import { DebugConsole, DebugExit } from '../../devices/debug-ports';
import { SystemPorts } from '../../devices/system-ports';
import { TestBench } from './test-bench';

function setup() {
  const bench = new TestBench();
  const a20 = new A20Gate();
  a20.set('keyboardController', false);
  const reset = jest.fn();
  const post = jest.fn();
  new SystemPorts({ a20, reset, post }).attach(bench.ports);
  return { bench, a20, reset, post };
}

test('port 92h: A20 and fast reset', () => {
  const { bench, a20, reset } = setup();
  expect(bench.in(0x92)).toBe(0x02);
  bench.out(0x92, 0x00);
  expect(a20.enabled).toBe(false);
  bench.out(0x92, 0x03);
  expect(a20.enabled).toBe(true);
  expect(reset.mock.calls).toEqual([['init']]);
});

test('CF9h as Linux reboots: 02h, then 06h or 0Eh', () => {
  const { bench, reset } = setup();
  bench.out(0xcf9, 0x02);
  expect(reset).not.toHaveBeenCalled();
  bench.out(0xcf9, 0x06);
  bench.out(0xcf9, 0x0a);
  bench.out(0xcf9, 0x0e);
  bench.out(0xcf9, 0x00);
  bench.out(0xcf9, 0x04);
  expect(reset.mock.calls).toEqual([['reset'], ['power-cycle'], ['init']]);
});

test('port 80h', () => {
  const { bench, post } = setup();
  bench.out(0x80, 0x5c);
  expect(post.mock.calls).toEqual([[0x5c]]);
  expect(bench.in(0x80)).toBe(0x5c);
});

test('debug exit: status (value << 1) | 1, any width', () => {
  const { bench } = setup();
  const exit = jest.fn();
  new DebugExit(exit).attach(bench.ports);
  bench.out(0xf4, 0);
  bench.ports.write(0xf4, 4, 0x10);
  expect(exit.mock.calls).toEqual([[1], [0x21]]);
});

test('debug exit with two ports: of a wider write it gets the lower half, as with QEMU', () => {
  const { bench } = setup();
  const exit = jest.fn();
  new DebugExit(exit, 0x501, 2).attach(bench.ports);
  bench.ports.write(0x503, 1, 7);
  expect(exit).not.toHaveBeenCalled();
  bench.ports.write(0x501, 4, 0x0003_0002);
  expect(exit.mock.calls).toEqual([[5]]);
});

test('debug consoles answer E9h and take bytes, also from wide writes', () => {
  const { bench } = setup();
  const text: number[] = [];
  new DebugConsole(0xe9, (b) => text.push(b)).attach(bench.ports);
  new DebugConsole(0x402, (b) => text.push(b)).attach(bench.ports);
  expect([bench.in(0xe9), bench.in(0x402)]).toEqual([0xe9, 0xe9]);
  bench.out(0xe9, 0x41);
  bench.ports.write(0x402, 2, 0x4342);
  expect(text).toEqual([0x41, 0x42]);
});
