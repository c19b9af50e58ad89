/** ENTER, PUSHA, POPA: everything is probed before anything changes. LEAVE, PUSH and POP are staged. */
import type { Cpu } from '../cpu';
import { Segment, type Insn } from '../decoder/insn';
import { R } from '../layout';
import { Access } from '../mmu';
import { setStackPointer, stackLinear, stackPointer } from './stack-access';
import type { SystemInstructions } from './table';

const RSP = 4,
  RBP = 5;

function pusha(cpu: Cpu, insn: Insn): void {
  const bytes = insn.operandSize / 8;
  const at: bigint[] = [];
  for (let r = 0; r < 8; r++) {
    at[r] = stackLinear(cpu, -(r + 1) * bytes, bytes, true);
    cpu.mmu.probe(at[r], bytes, Access.Write);
  }
  // The rSP stored is the one before the instruction.
  for (let r = 0; r < 8; r++) cpu.writeLinear(at[r], bytes, cpu.gprSized(r, insn.operandSize));
  setStackPointer(cpu, stackPointer(cpu) - BigInt(8 * bytes));
}

function popa(cpu: Cpu, insn: Insn): void {
  const bytes = insn.operandSize / 8;
  const values: bigint[] = [];
  for (let n = 0; n < 8; n++) values[n] = cpu.readLinear(stackLinear(cpu, n * bytes, bytes, false), bytes);
  // DI first; the stored rSP is skipped.
  for (let r = 0; r < 8; r++) if (r !== RSP) cpu.setGprSized(r, insn.operandSize, values[7 - r]);
  setStackPointer(cpu, stackPointer(cpu) + BigInt(8 * bytes));
}

function enter(cpu: Cpu, insn: Insn): void {
  const bytes = insn.operandSize / 8;
  const allocated = insn.imm & 0xffff;
  const level = insn.imm2 & 31;
  const mask = cpu.get64(R.STACK_MASK);
  const frame = cpu.gpr(RBP);
  const display = (n: number): bigint => cpu.linear(Segment.SS, (frame - BigInt(n * bytes)) & mask, bytes, false);
  const slot = (n: number): bigint => stackLinear(cpu, -(n + 1) * bytes, bytes, true);
  const slots = level + 1;
  for (let n = 0; n < slots; n++) cpu.mmu.probe(slot(n), bytes, Access.Write);
  for (let n = 1; n < level; n++) cpu.mmu.probe(display(n), bytes, Access.Read);
  // "A write using the final value of the stack pointer" must not fault either.
  cpu.mmu.probe(stackLinear(cpu, -slots * bytes - allocated, 1, true), 1, Access.Write);

  // In order: a display that overlaps the new frame sees what was pushed before.
  cpu.writeLinear(slot(0), bytes, BigInt.asUintN(insn.operandSize, frame));
  const newFrame = (stackPointer(cpu) - BigInt(bytes)) & mask;
  for (let n = 1; n < level; n++) cpu.writeLinear(slot(n), bytes, cpu.readLinear(display(n), bytes));
  if (level > 0) cpu.writeLinear(slot(level), bytes, BigInt.asUintN(insn.operandSize, newFrame));
  setStackPointer(cpu, stackPointer(cpu) - BigInt(slots * bytes + allocated));
  cpu.setGprSized(RBP, insn.operandSize, BigInt.asUintN(insn.operandSize, newFrame));
}

export const FRAME_INSTRUCTIONS: SystemInstructions = {
  PUSHA: { execute: pusha, endsBlock: false },
  POPA: { execute: popa, endsBlock: false },
  ENTER: { execute: enter, endsBlock: false },
};
