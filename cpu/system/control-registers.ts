/** MOV to and from control registers, CLTS, LMSW, SMSW. What the loads do is in control-state.ts. */
import { Cr0, Cr4, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { Sensitive } from '../interfaces';
import { R } from '../layout';
import { writeCr0, writeCr3, writeCr4, setCr0 } from './control-state';
import type { SystemInstructions } from './table';

/** CR0, CR2, CR3, CR4 and CR8 exist. */
const EXISTING = 0b1_0001_1101;
/** CR0 bits that LMSW loads. */
const LMSW_BITS = Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS;

function requireControlRegister(cpu: Cpu, cr: number): void {
  if (((EXISTING >> cr) & 1) === 0) cpu.ud();
  cpu.requireCpl0();
}

function movCr(cpu: Cpu, insn: Insn): void {
  if (insn.form === 'kr') movToCr(cpu, insn);
  else movFromCr(cpu, insn);
}

function movToCr(cpu: Cpu, insn: Insn): void {
  const cr = insn.dst;
  requireControlRegister(cpu, cr);
  const word = (cpu.base + R.GPR + insn.src * 8) >>> 2;
  const low = cpu.u32[word];
  const high = insn.size === 64 ? cpu.u32[word + 1] : 0;
  if (cpu.guestMode) cpu.intercept(Sensitive.MOV_TO_CR, cr, insn.size === 64 ? cpu.gpr(insn.src) : BigInt(low));
  load(cpu, cr, low, high);
  written(cpu, cr, high, low);
}

/** The extension hears of a load that did not exit. */
function written(cpu: Cpu, cr: number, high: number, low: number): void {
  if (cpu.guestMode) cpu.interception!.controlWritten?.(cr, (BigInt(high) << 32n) | BigInt(low));
}

function load(cpu: Cpu, cr: number, low: number, high: number): void {
  switch (cr) {
    case 0:
      if (high !== 0) cpu.gp();
      return writeCr0(cpu, cpu.guestMode ? merged(cpu, 0, low) : low);
    case 2:
      cpu.set32(R.CR2, low);
      return cpu.set32(R.CR2 + 4, high);
    case 3:
      return writeCr3(cpu, low, high);
    case 4:
      if (high !== 0) cpu.gp();
      return writeCr4(cpu, cpu.guestMode ? merged(cpu, 4, low) : low);
    default:
      if (high !== 0 || low > 15) cpu.gp();
      writeCr8(cpu, low);
  }
}

/** The value that passes a hypervisor's guest/host mask. */
function merged(cpu: Cpu, cr: 0 | 4, value: number): number {
  const real = cr === 0 ? cpu.cr0 : cpu.cr4;
  return Number(cpu.interception!.writeControl(cr, BigInt(value), BigInt(real)) & 0xffff_ffffn);
}

/** What software sees of CR0 or CR4. */
function visible(cpu: Cpu, cr: 0 | 4): number {
  const real = cr === 0 ? cpu.cr0 : cpu.cr4;
  return cpu.guestMode ? Number(cpu.interception!.readControl(cr, BigInt(real)) & 0xffff_ffffn) : real;
}

function movFromCr(cpu: Cpu, insn: Insn): void {
  const cr = insn.src;
  requireControlRegister(cpu, cr);
  cpu.intercept(Sensitive.MOV_FROM_CR, cr);
  if (cr === 0 || cr === 4) return cpu.setGpr32(insn.dst, visible(cpu, cr));
  if (cr === 8) return cpu.setGpr32(insn.dst, readCr8(cpu));
  const offset = cr === 2 ? R.CR2 : R.CR3;
  if (insn.size === 64) cpu.setGpr(insn.dst, cpu.get64(offset));
  else cpu.setGpr32(insn.dst, cpu.get32(offset));
}

function readCr8(cpu: Cpu): number {
  const virtual = cpu.guestMode ? cpu.interception!.readCr8?.() : undefined;
  return virtual ?? cpu.interrupts?.readCr8() ?? 0;
}

function writeCr8(cpu: Cpu, value: number): void {
  if (cpu.guestMode && cpu.interception!.writeCr8?.(value) === true) return;
  cpu.interrupts?.writeCr8(value);
  cpu.attention = true;
}

function clts(cpu: Cpu): void {
  cpu.requireCpl0();
  cpu.intercept(Sensitive.CLTS);
  const value = (cpu.cr0 & ~Cr0.TS) >>> 0;
  setCr0(cpu, cpu.guestMode ? merged(cpu, 0, value) : value);
  written(cpu, 0, 0, value);
}

function lmsw(cpu: Cpu): void {
  cpu.requireCpl0();
  const source = Number(cpu.readOperand(0, 16));
  if (cpu.guestMode) cpu.intercept(Sensitive.LMSW, 0, BigInt(source));
  // PE can be set but not cleared.
  const cr0 = cpu.cr0;
  const value = ((cr0 & ~(LMSW_BITS & ~Cr0.PE)) | (source & LMSW_BITS)) >>> 0;
  writeCr0(cpu, cpu.guestMode ? merged(cpu, 0, value) : value);
  written(cpu, 0, 0, value);
}

function smsw(cpu: Cpu, insn: Insn): void {
  if (cpu.cpl !== 0 && (cpu.cr4 & Cr4.UMIP) !== 0) cpu.gp();
  cpu.intercept(Sensitive.SMSW);
  const cr0 = visible(cpu, 0);
  if (insn.form === 'm') cpu.writeOperand(0, BigInt(cr0 & 0xffff), 16);
  else cpu.setGprSized(insn.dst, insn.size, BigInt(cr0));
}

export const CONTROL_REGISTERS: SystemInstructions = {
  // MOV from CR changes nothing, but shares its name with MOV to CR.
  MOV_CR: { execute: movCr, endsBlock: true },
  CLTS: { execute: clts, endsBlock: true },
  LMSW: { execute: lmsw, endsBlock: true },
  SMSW: { execute: smsw, endsBlock: false },
};
