/** The stack as TypeScript instructions use it: rSP by the stack's address size, SS limits, #SS(0). */
import type { Cpu } from '../cpu';
import { Segment } from '../decoder/insn';
import { R } from '../layout';
import { Access } from '../mmu';

const RSP = 4;

/** SP, ESP or RSP. */
export const stackPointer = (cpu: Cpu): bigint => cpu.gpr(RSP) & cpu.get64(R.STACK_MASK);

export function setStackPointer(cpu: Cpu, value: bigint): void {
  setStackRegister(cpu, RSP, value);
}

/** Writes rSP or rBP at the width of the stack's address size. */
export function setStackRegister(cpu: Cpu, register: number, value: bigint): void {
  const mask = cpu.get64(R.STACK_MASK);
  if (mask === 0xffffn) cpu.setGpr16(register, Number(value & mask));
  else cpu.setGpr(register, value & mask);
}

/** Linear address of `bytes` on the stack at rSP + `displacement`, after the checks of SS. */
export function stackLinear(cpu: Cpu, displacement: number, bytes: number, write: boolean): bigint {
  return cpu.linear(Segment.SS, (stackPointer(cpu) + BigInt(displacement)) & cpu.get64(R.STACK_MASK), bytes, write);
}

/** Pushes one value. */
export function push(cpu: Cpu, value: number | bigint, bytes: number): void {
  if (bytes === 8 && typeof value === 'number' && pushQuick(cpu, value)) return;
  cpu.writeLinear(stackLinear(cpu, -bytes, bytes, true), bytes, BigInt(value));
  setStackPointer(cpu, stackPointer(cpu) - BigInt(bytes));
}

/** The common case without BigInt: 64-bit mode, RAM, inside a page. False when it is not that case: nothing was done. */
function pushQuick(cpu: Cpu, value: number): boolean {
  const word = (cpu.base + R.GPR + RSP * 8) >>> 2;
  const low = cpu.u32[word];
  if (cpu.codeSize !== 64 || low < 8 || ((low - 8) & 0xfff) > 0xff8) return false;
  const high = cpu.u32[word + 1];
  if (!cpu.mmu.canonicalHigh(high)) return false;
  const host = cpu.mmu.hostOf((low - 8) | 0, high | 0, Access.Write, 8);
  if (host === 0) return false;
  cpu.memory.view.setUint32(host, value, true);
  cpu.memory.view.setUint32(host + 4, 0, true);
  cpu.u32[word] = low - 8;
  return true;
}

/** Pops a value of at most 32 significant bits (flags); the upper half of a 64-bit one is dropped. */
export function popNumber(cpu: Cpu, bytes: number): number {
  if (bytes === 8) {
    const word = (cpu.base + R.GPR + RSP * 8) >>> 2;
    const low = cpu.u32[word];
    const high = cpu.u32[word + 1];
    if (cpu.codeSize === 64 && low < 0xffff_fff8 && (low & 0xfff) <= 0xff8 && cpu.mmu.canonicalHigh(high)) {
      const host = cpu.mmu.hostOf(low | 0, high | 0, Access.Read, 8);
      if (host !== 0) {
        cpu.u32[word] = low + 8;
        return cpu.memory.view.getUint32(host, true);
      }
    }
  }
  return Number(pop(cpu, bytes) & 0xffff_ffffn);
}

export function pop(cpu: Cpu, bytes: number): bigint {
  const value = cpu.readLinear(stackLinear(cpu, 0, bytes, false), bytes);
  setStackPointer(cpu, stackPointer(cpu) + BigInt(bytes));
  return value;
}
