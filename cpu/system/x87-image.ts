/** The 512-byte FXSAVE image: SDM volume 1, "FXSAVE Area" and "Legacy Region of an XSAVE Area". Moves parts of it to and from the registers. */
import type { Cpu } from '../cpu';
import { R } from '../layout';

export const FXSAVE_BYTES = 512;
/** Bits of MXCSR that exist; MXCSR_MASK of the image. */
export const MXCSR_MASK = 0xffff;
export const MXCSR_RESET = 0x1f80;
export const FCW_RESET = 0x037f;

/** Offsets in the image. */
export const Image = { FCW: 0, FSW: 2, FTW: 4, FOP: 6, FIP: 8, FDP: 16, MXCSR: 24, MXCSR_MASK: 28, ST: 32, XMM: 160, END_XMM7: 288, END_XMM15: 416 } as const;

/** XMM registers that the current mode has. */
export const xmmCount = (cpu: Cpu): number => (cpu.codeSize === 64 ? 16 : 8);

/** Physical register of ST(i). */
const physical = (cpu: Cpu, i: number): number => ((cpu.get32(R.FSW) >>> 11) + i) & 7;

/** `wide`: REX.W, 64-bit FIP and FDP; otherwise 32 bits of offset, and selectors 0, as processors without FCS and FDS store them. */
export function storeX87(cpu: Cpu, view: DataView, wide: boolean): void {
  view.setUint16(Image.FCW, cpu.get32(R.FCW), true);
  view.setUint16(Image.FSW, cpu.get32(R.FSW), true);
  view.setUint16(Image.FTW, cpu.get32(R.FTW) & 0xff, true);
  view.setUint16(Image.FOP, cpu.get32(R.FOP) & 0x7ff, true);
  storePointer(cpu, view, Image.FIP, R.FIP, wide);
  storePointer(cpu, view, Image.FDP, R.FDP, wide);
  for (let i = 0; i < 8; i++) {
    const register = R.FPR + physical(cpu, i) * 16;
    view.setUint32(Image.ST + 16 * i, cpu.get32(register), true);
    view.setUint32(Image.ST + 16 * i + 4, cpu.get32(register + 4), true);
    view.setUint32(Image.ST + 16 * i + 8, cpu.get32(register + 8) & 0xffff, true);
    view.setUint32(Image.ST + 16 * i + 12, 0, true);
  }
}

function storePointer(cpu: Cpu, view: DataView, at: number, register: number, wide: boolean): void {
  view.setUint32(at, cpu.get32(register), true);
  view.setUint32(at + 4, wide ? cpu.get32(register + 4) : 0, true);
}

export function loadX87(cpu: Cpu, view: DataView, wide: boolean): void {
  cpu.set32(R.FCW, (view.getUint16(Image.FCW, true) & 0x1f3f) | 0x40);
  cpu.set32(R.FSW, view.getUint16(Image.FSW, true));
  cpu.set32(R.FTW, view.getUint8(Image.FTW));
  cpu.set32(R.FOP, view.getUint16(Image.FOP, true) & 0x7ff);
  for (const [register, at] of [
    [R.FIP, Image.FIP],
    [R.FDP, Image.FDP],
  ] as const) {
    cpu.set32(register, view.getUint32(at, true));
    cpu.set32(register + 4, wide ? view.getUint32(at + 4, true) : 0);
  }
  for (let i = 0; i < 8; i++) {
    const register = R.FPR + physical(cpu, i) * 16;
    cpu.set32(register, view.getUint32(Image.ST + 16 * i, true));
    cpu.set32(register + 4, view.getUint32(Image.ST + 16 * i + 4, true));
    cpu.set32(register + 8, view.getUint16(Image.ST + 16 * i + 8, true));
  }
  summariseExceptions(cpu);
}

/** FSW.ES and FSW.B follow from the exception flags that FCW does not mask. */
function summariseExceptions(cpu: Cpu): void {
  const fsw = cpu.get32(R.FSW);
  const unmasked = (fsw & ~cpu.get32(R.FCW) & 0x3f) !== 0;
  cpu.set32(R.FSW, unmasked ? fsw | 0x8080 : fsw & ~0x8080);
}

/** State after FNINIT with empty registers and no pointers: the initial configuration of XSAVE component 0. */
export function initialiseX87(cpu: Cpu): void {
  cpu.set32(R.FCW, FCW_RESET);
  cpu.set32(R.FSW, 0);
  cpu.set32(R.FTW, 0);
  cpu.set32(R.FOP, 0);
  cpu.set64(R.FIP, 0n);
  cpu.set64(R.FDP, 0n);
  for (let at = R.FPR; at < R.FPR + 128; at += 4) cpu.set32(at, 0);
}

export function x87InUse(cpu: Cpu): boolean {
  if (cpu.get32(R.FCW) !== FCW_RESET || (cpu.get32(R.FSW) | cpu.get32(R.FTW) | cpu.get32(R.FOP)) !== 0) return true;
  let any = cpu.get32(R.FIP) | cpu.get32(R.FIP + 4) | cpu.get32(R.FDP) | cpu.get32(R.FDP + 4);
  for (let i = 0; i < 8; i++) {
    const register = R.FPR + 16 * i;
    any |= cpu.get32(register) | cpu.get32(register + 4) | (cpu.get32(register + 8) & 0xffff);
  }
  return any !== 0;
}

export function storeXmm(cpu: Cpu, view: DataView): void {
  for (let r = 0, n = xmmCount(cpu); r < n; r++) {
    const word = cpu.xmm(r) >>> 2;
    for (let k = 0; k < 4; k++) view.setUint32(Image.XMM + 16 * r + 4 * k, cpu.u32[word + k], true);
  }
}

export function loadXmm(cpu: Cpu, view: DataView): void {
  for (let r = 0, n = xmmCount(cpu); r < n; r++) {
    const word = cpu.xmm(r) >>> 2;
    for (let k = 0; k < 4; k++) cpu.u32[word + k] = view.getUint32(Image.XMM + 16 * r + 4 * k, true);
  }
}

export function initialiseXmm(cpu: Cpu): void {
  for (let r = 0, n = xmmCount(cpu); r < n; r++) {
    const word = cpu.xmm(r) >>> 2;
    for (let k = 0; k < 4; k++) cpu.u32[word + k] = 0;
  }
}

/** Some XMM register is not 0 (XINUSE[1]); outside 64-bit mode XMM8-15 count as initial. */
export function xmmInUse(cpu: Cpu): boolean {
  for (let r = 0, n = xmmCount(cpu); r < n; r++) {
    const word = cpu.xmm(r) >>> 2;
    if ((cpu.u32[word] | cpu.u32[word + 1] | cpu.u32[word + 2] | cpu.u32[word + 3]) !== 0) return true;
  }
  return false;
}
