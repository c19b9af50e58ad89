/** What bin/vmexit.js runs: the command line in this process, with real machines. */
import { EXIT_CODES } from './exit-codes';
import { createGuestRunner } from './guest-machine';
import { main } from './main';
import type { Io } from './run-command';

/** The process that this is, as commands see it. */
function processIo(): Io {
  // Whoever reads our output may go away.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_CODES['user-quit'].code);
    process.stderr.write(`vmexit: cannot write output: ${error.message}\n`);
    process.exit(EXIT_CODES.usage.code);
  });
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    now: () => performance.now(),
    onInterrupt: (stop) => {
      process.on('SIGINT', stop).on('SIGTERM', stop);
      return () => void process.off('SIGINT', stop).off('SIGTERM', stop);
    },
  };
}

void main(process.argv.slice(2), processIo(), createGuestRunner).then((code) => (process.exitCode = code));
