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
  /** Input waits until the guest has switched on receive interrupts, or asks for it in a loop. */
  readonly patient?: boolean;
  /** Milliseconds of the wall clock. */
  readonly now: () => number;
  /** Called after each slice. */
  readonly flush: () => void;
  /** Somebody does not take the guest's output: it stands still until wakeUp(). */
  readonly congested?: () => boolean;
}

/** Virtual time between two looks at the outside, in ticks: as long as the wall clock allows, and short where somebody waits for an echo. */
const LONGEST_SLICE = 20_000_000;
const LONGEST_PACED_SLICE = 4_000_000;
const SHORTEST_SLICE = 1_000;
const FIRST_SLICE = 500_000;
/** Milliseconds that a slice should take. */
const SLICE_TIME = 50;
/** How much a slice may grow over the one before. */
const SLICE_GROWTH = 4;
/** Input from a pipe waits this long, in ticks, for a guest that listens. */
const PATIENCE = 10e9;
const TICKS_PER_MILLISECOND = 1e6;
/** Longer sleeps would overflow a Node timer. */
const LONGEST_SLEEP = 60_000;

export class RunLoop {
  private quit: RunOutcome | undefined;
  private wake: () => void = () => {};
  private readonly inbox: Uint8Array[] = [];
  /** Ticks of the next slice, before the limits. */
  private slice = FIRST_SLICE;
  /** The guest listened at the end of the slice before. */
  private listened = false;
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

  /** The runner has something to do: what it stood still for has come. */
  wakeUp(): void {
    this.wake();
  }

  stop(explanation: string): void {
    this.quit ??= { kind: 'user-quit', explanation };
    this.wake();
  }

  async run(): Promise<RunOutcome> {
    const { maxInstructions = Infinity, timeout = Infinity, paced, now, flush, congested } = this.options;
    const deadline = now() + timeout * 1000;
    let remaining = maxInstructions;
    for (;;) {
      if (this.quit) return this.quit;
      if (now() >= deadline) return { kind: 'timeout', explanation: `${timeout} seconds are over` };
      if (remaining <= 0) return { kind: 'instruction-limit', explanation: `${maxInstructions} instructions have run` };
      if (congested?.()) {
        await this.rest(Math.min(deadline - now(), LONGEST_SLEEP));
        continue;
      }
      const before = this.runner.stats();
      this.deliverInput(before.ticks);
      const started = now();
      this.sliceEnd = started + 2 * SLICE_TIME;
      const stop = this.runner.run(Math.min(this.slice, paced ? LONGEST_PACED_SLICE : LONGEST_SLICE, remaining));
      this.adapt(now() - started);
      flush();
      if (stop.kind === 'ended') return stop.outcome;
      const left = deadline - now();
      if (stop.kind === 'held') {
        await this.rest(Math.min(left, LONGEST_SLEEP));
        continue;
      }
      if (stop.kind === 'idle') {
        if (this.inbox.length > 0) {
          for (const bytes of this.inbox.splice(0)) this.runner.sendSerial(bytes);
          continue;
        }
        if (!this.inputOpen) return { kind: 'halted', explanation: EXIT_CODES.halted.meaning };
        await this.sleep(Math.min(left, LONGEST_SLEEP));
        continue;
      }
      const after = this.runner.stats();
      remaining -= after.ticks - before.ticks;
      const idle = after.ticks - before.ticks - (after.instructions - before.instructions);
      if (paced && idle > TICKS_PER_MILLISECOND) await this.sleep(Math.min(idle / TICKS_PER_MILLISECOND, left));
      else await new Promise(setImmediate);
    }
  }

  private sliceEnd = Infinity;

  /** The slice has taken twice its time: a guest may do much without virtual time going on. */
  get overdue(): boolean {
    return this.quit !== undefined || this.options.now() >= this.sliceEnd;
  }

  private adapt(milliseconds: number): void {
    const scale = Math.min(SLICE_GROWTH, SLICE_TIME / Math.max(milliseconds, 1));
    this.slice = Math.max(SHORTEST_SLICE, Math.min(LONGEST_SLICE, Math.round(this.slice * scale)));
  }

  /** What a person types goes in at once. A pipe brings everything at the start, when a kernel's driver would still throw it away. */
  private deliverInput(ticks: number): void {
    const { runner, options } = this;
    const listens = runner.listening();
    const ready = !options.patient || (listens && this.listened) || ticks >= PATIENCE;
    this.listened = listens;
    if (ready) for (const bytes of this.inbox.splice(0)) runner.sendSerial(bytes);
  }

  /** Until something happens, at most `milliseconds`. */
  private sleep(milliseconds: number): Promise<void> {
    return this.inbox.length > 0 ? Promise.resolve() : this.rest(milliseconds);
  }

  /** The same, with input that may wait. */
  private rest(milliseconds: number): Promise<void> {
    if (this.quit) return Promise.resolve();
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
