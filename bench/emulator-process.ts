/** Another emulator as a process of its own, whose serial console says how far it is: every line with what the process had cost by then. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import type { BootRow, LoopRow } from './measurement';
import { cpuSecondsOf, peakMiBOf } from './process-cost';
import { END_OF_ROWS, MARKER, readRow } from './workload';

export interface EmulatorCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** The file it writes its serial port to; else the serial port is its standard output. */
  readonly serialFile?: string;
  /** A line after which the image runs: what came before (BIOS, boot loader) is not counted. */
  readonly startLine?: string;
}

export interface Moment {
  readonly line: string;
  readonly wall: number;
  readonly cpu: number;
  readonly peakMiB: number;
}

const POLL_MS = 5;
const PATIENCE_MS = 300_000;

/** Runs it until `onLine` answers true, then ends it. Throws Error if it ends, or five minutes pass, before. */
function follow(emulator: EmulatorCommand, onLine: (moment: Moment) => boolean): Promise<void> {
  const child = spawn(emulator.command, emulator.args, { stdio: ['ignore', emulator.serialFile === undefined ? 'pipe' : 'ignore', 'ignore'] });
  const began = process.hrtime.bigint();
  let done = false;
  let text = '';
  const receive = (chunk: string): void => {
    text += chunk;
    for (let end = text.indexOf('\n'); end >= 0 && !done; end = text.indexOf('\n')) {
      const line = text.slice(0, end).replace(/\r/g, '');
      text = text.slice(end + 1);
      const pid = child.pid!;
      done = onLine({ line, wall: Number(process.hrtime.bigint() - began) / 1e9, cpu: cpuSecondsOf(pid), peakMiB: peakMiBOf(pid) });
      if (done) child.kill('SIGKILL');
    }
  };
  const stopWatching = emulator.serialFile === undefined ? watchStdout(child, receive) : watchFile(emulator.serialFile, receive);
  return new Promise((resolve, reject) => {
    const patience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
    child.on('error', reject);
    child.on('close', () => {
      clearTimeout(patience);
      stopWatching();
      if (done) resolve();
      else reject(new Error(`${emulator.command} ended before its work was done; the last it printed: ${JSON.stringify(text.slice(-200))}`));
    });
  });
}

function watchStdout(child: ChildProcess, receive: (chunk: string) => void): () => void {
  child.stdout!.on('data', (chunk: Buffer) => receive(chunk.toString('latin1')));
  return () => {};
}

/** A file that another process appends to. */
function watchFile(path: string, receive: (chunk: string) => void): () => void {
  const buffer = Buffer.alloc(65536);
  const fd = openSync(path, 'r');
  const poll = (): void => {
    for (;;) {
      const size = readSync(fd, buffer);
      if (size === 0) return;
      receive(buffer.toString('latin1', 0, size));
    }
  };
  const timer = setInterval(poll, POLL_MS);
  return () => {
    clearInterval(timer);
    closeSync(fd);
  };
}

/** Rows of the bench guest. */
export async function emulatorLoops(emulator: EmulatorCommand): Promise<LoopRow[]> {
  const rows: LoopRow[] = [];
  let last = 0;
  await follow(emulator, ({ line, cpu }) => {
    const row = readRow(line);
    if (row) rows.push({ name: row.name, count: row.count, seconds: cpu - last });
    last = cpu;
    return line.startsWith(END_OF_ROWS);
  });
  return rows;
}

/** From the start (or `startLine`) to user space. */
export async function emulatorBoot(emulator: EmulatorCommand): Promise<BootRow> {
  let start = { wall: 0, cpu: 0 };
  let end: BootRow | undefined;
  await follow(emulator, ({ line, wall, cpu, peakMiB }) => {
    if (emulator.startLine !== undefined && line.startsWith(emulator.startLine)) start = { wall, cpu };
    if (!line.includes(MARKER)) return false;
    end = { wall: wall - start.wall, cpu: cpu - start.cpu, peakMiB };
    return true;
  });
  return end!;
}

export const commandExists = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;

/** The first line of what a program says to an option like --version. */
export function firstLine(command: string, args: readonly string[], pattern: RegExp): string {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', input: '' });
  return pattern.exec(`${stdout}${stderr}`)?.[0] ?? command;
}
