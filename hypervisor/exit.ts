/** What both vendors' exits have in common: the closed set of things a guest can stop for. Payloads carry what a handler needs. */

/** The vendor's own record of an exit, for traces and people. */
export interface RawExit {
  /** Name as the manual spells it, e.g. "EPT_VIOLATION". */
  readonly reason: string;
  readonly code: number;
  readonly qualification: bigint;
}

export type Exit =
  | { readonly kind: 'cpuid' }
  | { readonly kind: 'hlt' }
  | { readonly kind: 'io'; readonly port: number; readonly size: 1 | 2 | 4; readonly input: boolean; readonly string: boolean }
  | { readonly kind: 'rdmsr' }
  | { readonly kind: 'wrmsr' }
  | {
      readonly kind: 'cr-access';
      readonly register: number;
      readonly access: 'write' | 'read' | 'clts' | 'lmsw';
      readonly gpr: number;
      readonly source: number;
    }
  | {
      readonly kind: 'nested-page-fault';
      readonly gpa: number;
      readonly linear: bigint;
      readonly read: boolean;
      readonly write: boolean;
      readonly fetch: boolean;
      readonly table: boolean;
      readonly present: boolean;
    }
  | { readonly kind: 'nested-misconfiguration'; readonly gpa: number }
  | { readonly kind: 'xsetbv' }
  | { readonly kind: 'exception'; readonly vector: number; readonly errorCode: number | undefined }
  | { readonly kind: 'nmi' }
  /** `vector` is known when the processor acknowledged the interrupt on exit. */
  | { readonly kind: 'external-interrupt'; readonly vector: number | undefined }
  | { readonly kind: 'interrupt-window' }
  | { readonly kind: 'nmi-window' }
  | { readonly kind: 'timer' }
  | { readonly kind: 'triple-fault' }
  | { readonly kind: 'hypercall' }
  | { readonly kind: 'cache-control'; readonly instruction: 'INVD' | 'WBINVD' }
  | { readonly kind: 'task-switch' }
  /** An instruction that this VM does not have (VMX, SVM, GETSEC, ...): #UD. */
  | { readonly kind: 'unavailable-instruction'; readonly instruction: string }
  /** An instruction that exits only if somebody asked for it. */
  | { readonly kind: 'monitored-instruction'; readonly instruction: string }
  | { readonly kind: 'entry-failure'; readonly explanation: string }
  | { readonly kind: 'unexpected'; readonly explanation: string };

export type ExitKind = Exit['kind'];
export type ExitOf<K extends ExitKind> = Extract<Exit, { readonly kind: K }>;

/** The closed set of things a handler may decide. */
export type Outcome =
  /** Emulated: step over the instruction that exited, then enter again. It retires once. `length`: its bytes, where the exit does not say. */
  | { readonly kind: 'next-instruction'; readonly length?: number }
  /** Fixed the cause, or moved RIP itself: enter again. */
  | { readonly kind: 'retry' }
  /** An exception. `address`: CR2 of a page fault; `debug`: DR6 bits of a debug exception. */
  | { readonly kind: 'inject'; readonly vector: number; readonly errorCode?: number; readonly address?: bigint; readonly debug?: number }
  /** HLT: step over it, then wait for an event. */
  | { readonly kind: 'halt' }
  | { readonly kind: 'stop'; readonly because: StopReason; readonly explanation: string };

export type StopReason = 'power-off' | 'reset' | 'triple-fault' | 'debug-exit' | 'internal';

export const nextInstruction: Outcome = { kind: 'next-instruction' };
export const retry: Outcome = { kind: 'retry' };
export const tripleFault: Outcome = { kind: 'stop', because: 'triple-fault', explanation: 'the guest triple-faulted' };
export const halt: Outcome = { kind: 'halt' };
export const invalidOpcode: Outcome = { kind: 'inject', vector: 6 };
export const generalProtection: Outcome = { kind: 'inject', vector: 13, errorCode: 0 };
