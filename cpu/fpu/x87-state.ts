/**
 * The x87 register stack, status and control words, and what every x87 instruction does before and after its own work:
 * SDM volume 1, "x87 FPU Execution Environment" and "x87 FPU Floating-Point Exception Handling".
 */
import { Cr0, Vector, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { R } from '../layout';
import { Access } from '../mmu';
import { EXTENDED, EXTENDED_24, EXTENDED_53, INDEFINITE, packExtended, unpackExtended, type Float, type Precision } from './float-format';
import { Exception, FloatContext, NanRule, PRE_COMPUTATION } from './rounding';

/** Status word. */
export const Fsw = { EXCEPTIONS: 0x3f, SF: 0x40, ES: 0x80, C0: 0x100, C1: 0x200, C2: 0x400, TOP: 0x3800, C3: 0x4000, B: 0x8000 } as const;
export const CONDITION = Fsw.C0 | Fsw.C2 | Fsw.C3;
export const TOP_SHIFT = 11;
/** Control word: the bits that exist; bit 6 always reads as 1. */
export const Fcw = { MASKS: 0x3f, PC_SHIFT: 8, RC_SHIFT: 10, WRITABLE: 0x1f3f, ALWAYS: 0x40, RESET: 0x037f } as const;

const PRECISIONS: readonly Precision[] = [EXTENDED_24, EXTENDED, EXTENDED_53, EXTENDED];

/** Controls and flags of the computation under way; prepared by begin(). */
export const x87 = new FloatContext(NanRule.Larger, 24576);

// ---- before ----

/** #NM, #MF; then prepares the context. Waiting instructions other than FWAIT. */
export function begin(cpu: Cpu): void {
  requireX87(cpu);
  pendingException(cpu);
  const fcw = cpu.get32(R.FCW);
  x87.rounding = (fcw >>> Fcw.RC_SHIFT) & 3;
  x87.unmasked = ~fcw & Fcw.MASKS;
  x87.flags = 0;
  x87.inexact = false;
  x87.roundedUp = false;
}

/** #NM when the x87 is emulated or not available. */
export function requireX87(cpu: Cpu): void {
  if ((cpu.cr0 & (Cr0.EM | Cr0.TS)) !== 0) cpu.raise(Vector.NM);
}

/**
 * #MF for an unmasked exception of an earlier instruction.
 * DEVIATION: with CR0.NE = 0 the exception is ignored, as with IGNNE# asserted; there is no FERR# line to IRQ 13.
 */
export function pendingException(cpu: Cpu): void {
  if ((cpu.get32(R.FSW) & Fsw.ES) !== 0 && (cpu.cr0 & Cr0.NE) !== 0) cpu.raise(Vector.MF);
}

/** Precision of FADD, FSUB, FMUL, FDIV and FSQRT (FCW.PC). */
export const controlledPrecision = (cpu: Cpu): Precision => PRECISIONS[(cpu.get32(R.FCW) >>> Fcw.PC_SHIFT) & 3];

/**
 * Notes the instruction pointer, and the operand's offset if it is in memory: every instruction but the control instructions does.
 * Selectors are not kept (CPUID.(EAX=07H,ECX=0):EBX[13]).
 */
export function recordPointers(cpu: Cpu, insn: Insn): void {
  cpu.set64(R.FIP, cpu.currentRip());
  if (insn.hasMemory) cpu.set64(R.FDP, cpu.offsetOf(insn));
}

// ---- the stack ----

export const top = (cpu: Cpu): number => (cpu.get32(R.FSW) & Fsw.TOP) >>> TOP_SHIFT;
/** Physical register of ST(i). */
const physical = (cpu: Cpu, i: number): number => (top(cpu) + i) & 7;
const register = (cpu: Cpu, i: number): number => R.FPR + physical(cpu, i) * 16;

export const isEmpty = (cpu: Cpu, i: number): boolean => ((cpu.get32(R.FTW) >>> physical(cpu, i)) & 1) === 0;

export function markEmpty(cpu: Cpu, i: number): void {
  cpu.set32(R.FTW, cpu.get32(R.FTW) & ~(1 << physical(cpu, i)));
}

export function read(cpu: Cpu, i: number): Float {
  const at = register(cpu, i);
  return unpackExtended(cpu.get32(at + 8) & 0xffff, cpu.get64(at));
}

/** Sign and exponent of ST(i); the significand is significandOf(). */
export const signExponentOf = (cpu: Cpu, i: number): number => cpu.get32(register(cpu, i) + 8) & 0xffff;
export const significandOf = (cpu: Cpu, i: number): bigint => cpu.get64(register(cpu, i));

/** Writes ST(i), which is valid afterwards. */
export function writeBits(cpu: Cpu, i: number, signExponent: number, significand: bigint): void {
  const at = register(cpu, i);
  cpu.set64(at, significand);
  cpu.set32(at + 8, signExponent);
  cpu.set32(R.FTW, cpu.get32(R.FTW) | (1 << physical(cpu, i)));
}

export function write(cpu: Cpu, i: number, value: Float): void {
  const { signExponent, significand } = packExtended(value);
  writeBits(cpu, i, signExponent, significand);
}

export function setTop(cpu: Cpu, value: number): void {
  cpu.set32(R.FSW, (cpu.get32(R.FSW) & ~Fsw.TOP) | ((value & 7) << TOP_SHIFT));
}

export function push(cpu: Cpu, value: Float): void {
  setTop(cpu, top(cpu) - 1);
  write(cpu, 0, value);
}

export function pop(cpu: Cpu): void {
  markEmpty(cpu, 0);
  setTop(cpu, top(cpu) + 1);
}

// ---- after ----

export function setConditions(cpu: Cpu, bits: number): void {
  cpu.set32(R.FSW, (cpu.get32(R.FSW) & ~CONDITION) | bits);
}

export function setC1(cpu: Cpu, on: boolean): void {
  const fsw = cpu.get32(R.FSW);
  cpu.set32(R.FSW, on ? fsw | Fsw.C1 : fsw & ~Fsw.C1);
}

export function setC2(cpu: Cpu, on: boolean): void {
  const fsw = cpu.get32(R.FSW);
  cpu.set32(R.FSW, on ? fsw | Fsw.C2 : fsw & ~Fsw.C2);
}

/**
 * Adds the flags of the computation to the status word, with C1 as the direction of rounding.
 * False: an unmasked exception was found before computing, so the destination and TOP stay as they are.
 */
export function commitFlags(cpu: Cpu): boolean {
  const complete = (x87.flags & x87.unmasked & PRE_COMPUTATION) === 0;
  signal(cpu, x87.flags, complete && x87.roundedUp);
  return complete;
}

/** ORs exception flags (and SF) into the status word, sets C1, and ES and B when one of the exceptions is unmasked. */
function signal(cpu: Cpu, flags: number, c1: boolean): void {
  let fsw = (cpu.get32(R.FSW) & ~Fsw.C1) | flags | (c1 ? Fsw.C1 : 0);
  if ((flags & x87.unmasked) !== 0) {
    fsw |= Fsw.ES | Fsw.B;
    recordOpcode(cpu);
  }
  cpu.set32(R.FSW, fsw);
}

/** Stack fault; true when it is masked and the instruction goes on with the indefinite value. */
export function stackUnderflow(cpu: Cpu): boolean {
  signal(cpu, Exception.IE | Fsw.SF, false);
  return (x87.unmasked & Exception.IE) === 0;
}

export function stackOverflow(cpu: Cpu): boolean {
  signal(cpu, Exception.IE | Fsw.SF, true);
  return (x87.unmasked & Exception.IE) === 0;
}

/** The push of a load or constant: checks for overflow, whose masked response pushes the indefinite value. */
export function pushChecked(cpu: Cpu, value: () => Float): void {
  if (!isEmpty(cpu, 7)) {
    if (stackOverflow(cpu)) push(cpu, INDEFINITE);
    return;
  }
  const result = value();
  commitFlags(cpu);
  if ((x87.flags & x87.unmasked & Exception.IE) === 0) push(cpu, result);
}

/** ES and B follow from the flags and the masks. */
export function summarise(cpu: Cpu): void {
  const fsw = cpu.get32(R.FSW);
  const pending = (fsw & ~cpu.get32(R.FCW) & Fsw.EXCEPTIONS) !== 0;
  cpu.set32(R.FSW, pending ? fsw | Fsw.ES | Fsw.B : fsw & ~(Fsw.ES | Fsw.B));
}

/**
 * FOP is updated by instructions that raise an unmasked exception only (SDM "Fopcode Compatibility Sub-mode", disabled).
 * Insn does not keep the escape byte, so it is read again: the first one behind the prefixes.
 */
function recordOpcode(cpu: Cpu): void {
  const start = cpu.currentRip() + (cpu.codeSize === 64 ? 0n : cpu.get64(R.CODE_BASE));
  for (let i = 0; i < cpu.insn.length; i++) {
    const at = BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, start + BigInt(i));
    const byte = Number(cpu.readLinear(at, 1, Access.Fetch));
    if ((byte & 0xf8) !== 0xd8) continue;
    cpu.set32(R.FOP, ((byte & 7) << 8) | (cpu.insn.modrm & 0xff));
    return;
  }
}
