/** `vmexit run IMAGE`: files in, a machine, console and limits around it, a process status out. */
import type { Logger } from 'pino';
import { exitCode, type RunOutcome } from './exit-codes';
import { createGdbRunner } from './gdb-runner';
import type { OpenDisks } from '../library/disk-image';
import { openDrives } from './disk-image';
import { createRecording } from './recording-file';
import { machineSpec, readFile } from './guest-spec';
import { RunLoop } from './run-loop';
import type { RunOptions } from './run-options';
import type { CreateRunner, GuestRunner, GuestSpec } from './runner';
import { BufferedOutput, fileSerial, unixSerial, type SerialPort } from './serial-port';
import { renderStats } from './stats-table';
import { KEY_HELP, TerminalKeys } from './terminal-keys';
import { openTraceFile } from './trace-file';
import { parseTypeScript, Typist } from './type-script';
import { UserError } from './user-error';

/** The process around a command, as far as commands touch it. */
export interface Io {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown; unref?(): unknown };
  readonly stdout: { write(data: string | Uint8Array): unknown; readonly isTTY?: boolean };
  readonly stderr: { write(data: string | Uint8Array): unknown };
  /** Milliseconds of the wall clock. */
  readonly now: () => number;
  /** Calls `stop` when the user wants the process to end; returns how to take that back. */
  readonly onInterrupt: (stop: () => void) => () => void;
}

const NEWLINE = 0x0a;
/** Of the console text in --json. */
const JSON_CONSOLE_LIMIT = 16 << 20;

interface Console extends SerialPort {
  /** What --json shows. */
  text?(): string;
  /** The cursor is in the middle of a line. */
  midLine?(): boolean;
}

/** Where the port of the virtio console goes, if there is one. */
async function openVirtioConsole({ device }: RunOptions, input: (bytes: Uint8Array) => void): Promise<SerialPort | undefined> {
  const place = device.find((one) => one.kind === 'virtio-console')?.chardev;
  if (place === undefined) return undefined;
  if (place.kind === 'file') return fileSerial(place.path);
  return place.kind === 'unix' ? unixSerial(place.path, input) : new BufferedOutput(() => {});
}

async function openConsole(options: RunOptions, io: Io, input: (bytes: Uint8Array) => void): Promise<Console> {
  const { serial } = options;
  switch (serial.kind) {
    case 'file':
      return fileSerial(serial.path);
    case 'unix':
      return unixSerial(serial.path, input);
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

export async function runCommand(options: RunOptions, io: Io, log: Logger, createRunner: CreateRunner): Promise<number> {
  const steps = options.type === undefined ? [] : parseTypeScript(new TextDecoder().decode(readFile(options.type, 'typing script')));
  const machine = machineSpec(options);
  if (options.trace !== undefined && options.bare) throw new UserError('--trace with --bare: a bare machine has no VM exits to trace; leave one of them out');
  if (options.wait && options.gdb === undefined) throw new UserError('--wait: there is no debugger to wait for; give --gdb too');
  if (options.gdb !== undefined && options.maxInstructions !== undefined)
    throw new UserError('--max-instructions with --gdb: how far the guest runs is up to the debugger; leave one of them out');
  if (options.traceFormat !== undefined && options.trace === undefined) throw new UserError('--trace-format: give --trace FILE too');
  if (options.record !== undefined && options.gdb !== undefined)
    throw new UserError('--record with --gdb: a debugger keeps its own history; leave one of them out');
  if (options.snapshotDisk && options.drive.length === 0) throw new UserError('--snapshot-disk: there is no disk; give --drive FILE too');
  const rewound = options.record !== undefined ? '--record' : options.gdb !== undefined ? '--gdb' : undefined;
  if (rewound !== undefined && !options.snapshotDisk && options.drive.some(({ readOnly }) => !readOnly))
    throw new UserError(`${rewound} with a --drive that the guest writes: going back needs the disk as it was; give --snapshot-disk, or --drive FILE,readonly`);
  const virtioConsoles = options.device.filter(({ kind }) => kind === 'virtio-console').length;
  if (virtioConsoles > 1) throw new UserError(`--device: ${virtioConsoles} virtio consoles were given; give one`);
  if (virtioConsoles > 0 && rewound !== undefined)
    throw new UserError(`${rewound} with --device virtio-console: what comes in at its port is not recorded; leave one of them out`);
  const recording = options.record === undefined ? undefined : createRecording(options.record, options, machine);
  const trace = options.trace === undefined ? undefined : openTraceFile(options.trace, options.traceFormat);

  const early: Uint8Array[] = [];
  let deliver: (bytes: Uint8Array) => void = (bytes) => void early.push(bytes);
  const console = await openConsole(options, io, (bytes) => deliver(bytes));
  let disconnect: () => void = () => {};
  let takeBack: () => void = () => {};
  let closeRunner: () => void = () => {};
  let wake: () => void = () => {};
  let disks: OpenDisks | undefined;
  let virtioConsole: SerialPort | undefined;
  try {
    disks = openDrives(options.drive, options.snapshotDisk, log.isLevelEnabled('trace') ? (event, disk) => log.trace({ disk, ...event }) : undefined);
    virtioConsole = await openVirtioConsole(options, (bytes) => {
      runner.sendConsole?.(bytes);
      wake();
    });
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
    const loop: RunLoop = new RunLoop(runner, { maxInstructions, timeout, paced, patient, now: io.now, flush });
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
    return exitCode(outcome);
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
