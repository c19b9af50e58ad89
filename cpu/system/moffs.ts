/** MOV with a 64-bit absolute address (A0-A3 with REX or plain in 64-bit mode) that no 32-bit displacement can hold. */
import type { Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import type { SystemInstructions } from './table';

const RAX = 0;

function movAbsolute(cpu: Cpu, insn: Insn): void {
  const bytes = insn.size / 8;
  const offset = (BigInt(insn.immHigh >>> 0) << 32n) | BigInt(insn.imm >>> 0);
  const store = insn.form[0] === 'o';
  const linear = cpu.linear(insn.segment, BigInt.asUintN(insn.addressSize, offset), bytes, store);
  if (store) cpu.writeLinear(linear, bytes, cpu.gprSized(RAX, insn.size));
  else cpu.setGprSized(RAX, insn.size, cpu.readLinear(linear, bytes));
}

/** The only MOV that is not staged. It ends its block, so that a device it touches is seen at once. */
export const MOFFS: SystemInstructions = { MOV: { execute: movAbsolute, endsBlock: true } };
