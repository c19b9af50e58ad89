/** Memory operands of x87 instructions. */
import type { Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { Access } from '../mmu';
import { unpackDouble, unpackSingle, type ExtendedBits, type Float } from './float-format';
import { fromInteger } from './softfloat-integer';

/** m32fp or m64fp. */
export function readFloat(cpu: Cpu, insn: Insn): Float {
  const bits = readSized(cpu, insn);
  if (insn.size === 32) return unpackSingle(Number(bits));
  return unpackDouble(Number(bits & 0xffff_ffffn), Number(bits >> 32n));
}

/** m16int, m32int or m64int. */
export function readInteger(cpu: Cpu, insn: Insn): Float {
  return fromInteger(BigInt.asIntN(insn.size, readSized(cpu, insn)));
}

function readSized(cpu: Cpu, insn: Insn): bigint {
  return cpu.readLinear(cpu.linearOf(insn, insn.size / 8, false), insn.size / 8);
}

export function writeSized(cpu: Cpu, insn: Insn, value: bigint): void {
  cpu.writeLinear(cpu.linearOf(insn, insn.size / 8, true), insn.size / 8, BigInt.asUintN(insn.size, value));
}

/** m80fp, or m80bcd as its low 64 and high 16 bits. */
export function readExtended(cpu: Cpu, insn: Insn): ExtendedBits {
  const linear = cpu.linearOf(insn, 10, false);
  cpu.mmu.probe(linear, 10, Access.Read);
  return { significand: cpu.readLinear(linear, 8), signExponent: Number(cpu.readLinear(after(cpu, linear, 8), 2)) };
}

export function writeExtended(cpu: Cpu, insn: Insn, value: ExtendedBits): void {
  const linear = cpu.linearOf(insn, 10, true);
  cpu.mmu.probe(linear, 10, Access.Write);
  cpu.writeLinear(linear, 8, value.significand);
  cpu.writeLinear(after(cpu, linear, 8), 2, BigInt(value.signExponent));
}

const after = (cpu: Cpu, linear: bigint, by: number): bigint => BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, linear + BigInt(by));
