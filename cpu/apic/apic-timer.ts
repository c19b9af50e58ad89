/** The timer of a local APIC: SDM "APIC Timer", "TSC-Deadline Mode". */

import type { Stateful } from '../../memory/stateful';

/** What the timer needs of the machine's timers. */
export interface Alarm {
  readonly deadline: number;
  arm(tick: number): void;
  disarm(): void;
}
export interface AlarmSource {
  readonly clock: { now(): number };
  timer(fire: (deadline: number) => void, name?: string): Alarm;
}

export const TimerMode = { OneShot: 0, Periodic: 1, TscDeadline: 2 } as const;

export interface ApicTimerState {
  mode: number;
  masked: boolean;
  initial: number;
  divide: number;
  running: boolean;
  base: number;
  start: number;
  tscDeadline: string;
}

/** Waits that no double can hold exactly are never reached. */
const LONGEST_WAIT = BigInt(Number.MAX_SAFE_INTEGER) / 2n;

export class ApicTimer implements Stateful<ApicTimerState> {
  private mode: number = TimerMode.OneShot;
  private masked = true;
  private initial = 0;
  private divide = 0;
  /** Counting: at tick `start` the count was `base`; it falls by one every `period` ticks. */
  private running = false;
  private base = 0;
  private start = 0;
  private tscDeadline = 0n;
  private readonly alarm: Alarm;

  /**
   * @param inputPeriod ticks of one cycle of the timer's input clock.
   * @param readTsc the time stamp counter now; it counts one a tick.
   * @param expired called at each expiry while the LVT entry is not masked.
   */
  constructor(
    private readonly source: AlarmSource,
    private readonly inputPeriod: number,
    private readonly readTsc: () => bigint,
    private readonly expired: () => void,
  ) {
    this.alarm = source.timer(() => this.expire(), 'local APIC');
  }

  reset(): void {
    this.mode = TimerMode.OneShot;
    this.masked = true;
    this.initial = this.divide = this.base = 0;
    this.running = false;
    this.tscDeadline = 0n;
    this.alarm.disarm();
  }

  /** The mode and mask bits of the LVT timer register were written. */
  configure(mode: number, masked: boolean): void {
    this.catchUp();
    // "Transitioning between TSC-deadline mode and other timer modes also disarms the timer."
    if (mode !== this.mode && (mode === TimerMode.TscDeadline || this.mode === TimerMode.TscDeadline)) {
      this.running = false;
      this.tscDeadline = 0n;
    }
    this.mode = mode;
    this.masked = masked;
    this.arm();
  }

  get initialCount(): number {
    return this.initial;
  }

  /** "A write of 0 to the initial-count register effectively stops the local APIC timer, in both one-shot and periodic mode." */
  set initialCount(value: number) {
    // "In TSC-deadline mode, writes to the initial-count register are ignored."
    if (this.mode === TimerMode.TscDeadline) return;
    this.catchUp();
    this.initial = this.base = value;
    this.start = this.source.clock.now();
    this.running = value !== 0;
    this.arm();
  }

  get currentCount(): number {
    if (!this.running || this.mode === TimerMode.TscDeadline) return 0;
    const elapsed = Math.floor((this.source.clock.now() - this.start) / this.period);
    if (elapsed < this.base) return this.base - elapsed;
    return this.mode === TimerMode.Periodic ? this.initial - ((elapsed - this.base) % this.initial) : 0;
  }

  get divideConfiguration(): number {
    return this.divide;
  }

  /** The count goes on from where it is, at the new rate. */
  set divideConfiguration(value: number) {
    this.catchUp();
    const count = this.currentCount;
    this.divide = value;
    if (!this.running) return;
    this.base = count;
    this.start = this.source.clock.now();
    this.arm();
  }

  /** IA32_TSC_DEADLINE: "in other timer modes, reads return zero and writes are ignored". */
  get deadline(): bigint {
    return this.tscDeadline;
  }
  set deadline(value: bigint) {
    if (this.mode !== TimerMode.TscDeadline) return;
    this.catchUp();
    this.tscDeadline = value;
    this.arm();
  }

  saveState(): ApicTimerState {
    const { mode, masked, initial, divide, running, base, start, tscDeadline } = this;
    return { mode, masked, initial, divide, running, base, start, tscDeadline: tscDeadline.toString() };
  }

  /** Time and TSC must have been restored before. */
  restoreState(state: ApicTimerState): void {
    Object.assign(this, { ...state, tscDeadline: BigInt(state.tscDeadline) });
    this.arm();
  }

  /** Divide value: bits 3, 1 and 0; 0 to 6 divide by 2 to 128, 7 by 1. */
  private get period(): number {
    const code = ((this.divide >>> 1) & 4) | (this.divide & 3);
    return this.inputPeriod * (code === 7 ? 1 : 2 << code);
  }

  /** An expiry that is due but has not been run yet comes before what software does now. */
  private catchUp(): void {
    if (this.alarm.deadline <= this.source.clock.now()) this.expire();
    else this.passWraps();
  }

  /** Moves `start` behind everything that has already happened; true if the count reached 0 on the way. */
  private passWraps(): boolean {
    if (!this.running) return false;
    const counts = Math.floor((this.source.clock.now() - this.start) / this.period) - this.base;
    if (counts < 0) return false;
    if (this.mode === TimerMode.Periodic) {
      this.start += (this.base + counts - (counts % this.initial)) * this.period;
      this.base = this.initial;
    } else this.running = false;
    return true;
  }

  /** Expiries that one jump of time passes are one: they would find their IRR bit set. */
  private expire(): void {
    this.alarm.disarm();
    let due: boolean;
    if (this.mode === TimerMode.TscDeadline) {
      due = this.tscDeadline !== 0n && this.tscDeadline <= this.readTsc();
      if (due) this.tscDeadline = 0n;
    } else due = this.passWraps();
    this.arm();
    if (due && !this.masked) this.expired();
  }

  private arm(): void {
    const when = this.nextExpiry();
    if (when !== this.alarm.deadline) this.alarm.arm(when);
  }

  private nextExpiry(): number {
    const now = this.source.clock.now();
    if (this.mode === TimerMode.TscDeadline) {
      if (this.tscDeadline === 0n) return Infinity;
      const wait = this.tscDeadline - this.readTsc();
      if (wait > LONGEST_WAIT) return Infinity;
      return wait > 0n ? now + Number(wait) : now;
    }
    // A masked count is worked out when somebody looks at it.
    return this.running && !this.masked ? this.start + this.base * this.period : Infinity;
  }
}
