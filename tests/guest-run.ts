import { createHash } from 'node:crypto';
import { Guest, type GuestConfig, type GuestStop } from '../hypervisor/guest';

/** `expected text -> bytes to type`, in order; each waits for its text after the previous one was typed. */
export type Script = readonly (readonly [expected: string, typed: string])[];

export interface GuestRun {
  readonly console: string;
  readonly stop: GuestStop;
  /** Guest instructions retired, and virtual time in ticks. */
  readonly instructions: number;
  readonly time: number;
  /** SHA-256 over every exit: instruction count, RIP, reason, qualification. */
  readonly exitDigest: string;
  readonly exits: number;
  readonly guest: Guest;
}

export interface RunOptions {
  /** Stop when the console ends with this. */
  readonly until?: string;
  /** Stop at this virtual time, in ticks. */
  readonly limit?: number;
  /** Observe every exit, for `exitDigest` and `exits`. */
  readonly digest?: boolean;
  /** Called before the first instruction. */
  readonly prepare?: (guest: Guest) => void;
}

/** Runs a guest to its end, to `until` on its console, or to `limit` ticks. Everything typed follows from its output alone. */
export function runGuest(config: Omit<GuestConfig, 'serialOutput'>, script: Script = [], options: RunOptions = {}): GuestRun {
  const limit = options.limit ?? 60e9;
  let console = '';
  let next = 0;
  let searchFrom = 0;
  let stopped = false;
  const hash = createHash('sha256');
  let exits = 0;
  const guest: Guest = new Guest({
    ...config,
    observer: options.digest
      ? {
          exit: ({ instructions, rip, raw }) => {
            exits++;
            hash.update(`${instructions} ${rip} ${raw.code} ${raw.qualification}\n`);
          },
        }
      : undefined,
    serialOutput: (byte) => {
      console += String.fromCharCode(byte);
      if (next < script.length && console.indexOf(script[next][0], searchFrom) >= 0) {
        searchFrom = console.length;
        guest.sendSerial(Buffer.from(script[next++][1]));
      }
      if (options.until !== undefined && !stopped && console.endsWith(options.until)) {
        stopped = true;
        guest.stop();
      }
    },
  });
  options.prepare?.(guest);
  let stop: GuestStop;
  do stop = guest.run(Math.min(limit, guest.time + 1e9));
  while (stop.kind === 'limit' && guest.time < limit && !stopped);
  return { console, stop, instructions: guest.instructions, time: guest.time, exitDigest: hash.digest('hex'), exits, guest };
}
