/** Puts the state that a boot protocol asks for into a processor. */
import type { Cpu } from '../../cpu/cpu';
import { Activity } from '../../cpu/cpu';
import { Segment } from '../../cpu/decoder/insn';
import { R } from '../../cpu/layout';
import type { EntryState, SegmentState } from './entry-state';

const UNUSABLE: SegmentState = { selector: 0, base: 0, limit: 0, access: 0x1_0000 };
const BUSY_TSS: SegmentState = { selector: 0, base: 0, limit: 0xffff, access: 0x8b };

/** The rest of the processor is as after reset. */
export function loadEntryState(cpu: Cpu, state: EntryState): void {
  const { es, cs, ss, ds, fs, gs, ldtr = UNUSABLE, tr = BUSY_TSS } = state.segments;
  cpu.set64(R.CR0, BigInt(state.cr0));
  cpu.set64(R.CR3, BigInt(state.cr3));
  cpu.set64(R.CR4, BigInt(state.cr4));
  cpu.set64(R.EFER, BigInt(state.efer));
  const table = [
    [Segment.ES, es],
    [Segment.CS, cs],
    [Segment.SS, ss],
    [Segment.DS, ds],
    [Segment.FS, fs],
    [Segment.GS, gs],
    [Segment.LDTR, ldtr],
    [Segment.TR, tr],
  ] as const;
  for (const [register, s] of table) cpu.setSegment(register, s.selector, s.access, s.limit, BigInt(s.base));
  cpu.set64(R.GDTR_BASE, BigInt(state.gdtr.base));
  cpu.set32(R.GDTR_LIMIT, state.gdtr.limit);
  cpu.set64(R.IDTR_BASE, BigInt(state.idtr.base));
  cpu.set32(R.IDTR_LIMIT, state.idtr.limit);
  for (let r = 0; r < 16; r++) cpu.setGpr(r, BigInt(state.gprs[r]));
  cpu.set32(R.CPL, 0);
  cpu.setRflags(state.rflags);
  cpu.rip = BigInt(state.rip);
  cpu.activity = Activity.Active;
  cpu.modeChanged();
  cpu.mmu.flushAll();
}
