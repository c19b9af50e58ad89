/** IRET. SDM volume 2, "IRET/IRETD/IRETQ". */
import { Flag, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { Sensitive } from '../interfaces';
import { AccessBit, checkStackSegment, setCodeSegment, setRealCodeSegment, setStackSegment } from '../segments';
import { dropInnerSegments, returnTarget } from './far-transfer';
import { setStackPointer, stackLinear, stackPointer } from './stack-access';
import type { SystemInstructions } from './table';

const ALWAYS = Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.TF | Flag.DF | Flag.OF | Flag.NT;
const WIDE = Flag.RF | Flag.AC | Flag.ID;
const CPL0 = Flag.IOPL;
const CPL0_WIDE = Flag.VIF | Flag.VIP;

/** RFLAGS after the return: which bits the image may set depends on the privilege level before it. */
function mergeFlags(cpu: Cpu, image: number, bytes: number): number {
  let mask = ALWAYS;
  if (bytes > 2) mask |= WIDE;
  if (cpu.cpl <= cpu.iopl) mask |= Flag.IF;
  if (cpu.cpl === 0) mask |= bytes > 2 ? CPL0 | CPL0_WIDE : CPL0;
  return (cpu.rflags() & ~mask & ~(bytes > 2 ? 0 : Flag.RF)) | (image & mask);
}

/** NMIs may come again. */
function unblockNmi(cpu: Cpu): void {
  cpu.nmiBlocked = false;
  cpu.interception?.nmiUnblocked();
  if (cpu.nmiPending) cpu.attention = true;
}

/**
 * SDM "Handling Multiple NMIs": the next IRET ends the blocking, even if it faults. APM "NMI Virtualization": V_NMI_MASK is cleared on
 * successful completion of IRET, and what the guest cannot tell apart must not differ without a hypervisor.
 */
function interruptReturn(cpu: Cpu, insn: Insn): void {
  cpu.intercept(Sensitive.IRET);
  const unblocksEarly = cpu.profile.vendor === 'intel';
  if (unblocksEarly) unblockNmi(cpu);
  popFrame(cpu, insn);
  if (!unblocksEarly) unblockNmi(cpu);
}

function popFrame(cpu: Cpu, insn: Insn): void {
  const bytes = insn.operandSize / 8;
  const at = (i: number): bigint => cpu.readLinear(stackLinear(cpu, i * bytes, bytes, false), bytes);
  const offset = at(0);
  const selector = Number(at(1) & 0xffffn);
  const image = Number(at(2) & 0xffff_ffffn);
  if (!cpu.protectedMode) return returnReal(cpu, offset, selector, image, bytes);
  // A return to a nested task, or to virtual-8086 mode. DEVIATION: neither hardware task switching nor v8086 mode is modelled.
  if ((cpu.rflags() & Flag.NT) !== 0 || (image & Flag.VM) !== 0) {
    if (cpu.longMode && (image & Flag.VM) === 0) cpu.gp();
    if (!cpu.longMode) cpu.ud();
  }
  const d = returnTarget(cpu, selector);
  const cpl = selector & 3;
  const is64 = cpu.longMode && (d.access & AccessBit.L) !== 0;
  if (is64 ? !cpu.mmu.canonical(offset) : offset > BigInt(d.limit)) cpu.gp();
  const flags = mergeFlags(cpu, image, bytes);
  // From 64-bit mode SS:RSP is always popped.
  if (cpu.codeSize === 64 || cpl > cpu.cpl) {
    const sp = at(3);
    const ss = Number(at(4) & 0xffffn);
    const outward = cpl > cpu.cpl;
    const stack = checkStackSegment(cpu, ss, cpl, is64);
    setStackSegment(cpu, ss, stack, cpl);
    setCodeSegment(cpu, selector, d, cpl);
    setStackPointer(cpu, sp);
    if (outward) dropInnerSegments(cpu);
  } else {
    const after = stackPointer(cpu) + BigInt(3 * bytes);
    setStackPointer(cpu, after);
    setCodeSegment(cpu, selector, d, cpl);
  }
  cpu.rip = bytes === 8 ? offset : offset & (bytes === 4 ? 0xffff_ffffn : 0xffffn);
  cpu.setRflags(flags);
}

function returnReal(cpu: Cpu, offset: bigint, selector: number, image: number, bytes: number): void {
  setStackPointer(cpu, stackPointer(cpu) + BigInt(3 * bytes));
  setRealCodeSegment(cpu, selector);
  cpu.rip = offset;
  cpu.setRflags(mergeFlags(cpu, image, bytes) & ~Flag.VM);
}

export const INTERRUPT_RETURN: SystemInstructions = { IRET: { execute: interruptReturn, endsBlock: true } };
