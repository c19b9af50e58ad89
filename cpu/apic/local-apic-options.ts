/** What a local APIC needs of the processor and board around it, and what a snapshot of it holds. */
import type { AlarmSource, ApicTimerState } from './apic-timer';

/** An interrupt message for other processors. */
export interface OutgoingIpi {
  readonly vector: number;
  readonly deliveryMode: number;
  readonly destination: number;
  readonly logical: boolean;
  readonly shorthand: number;
}

export interface LocalApicOptions {
  readonly timers: AlarmSource;
  /** The processor's time stamp counter now; it counts one a tick. */
  readonly readTsc: () => bigint;
  /** pending() may have become true. */
  readonly onChange: () => void;
  readonly raiseNmi: () => void;
  /** INTA cycle on the bus: the 8259A names the vector. */
  readonly acknowledgeExternal: () => number;
  /** A level-triggered interrupt has been served: broadcast to the I/O APICs. */
  readonly onEoi?: (vector: number) => void;
  /** Where the registers stand in memory now, undefined for nowhere (disabled, or in x2APIC mode). */
  readonly onMove?: (base: number | undefined) => void;
  readonly onInit?: () => void;
  readonly onStartUp?: (vector: number) => void;
  readonly onSmi?: () => void;
  /** Told of every IPI that is not only for this processor. */
  readonly onIpi?: (ipi: OutgoingIpi) => void;
  /** Initial APIC id, 0 by default. */
  readonly id?: number;
  /** Ticks of one cycle of the timer's input clock. Default 40: the 25 MHz core crystal of CPUID leaf 15h. */
  readonly timerPeriod?: number;
  /** All three default to true. */
  readonly x2apic?: boolean;
  readonly tscDeadline?: boolean;
  readonly bootstrapProcessor?: boolean;
  readonly physicalAddressWidth?: number;
}

export interface LocalApicState {
  base: string;
  id: number;
  tpr: number;
  ldr: number;
  dfr: number;
  svr: number;
  irr: number[];
  isr: number[];
  tmr: number[];
  esr: number;
  errors: number;
  icrLow: number;
  icrHigh: number;
  lvt: number[];
  lines: boolean[];
  externalMessage: boolean;
  timer: ApicTimerState;
}
