/** What a command of the debugger is: a row of the table, from which parsing, abbreviations, help and completion follow. */
import type { Inspector } from '../inspector';
import type { Session } from '../session';
import type { Stop } from '../target';
import { DebugError } from '../target';

/** What a command has to say: to people, and to programs (plain data; 64-bit numbers as "0x..." text). */
export interface CommandResult {
  readonly text: string;
  readonly data?: unknown;
  /** The target moved, and stands here now. */
  readonly stop?: Stop;
  /** Registers or memory were changed by hand. */
  readonly changed?: boolean;
  /** The session is over. */
  readonly quit?: boolean;
}

/** Commands that run the guest work in pieces, as motions do. */
export type CommandWork = Generator<undefined, CommandResult, undefined>;

/** What commands work on. */
export interface CommandContext {
  readonly session: Session;
  readonly inspector: Inspector;
  readonly trace: TraceSwitch;
  /** All commands, for help. */
  readonly commands: readonly Command[];
}

/** Where `trace on` sends exits as they happen. */
export interface TraceSwitch {
  filter: string | undefined;
}

export const COMMAND_GROUPS = ['running', 'running backward', 'breakpoints', 'looking', 'changing', 'session'] as const;
export type CommandGroup = (typeof COMMAND_GROUPS)[number];

/** What the last word of a line may be. */
export type Completion = 'command' | 'symbol' | 'place' | 'register' | 'field' | 'exit' | readonly string[];

export interface Command {
  readonly name: string;
  /** Fixed short forms, which win over unique beginnings of names. */
  readonly short?: readonly string[];
  readonly group: CommandGroup;
  /** Of the arguments: "[count]". */
  readonly usage: string;
  /** One line. */
  readonly help: string;
  /** More lines. */
  readonly details?: readonly string[];
  /** A whole line that can be typed. */
  readonly example: string;
  readonly completion?: Completion;
  /** An empty line does it again. */
  readonly repeats?: boolean;
  /** Throws DebugError for bad arguments and for what cannot be done. */
  readonly run: (context: CommandContext, args: string) => CommandResult | CommandWork;
}

/** By name, fixed short form, or unique beginning. Throws DebugError for none and for several. */
export function findCommand(commands: readonly Command[], word: string): Command {
  const name = word.toLowerCase();
  const exact = commands.find((c) => c.name === name || c.short?.includes(name) === true);
  if (exact !== undefined) return exact;
  const begins = commands.filter((c) => c.name.startsWith(name));
  if (begins.length === 1) return begins[0];
  if (begins.length > 1) throw new DebugError(`"${word}" could be ${begins.map((c) => c.name).join(', ')}`);
  throw new DebugError(`there is no command "${word}": help lists them`);
}

export const words = (args: string): string[] => args.split(/\s+/).filter((word) => word !== '');

/** A positive count, 1 when nothing is given. */
export function countOf(args: string): number {
  const text = args.trim();
  if (text === '') return 1;
  const count = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(count) || count < 1) throw new DebugError(`"${text}" is no count: give a whole number from 1`);
  return count;
}

export function requireNothing(args: string): void {
  if (args.trim() !== '') throw new DebugError(`"${args.trim()}" was not expected: this command takes nothing`);
}

/** Text in front of " if ", and the condition behind it. */
export function splitCondition(args: string): { readonly what: string; readonly condition: string | undefined } {
  const match = /^(.*?)(?:^|\s)if\s+(.+)$/.exec(args);
  return match === null ? { what: args.trim(), condition: undefined } : { what: match[1].trim(), condition: match[2].trim() };
}
