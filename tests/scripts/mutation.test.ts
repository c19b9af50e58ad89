/** The mutation run itself: which edits it makes, and that it tells a test that notices from one that does not. */
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { findMutants } from '../../scripts/mutation/find-mutants';
import { describeEdit, mutated } from '../../scripts/mutation/mutant';
import { percent, score, scoreTable, survivorTable, type Fate, type Verdict } from '../../scripts/mutation/score';
import { TestProcess } from '../../scripts/mutation/test-process';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'mutation-'));
});
afterAll(() => rmSync(root, { recursive: true }));
function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}
const edits = (text: string): string[] => findMutants(root, 'table.ts', text).map((m) => `${m.operator} [${m.row}] ${describeEdit(m)}`);

describe('the edits', () => {
  it('of constants: the next decimal, the lowest bit of a mask, the count of a shift', () => {
    expect(edits('const A = 7, B = 0xf0, C = 1 << 4, D = 0x0, E = 0b101n;')).toEqual([
      'constant [A] 7 -> 8',
      'constant [B] 0xf0 -> 0xe0',
      'constant [C] 4 -> 5',
      'constant [D] 0x0 -> 0x1',
      'constant [E] 0b101n -> 0x4n',
    ]);
  });
  it('of conditions: comparisons, logic, negations; 0 on one side is left alone', () => {
    expect(edits('const f = (a: number, b: boolean): boolean => a <= 3 && !b || (a & 4) === 0;')).toEqual([
      'comparison [f] <= -> <',
      'constant [f] 3 -> 4',
      'logic [f] && -> ||',
      'negation [f] !b -> b',
      'logic [f] || -> &&',
      'constant [f] 4 -> 5',
      'comparison [f] === -> !==',
    ]);
    expect(edits('const g = (a: boolean): number => (a ? x : y);')).toEqual(['negation [g] a -> !(a)']);
  });
  it('of a list of rules: each row, its conditions and the fields it names; not its texts', () => {
    const text = "const RULES: Rule[] = [{ id: 'a.b', rule: 'Two is 2.', fields: ['F'], when: (s) => s.on(), holds: (s) => s.v !== 2 }];";
    expect(edits(text)).toEqual([
      "drop [a.b] without { id: 'a.b', rule: 'Two is 2.', fields: ['F'], when: (s) => … holds: (s) => s.v !== 2 }",
      "drop [a.b] without 'F'",
      'drop [a.b] without when: (s) => s.on(),',
      'comparison [a.b] !== -> ===',
      'constant [a.b] 2 -> 3',
    ]);
  });
  it('of an object table: each row, and neighbours exchanged', () => {
    expect(edits('const ROUTES = { a: f, b: g, c: g };')).toEqual([
      'drop [ROUTES a] without a: f,',
      'swap [ROUTES a] f, b: g -> g, b: f',
      'drop [ROUTES b] without b: g,',
      'drop [ROUTES c] without c: g',
    ]);
  });
  it('of a name: the next one of its table, here or in an imported file', () => {
    write('bits.ts', 'export const Bit = { ONE: 1, TWO: 2 } as const; export enum Kind { A, B, C }');
    expect(edits("import { Bit, Kind as K } from './bits'; const x = f(Bit.ONE, K.C);").filter((e) => e.startsWith('neighbour'))).toEqual([
      'neighbour [x] Bit.ONE -> Bit.TWO',
      'neighbour [x] K.C -> K.A',
    ]);
  });
  it('are one place each, and leave the rest of the text alone', () => {
    const text = 'export const A = 7;\nexport const B = { x: 1, y: 2 };\n';
    for (const m of findMutants(root, 'table.ts', text)) {
      const after = mutated(text, m);
      expect(after.slice(0, m.start)).toBe(text.slice(0, m.start));
      expect(after.endsWith(text.slice(m.end))).toBe(true);
      expect(after).not.toBe(text);
    }
  });
});

it('the score leaves out what no test can tell', () => {
  const verdict = (fate: Fate, line: number): Verdict => ({ ...findMutants(root, 'table.ts', 'const A = 7;')[0], fate, line });
  const verdicts = [verdict('killed', 1), verdict('timeout', 2), verdict('killed', 3), verdict('survived', 4), verdict('equivalent', 5)];
  expect(score(verdicts)).toEqual({ killed: 3, survived: 1, equivalent: 1 });
  expect(percent(score(verdicts))).toBe('75.0 %');
  expect(scoreTable(verdicts).at(-1)).toBe('| **All** | 5 | 3 | 1 | 1 | 75.0 % |');
  expect(survivorTable(verdicts).slice(2)).toEqual(['| table.ts:4 | A | constant | 7 -> 8 |']);
});

it('a mutant runs in a process of its own, without a change on disk', async () => {
  const path = 'vmx/instructions/result.ts';
  const worker = new TestProcess();
  try {
    const tests = ['tests/vmx/tables.test.ts'];
    expect(await worker.run({ tests }, 120_000)).toEqual({ tests: expect.any(Number) as number });
    const run = async (text: string, ms = 120_000): Promise<unknown> => worker.run({ mutant: { path, text }, tests }, ms);
    expect(await run('export enum VmInstructionError { VmcallInRootOperation = 2 }')).toMatchObject({ failure: { test: '"VM Instruction Error Numbers"' } });
    expect(await run('export enum VmInstructionError { = }')).toMatchObject({ failure: { message: expect.stringMatching(/./) as string } });
    expect(await run('for (;;);', 2000)).toBe('timeout');
    // The next job gets a new process and the sources as they are.
    expect(await worker.run({ tests }, 120_000)).not.toHaveProperty('failure');
  } finally {
    worker.stop();
  }
});
