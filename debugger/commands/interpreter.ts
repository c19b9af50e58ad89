/** Lines of text in, results out: for a terminal, a script, and GDB's monitor. */
import { Inspector } from '../inspector';
import type { Session } from '../session';
import { DebugError } from '../target';
import type { SymbolTable } from '../../trace/symbols';
import { type Command, type CommandContext, type CommandResult, type CommandWork, type Completion, type TraceSwitch } from './command';
import { exitNamesOf } from './info-commands';
import { COMMANDS, commandNamed } from './table';

export class Interpreter {
  readonly inspector: Inspector;
  readonly trace: TraceSwitch = { filter: undefined };
  private readonly context: CommandContext;
  private last = '';

  constructor(
    readonly session: Session,
    symbols?: SymbolTable,
  ) {
    this.inspector = new Inspector(session, symbols);
    this.context = { session, inspector: this.inspector, trace: this.trace, commands: COMMANDS };
  }

  /**
   * One line. An empty one repeats the last command if that makes sense; # begins a comment. Throws DebugError, in next() too, for what
   * cannot be done: the session goes on.
   */
  *execute(line: string): CommandWork {
    const text = line.trim();
    if (text.startsWith('#')) return { text: '' };
    const again = text === '' ? this.last : text;
    this.last = '';
    if (again === '') return { text: '' };
    const { command, args } = parse(again);
    const work = command.run(this.context, args);
    const result = isWork(work) ? yield* work : work;
    if (command.repeats === true) this.last = again;
    return result;
  }

  /** Does all of a line at once. */
  perform(line: string): CommandResult {
    const work = this.execute(line);
    for (;;) {
      const { done, value } = work.next();
      if (done === true) return value;
    }
  }

  /** What the last word of a line may become, and that word. */
  complete(line: string): readonly [candidates: string[], word: string] {
    const first = /^\s*(\S*)$/.exec(line);
    if (first !== null)
      return [
        begins(
          COMMANDS.map((c) => c.name),
          first[1],
        ),
        first[1],
      ];
    const word = /(\S*)$/.exec(line)![1];
    let command: Command;
    try {
      ({ command } = parse(line.trim()));
    } catch (error) {
      if (error instanceof DebugError) return [[], word];
      throw error;
    }
    return [begins(this.candidates(command.completion), word), word];
  }

  private candidates(completion: Completion | undefined): readonly string[] {
    switch (completion) {
      case undefined:
        return [];
      case 'command':
        return COMMANDS.map((c) => c.name);
      case 'register':
        return this.session.registers.map((r) => r.name);
      case 'symbol':
        return [...this.session.registers.map((r) => r.name), ...(this.inspector.symbols?.allNames ?? [])];
      case 'place':
        return [...this.candidates('field'), ...this.candidates('symbol')];
      case 'field':
        return this.session.control.fields.map((f) => f.name);
      case 'exit':
        return Object.values(exitNamesOf(this.session)).flat();
      default:
        return completion;
    }
  }
}

const isWork = (work: CommandResult | CommandWork): work is CommandWork => 'next' in work;

const begins = (names: readonly string[], word: string): string[] => names.filter((name) => name.toLowerCase().startsWith(word.toLowerCase()));

/** "x/4xb pc": a format sticks to its command. */
export function parse(line: string): { readonly command: Command; readonly args: string } {
  const [, word, args] = /^([^\s/]+)\s*(.*)$/s.exec(line) ?? [undefined, line, ''];
  return { command: commandNamed(word), args };
}
