/** Runs a guest in slices, and between them lets the rest of the process live: input, limits, the user's keys. */
import { EXIT_CODES, type RunOutcome } from './exit-codes';
import type { GuestRunner } from './runner';

export interface RunLoopOptions {
  /** Ticks. */
  readonly maxInstructions?: number;
  /** Wall seconds. */
  readonly timeout?: number;
  /** Idle virtual time takes as long as it says: for people at a terminal. */
  readonly paced: boolean;
  /** Milliseconds of the wall clock. */
  readonly now: () => number;
  /** Called after each slice. */
  readonly flush: () => void;
}

/** Virtual time between two looks at the outside: short where somebody waits for an echo. */
const SLICE = 20_000_000;
const PACED_SLICE = 4_000_000;
const TICKS_PER_MILLISECOND = 1e6;
/** Longer sleeps would overflow a Node timer. */
const LONGEST_SLEEP = 60_000;

export class RunLoop {
  private quit: RunOutcome | undefined;
  private wake: () => void = () => {};
  private readonly inbox: Uint8Array[] = [];
  /** Somebody may still send input. */
  inputOpen = false;

  constructor(
    private readonly runner: GuestRunner,
    private readonly options: RunLoopOptions,
  ) {}

  /** Input from outside; delivered before the next slice. */
  input(bytes: Uint8Array): void {
    this.inbox.push(bytes);
    this.wake();
  }

  inputEnded(): void {
    this.inputOpen = false;
    this.wake();
  }

  stop(explanation: string): void {
    this.quit ??= { kind: 'user-quit', explanation };
    this.wake();
  }

  async run(): Promise<RunOutcome> {
    const { maxInstructions = Infinity, timeout = Infinity, paced, now, flush } = this.options;
    const deadline = now() + timeout * 1000;
    let remaining = maxInstructions;
    for (;;) {
      if (this.quit) return this.quit;
      if (now() >= deadline) return { kind: 'timeout', explanation: `${timeout} seconds are over` };
      if (remaining <= 0) return { kind: 'instruction-limit', explanation: `${maxInstructions} instructions have run` };
      for (const bytes of this.inbox.splice(0)) this.runner.sendSerial(bytes);
      const slice = Math.min(paced ? PACED_SLICE : SLICE, remaining);
      const before = this.runner.stats();
      const stop = this.runner.run(slice);
      flush();
      if (stop.kind === 'ended') return stop.outcome;
      const left = deadline - now();
      if (stop.kind === 'idle') {
        if (this.inbox.length > 0) continue;
        if (!this.inputOpen) return { kind: 'halted', explanation: EXIT_CODES.halted.meaning };
        await this.sleep(Math.min(left, LONGEST_SLEEP));
        continue;
      }
      remaining -= slice;
      const after = this.runner.stats();
      const idle = after.ticks - before.ticks - (after.instructions - before.instructions);
      if (paced && idle > TICKS_PER_MILLISECOND) await this.sleep(Math.min(idle / TICKS_PER_MILLISECOND, left));
      else await new Promise(setImmediate);
    }
  }

  /** Until something happens, at most `milliseconds`. */
  private sleep(milliseconds: number): Promise<void> {
    if (this.quit || this.inbox.length > 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.wake(), Math.max(milliseconds, 0));
      this.wake = () => {
        clearTimeout(timer);
        this.wake = () => {};
        resolve();
      };
    });
  }
}
