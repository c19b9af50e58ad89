/**
 * VMX instructions as code executes them: the faults, the VM exits in non-root operation, the operands. What they do then is in
 * the files beside this one. SDM "VMX Instruction Reference", the "Operation" sections.
 */
import { Cr4, type Cpu } from '../../cpu/cpu';
import type { Insn } from '../../cpu/decoder/insn';
import { R } from '../../cpu/layout';
import { controlsAllowVmx } from '../control-registers';
import { displacement, invalidationInformation, memoryInformation, vmreadInformation } from '../exit/qualification';
import { type ExitReason } from '../exit/reason';
import { State, transition, type Event } from '../operation';
import type { Vmx } from '../vmx';
import { hasEpt, hasVpid, invept, invvpid } from './invalidate';
import { VM_SUCCEED, VmInstructionError } from './result';
import { vmclear, vmptrld, vmptrst } from './vmcs-pointer';
import { enterGuest } from './vmlaunch';
import { componentOffset, fetch, vmread, vmwrite } from './vmread';
import { vmxoff, vmxon } from './vmxon';

/** IA32_FEATURE_CONTROL: lock, and VMXON outside SMX operation. */
const LOCKED = 1,
  VMXON_OUTSIDE_SMX = 4;
/** An encoding that no VMCS component has. */
const NO_COMPONENT = 0x8000;

interface VmxInstruction {
  readonly event: Event;
  /** Instruction information and qualification of its VM exit. */
  readonly information?: (i: Insn) => number;
  readonly execute: (vmx: Vmx, cpu: Cpu, insn: Insn) => void;
}

/** The physical address that a 64-bit memory operand holds; anything that is no JS integer is no address either. */
const pointerOperand = (cpu: Cpu): number => Number(cpu.readOperand(0, 64));

/** VMREAD and VMWRITE use 64-bit operands in 64-bit mode and 32-bit ones elsewhere. */
const operandBits = (cpu: Cpu): 32 | 64 => (cpu.codeSize === 64 ? 64 : 32);

function descriptor(cpu: Cpu, insn: Insn): readonly [low: bigint, high: bigint] {
  const linear = cpu.linearOf(insn, 16, false);
  return [cpu.readLinear(linear, 8), cpu.readLinear(BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, linear + 8n), 8)];
}

// prettier-ignore
const INSTRUCTIONS: Readonly<Record<string, VmxInstruction>> = {
  VMXON:    { event: 'VMXON', information: memoryInformation, execute: (vmx, cpu) => void vmxon(vmx, vmx.active ? -1 : pointerOperand(cpu)) },
  VMXOFF:   { event: 'VMXOFF', execute: (vmx) => void vmxoff(vmx) },
  VMCLEAR:  { event: 'VMCLEAR of another VMCS', information: memoryInformation, execute: (vmx, cpu) => void vmclear(vmx, pointerOperand(cpu)) },
  VMPTRLD:  { event: 'VMPTRLD of a clear VMCS', information: memoryInformation, execute: (vmx, cpu) => void vmptrld(vmx, pointerOperand(cpu)) },
  VMPTRST:  { event: 'VMPTRST', information: memoryInformation, execute: (vmx, cpu) => { cpu.writeOperand(0, vmx.vmcs.present ? BigInt(vmx.vmcs.pointer) : 0xffff_ffff_ffff_ffffn, 64); vmptrst(vmx); } },
  VMREAD:   { event: 'VMREAD', information: vmreadInformation, execute: executeVmread },
  VMWRITE:  { event: 'VMWRITE', information: vmreadInformation, execute: executeVmwrite },
  VMLAUNCH: { event: 'VMLAUNCH', execute: (vmx) => void enterGuest(vmx, 'VMLAUNCH') },
  VMRESUME: { event: 'VMRESUME', execute: (vmx) => void enterGuest(vmx, 'VMRESUME') },
  VMCALL:   { event: 'VMCALL', execute: (vmx) => void vmx.fail(VmInstructionError.VmcallInRootOperation) },
  INVEPT:   { event: 'INVEPT', information: invalidationInformation, execute: executeInvept },
  INVVPID:  { event: 'INVVPID', information: invalidationInformation, execute: executeInvvpid },
};

export function executeVmxInstruction(vmx: Vmx, insn: Insn): void {
  const { cpu } = vmx;
  const instruction = INSTRUCTIONS[insn.op];
  // VMFUNC: "enable VM functions" is not among our controls. Others are AMD-V's.
  if (instruction === undefined || !exists(vmx, insn.op)) return cpu.ud();

  if (insn.op === 'VMCALL' && vmx.guestMode) return exit(vmx, instruction, insn);
  if (!cpu.protectedMode || cpu.v86 || (cpu.longMode && cpu.codeSize !== 64)) return cpu.ud();
  if (insn.op === 'VMXON' && (cpu.cr4 & Cr4.VMXE) === 0) return cpu.ud();

  // In non-root operation the exit comes before the CPL is looked at.
  const next = transition(vmx.state, instruction.event);
  if (next.kind === 'undefined-opcode') return cpu.ud();
  if (next.kind === 'exit') return exit(vmx, instruction, insn);
  cpu.requireCpl0();
  if (insn.op === 'VMXON' && !vmx.active) requireVmxAllowed(vmx, cpu);
  instruction.execute(vmx, cpu, insn);
}

/** Instructions that come with an optional feature are undefined without it. */
function exists(vmx: Vmx, op: string): boolean {
  if (op === 'INVEPT') return hasEpt(vmx);
  if (op === 'INVVPID') return hasVpid(vmx);
  return true;
}

/** VMXON: CR0 and CR4 bits that VMX operation fixes, and IA32_FEATURE_CONTROL. */
function requireVmxAllowed(vmx: Vmx, cpu: Cpu): void {
  if (!controlsAllowVmx(vmx, cpu.cr0, cpu.cr4)) cpu.gp();
  const wanted = LOCKED | VMXON_OUTSIDE_SMX;
  if ((cpu.get32(R.FEATURE_CONTROL) & wanted) !== wanted) cpu.gp();
}

function exit(vmx: Vmx, instruction: VmxInstruction, insn: Insn): never {
  const { cpu } = vmx;
  const reason: ExitReason = vmxExitReason(instruction.event);
  cpu.materialize();
  if (instruction.information === undefined) vmx.exitOnInstruction(reason);
  else vmx.exitWithOperand(reason, insn.hasMemory ? displacement(cpu, insn) : 0n, instruction.information(insn));
  return cpu.unwind();
}

function vmxExitReason(event: Event): ExitReason {
  const next = transition(State.NonRoot, event);
  if (next.kind !== 'exit') throw new Error(`${event} does not exit`);
  return next.reason;
}

function encodingOf(cpu: Cpu, register: number): number {
  const value = cpu.gprSized(register, operandBits(cpu));
  // An encoding with a bit beyond 31:0 names no component.
  return value <= 0xffff_ffffn ? Number(value) : -1;
}

function executeVmread(vmx: Vmx, cpu: Cpu, insn: Insn): void {
  const encoding = encodingOf(cpu, insn.src);
  const offset = vmx.vmcs.present && encoding >= 0 ? componentOffset(vmx, encoding) : 0;
  if (offset === 0) return void vmread(vmx, NO_COMPONENT);
  // The destination may fault: flags change after it.
  cpu.writeOperand(0, fetch(vmx, encoding, offset), operandBits(cpu));
  vmx.complete(VM_SUCCEED);
}

function executeVmwrite(vmx: Vmx, cpu: Cpu, insn: Insn): void {
  const encoding = encodingOf(cpu, insn.dst);
  const value = cpu.readOperand(1, operandBits(cpu));
  vmwrite(vmx, encoding < 0 ? NO_COMPONENT : encoding, value);
}

function executeInvept(vmx: Vmx, cpu: Cpu, insn: Insn): void {
  const type = cpu.gprSized(insn.dst, operandBits(cpu));
  const [eptp, reserved] = descriptor(cpu, insn);
  if (type > 2n || reserved !== 0n) vmx.fail(VmInstructionError.InvalidInvalidationOperand);
  else invept(vmx, Number(type), eptp);
}

function executeInvvpid(vmx: Vmx, cpu: Cpu, insn: Insn): void {
  const type = cpu.gprSized(insn.dst, operandBits(cpu));
  const [vpid, linear] = descriptor(cpu, insn);
  if (type > 3n || vpid > 0xffffn) vmx.fail(VmInstructionError.InvalidInvalidationOperand);
  else invvpid(vmx, Number(type), Number(vpid), linear);
}
