/** `vmexit debug IMAGE`: the debugger's commands from a terminal, a script, or a pipe. */
import { createInterface, type Interface } from 'node:readline';
import { tracedExit } from '../debugger/commands/exit-trace';
import { Interpreter } from '../debugger/commands/interpreter';
import type { CommandResult, CommandWork } from '../debugger/commands/command';
import { Session } from '../debugger/session';
import { SnapshotFileError } from '../debugger/snapshot/file';
import { elfSymbols, symbolsOf } from '../debugger/symbols';
import { DebugError } from '../debugger/target';
import type { ExitRecord } from '../hypervisor/vcpu';
import type { OpenDisks } from '../library/disk-image';
import type { SymbolTable } from '../trace/symbols';
import { DebugOutput } from './debug-output';
import { failureTeller, openDrives } from './disk-image';
import { checkDebugOptions, type DebugOptions } from './debug-options';
import { EXIT_CODES } from './exit-codes';
import { build } from './guest-machine';
import { machineSpec, pastKindOf, type PastKind } from './guest-spec';
import { readFile } from './input-file';
import { openRecording, openSnapshot, type PastGuest } from './past-guest';
import type { Io } from './run-command';
import { parseTypeScript, Typist } from './type-script';
import { UserError } from './user-error';

const PROMPT = '(vmexit) ';

/** Process status: 0, or that of bad usage when a command of a script failed. */
export async function debugCommand(options: DebugOptions, io: Io): Promise<number> {
  // Going back in time takes writes back, too.
  const disks = openDrives(
    options.drive,
    true,
    failureTeller((message) => void io.stderr.write(`vmexit: ${message}\n`)),
  );
  try {
    return await debugGuest(options, io, disks.drives);
  } finally {
    disks.close();
  }
}

async function debugGuest(options: DebugOptions, io: Io, drives: OpenDisks['drives']): Promise<number> {
  const past = pastKindOf(options.image);
  if (past !== undefined) requireNoMachine(options, past);
  const steps = options.type === undefined ? [] : parseTypeScript(new TextDecoder().decode(readFile(options.type, 'typing script')));
  const script = options.script === undefined ? options.command : new TextDecoder().decode(readFile(options.script, 'script')).split('\n');
  const interactive = script.length === 0;
  const terminal = interactive && io.stdin.isTTY === true && io.stdout.isTTY === true;
  const output = new DebugOutput(io.stdout, { json: options.json, colour: terminal && process.env.NO_COLOR === undefined });
  const typist = new Typist(steps, (bytes) => session.sendSerial(bytes));
  const serialOutput = (byte: number): void => {
    output.console(byte);
    typist.output(byte);
  };
  const exit = (record: ExitRecord): void => showExit(interpreter, output, record);
  const { session, symbols }: PastGuest = past === undefined ? openImage(options, drives, serialOutput, exit) : openPast(past, options, serialOutput, exit);
  const interpreter: Interpreter = new Interpreter(session, symbols);
  typist.start();
  output.greet(session.description);
  const shell = new Shell(interpreter, output, io);
  if (interactive) await shell.converse(terminal);
  else for (const line of script) if (!(await shell.obey(line))) break;
  output.end();
  return interactive || !shell.failed ? 0 : EXIT_CODES.usage.code;
}

type Hooks = [serialOutput: (byte: number) => void, exit: (record: ExitRecord) => void];

/** Throws UserError. */
function openImage(options: DebugOptions, drives: OpenDisks['drives'], ...[serialOutput, exit]: Hooks): PastGuest {
  const spec = machineSpec(options);
  const session = build({ ...spec, drives, serialOutput, observer: { exit } }, (config) => new Session(config, { budget: options.snapshots }));
  return { session, symbols: symbolsFor(options, spec.image) };
}

/** Throws UserError. */
function openPast(kind: PastKind, { image, symbols, snapshots }: DebugOptions, ...[serialOutput, exit]: Hooks): PastGuest {
  try {
    return (kind === 'recording' ? openRecording : openSnapshot)(image, { symbols, serialOutput, exit, budget: snapshots });
  } catch (error) {
    if (error instanceof DebugError || error instanceof SnapshotFileError) throw new UserError(error.message, { cause: error });
    throw error;
  }
}

/** Options that a recording or a snapshot leaves open. */
const OPEN: ReadonlySet<string> = new Set(['image', 'type', 'json', 'logLevel', 'symbols', 'script', 'command', 'snapshots']);

/** Throws UserError for what is in the file already. */
function requireNoMachine(options: DebugOptions, past: PastKind): void {
  const defaults: Readonly<Record<string, unknown>> = checkDebugOptions({ image: options.image });
  const given = Object.entries(options).find(([key, value]) => !OPEN.has(key) && JSON.stringify(value) !== JSON.stringify(defaults[key]));
  if (given !== undefined) throw new UserError(`--${given[0]}: ${options.image} is a ${past}, which has the machine in it; leave this option out`);
}

/** Throws UserError. */
function symbolsFor({ symbols }: DebugOptions, image: Uint8Array): SymbolTable | undefined {
  if (symbols === undefined) return elfSymbols(image);
  try {
    return symbolsOf(readFile(symbols, 'symbols'), symbols);
  } catch (error) {
    if (error instanceof DebugError) throw new UserError(`--symbols: ${error.message}`);
    throw error;
  }
}

function showExit(interpreter: Interpreter, output: DebugOutput, record: ExitRecord): void {
  const traced = tracedExit(interpreter, record);
  if (traced !== undefined) output.trace(traced.text, traced.data);
}

class Shell {
  failed = false;
  private busy = false;

  constructor(
    private readonly interpreter: Interpreter,
    private readonly output: DebugOutput,
    private readonly io: Io,
  ) {}

  /** One line; false when it ends the session. An error is said, and the session goes on. */
  async obey(line: string, echo = true): Promise<boolean> {
    if (line.trim() === '' && echo) return true;
    if (echo) this.output.echo(`${PROMPT}${line}`);
    this.busy = true;
    const takeBack = this.io.onInterrupt(() => this.interpreter.session.interrupt());
    try {
      const result = await this.drive(this.interpreter.execute(line));
      this.output.result(line, result);
      return result.quit !== true;
    } catch (error) {
      this.failed = true;
      if (error instanceof DebugError) this.output.error(line, error.message);
      else this.output.error(line, `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      return true;
    } finally {
      takeBack();
      this.busy = false;
    }
  }

  /** Between the pieces of the work the rest of the process lives: Ctrl-C arrives, output leaves. */
  private async drive(work: CommandWork): Promise<CommandResult> {
    for (;;) {
      const { done, value } = work.next();
      if (done === true) return value;
      this.output.flush();
      await new Promise(setImmediate);
    }
  }

  /** Until quit, or the end of input. */
  async converse(terminal: boolean): Promise<void> {
    const { stdin, stdout } = this.io;
    const lines = createInterface({
      input: stdin,
      ...(terminal ? { output: stdout as unknown as NodeJS.WritableStream, terminal, completer: (line: string) => this.complete(line) } : {}),
      prompt: terminal ? this.output.bold(PROMPT) : '',
    });
    // Without a listener Ctrl-C at the prompt would end the process and lose the session.
    lines.on('SIGINT', () => this.interrupted(lines));
    lines.prompt();
    for await (const line of lines) {
      if (!(await this.obey(line, !terminal))) break;
      lines.prompt();
    }
    lines.close();
  }

  private interrupted(lines: Interface): void {
    if (this.busy) return this.interpreter.session.interrupt();
    this.output.note('quit ends the session');
    lines.write(null, { ctrl: true, name: 'u' });
    lines.prompt();
  }

  private complete(line: string): [string[], string] {
    const [candidates, word] = this.interpreter.complete(line);
    return [candidates.length === 1 ? [`${candidates[0]} `] : [...candidates], word];
  }
}
