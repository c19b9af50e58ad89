/**
 * A guest as debuggers see it: what the command line, the GDB stub and the debug adapter drive. session.ts implements it.
 *
 * Everything here happens between two instructions. Looking changes nothing: no accessed flags, no device registers, no virtual time.
 * What cannot be done throws DebugError, whose message is one line for people; the target stays as it was.
 */

import type { FailedEntry } from './failed-entry';
import type { HitCondition } from './hit-counts';

/** Something the user asked for that cannot be done: an unknown register, an unmapped address, no history before this point. */
export class DebugError extends Error {
  override readonly name = 'DebugError';
}

// ---- registers ----

export type RegisterGroup = 'general' | 'segment' | 'control' | 'debug' | 'system' | 'fpu' | 'sse';

export interface RegisterInfo {
  /**
   * Lower case. rax ... r15, rip, rflags; es cs ss ds fs gs ldtr tr, each with .base, .limit (bytes) and .access (as in a VMCS); gdtr and
   * idtr with .base and .limit; fs_base, gs_base, k_gs_base; cr0 cr2 cr3 cr4 cr8, efer, xcr0; dr0-3, dr6, dr7; star, lstar, cstar, sfmask, pat,
   * sysenter_cs, sysenter_esp, sysenter_eip; fcw, fsw, ftw (abridged), fop, fip, fdp, st0-7; mxcsr, xmm0-15.
   */
  readonly name: string;
  readonly bits: 8 | 16 | 32 | 64 | 80 | 128;
  readonly group: RegisterGroup;
}

// ---- memory ----

/** 'virtual': linear addresses through the guest's tables (and EPT or NPT). The physical ones are the same on a bare machine. */
export type MemorySpace = 'virtual' | 'guest-physical' | 'host-physical';

// ---- where a run is ----

export interface Position {
  /** Guest instructions retired. */
  readonly instructions: number;
  /** VM exits taken, this one included when the target stands at one. */
  readonly exits: number;
  /** Orders positions at one instruction count: grows with every exit, entry, exception and interrupt. */
  readonly events: number;
  /** Virtual time, nanoseconds. */
  readonly ticks: number;
}

/** Negative, 0 or positive, as `a` is before, at or behind `b`. */
export const comparePositions = (a: Position, b: Position): number => a.instructions - b.instructions || a.events - b.events;

// ---- breakpoints ----

export type WatchAccess = 'write' | 'read' | 'access';

/** A VM exit, before its handler (the target stands at it), or after. */
export interface ExitView {
  /** 1 for the first of the run. */
  readonly number: number;
  readonly instructions: number;
  readonly ticks: number;
  /** Guest RIP that the exit saved. */
  readonly rip: bigint;
  /** As in the vendor's manual, in capitals: EPT_VIOLATION, NPF. */
  readonly reason: string;
  readonly code: number;
  /** Exit qualification, or EXITINFO1. */
  readonly qualification: bigint;
  /** The dispatcher's kind; undefined for exits to a hypervisor inside a bare machine. */
  readonly handler: string | undefined;
  /** What the handler decided; undefined as long as it has not. */
  readonly outcome: string | undefined;
  /** Port, MSR, page or leaf that the handler noted. */
  readonly detail: number | undefined;
  /**
   * Inside a bare machine, a VM entry that failed. One that ended in VMfail is no VM exit, and has its number of the last one; it is called
   * VM_FAIL_VALID (`code` is the VM-instruction error) or VM_FAIL_INVALID, and `rip` is that of the VMLAUNCH or VMRESUME.
   */
  readonly failed?: FailedEntry;
}

export type BreakpointSpec =
  /** Before the instruction at a linear address (64 bits, canonical), in whatever address space. RFLAGS.RF = 1 passes over it, as it does over DR0-3. */
  | { readonly kind: 'execution'; readonly address: bigint }
  /**
   * After an instruction that touches [address, address + length), 1 to 4096 bytes. A virtual range is watched where it is mapped when the
   * watchpoint is set, so accesses through other mappings count too. Writes count even if nothing changes.
   */
  | { readonly kind: 'watch'; readonly space: MemorySpace; readonly address: bigint; readonly length: number; readonly access: WatchAccess }
  /**
   * Before the handler of a VM exit. `reason` as ExitView has it, upper or lower case, or as ExitView's `handler` has it, which names
   * exits inside a bare machine too; undefined: any VM exit.
   */
  | { readonly kind: 'exit'; readonly reason?: string; readonly matches?: (exit: ExitView) => boolean }
  /** A VMREAD or VMWRITE of a field, by the hypervisor or by a guest that is one; under AMD-V a change of the field in the VMCB. */
  | { readonly kind: 'field'; readonly field: string; readonly access: WatchAccess };

export interface BreakpointOptions {
  /** Asked at every hit; false goes on. `text` is how listings show it. */
  readonly condition?: { readonly text: string; readonly holds: () => boolean };
  /** Asked where the condition holds, with how often that has been so; false goes on. */
  readonly hitCount?: HitCondition;
  /** Called instead of stopping, when the guest runs forward. */
  readonly log?: () => void;
  /** Removed when it stops the target. */
  readonly temporary?: boolean;
}

export interface Breakpoint {
  readonly id: number;
  readonly spec: BreakpointSpec;
  readonly options: BreakpointOptions;
  readonly enabled: boolean;
  /** Times that it stopped the target. */
  readonly hits: number;
}

// ---- stops ----

/** Why the target stopped; `explanation` is one line. */
export type Stop = { readonly explanation: string; readonly position: Position } & (
  | { readonly kind: 'breakpoint'; readonly id: number; readonly address: bigint }
  /** `rip`: the instruction that made the access. Values are little-endian numbers of the whole range. Reverse motions stop before it. */
  | { readonly kind: 'watchpoint'; readonly id: number; readonly write: boolean; readonly rip: bigint; readonly oldValue: bigint; readonly newValue: bigint }
  /** At a VM exit whose handler has not run. `id`: the breakpoint, undefined when the motion was after exits. */
  | { readonly kind: 'exit'; readonly id: number | undefined; readonly exit: ExitView }
  | { readonly kind: 'field'; readonly id: number; readonly write: boolean; readonly field: string; readonly oldValue: bigint; readonly newValue: bigint }
  /** The steps asked for are done. */
  | { readonly kind: 'step' }
  /** A reverse motion came to the first instruction of the run. */
  | { readonly kind: 'history-begin' }
  /** The guest powered off, was reset, triple-faulted ... Only reverse motions are possible now. */
  | { readonly kind: 'ended'; readonly because: string; readonly status: number | undefined }
  /** Halted, and only input could wake it. */
  | { readonly kind: 'idle' }
  /** interrupt() was called. */
  | { readonly kind: 'interrupted' }
  /** The position asked for, or the limit of the session, is reached. */
  | { readonly kind: 'limit' }
);

export type StopKind = Stop['kind'];

/**
 * Work in pieces: every next() does a bounded one (some milliseconds), so that the caller can look after its sockets and keys; the last
 * one returns the Stop. A motion that is dropped half-way leaves the target at a valid place. One at a time: the next one cancels it.
 */
export type Motion = Generator<undefined, Stop, undefined>;

/** Does all of a motion at once. */
export function complete(motion: Motion): Stop {
  for (;;) {
    const { done, value } = motion.next();
    if (done === true) return value;
  }
}

export interface DebugTarget {
  /** What runs, in one line. */
  readonly description: string;
  readonly backend: 'bare' | 'vmx' | 'svm';
  readonly position: Position;
  /** First and last position of the history: reverse motions reach from one to the other. */
  readonly history: { readonly begin: Position; readonly end: Position };
  /** Why the target stands where it does; undefined before the first motion, and during one. */
  readonly lastStop: Stop | undefined;

  // ---- registers: unsigned, of the width in `registers` ----

  /** In the order in which people expect them. */
  readonly registers: readonly RegisterInfo[];
  /** Throws DebugError for a name that is not in `registers`. */
  readRegister(name: string): bigint;
  /** Writing changes what happens next, so the history behind this position is dropped. Throws DebugError for values that do not fit, or that the processor cannot hold. */
  writeRegister(name: string, value: bigint): void;

  // ---- memory ----

  /** Throws DebugError that names the first address that is not mapped, or not RAM (devices are not read: reading has effects). */
  readMemory(space: MemorySpace, address: bigint, length: number): Uint8Array;
  /** All or nothing; otherwise as readMemory. Drops the history behind this position. */
  writeMemory(space: MemorySpace, address: bigint, bytes: Uint8Array): void;

  // ---- forward ----

  /** `count` instructions, or fewer when a breakpoint comes first. Interrupt and exception handlers are stepped into; VM exits are not stops. */
  step(count?: number): Motion;
  /** One instruction, calls and repeated string instructions as one. */
  next(): Motion;
  /** To the `count`-th VM exit from here. */
  stepExit(count?: number): Motion;
  resume(): Motion;
  /** The current motion ends with an 'interrupted' stop at its next piece. May be called from anywhere. */
  interrupt(): void;

  // ---- backward. Throw DebugError (in next()) when the machine cannot be restored, with the reason. ----

  reverseStep(count?: number): Motion;
  reverseNext(): Motion;
  reverseExit(count?: number): Motion;
  /** To the last hit of a breakpoint before here. Watchpoints stop before the instruction that made the access. */
  reverseResume(): Motion;
  /** To the first moment at which so many instructions have retired, backward or forward; forward of `history.end` the guest runs on. */
  seek(instructions: number): Motion;

  // ---- breakpoints ----

  readonly breakpoints: readonly Breakpoint[];
  /** Throws DebugError for an address that is not canonical, a range that is not mapped, a reason or field that does not exist. */
  addBreakpoint(spec: BreakpointSpec, options?: BreakpointOptions): Breakpoint;
  removeBreakpoint(id: number): void;
  enableBreakpoint(id: number, enabled: boolean): void;

  // ---- what else there is ----

  /** The last VM exit up to here; undefined before the first. */
  readonly lastExit: ExitView | undefined;
  /** Bytes for the receiver of COM1. Typed into the past, they drop the history behind this position. */
  sendSerial(bytes: Uint8Array): void;
}
