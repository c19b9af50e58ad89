/** One VM exit as traces keep it: plain data, the same for every sink and every vendor. */

export interface ExitRow {
  readonly vcpu: number;
  /** Guest instructions retired before the exit. */
  readonly instructions: number;
  /** Virtual time in nanoseconds. */
  readonly ticks: number;
  /** Guest RIP that the exit saved, 64 bits. */
  readonly rip: bigint;
  /** As the vendor's manual spells it. */
  readonly reason: string;
  readonly code: number;
  /** Exit qualification, or EXITINFO1; 64 bits. */
  readonly qualification: bigint;
  /** The dispatcher's kind: which handler had it. */
  readonly handler: string;
  /** What the handler decided. */
  readonly outcome: string;
  /** Port, MSR, leaf, register or page that the handler noted. */
  readonly detail: number | undefined;
}

/** One VM entry. */
export interface EntryRow {
  readonly vcpu: number;
  /** Virtual time in nanoseconds. */
  readonly ticks: number;
  /** Guest RIP at which the guest goes on, 64 bits. */
  readonly rip: bigint;
}

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
