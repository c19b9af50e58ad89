/**
 * npm run mutate: breaks one row of a table at a time, in memory, and asks whether a test notices. See docs/mutation.md.
 * The sources on disk are only read.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { whyEquivalent } from './mutation/equivalent';
import { findMutants } from './mutation/find-mutants';
import { describeEdit, mutated, type Mutant } from './mutation/mutant';
import { score, scoreTable, survivorTable, percent, type Verdict } from './mutation/score';
import { TARGETS, type Target } from './mutation/targets';
import { TestProcess, type JobOutcome } from './mutation/test-process';

const ROOT = join(__dirname, '..');
const REPORT = '.cache/mutation.json';

interface Options {
  readonly only?: readonly string[];
  readonly sample?: number;
  readonly again?: boolean;
  readonly list?: boolean;
  readonly report: string;
  readonly minimum?: number;
}

const positive = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('expected a whole number from 1 on');
  return value;
};
const percentage = (text: string): number => {
  const value = Number(text);
  if (!(value >= 0 && value <= 100)) throw new InvalidArgumentError('expected a number from 0 to 100');
  return value;
};

/** Files whose path starts so, or whose target does. */
function chosen(only: readonly string[] | undefined): Target[] {
  const asked = (target: Target, file: string): boolean =>
    only === undefined || only.some((prefix) => target.name.startsWith(prefix) || file.startsWith(prefix));
  const targets = TARGETS.map((target) => ({ ...target, files: target.files.filter((file) => asked(target, file)) })).filter((t) => t.files.length > 0);
  if (targets.length === 0) throw new Error(`--only ${only?.join(' ')} names no table. There are: ${TARGETS.flatMap((t) => t.files).join(', ')}`);
  return targets;
}

/** `count` of them, evenly over all files. */
const sampled = <T>(all: readonly T[], count: number): T[] =>
  count >= all.length ? [...all] : Array.from({ length: count }, (_, i) => all[Math.floor((i * all.length) / count)]);

const key = (m: Mutant): string => `${m.file}|${m.row}|${m.operator}|${m.original}|${m.replacement}`;

function previousSurvivors(report: string): Set<string> {
  const verdicts = (JSON.parse(readFileSync(join(ROOT, report), 'utf8')) as { mutants: Verdict[] }).mutants;
  return new Set(verdicts.filter((v) => v.fate === 'survived').map(key));
}

interface Work {
  readonly target: Target;
  readonly mutant: Mutant;
}

async function main(options: Options): Promise<void> {
  const texts = new Map<string, string>();
  let work: Work[] = [];
  for (const target of chosen(options.only)) {
    for (const file of target.files) {
      texts.set(file, readFileSync(join(ROOT, file), 'utf8'));
      for (const mutant of findMutants(ROOT, file, texts.get(file)!)) work.push({ target, mutant });
    }
  }
  if (options.again) {
    const survivors = previousSurvivors(options.report);
    work = work.filter(({ mutant }) => survivors.has(key(mutant)));
  }
  if (options.sample !== undefined) work = sampled(work, options.sample);
  if (options.list) {
    for (const { mutant } of work) console.log(`${mutant.file}:${mutant.line} [${mutant.row}] ${mutant.operator}: ${describeEdit(mutant)}`);
    return;
  }

  const worker = new TestProcess();
  const timeouts = new Map<string, number>();
  const verdicts: Verdict[] = [];
  try {
    for (const { target, mutant } of work) {
      const { file } = mutant;
      const text = texts.get(file)!;
      if (!timeouts.has(file)) timeouts.set(file, await timeoutFor(worker, target, file, text));
      const job = { mutant: { path: file, text: mutated(text, mutant) }, tests: target.tests };
      const verdict = judge(mutant, await worker.run(job, timeouts.get(file)!));
      verdicts.push(verdict);
      if (verdict.fate === 'survived') console.log(`${mutant.file}:${mutant.line} [${mutant.row}] ${mutant.operator}: ${describeEdit(mutant)}`);
    }
  } finally {
    worker.stop();
  }

  const report = join(ROOT, options.report);
  mkdirSync(dirname(report), { recursive: true });
  writeFileSync(options.again ? report.replace(/\.json$/, '.again.json') : report, JSON.stringify({ score: score(verdicts), mutants: verdicts }, undefined, 1));
  console.log(['', ...survivorTable(verdicts), '', ...scoreTable(verdicts)].join('\n'));
  const total = score(verdicts);
  if (options.minimum !== undefined && total.killed < ((total.killed + total.survived) * options.minimum) / 100) {
    console.error(
      `\nThe tests kill ${percent(total)} of the mutants; --minimum asks for ${options.minimum} %. Add a test for each row above that is not right.`,
    );
    process.exitCode = 1;
  }
}

function judge(mutant: Mutant, outcome: JobOutcome): Verdict {
  const equivalent = whyEquivalent(mutant);
  if (outcome !== 'timeout' && !outcome.failure)
    return equivalent === undefined ? { ...mutant, fate: 'survived' } : { ...mutant, fate: 'equivalent', because: equivalent };
  if (equivalent !== undefined)
    console.log(`# not equivalent after all, take it off mutation/equivalent.ts: ${mutant.file}:${mutant.line} ${describeEdit(mutant)}`);
  if (outcome === 'timeout') return { ...mutant, fate: 'timeout', because: 'the tests did not end' };
  return { ...mutant, fate: 'killed', because: `${outcome.failure!.file}: ${outcome.failure!.test}` };
}

/**
 * Runs the tests with the file as it is, put in place as a mutant would be: they must pass, or a failure would say nothing about the
 * mutant. What they take is the measure for those that do not end.
 */
async function timeoutFor(worker: TestProcess, target: Target, path: string, text: string): Promise<number> {
  const start = Date.now();
  const result = await worker.run({ mutant: { path, text }, tests: target.tests }, 600_000);
  if (result === 'timeout') throw new Error(`The tests of ${target.name} do not end with the sources as they are`);
  if (result.failure) {
    const { file, test, message } = result.failure;
    throw new Error(`The tests of ${target.name} must pass before mutants of ${path} mean anything.\n${file}: ${test}\n${message}`);
  }
  const took = Date.now() - start;
  console.log(`# ${path}: ${result.tests} tests in ${took} ms`);
  return 5000 + 5 * took;
}

new Command('mutate')
  .description('Changes one row of a table at a time and runs the tests that speak about it.')
  .option('--only <prefix...>', 'targets or files whose name starts so, e.g. vmx/entry')
  .option('--sample <n>', 'that many mutants, evenly spread', positive)
  .option('--again', 'only those that survived according to the report')
  .option('--list', 'the mutants, without running any')
  .option('--report <file>', 'where the verdicts go', REPORT)
  .option('--minimum <percent>', 'exit with 1 below this score', percentage)
  .action((options: Options) => main(options))
  .parseAsync()
  .catch((e: unknown) => {
    console.error(e instanceof Error ? e.message : e);
    process.exitCode = 1;
  });
