/**
 * Which instructions cause VM exits. SDM "Instructions That Cause VM Exits Unconditionally" and "... Conditionally": one row an
 * instruction, in the words of the manual. Faults that precede the exit (CPL, I/O permission) have been checked by the instruction.
 */
import { Cr0 } from '../cpu/cpu';
import { Segment } from '../cpu/decoder/insn';
import { Sensitive } from '../cpu/interfaces';
import { R } from '../cpu/layout';
import { Primary, Secondary } from './controls';
import {
  CrAccess,
  crQualification,
  descriptorTableInformation,
  displacement,
  drQualification,
  invalidationInformation,
  ioQualification,
  lmswQualification,
  memoryInformation,
  randomInformation,
  stringIoInformation,
  systemSegmentInformation,
  taskSwitchQualification,
} from './exit/qualification';
import { ExitReason } from './exit/reason';
import { OFFSET } from './vmcs/layout';
import type { Vmx } from './vmx';

/** Decides about one instruction; true: the VM exit was performed. */
type Intercept = (vmx: Vmx, operand: number, value: bigint) => boolean;

const RAX = 0,
  RDX = 2,
  RSI = 6,
  RDI = 7;

const never: Intercept = () => false;
const always =
  (reason: ExitReason): Intercept =>
  (vmx) =>
    vmx.exitOnInstruction(reason);
const ifPrimary =
  (control: number, reason: ExitReason): Intercept =>
  (vmx) =>
    (vmx.primary & control) !== 0 && vmx.exitOnInstruction(reason);

/** An instruction that raises #UD in non-root operation unless a secondary control enables it. */
function requireEnabled(vmx: Vmx, control: number): void {
  if ((vmx.secondary & control) === 0) vmx.cpu.ud();
}

// ---- control registers ----

const movToCr: Intercept = (vmx, cr, value) => {
  const { cpu } = vmx;
  if (!movToCrExits(vmx, cr, value)) return false;
  return vmx.exitOnInstruction(ExitReason.ControlRegisterAccess, crQualification(cr, CrAccess.MovTo, cpu.insn.src));
};

function movToCrExits(vmx: Vmx, cr: number, value: bigint): boolean {
  switch (cr) {
    // A bit that the guest/host mask gives to the host differs from its read shadow.
    case 0:
      return ((value ^ vmx.vmcs.value(OFFSET.CR0_READ_SHADOW)) & vmx.vmcs.value(OFFSET.CR0_GUEST_HOST_MASK)) !== 0n;
    case 4:
      return ((value ^ vmx.vmcs.value(OFFSET.CR4_READ_SHADOW)) & vmx.vmcs.value(OFFSET.CR4_GUEST_HOST_MASK)) !== 0n;
    case 3:
      return (vmx.primary & Primary.CR3_LOAD_EXITING) !== 0 && !isCr3Target(vmx, value);
    case 8:
      return (vmx.primary & Primary.CR8_LOAD_EXITING) !== 0;
    default:
      return false;
  }
}

function isCr3Target(vmx: Vmx, value: bigint): boolean {
  const count = vmx.vmcs.low(OFFSET.CR3_TARGET_COUNT);
  for (let n = 0; n < count; n++) if (vmx.vmcs.value(OFFSET.CR3_TARGET_VALUE_0 + n * 8) === value) return true;
  return false;
}

const movFromCr: Intercept = (vmx, cr) => {
  const control = cr === 3 ? Primary.CR3_STORE_EXITING : cr === 8 ? Primary.CR8_STORE_EXITING : 0;
  return (vmx.primary & control) !== 0 && vmx.exitOnInstruction(ExitReason.ControlRegisterAccess, crQualification(cr, CrAccess.MovFrom, vmx.cpu.insn.dst));
};

/** CLTS exits if the host owns TS and its read shadow is 1; with shadow 0 it neither exits nor changes TS. */
const clts: Intercept = (vmx) => {
  const owned = vmx.vmcs.low(OFFSET.CR0_GUEST_HOST_MASK) & vmx.vmcs.low(OFFSET.CR0_READ_SHADOW);
  return (owned & Cr0.TS) !== 0 && vmx.exitOnInstruction(ExitReason.ControlRegisterAccess, crQualification(0, CrAccess.Clts, 0));
};

/** LMSW exits if it would change an owned bit of MP, EM, TS, or set an owned PE (it cannot clear it). */
const lmsw: Intercept = (vmx, _operand, value) => {
  const { cpu, vmcs } = vmx;
  const source = Number(value & 0xffffn);
  const mask = vmcs.low(OFFSET.CR0_GUEST_HOST_MASK);
  const shadow = vmcs.low(OFFSET.CR0_READ_SHADOW);
  const changes = (source ^ shadow) & mask & (Cr0.MP | Cr0.EM | Cr0.TS);
  const setsPe = source & ~shadow & mask & Cr0.PE;
  if (changes === 0 && setsPe === 0) return false;
  if (cpu.insn.hasMemory) vmcs.setValue(OFFSET.GUEST_LINEAR_ADDRESS, cpu.linearOf(cpu.insn, 2, false));
  return vmx.exitOnInstruction(ExitReason.ControlRegisterAccess, lmswQualification(cpu.insn.hasMemory, source));
};

const movDr =
  (from: boolean): Intercept =>
  (vmx, dr) => {
    if ((vmx.primary & Primary.MOV_DR_EXITING) === 0) return false;
    return vmx.exitOnInstruction(ExitReason.MovDr, drQualification(dr, from, from ? vmx.cpu.insn.dst : vmx.cpu.insn.src));
  };

// ---- I/O ----

const io =
  (input: boolean, string: boolean): Intercept =>
  (vmx, port) => {
    const { cpu } = vmx;
    const { insn } = cpu;
    const bytes = insn.size >>> 3;
    if (!ioExits(vmx, port, bytes)) return false;
    if (string) {
      const segment = input ? Segment.ES : insn.segment;
      const offset = cpu.gprSized(input ? RDI : RSI, insn.addressSize);
      const base = cpu.codeSize === 64 && segment < Segment.FS ? 0n : cpu.segmentBase(segment);
      vmx.vmcs.setValue(OFFSET.GUEST_LINEAR_ADDRESS, BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, base + offset));
      vmx.vmcs.setLow(OFFSET.EXIT_INSTRUCTION_INFORMATION, stringIoInformation(insn));
    }
    return vmx.exitOnInstruction(ExitReason.IoInstruction, ioQualification(port, bytes, input, string, insn.rep !== 0, insn.form.includes('i')));
  };

/** "Use I/O bitmaps" makes "unconditional I/O exiting" of no effect. An access that wraps around the port space exits. */
function ioExits(vmx: Vmx, port: number, bytes: number): boolean {
  if ((vmx.primary & Primary.USE_IO_BITMAPS) === 0) return (vmx.primary & Primary.UNCONDITIONAL_IO_EXITING) !== 0;
  if (port + bytes > 0x1_0000) return true;
  for (let p = port; p < port + bytes; p++) {
    const bitmap = vmx.vmcs.number(p < 0x8000 ? OFFSET.IO_BITMAP_A_ADDRESS : OFFSET.IO_BITMAP_B_ADDRESS);
    if (((vmx.cpu.memory.read8(bitmap + ((p & 0x7fff) >>> 3)) >>> (p & 7)) & 1) !== 0) return true;
  }
  return false;
}

// ---- MSRs ----

const READ_LOW = 0,
  WRITE_LOW = 2048;
const HIGH_HALF = 1024;

const msr =
  (write: boolean, reason: ExitReason): Intercept =>
  (vmx, index) =>
    msrExits(vmx, index, write) && vmx.exitOnInstruction(reason);

/** SDM "MSR-Bitmap Address": 0-1FFFH and C0000000H-C0001FFFH have bits, the others exit always. */
function msrExits(vmx: Vmx, index: number, write: boolean): boolean {
  if ((vmx.primary & Primary.USE_MSR_BITMAPS) === 0) return true;
  const high = index >= 0xc000_0000;
  const n = high ? index - 0xc000_0000 : index;
  if (n > 0x1fff) return true;
  const at = vmx.vmcs.number(OFFSET.MSR_BITMAP_ADDRESS) + (write ? WRITE_LOW : READ_LOW) + (high ? HIGH_HALF : 0) + (n >>> 3);
  return ((vmx.cpu.memory.read8(at) >>> (n & 7)) & 1) !== 0;
}

// ---- instructions with instruction information ----

const descriptorTable: Intercept = (vmx) =>
  (vmx.secondary & Secondary.DESCRIPTOR_TABLE_EXITING) !== 0 &&
  vmx.exitWithOperand(ExitReason.GdtrOrIdtrAccess, displacement(vmx.cpu, vmx.cpu.insn), descriptorTableInformation(vmx.cpu.insn));

const systemSegment: Intercept = (vmx) =>
  (vmx.secondary & Secondary.DESCRIPTOR_TABLE_EXITING) !== 0 &&
  vmx.exitWithOperand(ExitReason.LdtrOrTrAccess, vmx.cpu.insn.hasMemory ? displacement(vmx.cpu, vmx.cpu.insn) : 0n, systemSegmentInformation(vmx.cpu.insn));

const random =
  (control: number, reason: ExitReason): Intercept =>
  (vmx) =>
    (vmx.secondary & control) !== 0 && vmx.exitWithOperand(reason, 0n, randomInformation(vmx.cpu.insn));

const xsaves =
  (reason: ExitReason): Intercept =>
  (vmx) => {
    const { cpu } = vmx;
    requireEnabled(vmx, Secondary.ENABLE_XSAVES_XRSTORS);
    const requested = (BigInt(cpu.gpr32(RDX)) << 32n) | BigInt(cpu.gpr32(RAX));
    if ((requested & cpu.get64(R.XSS) & vmx.vmcs.value(OFFSET.XSS_EXITING_BITMAP)) === 0n) return false;
    return vmx.exitWithOperand(reason, displacement(cpu, cpu.insn), memoryInformation(cpu.insn));
  };

const taskSwitch: Intercept = (vmx, selector, source) => {
  // A task gate in the IDT: the instruction, if any, is that of the event.
  if (source === 3n) return vmx.exitOnEvent(ExitReason.TaskSwitch, 0, taskSwitchQualification(selector, 3));
  return vmx.exitOnInstruction(ExitReason.TaskSwitch, taskSwitchQualification(selector, Number(source)));
};

// prettier-ignore
export const INTERCEPTS: Readonly<Record<Sensitive, Intercept>> = {
  // Unconditionally.
  [Sensitive.CPUID]:       always(ExitReason.Cpuid),
  [Sensitive.GETSEC]:      always(ExitReason.Getsec),
  [Sensitive.INVD]:        always(ExitReason.Invd),
  [Sensitive.XSETBV]:      always(ExitReason.Xsetbv),
  [Sensitive.TASK_SWITCH]: taskSwitch,
  // Depending on controls, in alphabetical order as in the manual.
  [Sensitive.CLTS]:        clts,
  [Sensitive.HLT]:         ifPrimary(Primary.HLT_EXITING, ExitReason.Hlt),
  [Sensitive.IN]:          io(true, false),
  [Sensitive.INS]:         io(true, true),
  [Sensitive.OUT]:         io(false, false),
  [Sensitive.OUTS]:        io(false, true),
  [Sensitive.INVLPG]:      (vmx, _operand, linear) => (vmx.primary & Primary.INVLPG_EXITING) !== 0 && vmx.exitOnInstructionWide(ExitReason.Invlpg, linear),
  [Sensitive.INVPCID]:     (vmx) => {
    requireEnabled(vmx, Secondary.ENABLE_INVPCID);
    return (vmx.primary & Primary.INVLPG_EXITING) !== 0 && vmx.exitWithOperand(ExitReason.Invpcid, displacement(vmx.cpu, vmx.cpu.insn), invalidationInformation(vmx.cpu.insn));
  },
  [Sensitive.LGDT]:        descriptorTable,
  [Sensitive.LIDT]:        descriptorTable,
  [Sensitive.SGDT]:        descriptorTable,
  [Sensitive.SIDT]:        descriptorTable,
  [Sensitive.LLDT]:        systemSegment,
  [Sensitive.LTR]:         systemSegment,
  [Sensitive.SLDT]:        systemSegment,
  [Sensitive.STR]:         systemSegment,
  [Sensitive.LMSW]:        lmsw,
  [Sensitive.MONITOR]:     ifPrimary(Primary.MONITOR_EXITING, ExitReason.Monitor),
  [Sensitive.MOV_FROM_CR]: movFromCr,
  [Sensitive.MOV_TO_CR]:   movToCr,
  [Sensitive.MOV_FROM_DR]: movDr(true),
  [Sensitive.MOV_TO_DR]:   movDr(false),
  [Sensitive.MWAIT]:       (vmx) => (vmx.primary & Primary.MWAIT_EXITING) !== 0 && vmx.exitOnInstruction(ExitReason.Mwait, vmx.cpu.get32(R.MONITOR_ARMED) !== 0 ? 1 : 0),
  [Sensitive.PAUSE]:       ifPrimary(Primary.PAUSE_EXITING, ExitReason.Pause),
  [Sensitive.RDMSR]:       msr(false, ExitReason.Rdmsr),
  [Sensitive.WRMSR]:       msr(true, ExitReason.Wrmsr),
  [Sensitive.RDPMC]:       ifPrimary(Primary.RDPMC_EXITING, ExitReason.Rdpmc),
  [Sensitive.RDRAND]:      random(Secondary.RDRAND_EXITING, ExitReason.Rdrand),
  [Sensitive.RDSEED]:      random(Secondary.RDSEED_EXITING, ExitReason.Rdseed),
  [Sensitive.RDTSC]:       ifPrimary(Primary.RDTSC_EXITING, ExitReason.Rdtsc),
  [Sensitive.RDTSCP]:      (vmx) => {
    requireEnabled(vmx, Secondary.ENABLE_RDTSCP);
    return (vmx.primary & Primary.RDTSC_EXITING) !== 0 && vmx.exitOnInstruction(ExitReason.Rdtscp);
  },
  [Sensitive.WBINVD]:      (vmx) => (vmx.secondary & Secondary.WBINVD_EXITING) !== 0 && vmx.exitOnInstruction(ExitReason.Wbinvd),
  [Sensitive.XSAVES]:      xsaves(ExitReason.Xsaves),
  [Sensitive.XRSTORS]:     xsaves(ExitReason.Xrstors),
  // RSM exits only in SMM, where the model never is: it raises #UD.
  [Sensitive.RSM]:         never,
  // No exit in VMX non-root operation: exceptions they raise have their own rules.
  [Sensitive.SMSW]: never, [Sensitive.SOFTWARE_INTERRUPT]: never, [Sensitive.ICEBP]: never, [Sensitive.IRET]: never, [Sensitive.PUSHF]: never, [Sensitive.POPF]: never,
  // VMX instructions come through execute(), where their exits are.
  [Sensitive.VMCALL]: never, [Sensitive.VMCLEAR]: never, [Sensitive.VMLAUNCH]: never, [Sensitive.VMPTRLD]: never, [Sensitive.VMPTRST]: never, [Sensitive.VMREAD]: never,
  [Sensitive.VMRESUME]: never, [Sensitive.VMWRITE]: never, [Sensitive.VMXOFF]: never, [Sensitive.VMXON]: never, [Sensitive.VMFUNC]: never, [Sensitive.INVEPT]: never, [Sensitive.INVVPID]: never,
  // AMD-V: #UD on this processor.
  [Sensitive.VMRUN]: never, [Sensitive.VMLOAD]: never, [Sensitive.VMSAVE]: never, [Sensitive.STGI]: never, [Sensitive.CLGI]: never, [Sensitive.INVLPGA]: never, [Sensitive.VMMCALL]: never, [Sensitive.SKINIT]: never,
};
