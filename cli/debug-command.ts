/** `vmexit debug IMAGE`: the debugger's commands from a terminal, a script, or a pipe. */
import { createInterface, type Interface } from 'node:readline';
import { tracedExit } from '../debugger/commands/exit-trace';
import { Interpreter } from '../debugger/commands/interpreter';
import type { CommandResult, CommandWork } from '../debugger/commands/command';
import { Session } from '../debugger/session';
import { elfSymbols, symbolsOf } from '../debugger/symbols';
import { DebugError } from '../debugger/target';
import type { ExitRecord } from '../hypervisor/vcpu';
import type { SymbolTable } from '../trace/symbols';
import { DebugOutput } from './debug-output';
import { openDrives } from './disk-image';
import type { DebugOptions } from './debug-options';
import { EXIT_CODES } from './exit-codes';
import { build } from './guest-machine';
import { machineSpec } from './guest-spec';
import { readFile } from './input-file';
import type { Io } from './run-command';
import { parseTypeScript, Typist } from './type-script';
import { UserError } from './user-error';

const PROMPT = '(vmexit) ';

/** Process status: 0, or that of bad usage when a command of a script failed. */
export async function debugCommand(options: DebugOptions, io: Io): Promise<number> {
  const spec = machineSpec(options);
  const steps = options.type === undefined ? [] : parseTypeScript(new TextDecoder().decode(readFile(options.type, 'typing script')));
  const script = options.script === undefined ? options.command : new TextDecoder().decode(readFile(options.script, 'script')).split('\n');
  const interactive = script.length === 0;
  const terminal = interactive && io.stdin.isTTY === true && io.stdout.isTTY === true;
  const output = new DebugOutput(io.stdout, { json: options.json, colour: terminal && process.env.NO_COLOR === undefined });
  const typist = new Typist(steps, (bytes) => session.sendSerial(bytes));
  const session: Session = build(
    {
      ...spec,
      // Going back in time takes writes back, too.
      drives: openDrives(options.drive, true).drives,
      serialOutput: (byte) => {
        output.console(byte);
        typist.output(byte);
      },
      observer: { exit: (record) => showExit(interpreter, output, record) },
    },
    (config) => new Session(config, { budget: options.snapshots }),
  );
  const interpreter: Interpreter = new Interpreter(session, symbolsFor(options, spec.image));
  typist.start();
  output.greet(session.description);
  const shell = new Shell(interpreter, output, io);
  if (interactive) await shell.converse(terminal);
  else for (const line of script) if (!(await shell.obey(line))) break;
  output.end();
  return interactive || !shell.failed ? 0 : EXIT_CODES.usage.code;
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
