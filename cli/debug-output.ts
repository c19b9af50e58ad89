/** What the debugger shows: text for people, or one JSON object a command. The guest's console comes in between, as it happens. */
import type { CommandResult } from '../debugger/commands/command';

export interface DebugOutputOptions {
  readonly json: boolean;
  readonly colour: boolean;
}

const NEWLINE = 0x0a;

export class DebugOutput {
  private pending: number[] = [];
  private last = NEWLINE;
  private traced: unknown[] = [];

  constructor(
    private readonly stdout: { write(data: string | Uint8Array): unknown },
    private readonly options: DebugOutputOptions,
  ) {}

  bold(text: string): string {
    return this.options.colour ? `\x1b[1m${text}\x1b[0m` : text;
  }
  private red(text: string): string {
    return this.options.colour ? `\x1b[31m${text}\x1b[0m` : text;
  }

  /** A byte of the guest's console. */
  console(byte: number): void {
    this.pending.push(byte);
  }

  trace(text: string, data: unknown): void {
    if (this.options.json) this.traced.push(data);
    else this.line(text);
  }

  greet(description: string): void {
    if (!this.options.json) this.line(`${description}. help lists the commands.`);
  }
  echo(text: string): void {
    if (!this.options.json) this.line(text);
  }
  note(text: string): void {
    if (!this.options.json) this.line(text);
  }

  result(command: string, { text, data, stop }: CommandResult): void {
    if (this.options.json) return this.object({ command, ok: true, ...(stop === undefined ? { data } : { stop: data }) });
    if (text === '') return this.flush();
    const lines = text.split('\n').map((line) => (line.startsWith('=> ') ? this.bold(line) : line));
    this.line(lines.join('\n'));
  }

  error(command: string, message: string): void {
    if (this.options.json) this.object({ command, ok: false, error: message });
    else this.line(this.red(`error: ${message}`));
  }

  private object(value: Record<string, unknown>): void {
    const console = Buffer.from(this.pending.splice(0)).toString('utf8');
    const traced = this.traced.splice(0);
    this.stdout.write(`${JSON.stringify({ ...value, ...(console === '' ? {} : { console }), ...(traced.length === 0 ? {} : { exits: traced }) })}\n`);
  }

  /** Hands on what the guest has printed. */
  flush(): void {
    if (this.options.json || this.pending.length === 0) return;
    this.last = this.pending[this.pending.length - 1];
    this.stdout.write(Uint8Array.from(this.pending.splice(0)));
  }

  private line(text: string): void {
    this.flush();
    this.stdout.write(`${this.last === NEWLINE ? '' : '\n'}${text}\n`);
    this.last = NEWLINE;
  }

  end(): void {
    this.flush();
    if (this.last !== NEWLINE && !this.options.json) this.stdout.write('\n');
  }
}
