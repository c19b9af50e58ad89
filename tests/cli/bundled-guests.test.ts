/** The bundled guests on our own machines: under the hypervisor and bare, they print the same bytes in the same virtual time. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createGuestRunner } from '../../cli/guest-machine';
import type { GuestSpec, RunStop } from '../../cli/runner';
import type { StatsSummary } from '../../cli/stats-table';
import { UserError } from '../../cli/user-error';

const image = (name: string): Uint8Array => readFileSync(join(__dirname, `../../guests/bundled/${name}/${name}.elf`));
const MIB = 1 << 20;
const LIMIT = 50_000_000;

interface Run {
  readonly output: string;
  readonly stop: RunStop;
  readonly stats: StatsSummary;
}

function run(name: string, more: Partial<GuestSpec> = {}): Run {
  const bytes: number[] = [];
  const runner = createGuestRunner({
    image: image(name),
    imageName: name,
    modules: [],
    commandLine: '',
    format: 'auto',
    memoryBytes: 128 * MIB,
    bare: false,
    backend: 'vmx',
    cpu: 'intel',
    kvmParavirt: false,
    rtcStart: 1_767_225_600,
    seed: 0,
    serialOutput: (byte) => bytes.push(byte),
    ...more,
  });
  const stop = runner.run(LIMIT);
  return { output: Buffer.from(bytes).toString('latin1'), stop, stats: runner.stats() };
}

const exits = (r: Run): Map<string, number> => new Map(r.stats.rows.map((row) => [row.reason.toLowerCase().replace(/_/g, ''), row.count]));

describe('hello', () => {
  test('prints its line and powers off', () => {
    const { output, stop } = run('hello');
    expect(output).toBe('Hello from 64-bit long mode.\r\n');
    expect(stop).toMatchObject({ kind: 'ended', outcome: { kind: 'power-off' } });
  });

  test('ends through isa-debug-exit when asked to', () => {
    const { stop } = run('hello', { commandLine: 'debug-exit', debugExit: 0xf4 });
    expect(stop).toMatchObject({ kind: 'ended', outcome: { kind: 'debug-exit', status: 1 } });
  });

  test('is determined by its input: two runs are the same in everything', () => {
    expect(run('hello')).toEqual(run('hello'));
  });

  test('does not notice where the host puts its memory', () => {
    const [a, b] = [run('hello', { seed: 1 }), run('hello', { seed: 2 })];
    expect([a.output, a.stats.ticks]).toEqual([b.output, b.stats.ticks]);
  });

  test('can be stopped at any instruction and goes on as if it had not been', () => {
    const whole = run('hello');
    const bytes: number[] = [];
    const runner = createGuestRunner({
      ...{ image: image('hello'), imageName: 'hello', modules: [], commandLine: '', format: 'auto', memoryBytes: 128 * MIB, bare: false, backend: 'vmx' },
      ...{ cpu: 'intel', kvmParavirt: false, rtcStart: 0, seed: 0, serialOutput: (byte: number) => bytes.push(byte) },
    });
    let stop: RunStop;
    do stop = runner.run(997);
    while (stop.kind === 'limit');
    expect(Buffer.from(bytes).toString('latin1')).toBe(whole.output);
    expect(runner.stats().instructions).toBe(whole.stats.instructions);
  });
});

describe('tour', () => {
  const hosted = run('tour');
  const bare = run('tour', { bare: true });

  test('bare and under VMX: the same bytes, the same virtual time, the same number of instructions', () => {
    expect(hosted.output).toBe(bare.output);
    expect(hosted.output).toContain('good-bye');
    expect([hosted.stats.ticks, hosted.stats.instructions]).toEqual([bare.stats.ticks, bare.stats.instructions]);
    expect(bare.stats.rows).toEqual([]);
  });

  test('makes the exits that it talks about', () => {
    const seen = exits(hosted);
    for (const reason of ['cpuid', 'rdmsr', 'ioinstruction', 'eptviolation', 'xsetbv', 'hlt', 'vmcall'])
      expect([reason, (seen.get(reason) ?? 0) > 0]).toEqual([reason, true]);
    // Three waits for the local APIC timer and one for the 8254.
    expect(seen.get('hlt')).toBe(4);
  });
});

describe('bench', () => {
  test('the same check values and ticks bare and under VMX', () => {
    const commandLine = 'quick fib sieve page-fault syscall interrupt cpuid self-modifying cr3';
    const hosted = run('bench', { commandLine });
    expect(hosted.stop).toMatchObject({ kind: 'ended', outcome: { kind: 'power-off' } });
    expect(hosted.output).toBe(run('bench', { commandLine, bare: true }).output);
    // fib(22); primes below 125000.
    expect(hosted.output).toMatch(/^fib +22 +452f /m);
    expect(hosted.output).toMatch(/^sieve +125000 +2dd6 /m);
  });
});

describe('what cannot run', () => {
  test('a guest that ruins its own interrupt table: triple fault, bare and hosted', () => {
    // LIDT of an empty table, then UD2.
    const flat = Uint8Array.from([0x0f, 0x01, 0x1d, 0x02, 0x00, 0x00, 0x00, 0x0f, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (const bare of [true, false])
      expect(run('hello', { image: flat, format: 'flat64', bare }).stop).toMatchObject({ kind: 'ended', outcome: { kind: 'triple-fault' } });
  });

  test.each<[string, Partial<GuestSpec>, RegExp]>([
    ['a text file', { image: Buffer.from('hello') }, /hello: the image \(5 bytes/],
    ['an unknown CPU', { cpu: 'z80' }, /--cpu z80: no CPU "z80"/],
    ['an unknown feature', { cpu: 'intel,+warp' }, /--cpu intel,\+warp/],
  ])('%s', (_name, more, message) => {
    expect(() => run('hello', more)).toThrow(UserError);
    expect(() => run('hello', more)).toThrow(message);
  });
});
