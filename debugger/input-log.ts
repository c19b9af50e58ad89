/** What came into a run from outside, each with the moment at which it came, so that it comes at that moment again. */
export interface TickInput {
  /** Between two instructions, when virtual time was this. */
  readonly tick: number;
  readonly bytes: Uint8Array;
}
export interface ByteInput {
  /** While the guest was sending this byte of its console output, counted from 1: what answers a prompt comes then. */
  readonly byte: number;
  readonly bytes: Uint8Array;
}

export class InputLog {
  constructor(
    readonly byTick: TickInput[] = [],
    readonly byByte: ByteInput[] = [],
  ) {}

  /** When input number `n` by tick comes; Infinity when there is none. */
  tickOf(n: number): number {
    return n < this.byTick.length ? this.byTick[n].tick : Infinity;
  }

  atByte(byte: number): ByteInput[] {
    return this.byByte.length === 0 ? [] : this.byByte.filter((input) => input.byte === byte);
  }

  /** Forgets what has not come yet when `count` inputs by tick have come and `byte` bytes were sent. */
  truncate(count: number, byte: number): void {
    this.byTick.length = Math.min(this.byTick.length, count);
    this.byByte.splice(0, Infinity, ...this.byByte.filter((input) => input.byte <= byte));
  }
}
