/** INVLPG, INVPCID and the cache instructions. Caches are not modelled: only permissions, faults and intercepts of the latter remain. */
import { Cr4, Vector, type Cpu } from '../cpu';
import { Segment, type Insn } from '../decoder/insn';
import { Sensitive } from '../interfaces';
import type { SystemInstructions } from './table';

function invlpg(cpu: Cpu, insn: Insn): void {
  cpu.requireCpl0();
  // The address is not checked against the segment; a non-canonical one has no translation.
  const offset = cpu.offsetOf(insn);
  const long = cpu.codeSize === 64;
  const base = long && insn.segment < Segment.FS ? 0n : cpu.segmentBase(insn.segment);
  const linear = BigInt.asUintN(long ? 64 : 32, base + offset);
  cpu.intercept(Sensitive.INVLPG, 0, linear);
  if (cpu.mmu.canonicalForProcessor(linear)) cpu.mmu.invalidatePage(linear);
}

/** SDM volume 2, "INVPCID": types. */
enum InvpcidType {
  Address,
  Context,
  AllWithGlobal,
  AllButGlobal,
}

function invpcid(cpu: Cpu, insn: Insn): void {
  if (!cpu.profile.has('invpcid')) cpu.ud();
  cpu.requireCpl0();
  const type = cpu.gprSized(insn.dst, insn.size);
  cpu.intercept(Sensitive.INVPCID, Number(type & 0xffff_ffffn));
  const at = cpu.linearOf(insn, 16, false);
  const low = cpu.readLinear(at, 8);
  const linear = cpu.readLinear(BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, at + 8n), 8);
  if (type > 3n || low >> 12n !== 0n) cpu.gp();
  const pcid = Number(low);
  switch (Number(type) as InvpcidType) {
    case InvpcidType.Address:
      if ((pcid !== 0 && (cpu.cr4 & Cr4.PCIDE) === 0) || !cpu.mmu.canonicalForProcessor(linear)) cpu.gp();
      return cpu.mmu.invalidatePcid(pcid, linear);
    case InvpcidType.Context:
      if (pcid !== 0 && (cpu.cr4 & Cr4.PCIDE) === 0) cpu.gp();
      return cpu.mmu.invalidatePcid(pcid, undefined);
    default:
      cpu.mmu.flushAll();
  }
}

const cacheInstruction =
  (what: Sensitive) =>
  (cpu: Cpu): void => {
    cpu.requireCpl0();
    cpu.intercept(what);
  };

const lineInstruction =
  (feature: string) =>
  (cpu: Cpu, insn: Insn): void => {
    if (!cpu.profile.has(feature)) cpu.raise(Vector.UD);
    // Faults like a load of a byte.
    cpu.readLinear(cpu.linearOf(insn, 1, false), 1);
  };

export const TLB_INSTRUCTIONS: SystemInstructions = {
  INVLPG: { execute: invlpg, endsBlock: true },
  INVPCID: { execute: invpcid, endsBlock: true },
  INVD: { execute: cacheInstruction(Sensitive.INVD), endsBlock: true },
  WBINVD: { execute: cacheInstruction(Sensitive.WBINVD), endsBlock: true },
  // Without the feature the encoding is WBINVD with an ignored prefix: the same thing here.
  WBNOINVD: { execute: cacheInstruction(Sensitive.WBINVD), endsBlock: true },
  CLFLUSH: { execute: lineInstruction('clflush'), endsBlock: false },
  CLFLUSHOPT: { execute: lineInstruction('clflushopt'), endsBlock: false },
  CLWB: { execute: lineInstruction('clwb'), endsBlock: false },
};
