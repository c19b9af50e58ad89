/** What a request of the Debug Adapter Protocol is: a row with the shape of its arguments, from which checking and dispatch follow. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { z } from 'zod';
import { DebugError, type Motion } from '../target';
import type { CommandResult } from '../commands/command';
import type { Debuggee } from './debuggee';
import type { DapBreakpoints } from './breakpoints';
import type { VariableStore } from './variables';

/** What the client said about itself. */
export interface ClientFeatures {
  readonly columnsStartAt1: boolean;
  readonly supportsInvalidatedEvent: boolean;
  readonly supportsMemoryEvent: boolean;
}

export interface Reply {
  readonly body?: object;
  /** When the answer is on its way. */
  readonly after?: () => void;
}

/** What requests may do with the adapter. */
export interface DapContext {
  client: ClientFeatures;
  open(how: 'launch' | 'attach', args: Readonly<Record<string, unknown>>): void;
  /** Throws DebugError when nothing was launched. */
  readonly debuggee: Debuggee;
  /** The same, and it stands still. Throws DebugError while it runs. */
  readonly standing: Debuggee;
  readonly breakpoints: DapBreakpoints;
  readonly variables: VariableStore;
  readonly running: boolean;
  /** Begins a motion; a stopped event tells of its end. */
  move(motion: Motion, backward?: boolean): void;
  /** A line of our own debugger. */
  command(line: string): Promise<CommandResult>;
  /** Resolves when nothing moves backward: what stops the guest cannot change in the middle of a search. */
  settled(): Promise<void>;
  pause(): void;
  /** The guest was changed by hand. */
  changed(): void;
  send(event: DebugProtocol.Event): void;
  /** A line for the debug console, behind what the guest has printed. */
  tell(text: string): void;
  begin(): void;
  /** Nothing more will be debugged; `close` ends the connection too. */
  end(close: boolean): void;
}

export interface Request {
  readonly command: string;
  /** Throws DebugError for bad arguments and for what cannot be done. */
  readonly run: (context: DapContext, args: unknown) => Reply | Promise<Reply>;
}

export function request<T>(command: string, schema: z.ZodType<T>, run: (context: DapContext, args: T) => Reply | Promise<Reply>): Request {
  return {
    command,
    run: (context, raw) => {
      const parsed = schema.safeParse(raw ?? {});
      if (parsed.success) return run(context, parsed.data);
      const [{ path, message }] = parsed.error.issues;
      throw new DebugError(`${command}: ${path.length > 0 ? `${path.join('.')}: ` : ''}${message}`);
    },
  };
}

/** Arguments that do not matter. */
export const NOTHING = z.looseObject({});
/** Of the arguments that name the only thread. */
export const THREAD = 1;
