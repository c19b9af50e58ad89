/** `vmexit run IMAGE`: files in, a machine, console and limits around it, a process status out. */
import type { Logger } from 'pino';
import { exitCode, type RunOutcome } from './exit-codes';
import { createGdbRunner } from './gdb-runner';
import type { OpenDisks } from '../library/disk-image';
import { diskLog, openDrives } from './disk-image';
import { createRecording } from './recording-file';
import { machineSpec } from './guest-spec';
import { readFile } from './input-file';
import { PipeOutput } from './pipe-output';
import { requireConsistent } from './run-conflicts';
import { RunLoop } from './run-loop';
import type { RunOptions } from './run-options';
import type { CreateRunner, GuestRunner, GuestSpec } from './runner';
import { BufferedOutput, fileSerial, unixSerial, type SerialPort } from './serial-port';
import { renderStats } from './stats-table';
import { KEY_HELP, TerminalKeys } from './terminal-keys';
import { openTraceFile } from './trace-file';
import { parseTypeScript, Typist } from './type-script';

/** The process around a command, as far as commands touch it. */
export interface Io {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown; unref?(): unknown };
  readonly stdout: PipeOutput | { write(data: string | Uint8Array): unknown; readonly isTTY?: boolean };
  readonly stderr: { write(data: string | Uint8Array): unknown };
  /** Milliseconds of the wall clock. */
  readonly now: () => number;
  /** Calls `stop` when the user wants the process to end; returns how to take that back. */
  readonly onInterrupt: (stop: () => void) => () => void;
}

const NEWLINE = 0x0a;
/** Of the console text in --json. */
const JSON_CONSOLE_LIMIT = 16 << 20;
/** Milliseconds for which a run that was ended from outside waits for a reader of its output that takes nothing. */
const READER_GRACE = 1000;

interface Console extends SerialPort {
  /** What --json shows. */
  text?(): string;
  /** The cursor is in the middle of a line. */
  midLine?(): boolean;
}

/** Where the port of the virtio console goes, if there is one. */
async function openVirtioConsole({ device }: RunOptions, input: (bytes: Uint8Array) => void, drained: () => void): Promise<SerialPort | undefined> {
  const place = device.find((one) => one.kind === 'virtio-console')?.chardev;
  if (place === undefined) return undefined;
  if (place.kind === 'file') return fileSerial(place.path);
  return place.kind === 'unix' ? unixSerial(place.path, input, drained) : new BufferedOutput(() => {});
}

async function openConsole(options: RunOptions, io: Io, input: (bytes: Uint8Array) => void, drained: () => void): Promise<Console> {
  const { serial } = options;
  switch (serial.kind) {
    case 'file':
      return fileSerial(serial.path);
    case 'unix':
      return unixSerial(serial.path, input, drained);
    case 'none':
      return new BufferedOutput(() => {});
    case 'stdio': {
      const kept: Uint8Array[] = [];
      let size = 0;
      const port = new BufferedOutput((bytes) => {
        if (!options.json) io.stdout.write(bytes.slice());
        else if (size < JSON_CONSOLE_LIMIT) {
          size += bytes.length;
          kept.push(bytes.slice());
        }
      });
      const console: Console = { output: (byte) => port.output(byte), flush: () => port.flush(), close: () => port.close() };
      console.text = () => Buffer.concat(kept).toString('utf8');
      console.midLine = () => !options.json && port.last !== -1 && port.last !== NEWLINE;
      return console;
    }
  }
}

/** Connects stdin with the guest; returns how to disconnect. */
function connectStdin(io: Io, loop: RunLoop, runner: GuestRunner): () => void {
  const { stdin } = io;
  const terminal = stdin.isTTY === true && stdin.setRawMode !== undefined;
  const print = (lines: string): void => void io.stderr.write(`\r\n${lines.replace(/\n/g, '\r\n')}\r\n`);
  const keys = new TerminalKeys(
    (bytes) => loop.input(bytes),
    (command) => {
      if (command === 'quit') loop.stop('Ctrl-A X');
      else print(command === 'help' ? KEY_HELP.join('\n') : renderStats(runner.stats()));
    },
  );
  const data = (chunk: Buffer | string): void => {
    const bytes = typeof chunk === 'string' ? new TextEncoder().encode(chunk) : new Uint8Array(chunk);
    if (terminal) keys.input(bytes);
    else loop.input(bytes);
  };
  const end = (): void => loop.inputEnded();
  loop.inputOpen = true;
  if (terminal) stdin.setRawMode?.(true);
  stdin.on('data', data).on('end', end).on('error', end);
  stdin.resume();
  return () => {
    stdin.off('data', data).off('end', end).off('error', end);
    if (terminal) stdin.setRawMode?.(false);
    stdin.pause();
    stdin.unref?.();
  };
}

function report(options: RunOptions, io: Io, runner: GuestRunner, outcome: RunOutcome, seconds: number, console: Console): void {
  const stats = runner.stats();
  if (options.json) {
    const { instructions, ticks, rows } = stats;
    const result = {
      outcome: outcome.kind,
      status: exitCode(outcome),
      explanation: outcome.explanation,
      instructions,
      ticks,
      wallSeconds: seconds,
      exits: rows,
      console: console.text?.(),
    };
    io.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  if (console.midLine?.()) io.stdout.write('\n');
  if (options.stats) io.stdout.write(`\n${renderStats(stats)}\n`);
  if (outcome.kind !== 'power-off' && outcome.kind !== 'debug-exit') io.stderr.write(`vmexit: ${outcome.kind}: ${outcome.explanation}\n`);
}

/** A guest that ended by itself has its output read to the end, as any program has; a limit or a signal ends the waiting, too. */
async function deliverOutput({ timeout }: RunOptions, io: Io, outcome: RunOutcome, started: number): Promise<RunOutcome> {
  if (!(io.stdout instanceof PipeOutput)) return outcome;
  const cut = outcome.kind === 'timeout' || outcome.kind === 'user-quit';
  const left = cut ? 0 : timeout === undefined ? Infinity : started + timeout * 1000 - io.now();
  const lost = await io.stdout.delivered(left, READER_GRACE);
  if (lost === 0) return outcome;
  io.stderr.write(`vmexit: ${lost} bytes of output are thrown away: nobody has read them in time\n`);
  return cut ? outcome : { kind: 'timeout', explanation: `${timeout} seconds are over` };
}

/** Answers the process status. Throws UserError. */
export async function runCommand(options: RunOptions, io: Io, log: Logger, createRunner: CreateRunner): Promise<number> {
  const started = io.now();
  return exitCode(await deliverOutput(options, io, await runGuest(options, io, log, createRunner), started));
}

async function runGuest(options: RunOptions, io: Io, log: Logger, createRunner: CreateRunner): Promise<RunOutcome> {
  const steps = options.type === undefined ? [] : parseTypeScript(new TextDecoder().decode(readFile(options.type, 'typing script')));
  const machine = machineSpec(options);
  requireConsistent(options);
  const recording = options.record === undefined ? undefined : createRecording(options.record, options, machine);
  const trace = options.trace === undefined ? undefined : openTraceFile(options.trace, options.traceFormat);

  const early: Uint8Array[] = [];
  let deliver: (bytes: Uint8Array) => void = (bytes) => void early.push(bytes);
  let wake: () => void = () => {};
  const drained = (): void => wake();
  const console = await openConsole(options, io, (bytes) => deliver(bytes), drained);
  let disconnect: () => void = () => {};
  let takeBack: () => void = () => {};
  let closeRunner: () => void = () => {};
  let disks: OpenDisks | undefined;
  let virtioConsole: SerialPort | undefined;
  try {
    disks = openDrives(options.drive, options.snapshotDisk, diskLog(log));
    const consoleInput = (bytes: Uint8Array): void => {
      runner.sendConsole?.(bytes);
      wake();
    };
    virtioConsole = await openVirtioConsole(options, consoleInput, drained);
    const typist = new Typist(steps, (bytes) => runner.sendSerial(bytes));
    const spec: GuestSpec = {
      ...machine,
      drives: disks.drives,
      virtioConsole: virtioConsole && ((byte) => virtioConsole?.output(byte)),
      observer: trace?.observer,
      record: recording?.write,
      checkVmcb: options.checkVmcb ? (explanation) => void io.stderr.write(`vmexit: ${explanation}\n`) : undefined,
      explainIommu: options.iommu || options.assign.length > 0 ? (explanation) => log.warn(explanation) : undefined,
      overdue: () => loop.overdue,
      serialOutput: (byte) => {
        console.output(byte);
        typist.output(byte);
      },
    };
    const runner: GuestRunner & { close?(): void } =
      options.gdb === undefined
        ? createRunner(spec)
        : await createGdbRunner(spec, {
            ...{ endpoint: options.gdb, wait: options.wait },
            inputOpen: () => loop.inputOpen,
            wake: () => wake(),
            announce: (text) => void io.stderr.write(`vmexit: ${text}\n`),
          });
    closeRunner = () => runner.close?.();
    log.info({ image: options.image, memory: options.memory, bare: options.bare, cpu: spec.cpu }, 'machine built');
    const paced = options.serial.kind === 'stdio' && io.stdin.isTTY === true;
    const { maxInstructions, timeout } = options;
    const patient = options.serial.kind === 'stdio' && io.stdin.isTTY !== true;
    const flush = (): void => {
      console.flush();
      virtioConsole?.flush();
    };
    const pipe = io.stdout instanceof PipeOutput ? io.stdout : undefined;
    pipe?.on('drain', drained);
    const congested = (): boolean => [pipe, console, virtioConsole].some((output) => output?.full === true);
    const loop: RunLoop = new RunLoop(runner, { maxInstructions, timeout, paced, patient, now: io.now, flush, congested });
    deliver = (bytes) => loop.input(bytes);
    wake = () => loop.wakeUp();
    early.forEach(deliver);
    takeBack = io.onInterrupt(() => loop.stop('interrupted'));
    if (options.serial.kind === 'stdio') disconnect = connectStdin(io, loop, runner);
    else if (options.serial.kind === 'unix') loop.inputOpen = true;
    typist.start();

    const start = io.now();
    const outcome = await loop.run();
    runner.ended?.(outcome.kind);
    const seconds = (io.now() - start) / 1000;
    disconnect();
    disconnect = () => {};
    console.flush();
    if (typist.waitingFor) log.warn({ line: typist.waitingFor.line }, 'the typing script was still waiting for its next text');
    log.info({ outcome: outcome.kind, seconds }, outcome.explanation);
    report(options, io, runner, outcome, seconds, console);
    return outcome;
  } finally {
    disconnect();
    takeBack();
    closeRunner();
    disks?.close();
    virtioConsole?.close();
    console.close();
    await trace?.close();
    recording?.close();
  }
}
