/** What commands work on: the controller as they see it. */
import type { BlockBackend } from '../../block-backend';
import type { AsyncEvents } from './async-events';
import type { NvmeCommand } from './command';
import type { Features } from './features';
import type { NvmeIdentity } from './identify';
import type { Logs } from './log-pages';
import type { Queues } from './queues';
import { Status, type StatusCode } from './status';

export interface ControllerParts {
  readonly identity: NvmeIdentity;
  readonly backend: BlockBackend;
  readonly queues: Queues;
  readonly features: Features;
  readonly logs: Logs;
  readonly events: AsyncEvents;
  /** Controller Configuration. */
  readonly cc: number;
  /** Vectors that a completion queue may use now: those of MSI-X, or the pin. */
  readonly usableVectors: number;
  /** Puts data where the command's PRPs say. */
  toHost(command: NvmeCommand, bytes: Uint8Array): StatusCode;
  /** Fetches data from there, or says why not. */
  fromHost(command: NvmeCommand, length: number): Uint8Array | StatusCode;
  /** Completes an admin command that was outstanding. */
  complete(cid: number, outcome: CommandOutcome): void;
}

export interface CommandOutcome {
  readonly status: StatusCode;
  /** Dword 0 of the completion. */
  readonly result: number;
}

/** `outstanding`: it completes another time. */
export type CommandResult = CommandOutcome | 'outstanding';

export const done = (status: StatusCode, result = 0): CommandOutcome => ({ status, result });
export const SUCCESS = done(Status.SUCCESS);

export interface CommandHandler {
  readonly name: string;
  /** It may change logical blocks: for the log of commands and their effects. */
  readonly changesBlocks?: boolean;
  readonly execute: (parts: ControllerParts, command: NvmeCommand) => CommandResult;
}
