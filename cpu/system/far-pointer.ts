/** Far pointers in memory, of JMP, CALL, LSS, LFS and LGS. */
import type { Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';

/** Bytes of the offset: REX.W makes it 8 on Intel; AMD has no m16:64 and takes the 4 bytes that it has without. APM volume 3, "JMP (Far)". */
export function farOffsetBytes(cpu: Cpu, insn: Insn): number {
  const bytes = insn.operandSize / 8;
  return bytes === 8 && cpu.profile.vendor === 'amd' ? 4 : bytes;
}
