/** What bin/vmexit.js runs: the command line in this process, with real machines. */
import { Socket } from 'node:net';
import { EXIT_CODES } from './exit-codes';
import { createGuestRunner } from './guest-machine';
import { main } from './main';
import { PipeOutput } from './pipe-output';
import type { Io } from './run-command';

/** Whoever reads our output may go away. */
function outputFailed(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT_CODES['user-quit'].code);
  process.stderr.write(`vmexit: cannot write output: ${error.message}\n`);
  process.exit(EXIT_CODES.usage.code);
}

/** A file and a terminal take what they are given at once. */
function openOutput(): Io['stdout'] {
  process.stdout.on('error', outputFailed);
  if (process.stdout.isTTY || !(process.stdout instanceof Socket)) return process.stdout;
  return new PipeOutput(process.stdout).on('error', outputFailed);
}

/** The process that this is, as commands see it. */
function processIo(): Io {
  return {
    stdin: process.stdin,
    stdout: openOutput(),
    stderr: process.stderr,
    now: () => performance.now(),
    onInterrupt: (stop) => {
      process.on('SIGINT', stop).on('SIGTERM', stop);
      return () => void process.off('SIGINT', stop).off('SIGTERM', stop);
    },
  };
}

const io = processIo();
void main(process.argv.slice(2), io, createGuestRunner).then((code) => {
  // The pipe would keep the process until somebody reads it.
  if (io.stdout instanceof PipeOutput && io.stdout.abandoned) process.exit(code);
  process.exitCode = code;
});
