/** The process in which mutants run: told a text for a file, it says which test fails. It can be stopped without harm: a mutant may not end. */
import { join } from 'node:path';
import { ModuleSpace } from './module-space';
import { runTestFile, type TestFailure } from './test-run';

/** `mutant` absent: the tests as they are. */
export interface Job {
  readonly mutant?: { readonly path: string; readonly text: string };
  readonly tests: readonly string[];
}

export interface JobResult {
  readonly failure?: TestFailure & { readonly file: string };
  /** Tests that ran. */
  readonly tests: number;
}

const space = new ModuleSpace(join(__dirname, '../..'));

async function run({ mutant, tests }: Job): Promise<JobResult> {
  if (mutant === undefined) space.restore();
  else space.replace(mutant.path, mutant.text);
  let count = 0;
  for (const file of tests) {
    const result = await runTestFile(space, file);
    count += result.tests;
    if (result.failure !== undefined) return { failure: { ...result.failure, file }, tests: count };
  }
  return { tests: count };
}

process.on('message', (job: Job) => {
  void run(job).then(
    (result) => process.send!(result),
    (e: unknown) => process.send!({ failure: { file: '', test: '(the run itself)', message: String(e) }, tests: 0 } satisfies JobResult),
  );
});
