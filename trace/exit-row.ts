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

/** What else the hardware says of an exit, as Linux's kvm_exit event shows it. */
export interface ExitInformation {
  /** IDT-vectoring information (32 bits), or EXITINFO2 (64 bits). */
  readonly info2: bigint;
  /** VM-exit interruption information, or the low half of EXITINTINFO. */
  readonly interruption: number;
  /** Error code that belongs to `interruption`; 0 without one. */
  readonly errorCode: number;
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
