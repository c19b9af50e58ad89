import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runGuest } from '../guest-run';
import { reportLines } from './report-lines';

/**
 * Interrupts, NMIs, traps and breakpoints, and where they meet devices, against what the same image printed on Bochs 2.7 (Debian
 * 2.7+dfsg-4, `cpu: model=corei7_icelake_u`, SeaBIOS) from a disk that scripts/make-bios-disk.ts made. Bochs does not come out of the last case.
 */
const RECORDED = readFileSync(join(__dirname, 'events.bochs.txt'), 'latin1');

/** Where Bochs 2.7 is not what the manual (Intel SDM, volume 3) says. */
const DEVIATIONS: Readonly<Record<string, { readonly sdm: string; readonly why: string }>> = {
  'Instruction breakpoints: and a trap flag': {
    sdm: '1@+28/4000 1@+29/4000 1@+30/4000 1@+37/4000 1@+38/4000',
    why: '"Priority Among Concurrent Events": the trap on the previous instruction comes before the breakpoint on the next, each with DR6 of its own',
  },
  ...Object.fromEntries(
    [
      ['Single-stepping: REP OUTSB, three bytes', '1@+19/4000R 1@+19/4000R 1@+21/4000 1@+22/4000 1@+29/4000 1@+30/4000'],
      ['Single-stepping: REP STOSB, three bytes', '1@+19/4000R 1@+19/4000R 1@+21/4000 1@+22/4000 1@+29/4000 1@+30/4000'],
      ['Breakpoints: write: REP STOSB passes over it', '1@+10/8R'],
      ['Breakpoints: I/O: REP OUTSB, two bytes', '1@+10/4R 1@+12/4'],
    ].map(([line, sdm]) => [line, { sdm, why: '"Resume Flag": 1 in the image of a trap after any iteration of a repeated string instruction but the last' }]),
  ),
  'A halt: HLT: the trap ends it': {
    sdm: '1@+10/4000 1@+11/4000 1@+12/4000 1@+19/4000 1@+20/4000',
    why: 'HLT: "a debug exception ... will resume execution"; Bochs stays halted',
  },
};

const image = readFileSync(join(__dirname, '../../guests/bundled/events/events.elf'));
const run = (backend: 'bare' | 'vmx' | 'svm', cpu: string): ReturnType<typeof runGuest> => runGuest({ image, memoryBytes: 64 << 20, backend, cpu });

describe('events, debug traps and devices', () => {
  const bare = run('bare', 'intel');
  const printed = reportLines(bare.console);
  const expected = reportLines(RECORDED);
  for (const [line, { sdm }] of Object.entries(DEVIATIONS)) expected.set(line, sdm);
  it.each([...expected])('%s:%s', (line, text) => expect(printed.get(line)).toBe(text));
  it('nothing else was printed', () => {
    expect([...printed.keys()]).toEqual([...expected.keys()]);
    expect(bare.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
  });

  it.each(['vmx', 'svm'] as const)('%s: the same, at the same instructions', (backend) => {
    const vm = run(backend, 'intel');
    expect(vm.console).toBe(bare.console);
    expect([vm.instructions, vm.time]).toEqual([bare.instructions, bare.time]);
  });

  it.each(['vmx', 'svm'] as const)('%s: the same on the processor of the other vendor', (backend) => {
    const [physical, vm] = [run('bare', 'amd'), run(backend, 'amd')];
    expect(vm.console).toBe(physical.console);
    expect([vm.instructions, vm.time]).toEqual([physical.instructions, physical.time]);
  });
});
