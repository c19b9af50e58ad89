/** What the command line needs of a machine that runs a guest, bare or under the hypervisor. */
import type { RunOutcome } from './exit-codes';
import type { StatsSummary } from './stats-table';

export type RunStop =
  /** Virtual time went on by as many ticks as asked for. */
  | { readonly kind: 'limit' }
  /** Halted with no timer that could wake it; input may. */
  | { readonly kind: 'idle' }
  | { readonly kind: 'ended'; readonly outcome: RunOutcome };

export interface GuestRunner {
  /** Runs for `maxInstructions` ticks at most (one retired instruction, or one idle nanosecond, is a tick). */
  run(maxInstructions: number): RunStop;
  /** Bytes for the receiver of the console port. May be called from inside `serialOutput`. */
  sendSerial(bytes: Uint8Array): void;
  stats(): StatsSummary;
}
