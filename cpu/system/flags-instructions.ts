/** CLI, STI, PUSHF, POPF, STAC, CLAC, LAHF, SAHF. SDM volume 2. This processor has neither CR4.VME nor CR4.PVI. */
import { Flag, Vector, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { ARITHMETIC_FLAGS } from '../flags';
import { Sensitive } from '../interfaces';
import { R } from '../layout';
import { popNumber, push } from './stack-access';
import type { SystemInstructions } from './table';

const AH = 16;
/** What POPF may change at every privilege level. */
const POPF_ALWAYS = ARITHMETIC_FLAGS | Flag.TF | Flag.DF | Flag.NT | Flag.AC | Flag.ID;
/** PUSHF stores VM and RF as 0. */
const PUSHF_IMAGE = 0x00fc_ffff;
/** Flags that SAHF loads. */
const SAHF_FLAGS = Flag.SF | Flag.ZF | Flag.AF | Flag.PF | Flag.CF;

/** #GP(0) when CLI and STI are not for this privilege level (virtual-8086 mode runs at 3). */
function requireIopl(cpu: Cpu): void {
  if (cpu.cpl > cpu.iopl) cpu.gp();
}

function cli(cpu: Cpu): void {
  requireIopl(cpu);
  cpu.set32(R.RFLAGS_SYSTEM, cpu.get32(R.RFLAGS_SYSTEM) & ~Flag.IF);
}

function sti(cpu: Cpu): void {
  requireIopl(cpu);
  const flags = cpu.get32(R.RFLAGS_SYSTEM);
  if ((flags & Flag.IF) !== 0) return;
  cpu.set32(R.RFLAGS_SYSTEM, flags | Flag.IF);
  cpu.shadowAt = cpu.retired() + 1;
  cpu.shadowByMovSs = false;
  cpu.attention = true;
}

function requireV86Iopl(cpu: Cpu): void {
  if (cpu.v86 && cpu.iopl !== 3) cpu.gp();
}

function pushf(cpu: Cpu, insn: Insn): void {
  requireV86Iopl(cpu);
  cpu.intercept(Sensitive.PUSHF);
  const flags = cpu.rflags() & PUSHF_IMAGE;
  push(cpu, insn.operandSize === 16 ? flags & 0xffff : flags, insn.operandSize / 8);
}

function popf(cpu: Cpu, insn: Insn): void {
  requireV86Iopl(cpu);
  cpu.intercept(Sensitive.POPF);
  const value = popNumber(cpu, insn.operandSize / 8);
  let changeable = POPF_ALWAYS;
  if (cpu.cpl <= cpu.iopl) changeable |= Flag.IF;
  if (cpu.cpl === 0) changeable |= Flag.IOPL;
  if (insn.operandSize === 16) changeable &= 0xffff;
  // VM, VIF and VIP stay; RF is cleared.
  const kept = cpu.get32(R.RFLAGS_SYSTEM) & ~changeable & ~Flag.RF & ~ARITHMETIC_FLAGS;
  cpu.setRflags(kept | (value & changeable));
}

function requireSmap(cpu: Cpu): void {
  if (!cpu.profile.has('smap') || cpu.cpl !== 0) cpu.ud();
}

function stac(cpu: Cpu): void {
  requireSmap(cpu);
  cpu.set32(R.RFLAGS_SYSTEM, cpu.get32(R.RFLAGS_SYSTEM) | Flag.AC);
}

function clac(cpu: Cpu): void {
  requireSmap(cpu);
  const flags = cpu.get32(R.RFLAGS_SYSTEM);
  if ((flags & Flag.AC) === 0) return;
  cpu.set32(R.RFLAGS_SYSTEM, flags & ~Flag.AC);
  cpu.mmu.smapEnforcedAgain();
}

function requireLahf(cpu: Cpu, insn: Insn): void {
  if (insn.codeSize === 64 && !cpu.profile.has('lahf-lm')) cpu.raise(Vector.UD);
}

function lahf(cpu: Cpu, insn: Insn): void {
  requireLahf(cpu, insn);
  cpu.setGpr8(AH, (cpu.rflags() & SAHF_FLAGS) | 2);
}

function sahf(cpu: Cpu, insn: Insn): void {
  requireLahf(cpu, insn);
  cpu.setArithmetic((cpu.rflags() & Flag.OF) | (cpu.gpr8(AH) & SAHF_FLAGS));
}

export const FLAGS_INSTRUCTIONS: SystemInstructions = {
  CLI: { execute: cli, endsBlock: true },
  STI: { execute: sti, endsBlock: true },
  PUSHF: { execute: pushf, endsBlock: false },
  POPF: { execute: popf, endsBlock: true },
  STAC: { execute: stac, endsBlock: false },
  CLAC: { execute: clac, endsBlock: false },
  LAHF: { execute: lahf, endsBlock: false },
  SAHF: { execute: sahf, endsBlock: false },
};
