/** What JavaScript lets callers do: each mistake is told at once, and names the method, the argument, and what would do. */
import { Computer } from '../../index';
import { bundled } from '../debugger/debug-guests';

const computer = new Computer({ image: bundled('tour'), memory: '8M' });
/** A computer without types. */
const c = computer as unknown as Readonly<Record<string, (...args: unknown[]) => unknown>>;

it.each([
  ['run', [{ nosuch: 1 }], /^run: limit.instructions: give a number/],
  ['run', [{ instructions: 1, nosuch: 1 }], /^run: limit: .*"nosuch"/],
  ['runUntil', [undefined], /^runUntil: limits: /],
  ['runUntil', [{ address: 5 }], /^runUntil: limits.address: .*bigint/],
  ['addBreakpoint', [{ kind: 'nosuch' }], /^addBreakpoint: spec.kind: give 'execution', 'watch', 'exit' or 'field'$/],
  ['addBreakpoint', [{ kind: 'execution' }], /^addBreakpoint: spec.address: give an address as a bigint/],
  ['addBreakpoint', [{ kind: 'watch', space: 'physical', address: 0n, length: 8, access: 'write' }], /^addBreakpoint: spec.space: give 'virtual'/],
  ['addBreakpoint', [{ kind: 'field', field: 'GUEST_RIP' }], /^addBreakpoint: spec.access: give 'write'/],
  ['addBreakpoint', [{ kind: 'execution', address: 0n }, { condition: 'rax == 0' }], /^addBreakpoint: options.condition: /],
  ['on', ['nosuch', () => {}], /^on: there is no event "nosuch": .*exit.*console/],
  ['on', ['toString', () => {}], /^on: there is no event "toString"/],
  ['on', ['exit', 5], /^on: listener: give a function/],
  ['type', [5], /^type: input: give text or a Uint8Array$/],
  ['readRegister', [5], /^readRegister: name: give a name/],
  ['writeRegister', ['rax', 'x'], /^writeRegister: value: give a value as a bigint/],
  ['readMemory', ['virtual', 0x1000, 8], /^readMemory: address: give an address as a bigint/],
  ['writeMemory', ['virtual', 0n, 'text'], /^writeMemory: bytes: give a Uint8Array$/],
  ['lastWrite', [{}], /^lastWrite: what: give \{ field \}/],
  ['onWrite', [0, 8], /^onWrite: hear: give a function/],
])('%s(%j)', (method, args, message) => {
  const call = (): unknown => c[method].apply(computer, args);
  expect(call).toThrow(TypeError);
  expect(call).toThrow(message);
  expect(computer.position.instructions).toBe(0);
});

it('what is closed does not run, and can be looked at', () => {
  const other = new Computer({ image: bundled('tour'), memory: '8M' });
  other.run({ instructions: 100 });
  other.close();
  for (const run of [() => other.run(), () => other.runUntil({ instructions: 200 }), () => other.step()]) expect(run).toThrow(/^this computer is closed/);
  expect(other.position.instructions).toBe(100);
  expect(other.readRegister('rip')).toBeGreaterThan(0n);
});
