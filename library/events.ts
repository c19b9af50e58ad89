/** What a computer tells of while it runs, by name. Instruction counts and ticks are those at the moment of the event. */
import type { Exit, Outcome } from '../hypervisor/exit';

/** When an event was. */
export interface Moment {
  /** Guest instructions retired. */
  readonly instructions: number;
  /** Virtual time, nanoseconds. */
  readonly ticks: number;
}

/** A VM exit that has been handled. VMs only. */
export interface ExitEvent extends Moment {
  /** Guest RIP that the exit saved, 64 bits. */
  readonly rip: bigint;
  /** As the vendor's manual spells it: EPT_VIOLATION, NPF. */
  readonly reason: string;
  /** Basic exit reason (SDM "VMX Basic Exit Reasons") or exit code (APM "SVM Intercept Exit Codes"). */
  readonly code: number;
  /** Exit qualification, or EXITINFO1; 64 bits. */
  readonly qualification: bigint;
  /** What both vendors' exits have in common. */
  readonly exit: Exit;
  /** What the handler decided. */
  readonly outcome: Outcome;
  /** Port, MSR, leaf, register or page that the handler noted. */
  readonly detail: number | undefined;
}

/** A VM entry that will succeed: VMLAUNCH, VMRESUME or VMRUN. On a bare machine, by a hypervisor inside it. */
export interface EntryEvent extends Moment {
  /** Guest RIP, 64 bits. */
  readonly rip: bigint;
}

/** An event in the IDT of a guest, as processors number it. */
interface VectoredEvent extends Moment {
  readonly vector: number;
  readonly type: 'external-interrupt' | 'nmi' | 'exception' | 'software';
  /** Pushed for the handler; undefined when the event has none. */
  readonly errorCode: number | undefined;
}

/** A VM entry injects an event (SDM "VM-Entry Interruption-Information Field"; APM "EVENTINJ Field"). */
export type InjectEvent = VectoredEvent;

/** An event was delivered through the guest's IDT, injected or not. */
export interface InterruptEvent extends VectoredEvent {
  /** RIP of its handler, 64 bits. */
  readonly handler: bigint;
}

/** The guest read or wrote a model-specific register, itself or by way of the hypervisor. Accesses that fault are not told of. */
export interface MsrEvent extends Moment {
  /** Number of the register, 32 bits. */
  readonly index: number;
  readonly write: boolean;
  /** 64 bits. */
  readonly value: bigint;
  /** The access made a VM exit. */
  readonly exited: boolean;
}

/** The processor walked paging structures because no TLB had the answer. */
export interface PageWalkEvent extends Moment {
  /** 64 bits. */
  readonly linear: bigint;
  readonly access: 'read' | 'write' | 'fetch';
  /** Host-physical address behind both dimensions; undefined when the last access made a VM exit. Walks that fault are not told of. */
  readonly physical: number | undefined;
  /** In the guest; false: in the hypervisor under it. */
  readonly guest: boolean;
}

/** A translation was put into the TLB. */
export interface TlbFillEvent extends Moment {
  /** First linear address of the page, 64 bits. */
  readonly page: bigint;
  /** Host-physical address of the page. */
  readonly frame: number;
  readonly guest: boolean;
}

/** The guest's access to a device. */
export interface DeviceAccessEvent extends Moment {
  readonly space: 'port' | 'memory';
  /** Port number, or guest-physical address. */
  readonly address: number;
  /** Bytes. */
  readonly size: 1 | 2 | 4;
  readonly write: boolean;
  /** What was read, or is written; unsigned. */
  readonly value: number;
}

/** A byte that the guest sent on COM1. */
export interface ConsoleEvent extends Moment {
  readonly byte: number;
}

export interface ComputerEvents {
  readonly exit: ExitEvent;
  readonly entry: EntryEvent;
  readonly inject: InjectEvent;
  readonly interrupt: InterruptEvent;
  readonly msr: MsrEvent;
  readonly pageWalk: PageWalkEvent;
  readonly tlbFill: TlbFillEvent;
  readonly deviceAccess: DeviceAccessEvent;
  readonly console: ConsoleEvent;
}

export type EventName = keyof ComputerEvents;
export type Listener<K extends EventName> = (event: ComputerEvents[K]) => void;
