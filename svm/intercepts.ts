/**
 * Which instructions cause #VMEXITs. APM "Instruction Intercepts": one row an instruction. Exceptions that come before the intercept (CPL,
 * I/O permission) have been checked by the instruction.
 *
 * DEVIATION: INIT, SMI, FERR_FREEZE and hardware task switches do not happen in this machine, so their intercepts have nothing to intercept.
 */
import { definedCr0, requireCr0, requireCr4 } from '../cpu/system/control-state';
import { Cr0, type Cpu } from '../cpu/cpu';
import { Segment, type Insn } from '../cpu/decoder/insn';
import { Flag } from '../cpu/registers';
import { Sensitive } from '../cpu/interfaces';
import { Intercept3, Intercept4, Intercept5, MovCrInfo, MsrInfo } from './controls';
import { ExitCode, ExitCodeBase } from './exit/code';
import { ioioInfo, taskSwitchInfoHigh } from './exit/info';
import { SvmFeature } from './features';
import { pauseExits } from './pause-filter';
import { msrIntercepted, portIntercepted } from './permission-maps';
import type { Svm } from './svm';

/** Decides about one instruction; true: the #VMEXIT was performed. */
type Intercept = (svm: Svm, operand: number, value: bigint) => boolean;

const never: Intercept = () => false;
const if3 =
  (bit: number, code: number): Intercept =>
  (svm) =>
    (svm.intercepts3 & bit) !== 0 && svm.exitOnInstruction(code);
const if4 =
  (bit: number, code: number): Intercept =>
  (svm) =>
    (svm.intercepts4 & bit) !== 0 && svm.exitOnInstruction(code);

// ---- control and debug registers: reads in bits 15:0 of their intercept word, writes in 31:16 ----

const WRITES = 16;
/** "MOV CRx/DRx": the GPR; bit 63 tells MOV CRx from CLTS, LMSW and SMSW. */
const movCrExit = (svm: Svm, code: number, gpr: number): true =>
  svm.has(SvmFeature.DECODE_ASSISTS) ? svm.exitOnInstruction(code, gpr & MovCrInfo.GPR, MovCrInfo.MOV_HIGH) : svm.exitOnInstruction(code);

const movFromCr: Intercept = (svm, cr) => ((svm.crIntercepts >>> cr) & 1) !== 0 && movCrExit(svm, ExitCodeBase.CR_READ + cr, svm.cpu.insn.dst);

/** "Checks non-memory exceptions (CPL, illegal bit combinations, etc.) before the intercept": CR writes in "Instruction Intercepts". */
function requireLegal(cpu: Cpu, cr: number, value: bigint): void {
  if (cr !== 0 && cr !== 4) return;
  if (value >> 32n !== 0n) cpu.gp();
  if (cr === 0) requireCr0(cpu, definedCr0(Number(value)));
  else requireCr4(cpu, Number(value) | 0);
}

const movToCr: Intercept = (svm, cr, value) => {
  const selective = cr === 0 && (svm.intercepts3 & Intercept3.CR0_SEL_WRITE) !== 0;
  if (selective || ((svm.crIntercepts >>> (WRITES + cr)) & 1) !== 0) requireLegal(svm.cpu, cr, value);
  if (((svm.crIntercepts >>> (WRITES + cr)) & 1) !== 0) return movCrExit(svm, ExitCodeBase.CR_WRITE + cr, svm.cpu.insn.src);
  // "Selective CR0 write": bits other than TS and MP change.
  if (!selective) return false;
  const changed = (definedCr0(Number(value)) ^ svm.cpu.cr0) & ~(Cr0.TS | Cr0.MP);
  return changed !== 0 && movCrExit(svm, ExitCode.CR0_SEL_WRITE, svm.cpu.insn.src);
};

const CR0_READ = 1;
const CR0_WRITE = 1 << WRITES;
const clts: Intercept = (svm) => (svm.crIntercepts & CR0_WRITE) !== 0 && svm.exitOnInstruction(ExitCodeBase.CR_WRITE);
/** For LMSW the selective intercept is as good as the non-selective one; CLTS does not know it. */
const lmsw: Intercept = (svm) => {
  if ((svm.crIntercepts & CR0_WRITE) !== 0) return svm.exitOnInstruction(ExitCodeBase.CR_WRITE);
  return (svm.intercepts3 & Intercept3.CR0_SEL_WRITE) !== 0 && svm.exitOnInstruction(ExitCode.CR0_SEL_WRITE);
};

const movDr =
  (from: boolean): Intercept =>
  (svm, dr) => {
    if (((svm.drIntercepts >>> (from ? dr : WRITES + dr)) & 1) === 0) return false;
    const { insn } = svm.cpu;
    const gpr = svm.has(SvmFeature.DECODE_ASSISTS) ? (from ? insn.dst : insn.src) & MovCrInfo.GPR : 0;
    return svm.exitOnInstruction((from ? ExitCodeBase.DR_READ : ExitCodeBase.DR_WRITE) + dr, gpr);
  };

// ---- I/O and MSRs ----

const io =
  (input: boolean, string: boolean): Intercept =>
  (svm, port) => {
    if ((svm.intercepts3 & Intercept3.IOIO) === 0) return false;
    const { insn } = svm.cpu;
    const bytes = insn.size >>> 3;
    return portIntercepted(svm, port, bytes) && svm.exitOnIo(ioioInfo(insn, port, bytes, input, string));
  };

const msr =
  (write: boolean): Intercept =>
  (svm, index) =>
    (svm.intercepts3 & Intercept3.MSR) !== 0 && msrIntercepted(svm, index, write) && svm.exitOnInstruction(ExitCode.MSR, write ? MsrInfo.WRMSR : MsrInfo.RDMSR);

// ---- others that say more than their code ----

const halves = (value: bigint): readonly [low: number, high: number] => [Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn)];

const invlpg: Intercept = (svm, _operand, linear) => {
  if ((svm.intercepts3 & Intercept3.INVLPG) === 0) return false;
  return svm.has(SvmFeature.DECODE_ASSISTS) ? svm.exitOnInstruction(ExitCode.INVLPG, ...halves(linear)) : svm.exitOnInstruction(ExitCode.INVLPG);
};

/** Linear address of a memory operand, without the checks that come after the intercept. */
function linearOperand(cpu: Cpu, insn: Insn): bigint {
  const wide = cpu.codeSize === 64;
  const base = wide && insn.segment < Segment.FS ? 0n : cpu.segmentBase(insn.segment);
  return BigInt.asUintN(wide ? 64 : 32, base + cpu.offsetOf(insn));
}

/** EXITINFO1: the linear address of the descriptor; EXITINFO2: the register with the type. */
const invpcid: Intercept = (svm) => {
  if ((svm.intercepts5 & Intercept5.INVPCID) === 0) return false;
  const { cpu } = svm;
  const { insn } = cpu;
  return svm.exitOnInstruction(ExitCode.INVPCID, ...halves(linearOperand(cpu, insn)), ...halves(cpu.gprSized(insn.dst, insn.size)));
};

const softwareInterrupt: Intercept = (svm, vector) =>
  (svm.intercepts3 & Intercept3.SWINT) !== 0 && svm.exitOnInstruction(ExitCode.SWINT, svm.has(SvmFeature.DECODE_ASSISTS) ? vector : 0);

/** The conditional intercept is for an armed monitor, and comes first. */
const mwait: Intercept = (svm, armed) => {
  if (armed !== 0 && (svm.intercepts4 & Intercept4.MWAIT_CONDITIONAL) !== 0) return svm.exitOnInstruction(ExitCode.MWAIT_CONDITIONAL);
  return (svm.intercepts4 & Intercept4.MWAIT) !== 0 && svm.exitOnInstruction(ExitCode.MWAIT);
};

const pause: Intercept = (svm) => (svm.intercepts3 & Intercept3.PAUSE) !== 0 && pauseExits(svm) && svm.exitOnInstruction(ExitCode.PAUSE);

const taskSwitch: Intercept = (svm, selector, source) => {
  if ((svm.intercepts3 & Intercept3.TASK_SWITCH) === 0) return false;
  const { cpu } = svm;
  const errorCode = cpu.delivering?.errorCode;
  const high = taskSwitchInfoHigh(Number(source), errorCode !== undefined, (cpu.rflags() & Flag.RF) !== 0);
  return svm.exitOnInstruction(ExitCode.TASK_SWITCH, selector, 0, errorCode ?? 0, high);
};

// prettier-ignore
export const INTERCEPTS: Readonly<Record<Sensitive, Intercept>> = {
  [Sensitive.MOV_FROM_CR]: movFromCr,
  [Sensitive.SMSW]:        (svm) => (svm.crIntercepts & CR0_READ) !== 0 && svm.exitOnInstruction(ExitCodeBase.CR_READ),
  [Sensitive.MOV_TO_CR]:   movToCr,
  [Sensitive.CLTS]:        clts,
  [Sensitive.LMSW]:        lmsw,
  [Sensitive.MOV_FROM_DR]: movDr(true),
  [Sensitive.MOV_TO_DR]:   movDr(false),
  // Word 3.
  [Sensitive.SIDT]:        if3(Intercept3.IDTR_READ, ExitCode.IDTR_READ),
  [Sensitive.SGDT]:        if3(Intercept3.GDTR_READ, ExitCode.GDTR_READ),
  [Sensitive.SLDT]:        if3(Intercept3.LDTR_READ, ExitCode.LDTR_READ),
  [Sensitive.STR]:         if3(Intercept3.TR_READ, ExitCode.TR_READ),
  [Sensitive.LIDT]:        if3(Intercept3.IDTR_WRITE, ExitCode.IDTR_WRITE),
  [Sensitive.LGDT]:        if3(Intercept3.GDTR_WRITE, ExitCode.GDTR_WRITE),
  [Sensitive.LLDT]:        if3(Intercept3.LDTR_WRITE, ExitCode.LDTR_WRITE),
  [Sensitive.LTR]:         if3(Intercept3.TR_WRITE, ExitCode.TR_WRITE),
  [Sensitive.RDTSC]:       if3(Intercept3.RDTSC, ExitCode.RDTSC),
  [Sensitive.RDPMC]:       if3(Intercept3.RDPMC, ExitCode.RDPMC),
  [Sensitive.PUSHF]:       if3(Intercept3.PUSHF, ExitCode.PUSHF),
  [Sensitive.POPF]:        if3(Intercept3.POPF, ExitCode.POPF),
  [Sensitive.CPUID]:       if3(Intercept3.CPUID, ExitCode.CPUID),
  [Sensitive.RSM]:         if3(Intercept3.RSM, ExitCode.RSM),
  [Sensitive.IRET]:        if3(Intercept3.IRET, ExitCode.IRET),
  [Sensitive.SOFTWARE_INTERRUPT]: softwareInterrupt,
  [Sensitive.INVD]:        if3(Intercept3.INVD, ExitCode.INVD),
  [Sensitive.PAUSE]:       pause,
  [Sensitive.HLT]:         if3(Intercept3.HLT, ExitCode.HLT),
  [Sensitive.INVLPG]:      invlpg,
  [Sensitive.IN]:          io(true, false),
  [Sensitive.INS]:         io(true, true),
  [Sensitive.OUT]:         io(false, false),
  [Sensitive.OUTS]:        io(false, true),
  [Sensitive.RDMSR]:       msr(false),
  [Sensitive.WRMSR]:       msr(true),
  [Sensitive.TASK_SWITCH]: taskSwitch,
  // Words 4 and 5.
  [Sensitive.RDTSCP]:      if4(Intercept4.RDTSCP, ExitCode.RDTSCP),
  [Sensitive.ICEBP]:       if4(Intercept4.ICEBP, ExitCode.ICEBP),
  [Sensitive.WBINVD]:      if4(Intercept4.WBINVD, ExitCode.WBINVD),
  [Sensitive.MONITOR]:     if4(Intercept4.MONITOR, ExitCode.MONITOR),
  [Sensitive.MWAIT]:       mwait,
  [Sensitive.XSETBV]:      if4(Intercept4.XSETBV, ExitCode.XSETBV),
  [Sensitive.INVPCID]:     invpcid,
  // No intercept exists.
  [Sensitive.GETSEC]: never, [Sensitive.RDRAND]: never, [Sensitive.RDSEED]: never, [Sensitive.XSAVES]: never, [Sensitive.XRSTORS]: never,
  // SVM instructions come through execute(), where their intercepts are.
  [Sensitive.VMRUN]: never, [Sensitive.VMLOAD]: never, [Sensitive.VMSAVE]: never, [Sensitive.STGI]: never, [Sensitive.CLGI]: never, [Sensitive.INVLPGA]: never, [Sensitive.VMMCALL]: never, [Sensitive.SKINIT]: never,
  // VMX: #UD on this processor.
  [Sensitive.VMCALL]: never, [Sensitive.VMCLEAR]: never, [Sensitive.VMLAUNCH]: never, [Sensitive.VMPTRLD]: never, [Sensitive.VMPTRST]: never, [Sensitive.VMREAD]: never,
  [Sensitive.VMRESUME]: never, [Sensitive.VMWRITE]: never, [Sensitive.VMXOFF]: never, [Sensitive.VMXON]: never, [Sensitive.VMFUNC]: never, [Sensitive.INVEPT]: never, [Sensitive.INVVPID]: never,
};
