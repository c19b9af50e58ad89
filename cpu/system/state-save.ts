/**
 * FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XSAVEC, XRSTOR, XGETBV, XSETBV, LDMXCSR, STMXCSR. SDM volume 1, "Managing State Using the XSAVE
 * Feature Set". The state components are x87 (0) and SSE (1): both live in the legacy region, so standard and compacted form differ in
 * their headers only.
 */
import { Cr0, Cr4, Efer, Vector, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { Sensitive } from '../interfaces';
import { R } from '../layout';
import { Access } from '../mmu';
import { linearAfter, readBlock, writeBlock } from './linear-block';
import type { SystemInstructions } from './table';
import {
  FXSAVE_BYTES,
  Image,
  MXCSR_MASK,
  MXCSR_RESET,
  initialiseX87,
  initialiseXmm,
  loadX87,
  loadXmm,
  storeX87,
  storeXmm,
  x87InUse,
  xmmCount,
  xmmInUse,
} from './x87-image';

const RAX = 0,
  RCX = 1,
  RDX = 2;
const X87 = 1,
  SSE = 2;
/** Components that XCR0 may enable. */
const SUPPORTED_COMPONENTS = X87 | SSE;
const HEADER_BYTES = 64;
/** Offsets in an XSAVE area. */
const XSTATE_BV = 512,
  XCOMP_BV = 520,
  HEADER_RESERVED = 528;
const COMPACTED = 0x8000_0000;

// One image for all: no instruction runs inside another.
const area = new Uint8Array(FXSAVE_BYTES + HEADER_BYTES);
const view = new DataView(area.buffer);

/** Linear address of the memory operand, aligned and with all `bytes` of it accessible. */
function areaAt(cpu: Cpu, insn: Insn, bytes: number, alignment: number, write: boolean): bigint {
  const linear = cpu.linearOf(insn, bytes, write);
  if (linear % BigInt(alignment) !== 0n) cpu.gp();
  cpu.mmu.probe(linear, bytes, write ? Access.Write : Access.Read);
  return linear;
}

// ---- FXSAVE, FXRSTOR ----

function requireFxsr(cpu: Cpu): void {
  if (!cpu.profile.has('fxsr')) cpu.ud();
  if ((cpu.cr0 & (Cr0.EM | Cr0.TS)) !== 0) cpu.raise(Vector.NM);
}

/** XMM registers take part: CR4.OSFXSR, and not left out by EFER.FFXSR. */
const movesXmm = (cpu: Cpu): boolean => (cpu.cr4 & Cr4.OSFXSR) !== 0 && !((cpu.efer & Efer.FFXSR) !== 0 && cpu.codeSize === 64 && cpu.cpl === 0);

function fxsave(cpu: Cpu, insn: Insn): void {
  requireFxsr(cpu);
  const at = areaAt(cpu, insn, FXSAVE_BYTES, 16, true);
  storeX87(cpu, view, insn.operandSize === 64);
  view.setUint32(Image.MXCSR, cpu.get32(R.MXCSR), true);
  view.setUint32(Image.MXCSR_MASK, MXCSR_MASK, true);
  const xmm = movesXmm(cpu);
  if (xmm) storeXmm(cpu, view);
  writeBlock(cpu, at, area, 0, xmm ? Image.XMM + 16 * xmmCount(cpu) : Image.XMM);
}

function fxrstor(cpu: Cpu, insn: Insn): void {
  requireFxsr(cpu);
  const at = areaAt(cpu, insn, FXSAVE_BYTES, 16, false);
  readBlock(cpu, at, area, 0, FXSAVE_BYTES);
  const mxcsr = view.getUint32(Image.MXCSR, true);
  const osfxsr = (cpu.cr4 & Cr4.OSFXSR) !== 0;
  if (osfxsr && (mxcsr & ~MXCSR_MASK) !== 0) cpu.gp();
  loadX87(cpu, view, insn.operandSize === 64);
  if (osfxsr) cpu.set32(R.MXCSR, mxcsr);
  if (movesXmm(cpu)) loadXmm(cpu, view);
}

// ---- XSAVE family ----

function requireXsave(cpu: Cpu, feature: string): void {
  if (!cpu.profile.has(feature) || (cpu.cr4 & Cr4.OSXSAVE) === 0) cpu.ud();
  if ((cpu.cr0 & Cr0.TS) !== 0) cpu.raise(Vector.NM);
}

/** RFBM: requested (EDX:EAX) and enabled (XCR0) components. */
const requested = (cpu: Cpu): number => cpu.gpr32(RAX) & cpu.get32(R.XCR0);

/** XINUSE: components not in their initial configuration. */
const inUse = (cpu: Cpu): number => (x87InUse(cpu) ? X87 : 0) | (xmmInUse(cpu) ? SSE : 0);

/** Writes the parts of the legacy region that `components` and `mxcsr` name. */
function writeComponents(cpu: Cpu, insn: Insn, at: bigint, components: number, mxcsr: boolean): void {
  if ((components & X87) !== 0) {
    storeX87(cpu, view, insn.operandSize === 64);
    writeBlock(cpu, at, area, 0, Image.MXCSR);
    writeBlock(cpu, linearAfter(cpu, at, Image.ST), area, Image.ST, Image.XMM - Image.ST);
  }
  if (mxcsr) {
    view.setUint32(Image.MXCSR, cpu.get32(R.MXCSR), true);
    view.setUint32(Image.MXCSR_MASK, MXCSR_MASK, true);
    writeBlock(cpu, linearAfter(cpu, at, Image.MXCSR), area, Image.MXCSR, 8);
  }
  if ((components & SSE) !== 0) {
    storeXmm(cpu, view);
    writeBlock(cpu, linearAfter(cpu, at, Image.XMM), area, Image.XMM, 16 * xmmCount(cpu));
  }
}

/** XSAVE writes all requested components, XSAVEOPT only those in use (it may not skip more without tracking modifications). */
const xsave =
  (optimised: boolean) =>
  (cpu: Cpu, insn: Insn): void => {
    requireXsave(cpu, optimised ? 'xsaveopt' : 'xsave');
    const at = areaAt(cpu, insn, FXSAVE_BYTES + HEADER_BYTES, 64, true);
    const rfbm = requested(cpu);
    const used = inUse(cpu);
    const header = linearAfter(cpu, at, XSTATE_BV);
    // Of the header only XSTATE_BV is written, and of that only the requested bits.
    const old = cpu.readLinear(header, 8);
    writeComponents(cpu, insn, at, optimised ? rfbm & used : rfbm, (rfbm & SSE) !== 0);
    cpu.writeLinear(header, 8, (old & ~BigInt(rfbm)) | BigInt(rfbm & used));
  };

function xsavec(cpu: Cpu, insn: Insn): void {
  requireXsave(cpu, 'xsavec');
  const at = areaAt(cpu, insn, FXSAVE_BYTES + HEADER_BYTES, 64, true);
  const rfbm = requested(cpu);
  let saved = rfbm & inUse(cpu);
  // MXCSR is not part of XINUSE[1], but must not be lost.
  if ((rfbm & SSE) !== 0 && cpu.get32(R.MXCSR) !== MXCSR_RESET) saved |= SSE;
  writeComponents(cpu, insn, at, saved, (saved & SSE) !== 0);
  view.setUint32(XSTATE_BV, saved, true);
  view.setUint32(XSTATE_BV + 4, 0, true);
  view.setUint32(XCOMP_BV, rfbm, true);
  view.setUint32(XCOMP_BV + 4, COMPACTED, true);
  writeBlock(cpu, linearAfter(cpu, at, XSTATE_BV), area, XSTATE_BV, 16);
}

function xrstor(cpu: Cpu, insn: Insn): void {
  requireXsave(cpu, 'xsave');
  const at = areaAt(cpu, insn, FXSAVE_BYTES + HEADER_BYTES, 64, false);
  readBlock(cpu, at, area, 0, FXSAVE_BYTES + HEADER_BYTES);
  const rfbm = requested(cpu);
  const xstateBv = view.getUint32(XSTATE_BV, true);
  const compacted = checkHeader(cpu, xstateBv);
  const loaded = rfbm & xstateBv;
  // Standard form: MXCSR is loaded whenever SSE state is requested; compacted form: with the component.
  const mxcsrLoaded = compacted ? (loaded & SSE) !== 0 : (rfbm & SSE) !== 0;
  const mxcsr = view.getUint32(Image.MXCSR, true);
  if (mxcsrLoaded && (mxcsr & ~MXCSR_MASK) !== 0) cpu.gp();
  if ((loaded & X87) !== 0) loadX87(cpu, view, insn.operandSize === 64);
  else if ((rfbm & X87) !== 0) initialiseX87(cpu);
  if ((loaded & SSE) !== 0) loadXmm(cpu, view);
  else if ((rfbm & SSE) !== 0) initialiseXmm(cpu);
  if (mxcsrLoaded) cpu.set32(R.MXCSR, mxcsr);
  else if ((rfbm & SSE) !== 0) cpu.set32(R.MXCSR, MXCSR_RESET);
}

/** #GP(0) for a header that XRSTOR refuses; true when it is of the compacted form. */
function checkHeader(cpu: Cpu, xstateBv: number): boolean {
  const xcr0 = cpu.get32(R.XCR0);
  const compLow = view.getUint32(XCOMP_BV, true);
  const compHigh = view.getUint32(XCOMP_BV + 4, true);
  const compacted = compHigh >>> 31 !== 0;
  if (view.getUint32(XSTATE_BV + 4, true) !== 0 || (xstateBv & ~xcr0) !== 0) cpu.gp();
  if (compacted) {
    if (!cpu.profile.has('xsavec')) cpu.gp();
    if (compHigh !== COMPACTED || (compLow & ~xcr0) !== 0 || (xstateBv & ~compLow) !== 0) cpu.gp();
  } else if ((compLow | compHigh) !== 0) cpu.gp();
  // Standard form checks bytes 23:8 of the header, compacted form bytes 63:16.
  const end = compacted ? FXSAVE_BYTES + HEADER_BYTES : HEADER_RESERVED + 8;
  for (let i = HEADER_RESERVED; i < end; i++) if (area[i] !== 0) cpu.gp();
  return compacted;
}

/** Only supervisor states would need them, and there are none. */
function xsavesOrXrstors(cpu: Cpu): void {
  cpu.ud();
}

// ---- XCR0 ----

function requireOsxsave(cpu: Cpu): void {
  if (!cpu.profile.has('xsave') || (cpu.cr4 & Cr4.OSXSAVE) === 0) cpu.ud();
}

function xgetbv(cpu: Cpu): void {
  requireOsxsave(cpu);
  const index = cpu.gpr32(RCX);
  if (index > 1 || (index === 1 && !cpu.profile.has('xgetbv1'))) cpu.gp();
  cpu.setGpr32(RAX, index === 0 ? cpu.get32(R.XCR0) : cpu.get32(R.XCR0) & inUse(cpu));
  cpu.setGpr32(RDX, 0);
}

function xsetbv(cpu: Cpu): void {
  requireOsxsave(cpu);
  cpu.requireCpl0();
  const low = cpu.gpr32(RAX);
  cpu.intercept(Sensitive.XSETBV, cpu.gpr32(RCX));
  if (cpu.gpr32(RCX) !== 0 || cpu.gpr32(RDX) !== 0) cpu.gp();
  // x87 state cannot be switched off.
  if ((low & X87) === 0 || (low & ~SUPPORTED_COMPONENTS) !== 0) cpu.gp();
  cpu.set32(R.XCR0, low);
}

// ---- MXCSR ----

function requireSse(cpu: Cpu): void {
  if (!cpu.profile.has('sse') || (cpu.cr0 & Cr0.EM) !== 0 || (cpu.cr4 & Cr4.OSFXSR) === 0) cpu.ud();
  if ((cpu.cr0 & Cr0.TS) !== 0) cpu.raise(Vector.NM);
}

function ldmxcsr(cpu: Cpu): void {
  requireSse(cpu);
  const value = Number(cpu.readOperand(0, 32));
  if ((value & ~MXCSR_MASK) !== 0) cpu.gp();
  cpu.set32(R.MXCSR, value);
}

function stmxcsr(cpu: Cpu): void {
  requireSse(cpu);
  cpu.writeOperand(0, BigInt(cpu.get32(R.MXCSR)), 32);
}

export const STATE_SAVE: SystemInstructions = {
  FXSAVE: { execute: fxsave, endsBlock: false },
  FXRSTOR: { execute: fxrstor, endsBlock: false },
  XSAVE: { execute: xsave(false), endsBlock: false },
  XSAVEOPT: { execute: xsave(true), endsBlock: false },
  XSAVEC: { execute: xsavec, endsBlock: false },
  XRSTOR: { execute: xrstor, endsBlock: false },
  XSAVES: { execute: xsavesOrXrstors, endsBlock: true },
  XRSTORS: { execute: xsavesOrXrstors, endsBlock: true },
  XGETBV: { execute: xgetbv, endsBlock: false },
  XSETBV: { execute: xsetbv, endsBlock: true },
  LDMXCSR: { execute: ldmxcsr, endsBlock: false },
  STMXCSR: { execute: stmxcsr, endsBlock: false },
};
