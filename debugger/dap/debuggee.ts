/** What a debug adapter debugs, and how one comes to be: reading files and building machines is up to whoever starts the adapter. */
import type { ExitRecord } from '../../hypervisor/vcpu';
import type { Interpreter } from '../commands/interpreter';
import type { Session } from '../session';
import type { Stop } from '../target';

export interface Debuggee {
  readonly session: Session;
  readonly interpreter: Interpreter;
  /** Stand at the first instruction when everything is set. */
  readonly stopOnEntry: boolean;
  /** Stand where the guest ended, so that one can go back, instead of ending the session. */
  readonly stopAtEnd: boolean;
  /** What a process that ran this guest would end with. */
  exitCode(stop: Extract<Stop, { kind: 'ended' }>): number;
  /** Sentences for the user: what was asked for and is not done. */
  readonly notes: readonly string[];
  /** Gives back what it has of the computer that it runs on: the files of its disks. */
  close(): void;
}

export interface DebuggeeHooks {
  /** A byte of the guest's console. */
  readonly console: (byte: number) => void;
  /** A VM exit that was handled. */
  readonly exit: (record: ExitRecord) => void;
  /** A sentence for the user. */
  readonly warn: (text: string) => void;
}

/** `launch` begins something, `attach` takes up what is there already. Throws DebugError for arguments that cannot be used. */
export type OpenDebuggee = (how: 'launch' | 'attach', args: Readonly<Record<string, unknown>>, hooks: DebuggeeHooks) => Debuggee;
