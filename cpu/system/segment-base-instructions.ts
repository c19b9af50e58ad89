/** SWAPGS, RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE: 64-bit mode only. */
import { Cr4, type Cpu } from '../cpu';
import { Segment, type Insn } from '../decoder/insn';
import { R, S, seg } from '../layout';
import type { SystemInstructions } from './table';

const GS_BASE = seg(Segment.GS, S.BASE);
const FS_BASE = seg(Segment.FS, S.BASE);

function swapgs(cpu: Cpu): void {
  cpu.requireCpl0();
  const low = cpu.get32(GS_BASE);
  const high = cpu.get32(GS_BASE + 4);
  cpu.set32(GS_BASE, cpu.get32(R.KERNEL_GS_BASE));
  cpu.set32(GS_BASE + 4, cpu.get32(R.KERNEL_GS_BASE + 4));
  cpu.set32(R.KERNEL_GS_BASE, low);
  cpu.set32(R.KERNEL_GS_BASE + 4, high);
}

function requireFsgsbase(cpu: Cpu): void {
  if ((cpu.cr4 & Cr4.FSGSBASE) === 0) cpu.ud();
}

const readBase =
  (offset: number) =>
  (cpu: Cpu, insn: Insn): void => {
    requireFsgsbase(cpu);
    if (insn.size === 64) cpu.setGpr(insn.dst, cpu.get64(offset));
    else cpu.setGpr32(insn.dst, cpu.get32(offset));
  };

const writeBase =
  (offset: number) =>
  (cpu: Cpu, insn: Insn): void => {
    requireFsgsbase(cpu);
    const base = cpu.gprSized(insn.dst, insn.size);
    if (!cpu.mmu.canonicalForProcessor(base)) cpu.gp();
    cpu.set64(offset, base);
  };

export const SEGMENT_BASE_INSTRUCTIONS: SystemInstructions = {
  SWAPGS: { execute: swapgs, endsBlock: false },
  RDFSBASE: { execute: readBase(FS_BASE), endsBlock: false },
  RDGSBASE: { execute: readBase(GS_BASE), endsBlock: false },
  WRFSBASE: { execute: writeBase(FS_BASE), endsBlock: false },
  WRGSBASE: { execute: writeBase(GS_BASE), endsBlock: false },
};
