/** CMPXCHG8B and CMPXCHG16B. Kernels' memory allocators live on the latter, so the common case avoids BigInt. */
import { Flag, type Cpu } from '../cpu';
import { NO_REGISTER, RIP_BASE, Segment, type Insn } from '../decoder/insn';
import { R, S, seg } from '../layout';
import { Access } from '../mmu';
import { linearAfter } from './linear-block';
import type { SystemInstructions } from './table';

const RAX = 0,
  RCX = 1,
  RDX = 2,
  RBX = 3;
const TWO32 = 0x1_0000_0000;

function setZero(cpu: Cpu, zero: boolean): void {
  cpu.setArithmetic(zero ? cpu.rflags() | Flag.ZF : cpu.rflags() & ~Flag.ZF);
}

function cmpxchg8b(cpu: Cpu, insn: Insn): void {
  const at = cpu.linearOf(insn, 8, true);
  // The destination is written in any case: with its old value when the comparison fails.
  cpu.mmu.probe(at, 8, Access.Write);
  const old = cpu.readLinear(at, 8);
  const equal = old === ((BigInt(cpu.gpr32(RDX)) << 32n) | BigInt(cpu.gpr32(RAX)));
  cpu.writeLinear(at, 8, equal ? (BigInt(cpu.gpr32(RCX)) << 32n) | BigInt(cpu.gpr32(RBX)) : old);
  if (!equal) {
    cpu.setGpr32(RAX, Number(old & 0xffff_ffffn));
    cpu.setGpr32(RDX, Number(old >> 32n));
  }
  setZero(cpu, equal);
}

function cmpxchg16b(cpu: Cpu, insn: Insn): void {
  if (!cpu.profile.has('cx16')) cpu.ud();
  const host = quickHost(cpu, insn);
  if (host !== 0) return exchangeInPlace(cpu, host);
  const at = cpu.linearOf(insn, 16, true);
  if ((at & 15n) !== 0n) cpu.gp();
  cpu.mmu.probe(at, 16, Access.Write);
  const upper = linearAfter(cpu, at, 8);
  const low = cpu.readLinear(at, 8);
  const high = cpu.readLinear(upper, 8);
  const equal = low === cpu.gpr(RAX) && high === cpu.gpr(RDX);
  cpu.writeLinear(at, 8, equal ? cpu.gpr(RBX) : low);
  cpu.writeLinear(upper, 8, equal ? cpu.gpr(RCX) : high);
  if (!equal) {
    cpu.setGpr(RAX, low);
    cpu.setGpr(RDX, high);
  }
  setZero(cpu, equal);
}

/** Host address of an aligned operand in RAM, or 0 when the address takes more care. Raises page faults. */
function quickHost(cpu: Cpu, insn: Insn): number {
  if (insn.addressSize !== 64 || insn.base === RIP_BASE) return 0;
  const u32 = cpu.u32;
  const gpr = (cpu.base + R.GPR) >>> 2;
  // Sums of at most four unsigned halves stay exact.
  let low = insn.disp >>> 0;
  let high = insn.disp < 0 ? 0xffff_ffff : 0;
  if (insn.base !== NO_REGISTER) {
    low += u32[gpr + insn.base * 2];
    high += u32[gpr + insn.base * 2 + 1];
  }
  if (insn.index !== NO_REGISTER) {
    low += u32[gpr + insn.index * 2] * 2 ** insn.scale;
    high += u32[gpr + insn.index * 2 + 1] * 2 ** insn.scale;
  }
  if (insn.segment >= Segment.FS) {
    const base = (cpu.base + seg(insn.segment, S.BASE)) >>> 2;
    low += u32[base];
    high += u32[base + 1];
  }
  const carry = Math.floor(low / TWO32);
  low -= carry * TWO32;
  high = (high + carry) % TWO32;
  if ((low & 15) !== 0 || !cpu.mmu.canonicalHigh(high)) return 0;
  return cpu.mmu.hostOf(low | 0, high | 0, Access.Write, 16);
}

function exchangeInPlace(cpu: Cpu, host: number): void {
  const u32 = cpu.u32;
  const m = host >>> 2;
  const word = (register: number): number => (cpu.base + R.GPR + register * 8) >>> 2;
  const a = word(RAX),
    d = word(RDX);
  const equal = u32[m] === u32[a] && u32[m + 1] === u32[a + 1] && u32[m + 2] === u32[d] && u32[m + 3] === u32[d + 1];
  if (equal) {
    const b = word(RBX),
      c = word(RCX);
    u32[m] = u32[b];
    u32[m + 1] = u32[b + 1];
    u32[m + 2] = u32[c];
    u32[m + 3] = u32[c + 1];
  } else {
    u32[a] = u32[m];
    u32[a + 1] = u32[m + 1];
    u32[d] = u32[m + 2];
    u32[d + 1] = u32[m + 3];
  }
  setZero(cpu, equal);
}

export const EXCHANGE_INSTRUCTIONS: SystemInstructions = {
  CMPXCHG8B: { execute: cmpxchg8b, endsBlock: false },
  CMPXCHG16B: { execute: cmpxchg16b, endsBlock: false },
};
