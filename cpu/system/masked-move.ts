/** MASKMOVQ and MASKMOVDQU: store those bytes of the first operand to DS:rDI whose mask byte, in the second operand, has its top bit set. */
import type { Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { R } from '../layout';
import { Access } from '../mmu';
import { requireMmx, requireSse } from '../simd-state';
import type { SystemInstructions } from './table';

const RDI = 7;
const FSW_TOP = 0x3800;

/** `data` and `mask` are host addresses. The bytes between the first and the last selected one must all be writable before any is written. */
function store(cpu: Cpu, insn: Insn, data: number, mask: number, bytes: number): void {
  const selected = Array.from({ length: bytes }, (_, i) => i).filter((i) => (cpu.u8[mask + i] & 0x80) !== 0);
  if (selected.length === 0) return;
  const [first, last] = [selected[0], selected[selected.length - 1]];
  const offset = BigInt.asUintN(insn.addressSize, cpu.gpr(RDI) + BigInt(first));
  const linear = cpu.linear(insn.segment, offset, last - first + 1, true);
  cpu.mmu.probe(linear, last - first + 1, Access.Write);
  const width = cpu.codeSize === 64 ? 64 : 32;
  for (const i of selected) cpu.writeLinear(BigInt.asUintN(width, linear + BigInt(i - first)), 1, BigInt(cpu.u8[data + i]));
}

function maskmovdqu(cpu: Cpu, insn: Insn): void {
  requireSse(cpu);
  store(cpu, insn, cpu.xmm(insn.dst), cpu.xmm(insn.src), 16);
}

function maskmovq(cpu: Cpu, insn: Insn): void {
  requireMmx(cpu);
  const mmx = (n: number): number => cpu.base + R.FPR + n * 16;
  store(cpu, insn, mmx(insn.dst), mmx(insn.src), 8);
  cpu.set32(R.FTW, 0xff);
  cpu.set32(R.FSW, cpu.get32(R.FSW) & ~FSW_TOP);
}

/** They end their block, so that a device or code they write is seen at once. */
export const MASKED_MOVE: SystemInstructions = {
  MASKMOVDQU: { execute: maskmovdqu, endsBlock: true },
  MASKMOVQ: { execute: maskmovq, endsBlock: true },
};
