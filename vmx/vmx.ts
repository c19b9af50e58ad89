/** SIGNATURES FIRST; bodies follow. */
import type { Cpu } from '../cpu/cpu';
import type { CpuEvent, Interception, Sensitive } from '../cpu/interfaces';
import type { Insn } from '../cpu/decoder/insn';
import type { EntryResult, VmResult } from './instructions/result';

export interface VmreadResult { readonly result: VmResult; readonly value: bigint }

export declare class Vmx implements Interception {
  constructor(cpu: Cpu);
  readonly cpu: Cpu;

  // ---- VMX instructions as root-mode TypeScript executes them (same semantics as decoded code; flags set) ----
  /** CR4.VMXE must be 1 etc.: throws Error where the instruction would fault (#UD, #GP), because that is a bug of the caller. */
  vmxon(physicalAddress: number): VmResult;
  vmxoff(): VmResult;
  vmclear(physicalAddress: number): VmResult;
  vmptrld(physicalAddress: number): VmResult;
  /** The current-VMCS pointer, -1 when there is none. */
  vmptrst(): number;
  vmread(encoding: number): VmreadResult;
  vmwrite(encoding: number, value: bigint): VmResult;
  /** Low 32 bits (zero-extended) of a field of the current VMCS. Flags untouched. Throws Error without a current VMCS or on an unsupported field. */
  vmread32(encoding: number): number;
  /** All 64 bits as a number; exact below 2^53. */
  vmreadNumber(encoding: number): number;
  /** Writes a field of 16 or 32 bits, or a wider one zero-extended. */
  vmwrite32(encoding: number, value: number): void;
  /** Any non-negative integer below 2^53. */
  vmwriteNumber(encoding: number, value: number): void;
  launch(): EntryResult;
  resume(): EntryResult;
  /** type 1 single-context, 2 global. */
  invept(type: number, eptp: bigint): VmResult;
  /** type 0 address, 1 single, 2 all, 3 single retaining globals. */
  invvpid(type: number, vpid: number, linear: bigint): VmResult;

  // ---- Interception ----
  readonly guestMode: boolean;
  readonly active: boolean;
  readonly attention: boolean;
  readonly deadline: number;
  instruction(what: Sensitive, operand: number, value: bigint): boolean;
  exception(event: CpuEvent, delivering: CpuEvent | undefined): boolean;
  tripleFault(): boolean;
  boundary(interruptPending: boolean, nmiPending: boolean): boolean;
  interruptsBlocked(): boolean;
  readControl(cr: 0 | 4, real: bigint): bigint;
  writeControl(cr: 0 | 4, value: bigint, real: bigint): bigint;
  controlAllowed(cr: 0 | 4, value: bigint): boolean;
  nmiUnblocked(): void;
  execute(insn: Insn): void;
  readMsr(index: number): bigint | undefined;
  writeMsr(index: number, value: bigint): boolean;
}
