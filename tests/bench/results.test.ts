import { bestLoops } from '../../bench/measurement';
import { inAluInstructions, loopNames, mips, roundTripNames, speedRatio, verdicts, type EngineResult, type Results } from '../../bench/results';
import { textTable } from '../../bench/text-table';
import { readRow } from '../../bench/workload';

const engine = (id: string, ours: boolean, over: Partial<EngineResult>): EngineResult => ({
  id,
  title: id,
  ours,
  version: '',
  problems: [],
  loops: [],
  ...over,
});
const OURS = engine('vmx', true, {
  loops: [
    { name: 'alu', count: 1000, seconds: 2, instructions: 400e6 },
    { name: 'sieve', count: 10, seconds: 1, instructions: 100e6 },
    { name: 'cpuid', count: 1000, seconds: 0.004, instructions: 3000 },
  ],
  boot: { wall: 9, cpu: 6, peakMiB: 300, touchedMiB: 80 },
});
const BOCHS = engine('bochs', false, {
  loops: [
    { name: 'alu', count: 1000, seconds: 4 },
    { name: 'sieve', count: 10, seconds: 1.2 },
    { name: 'cpuid', count: 1000, seconds: 0 },
  ],
  boot: { wall: 10, cpu: 10, peakMiB: 180 },
});
const RESULTS: Results = { date: '2026-01-01', processor: 'any', quick: false, repeat: 1, engines: [OURS, BOCHS] };

it('speeds count the same guest instructions on every engine', () => {
  expect(mips(RESULTS, OURS, 'alu')).toBe(200);
  expect(mips(RESULTS, BOCHS, 'alu')).toBe(100);
  expect(speedRatio(OURS, BOCHS, 'alu')).toBe(2);
});

it('a round trip is told in instructions of the ALU loop', () => {
  expect([loopNames(RESULTS), roundTripNames(RESULTS)]).toEqual([['alu', 'sieve'], ['cpuid']]);
  // 4 µs at 200 instructions a µs.
  expect(inAluInstructions(RESULTS, OURS, 'cpuid')).toBeCloseTo(800);
});

it('a row too short to be seen has no figure', () => {
  expect(speedRatio(OURS, BOCHS, 'cpuid')).toBeUndefined();
  expect(mips(RESULTS, BOCHS, 'cpuid')).toBeUndefined();
});

it('the aims: one loop is too slow, the boot is fast enough, 20 MiB too many', () => {
  expect(verdicts(RESULTS).map(({ reached, figures }) => [reached, figures])).toEqual([
    [false, '1 of 2; least 1.20 (sieve)'],
    [true, '0.60'],
    [false, '220 MiB above'],
  ]);
});

it('without Bochs only memory is judged', () => {
  expect(verdicts({ ...RESULTS, engines: [OURS] }).map((v) => v.figures)).toEqual(['220 MiB above']);
});

it('the best of several tries is taken row by row', () => {
  const row = (name: string, seconds: number): { name: string; count: number; seconds: number } => ({ name, count: 1, seconds });
  expect(
    bestLoops([
      [row('a', 3), row('b', 1)],
      [row('a', 2), row('b', 5)],
    ]).map((r) => r.seconds),
  ).toEqual([2, 1]);
});

it('rows of the bench guest', () => {
  expect(readRow('fib                        22               452f         715442\r')).toEqual({ name: 'fib', count: 22, check: '452f' });
  expect(readRow('name                    count              check          ticks')).toBeUndefined();
});

it('tables are Markdown too', () => {
  expect(textTable(['loop', 's'], [['alu', '1.25']])).toBe('| loop |    s |\n| ---- | ---: |\n| alu  | 1.25 |\n');
});
