/** The worker seen from outside: jobs in, results out, and a mutant that does not end is ended. */
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Job, JobResult } from './worker';

export type JobOutcome = JobResult | 'timeout';

export class TestProcess {
  private child: ChildProcess | undefined;

  /** One job at a time. */
  async run(job: Job, timeoutMs: number): Promise<JobOutcome> {
    const child = (this.child ??= fork(join(__dirname, 'worker.ts'), { execArgv: ['-r', 'ts-node/register'] }));
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<JobOutcome>((resolve, reject) => {
        child.removeAllListeners();
        child.once('message', (result) => resolve(result as JobResult));
        child.once('exit', (code, signal) => {
          this.child = undefined;
          // Out of memory, or out of stack in native code: the mutant did not pass.
          if (job.mutant === undefined) reject(new Error(`The process that runs tests ended (${signal ?? code}) with the unchanged sources`));
          else resolve({ failure: { file: '', test: '(the process)', message: `ended: ${signal ?? code}` }, tests: 0 });
        });
        timer = setTimeout(() => {
          this.stop();
          resolve('timeout');
        }, timeoutMs);
        child.send(job);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  stop(): void {
    this.child?.removeAllListeners();
    this.child?.kill('SIGKILL');
    this.child = undefined;
  }
}
