/** What SSE floating-point instructions share: availability, operands, MXCSR. SDM volume 1, "Programming with Intel Streaming SIMD Extensions". */
import { Cr0, Cr4, Vector, type Cpu } from '../cpu';
import { NO_REGISTER, RIP_BASE, Segment, type Insn } from '../decoder/insn';
import { R, S, seg } from '../layout';
import { Access } from '../mmu';
import { Exception, FloatContext, NanRule, PRE_COMPUTATION } from './rounding';

const Mxcsr = { DAZ: 0x40, MASK_SHIFT: 7, RC_SHIFT: 13, FTZ: 0x8000 } as const;
const TWO32 = 0x1_0000_0000;

/** Controls and flags of the instruction under way; prepared by beginSse(). */
export const sse = new FloatContext(NanRule.First, 0);

/** Operands and result as 32-bit words: the destination register's, the source's, the result. */
export const words = new Uint32Array(12);
/** The same, as numbers: to be touched only where the words are known not to be NaNs. */
export const singles = new Float32Array(words.buffer);
export const doubles = new Float64Array(words.buffer);
/** Index of the first word of each. */
export const A = 0,
  B = 4,
  D = 8;

/** False when PE is set already and masked: then nobody can see whether a result is inexact. */
export let inexactMatters = true;

// ---- before ----

/** #UD, #NM; then prepares the context. */
export function beginSse(cpu: Cpu): void {
  const cr0 = cpu.cr0;
  if ((cr0 & Cr0.EM) !== 0 || (cpu.cr4 & Cr4.OSFXSR) === 0) cpu.ud();
  if ((cr0 & Cr0.TS) !== 0) cpu.raise(Vector.NM);
  const mxcsr = cpu.get32(R.MXCSR);
  sse.flags = 0;
  sse.rounding = (mxcsr >>> Mxcsr.RC_SHIFT) & 3;
  sse.unmasked = ~(mxcsr >>> Mxcsr.MASK_SHIFT) & 0x3f;
  sse.denormalsAreZero = (mxcsr & Mxcsr.DAZ) !== 0;
  sse.flushToZero = (mxcsr & Mxcsr.FTZ) !== 0;
  inexactMatters = (mxcsr & Exception.PE) === 0 || (sse.unmasked & Exception.PE) !== 0;
}

// ---- operands ----

/** Copies `count` words of XMM register `r` to words[at...]. */
export function loadRegister(cpu: Cpu, r: number, count: number, at: number): void {
  const from = cpu.xmm(r) >>> 2;
  for (let i = 0; i < count; i++) words[at + i] = cpu.u32[from + i];
}

/** Copies words[D...] to the first `count` words of XMM register `r`. */
export function storeRegister(cpu: Cpu, r: number, count: number): void {
  const to = cpu.xmm(r) >>> 2;
  for (let i = 0; i < count; i++) cpu.u32[to + i] = words[D + i];
}

/** The second operand, `count` words, to words[B...]; 16 bytes of memory must be aligned. */
export function loadSource(cpu: Cpu, insn: Insn, count: number): void {
  if (insn.form.charCodeAt(1) === FORM_MEMORY) loadMemory(cpu, insn, count);
  else loadRegister(cpu, insn.src, count, B);
}
const FORM_MEMORY = 'm'.charCodeAt(0);

function loadMemory(cpu: Cpu, insn: Insn, count: number): void {
  linearAddress(cpu, insn, count * 4);
  const [low, high] = [linearLow, linearHigh];
  if (count === 4 && (low & 15) !== 0) cpu.gp();
  if ((low & 0xfff) + count * 4 <= 0x1000) {
    const host = cpu.mmu.hostOf(low, high, Access.Read, count * 4);
    if (host !== 0) {
      if ((host & 3) === 0) for (let i = 0; i < count; i++) words[B + i] = cpu.u32[(host >>> 2) + i];
      else for (let i = 0; i < count; i++) words[B + i] = cpu.memory.view.getUint32(host + 4 * i, true);
      return;
    }
  }
  // A device, or two pages.
  const linear = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
  if (count === 4) cpu.mmu.probe(linear, 16, Access.Read);
  for (let i = 0; i < count; i += 2) {
    const value = cpu.readLinear(linear + BigInt(4 * i), count === 1 ? 4 : 8);
    words[B + i] = Number(value & 0xffff_ffffn);
    if (count > 1) words[B + i + 1] = Number(value >> 32n);
  }
}

let linearLow = 0;
let linearHigh = 0;

/** Linear address of the memory operand, checked as cpu.linear() does: in 64-bit mode without BigInt. */
function linearAddress(cpu: Cpu, insn: Insn, bytes: number): void {
  if (insn.addressSize !== 64 || insn.base === RIP_BASE) {
    const linear = cpu.linearOf(insn, bytes, false);
    linearLow = Number(linear & 0xffff_ffffn) | 0;
    linearHigh = Number(linear >> 32n) | 0;
    return;
  }
  const u32 = cpu.u32;
  const registers = (cpu.base + R.GPR) >>> 2;
  let low = insn.disp >>> 0;
  let high = insn.disp >> 31;
  if (insn.base !== NO_REGISTER) {
    low += u32[registers + 2 * insn.base];
    high += u32[registers + 2 * insn.base + 1];
  }
  if (insn.index !== NO_REGISTER) {
    low += u32[registers + 2 * insn.index] * (1 << insn.scale);
    high += u32[registers + 2 * insn.index + 1] << insn.scale;
  }
  if (insn.segment >= Segment.FS) {
    const base = (cpu.base + seg(insn.segment, S.BASE)) >>> 2;
    low += u32[base];
    high += u32[base + 1];
  }
  high = (high + Math.floor(low / TWO32)) | 0;
  low |= 0;
  // The last byte must be canonical too.
  const end = high + Math.floor(((low >>> 0) + bytes - 1) / TWO32);
  if (!cpu.mmu.canonicalHigh(high) || !cpu.mmu.canonicalHigh(end)) cpu.raise(insn.segment === Segment.SS ? Vector.SS : Vector.GP, 0);
  linearLow = low;
  linearHigh = high;
}

// ---- after ----

/**
 * Adds the flags of all elements to MXCSR. An unmasked one raises #XM, or #UD while CR4.OSXMMEXCPT is 0, before the destination changes;
 * what was found before computing hides what would have been found after.
 */
export function commitSse(cpu: Cpu): void {
  let flags = sse.flags;
  if (flags === 0) return;
  const unmasked = flags & sse.unmasked;
  if ((unmasked & PRE_COMPUTATION) !== 0) flags &= PRE_COMPUTATION;
  cpu.set32(R.MXCSR, cpu.get32(R.MXCSR) | flags);
  if (unmasked !== 0) cpu.raise((cpu.cr4 & Cr4.OSXMMEXCPT) !== 0 ? Vector.XM : Vector.UD);
}
