/**
 * What VMX and SVM have in common, and nothing else: a virtual processor that can be entered, looked at and given events.
 * Everything vendor-specific is behind it; everything in front of it is written once.
 */
import type { Cpu } from '../cpu/cpu';
import type { CpuEvent } from '../cpu/interfaces';
import type { Exit, RawExit } from './exit';
import type { EntryState } from '../guests/boot/entry-state';
import type { ExitInformation } from '../trace/exit-row';

/** The guest ran into an exit, or the machine stopped for a reason of its own (virtual time limit, request to stop). */
export type RunResult =
  { readonly kind: 'exit'; readonly exit: Exit } | { readonly kind: 'paused'; readonly because: 'limit' | 'stopped' | 'shutdown' | 'idle' };

/** An event for the guest's IDT. */
export interface Injection {
  readonly type: 'interrupt' | 'nmi' | 'exception';
  readonly vector: number;
  readonly errorCode?: number;
}

/** Two halves of RIP, and the guest-physical address of the top paging structure. */
export interface CodeAddress {
  readonly low: number;
  readonly high: number;
  readonly cr3: number;
}

/** CR3 under four-level paging: bits 51:12, without PCID or cache control. */
export function pageTableBase(cr3: number): number {
  return cr3 - (cr3 % 4096);
}

export interface VirtualProcessor {
  /** Loads the state a boot protocol asks for. */
  load(state: EntryState): void;
  /** Enters the guest (or goes on, after a pause) until it exits or virtual time reaches `limit` (ticks). */
  run(limit: number): RunResult;
  /** The last run() ended in a pause: the guest's state is in the processor, not where exits leave it. */
  readonly paused: boolean;
  /** Paused: the next run() ends in an exit before another instruction of the guest, so that an event can be given to it. */
  kick(): void;
  /** Name of the last exit as the vendor's manual spells it. */
  exitName(): string;
  /** The vendor's record of the last exit. */
  raw(): RawExit;

  /** General registers 0-15, 64 bits. */
  gpr(register: number): bigint;
  setGpr(register: number, value: bigint): void;
  gpr32(register: number): number;
  /** Writes 32 bits and clears the upper half. */
  setGpr32(register: number, value: number): void;
  rip(): bigint;
  cr4(): number;
  /** Where the next instruction is, in 64-bit mode under four-level paging; undefined in any other mode. */
  longCode(): CodeAddress | undefined;
  /**
   * Steps over the instruction that exited, with what that does to STI / MOV SS blocking and TF.
   * @param length its bytes; by default what the exit recorded.
   */
  skipInstruction(length?: number): void;

  /** What else there is to know of the last exit; until the next entry. */
  exitInformation(): ExitInformation;

  /** The guest would take an external interrupt at once. */
  interruptible(): boolean;
  /** The next entry begins with an event: something was injected, a trap is pending, or an NMI waits in the processor. It ends a halt. */
  readonly eventDue: boolean;
  inject(event: Injection): void;
  /** Gives the guest an NMI: now, or as soon as nothing blocks it. False: not yet, but there will be an exit when it is time. */
  offerNmi(): boolean;
  /** Nothing blocks an NMI, so that it would end a halt. */
  nmiAllowed(): boolean;
  /** A page fault's address goes to CR2. */
  setCr2(address: bigint): void;
  /** DR6 and DR7 become what the delivery of a #DB with these DR6 bits makes of them. */
  recordDebugException(bits: number): void;
  /** The guest has some breakpoint of the debug registers enabled. */
  breakpointsEnabled(): boolean;
  /** Exit as soon as the guest could take an interrupt. */
  requestInterruptWindow(on: boolean): void;
  readonly windowRequested: boolean;
  /** Exit when virtual time reaches this tick; Infinity for never. */
  setDeadline(tick: number): void;
  /** Adds to the time stamp counter that the guest reads (64-bit, modulo 2^64). */
  setTscOffset(offset: bigint): void;
  /** The event whose delivery the exit interrupted. Its registers (CR2, DR6) are loaded already. */
  interrupted(): CpuEvent | undefined;
  /** ... is to be delivered again. */
  reinjectInterrupted(): void;

  /** Guest-physical pages [gpa, gpa + size) are host frames from `host` on; size is 4 KiB or 2 MiB. */
  map(gpa: number, host: number, size: number, writable: boolean): void;
  unmap(gpa: number, size: number): void;
  /** Host-physical address of the top one of the nested paging structures. */
  readonly nestedRoot: number;

  /** Copies the whole guest processor state into a processor model (for emulation), and back. */
  copyTo(model: Cpu): void;
  copyFrom(model: Cpu): void;
  /** IA32_DEBUGCTL and the branch records alone, the same way; a copyTo() and copyFrom() has them with the rest. */
  branchStateTo(model: Cpu): void;
  branchStateFrom(model: Cpu): void;
  /** MOV to CR0 / CR3 / CR4 on behalf of the guest, with the masks' effect. */
  writeControl(register: 0 | 3 | 4, value: bigint): void;
  readControl(register: 0 | 3 | 4): bigint;
}
