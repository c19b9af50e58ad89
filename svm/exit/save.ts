/** APM "#VMEXIT": the guest state that goes to the VMCB. */
import { Flag } from '../../cpu/cpu';
import { R, S, seg } from '../../cpu/layout';
import { saveGuestBranchRecords } from '../branch-records';
import { InterruptShadow } from '../controls';
import { virtualInterruptBits } from '../entry/latch';
import type { Svm } from '../svm';
import { SAVED_WORDS, SWITCHED_SEGMENTS, segmentWord } from '../vmcb/guest-registers';
import { SegmentOffset, VMCB } from '../vmcb/layout';

export function saveGuestState(svm: Svm): void {
  const { cpu, vmcb } = svm;
  const u32 = cpu.u32;
  const from = cpu.base >>> 2;

  for (let i = 0; i < SAVED_WORDS.length; i += 2) vmcb.setWord(SAVED_WORDS[i], u32[from + SAVED_WORDS[i + 1]]);
  vmcb.setLow(VMCB.GDTR_LIMIT, cpu.get32(R.GDTR_LIMIT));
  vmcb.setLow(VMCB.IDTR_LIMIT, cpu.get32(R.IDTR_LIMIT));
  for (let i = 0; i < SWITCHED_SEGMENTS.length; i++) {
    const segment = SWITCHED_SEGMENTS[i][0];
    const at = SWITCHED_SEGMENTS[i][1];
    vmcb.setLow(at, segmentWord(cpu, segment));
    vmcb.setLow(at + SegmentOffset.LIMIT, cpu.get32(seg(segment, S.LIMIT)));
    vmcb.set(at + SegmentOffset.BASE, cpu.get32(seg(segment, S.BASE)), 0);
  }
  vmcb.set(VMCB.RFLAGS, cpu.isRepeating() ? cpu.rflags() | Flag.RF : cpu.rflags(), 0);
  // CPL is the highest byte of a word whose other bytes are not the processor's.
  const cplWord = VMCB.CPL & ~3;
  vmcb.setLow(cplWord, ((vmcb.memoryWord(cplWord) & 0x00ff_ffff) | (cpu.cpl << 24)) >>> 0);
  if (svm.lbrVirtualization) saveGuestBranchRecords(svm);
  if (svm.nestedPaging) vmcb.set(VMCB.G_PAT, cpu.get32(R.PAT), cpu.get32(R.PAT + 4));

  // Bits that the processor does not implement stay as software left them.
  saveBits(svm, VMCB.V_INTR, virtualInterruptBits(svm), svm.virtualInterrupt);
  saveBits(svm, VMCB.INTERRUPT_SHADOW, InterruptShadow.INTERRUPT_SHADOW, cpu.inShadow() ? InterruptShadow.INTERRUPT_SHADOW : 0);
}

const saveBits = ({ vmcb }: Svm, offset: number, bits: number, value: number): void =>
  vmcb.setLow(offset, ((vmcb.memoryWord(offset) & ~bits) | (value & bits)) >>> 0);
