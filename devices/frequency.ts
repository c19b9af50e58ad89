/** An oscillator beside the nanosecond clock of the machine: exact conversions both ways, whole cycles only. */
const SECOND = 1_000_000_000;

export class Frequency {
  /** @param hertz at most 9 MHz, so that a product with one second of nanoseconds stays a safe integer. */
  constructor(readonly hertz: number) {
    if (!Number.isInteger(hertz) || hertz < 1 || hertz > 9_000_000) throw new RangeError(`${hertz} Hz is not an integer from 1 to 9,000,000`);
  }

  /** Cycles that are complete at time `ns` (cycle edge 0 is at time 0). `ns` may be negative. */
  cycles(ns: number): number {
    const seconds = Math.floor(ns / SECOND);
    return seconds * this.hertz + Math.floor(((ns - seconds * SECOND) * this.hertz) / SECOND);
  }

  /** The first nanosecond at which `cycles` cycles are complete: the inverse of {@link cycles}. */
  time(cycles: number): number {
    const seconds = Math.floor(cycles / this.hertz);
    return seconds * SECOND + Math.ceil(((cycles - seconds * this.hertz) * SECOND) / this.hertz);
  }
}
