/**
 * Guest registers of the VMCB and where the vCPU block has them. What VMRUN and #VMEXIT switch, and what only VMLOAD and VMSAVE move.
 * RFLAGS, CPL, CR0, EFER, DR6, DR7 and segments have rules of their own (entry/load.ts, exit/save.ts).
 */
import { canonicalHigh } from '../../cpu/canonical';
import { Segment } from '../../cpu/decoder/insn';
import type { Cpu } from '../../cpu/cpu';
import { R, S, seg } from '../../cpu/layout';
import { SegmentOffset, VMCB, type VmcbField } from './layout';

type Row = readonly [field: VmcbField, blockOffset: number];

const RAX = 0,
  RSP = 4;

/** 64-bit fields that VMRUN loads and #VMEXIT saves unchanged. */
const SWITCHED: readonly Row[] = [
  ['RIP', R.RIP],
  ['RSP', R.GPR + RSP * 8],
  ['RAX', R.GPR + RAX * 8],
  ['CR2', R.CR2],
  ['CR3', R.CR3],
  ['CR4', R.CR4],
  ['GDTR_BASE', R.GDTR_BASE],
  ['IDTR_BASE', R.IDTR_BASE],
];
/** ... and those that #VMEXIT saves unchanged. */
const SAVED: readonly Row[] = [...SWITCHED, ['CR0', R.CR0], ['EFER', R.EFER], ['DR6', R.DR6], ['DR7', R.DR7]];

/** 64-bit fields that VMLOAD and VMSAVE move. */
export const MOVED_BY_VMLOAD: readonly Row[] = [
  ['KERNEL_GS_BASE', R.KERNEL_GS_BASE],
  ['STAR', R.STAR],
  ['LSTAR', R.LSTAR],
  ['CSTAR', R.CSTAR],
  ['SFMASK', R.SFMASK],
  ['SYSENTER_CS', R.SYSENTER_CS],
  ['SYSENTER_ESP', R.SYSENTER_ESP],
  ['SYSENTER_EIP', R.SYSENTER_EIP],
];

/** As pairs (word in the VMCB, word in the block): what entry and exit loop over. */
const wordPairs = (rows: readonly Row[]): Uint16Array =>
  Uint16Array.from(rows.flatMap(([field, block]) => [VMCB[field] / 4, block / 4, VMCB[field] / 4 + 1, block / 4 + 1]));
export const LOADED_WORDS = wordPairs(SWITCHED);
export const SAVED_WORDS = wordPairs(SAVED);
export const VMLOAD_WORDS = wordPairs(MOVED_BY_VMLOAD);

/** Segment registers: [Segment, offset in the VMCB]. */
export const SWITCHED_SEGMENTS = [
  [Segment.ES, VMCB.ES_SELECTOR],
  [Segment.CS, VMCB.CS_SELECTOR],
  [Segment.SS, VMCB.SS_SELECTOR],
  [Segment.DS, VMCB.DS_SELECTOR],
] as const;
export const VMLOAD_SEGMENTS = [
  [Segment.FS, VMCB.FS_SELECTOR],
  [Segment.GS, VMCB.GS_SELECTOR],
  [Segment.LDTR, VMCB.LDTR_SELECTOR],
  [Segment.TR, VMCB.TR_SELECTOR],
] as const;

const UNUSABLE = 0x1_0000;
const PRESENT = 0x80;

/** Attributes as the VMCB has them (bits 55:52 and 47:40 of a descriptor) from access rights as the block has them. */
export const packAttributes = (access: number): number => (access & (access & UNUSABLE ? 0x7f : 0xff)) | ((access >>> 4) & 0xf00);
/** A segment that is not present cannot be used. */
export const unpackAttributes = (attributes: number): number =>
  (attributes & 0xff) | ((attributes & 0xf00) << 4) | ((attributes & PRESENT) === 0 ? UNUSABLE : 0);

/**
 * Loads a segment register from the words of a VMCB; ranges derived from it follow when the mode is derived again.
 * @param at index of the segment's first word in `from`. @param wide the base has 64 bits, which are made canonical (APM "Canonicalization and Consistency
 * Checks") to the width that the processor supports; otherwise 32.
 */
export function loadSegment(cpu: Cpu, segment: number, from: Uint32Array, at: number, wide: boolean): void {
  const first = from[at];
  const high = from[at + SegmentOffset.BASE / 4 + 1];
  cpu.set32(seg(segment, S.SELECTOR), first & 0xffff);
  cpu.set32(seg(segment, S.ACCESS), unpackAttributes(first >>> 16));
  cpu.set32(seg(segment, S.LIMIT), from[at + SegmentOffset.LIMIT / 4]);
  cpu.set32(seg(segment, S.BASE), from[at + SegmentOffset.BASE / 4]);
  cpu.set32(seg(segment, S.BASE) + 4, wide ? canonicalHigh(high, cpu.linearAddressWidth) : 0);
}

/** The first word of a segment register in the VMCB: selector and attributes. */
export const segmentWord = (cpu: Cpu, segment: number): number =>
  ((cpu.get32(seg(segment, S.SELECTOR)) & 0xffff) | (packAttributes(cpu.get32(seg(segment, S.ACCESS))) << 16)) >>> 0;
