/** VMLOAD and VMSAVE: the part of the processor's state that VMRUN and #VMEXIT leave alone. APM "VMSAVE and VMLOAD Instructions". */
import { canonicalHigh } from '../../cpu/canonical';
import { R, S, seg } from '../../cpu/layout';
import type { Svm } from '../svm';
import { VMLOAD_SEGMENTS, VMLOAD_WORDS, loadSegment, segmentWord } from '../vmcb/guest-registers';
import { SegmentOffset, VMCB, VMCB_SIZE } from '../vmcb/layout';

/** @param address system-physical, page-aligned, of RAM. */
export function vmload(svm: Svm, address: number): void {
  const { cpu } = svm;
  const u32 = cpu.u32;
  const from = cpu.memory.host(address) >>> 2;
  const to = cpu.base >>> 2;
  for (let i = 0; i < VMLOAD_WORDS.length; i += 2) u32[to + VMLOAD_WORDS[i + 1]] = u32[from + VMLOAD_WORDS[i]];
  u32[to + R.KERNEL_GS_BASE / 4 + 1] = canonicalHigh(u32[from + VMCB.KERNEL_GS_BASE / 4 + 1], cpu.linearAddressWidth);
  for (let i = 0; i < VMLOAD_SEGMENTS.length; i++) loadSegment(cpu, VMLOAD_SEGMENTS[i][0], u32, from + (VMLOAD_SEGMENTS[i][1] >>> 2), true);
  // In 64-bit mode no segment has limits.
  if (cpu.codeSize !== 64) cpu.modeChanged();
}

export function vmsave(svm: Svm, address: number): void {
  const { cpu } = svm;
  const u32 = cpu.u32;
  const host = cpu.memory.host(address);
  cpu.memory.aboutToWrite(address, host, VMCB_SIZE);
  const to = host >>> 2;
  const from = cpu.base >>> 2;
  for (let i = 0; i < VMLOAD_WORDS.length; i += 2) u32[to + VMLOAD_WORDS[i]] = u32[from + VMLOAD_WORDS[i + 1]];
  for (let i = 0; i < VMLOAD_SEGMENTS.length; i++) {
    const segment = VMLOAD_SEGMENTS[i][0];
    const at = to + (VMLOAD_SEGMENTS[i][1] >>> 2);
    u32[at] = segmentWord(cpu, segment);
    u32[at + SegmentOffset.LIMIT / 4] = cpu.get32(seg(segment, S.LIMIT));
    u32[at + SegmentOffset.BASE / 4] = cpu.get32(seg(segment, S.BASE));
    u32[at + SegmentOffset.BASE / 4 + 1] = cpu.get32(seg(segment, S.BASE) + 4);
  }
}
