/** APM "VMRUN Instruction": loading guest state. The checks have passed; nothing here fails. */
import { canonicalHigh } from '../../cpu/canonical';
import { Cr0, Cr4, Efer, type Cpu } from '../../cpu/cpu';
import { DR6_FIXED, DR6_WRITABLE, setDr7 } from '../../cpu/debug';
import { Segment } from '../../cpu/decoder/insn';
import { R, S, seg } from '../../cpu/layout';
import { VMCB } from '../vmcb/layout';
import { LOADED_WORDS, SWITCHED_SEGMENTS, loadSegment } from '../vmcb/guest-registers';
import type { Svm } from '../svm';

const RFLAGS_VM = 1 << 17;
/** Reserved bits read as 0, and bit 1 as 1, whatever a VMCB says. */
const RFLAGS_DEFINED = 0x003f_7fd5,
  RFLAGS_ONE = 0x2;
/** L in the attributes of CS, as they stand in the first word of a segment register. */
const CS_L = 1 << (16 + 9);
const CS_ACCESS = seg(Segment.CS, S.ACCESS);
const ACCESS_L = 1 << 13;

export function loadGuestState(svm: Svm): void {
  const { cpu, vmcb } = svm;
  const u32 = cpu.u32;
  const from = vmcb.words;
  const to = cpu.base >>> 2;

  for (let i = 0; i < LOADED_WORDS.length; i += 2) u32[to + LOADED_WORDS[i + 1]] = from[LOADED_WORDS[i]];
  u32[to + R.GDTR_BASE / 4 + 1] = canonicalHigh(from[VMCB.GDTR_BASE / 4 + 1], cpu.linearAddressWidth);
  u32[to + R.IDTR_BASE / 4 + 1] = canonicalHigh(from[VMCB.IDTR_BASE / 4 + 1], cpu.linearAddressWidth);
  u32[to + R.GDTR_LIMIT / 4] = from[VMCB.GDTR_LIMIT / 4] & 0xffff;
  u32[to + R.IDTR_LIMIT / 4] = from[VMCB.IDTR_LIMIT / 4] & 0xffff;
  for (let i = 0; i < SWITCHED_SEGMENTS.length; i++) loadSegment(cpu, SWITCHED_SEGMENTS[i][0], from, SWITCHED_SEGMENTS[i][1] >>> 2, false);

  const cr0 = (from[VMCB.CR0 / 4] | Cr0.ET) >>> 0;
  u32[to + R.CR0 / 4] = cr0;
  // LMA is not taken from the VMCB: it follows from LME and PG.
  const efer = from[VMCB.EFER / 4];
  const long = (efer & Efer.LME) !== 0 && (cr0 & Cr0.PG) !== 0;
  u32[to + R.EFER / 4] = (long ? efer | Efer.LMA : efer & ~Efer.LMA) >>> 0;
  u32[to + R.DR6 / 4] = ((from[VMCB.DR6 / 4] & DR6_WRITABLE) | DR6_FIXED) >>> 0;
  loadDr7(cpu, from[VMCB.DR7 / 4]);
  if (svm.nestedPaging) copyPat(cpu, from);

  // CPL is forced to 0 in real mode and to 3 in virtual-8086 mode.
  const rflags = from[VMCB.RFLAGS / 4];
  const cpl = (cr0 & Cr0.PE) === 0 ? 0 : (rflags & RFLAGS_VM) !== 0 ? 3 : (from[VMCB.CPL >>> 2] >>> 24) & 3;
  u32[to + R.CPL / 4] = cpl;
  cpu.setRflags((rflags & RFLAGS_DEFINED) | RFLAGS_ONE);

  const is64 = long && (from[VMCB.CS_SELECTOR / 4] & CS_L) !== 0;
  if (!is64) u32[to + R.RIP / 4 + 1] = 0;
  // With nested paging the walk reads PDPEs itself (cpu/page-walker.ts).
  if (!svm.nestedPaging && !long && (cr0 & Cr0.PG) !== 0 && (from[VMCB.CR4 / 4] & Cr4.PAE) !== 0) loadPdpes(cpu);
}

function copyPat(cpu: Cpu, from: Uint32Array): void {
  cpu.set32(R.PAT, from[VMCB.G_PAT / 4]);
  cpu.set32(R.PAT + 4, from[VMCB.G_PAT / 4 + 1]);
}

/** Nothing is to be done when breakpoints stay as they are. */
export function loadDr7(cpu: Cpu, value: number): void {
  if (cpu.get32(R.DR7) !== value) setDr7(cpu, value);
}

/** The four PDPTE registers from the table at CR3, in system-physical memory. */
export function loadPdpes(cpu: Cpu): void {
  const table = (cpu.get32(R.CR3) & ~31) >>> 0;
  for (let i = 0; i < 8; i++) cpu.set32(R.PDPTE0 + i * 4, cpu.memory.read32(table + i * 4));
}

/**
 * Registers were replaced as a whole: re-derives what the processor keeps beside them. Between two 64-bit contexts nothing but the
 * translation context can differ (segment ranges, code base and stack mask are constants of 64-bit mode).
 */
export function stateReplaced(cpu: Cpu, was64: boolean): void {
  if (was64 && (cpu.efer & Efer.LMA) !== 0 && (cpu.get32(CS_ACCESS) & ACCESS_L) !== 0) cpu.mmu.contextChanged();
  else cpu.modeChanged();
}
