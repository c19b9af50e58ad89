/** Debug registers: SDM volume 3, "Debug Registers" and "Debug Exceptions". Which breakpoints an access hits, as DR6 bits. */
import { DebugCtl, stopAtDebugException } from './branch-records';
import type { Cpu } from './cpu';
import { R } from './layout';
import { Cr4, Flag } from './registers';

/** DR6 bits. */
export const Dr6 = { B0: 1, B1: 2, B2: 4, B3: 8, BD: 0x2000, BS: 0x4000, BT: 0x8000 } as const;
/** DR7 bits. */
export const Dr7 = { ENABLES: 0xff, LE: 0x100, GE: 0x200, GD: 0x2000 } as const;

/** Bits of DR6 that read as 1 always (BLD and RTM among them: no bus-lock detection, no RTM). */
export const DR6_FIXED = 0xffff_0ff0;
export const DR6_WRITABLE = Dr6.B0 | Dr6.B1 | Dr6.B2 | Dr6.B3 | Dr6.BD | Dr6.BS | Dr6.BT;
export const DR7_FIXED = 0x400;
export const DR7_WRITABLE = 0xffff_23ff;

/** Values of a R/W field of DR7. */
enum Condition {
  Execute,
  Write,
  InputOutput,
  ReadWrite,
}
/** Bytes by LEN field of DR7. */
const LENGTHS = [1, 2, 8, 4] as const;

const enabled = (dr7: number, n: number): boolean => (dr7 & (3 << (2 * n))) !== 0;
const conditionOf = (dr7: number, n: number): Condition => (dr7 >>> (16 + 4 * n)) & 3;
const lengthOf = (dr7: number, n: number): number => LENGTHS[(dr7 >>> (18 + 4 * n)) & 3];

/** Some breakpoint of DR7 has its condition among `mask` (bit = Condition). */
function armed(dr7: number, mask: number): boolean {
  if ((dr7 & Dr7.ENABLES) === 0) return false;
  for (let n = 0; n < 4; n++) if (enabled(dr7, n) && ((mask >> conditionOf(dr7, n)) & 1) !== 0) return true;
  return false;
}

/** Instruction addresses have to be compared at every boundary. */
export function codeBreakpointsArmed(cpu: Cpu): boolean {
  return armed(cpu.get32(R.DR7), 1 << Condition.Execute);
}

/** Low and high words of the linear pages in which data breakpoints lie. */
export function dataBreakpointPages(cpu: Cpu): [low: number, high: number][] {
  const dr7 = cpu.get32(R.DR7);
  const pages: [number, number][] = [];
  for (let n = 0; n < 4; n++) {
    const condition = conditionOf(dr7, n);
    if (!enabled(dr7, n) || (condition !== Condition.Write && condition !== Condition.ReadWrite)) continue;
    pages.push([cpu.get32(R.DR0 + 8 * n) & ~0xfff, cpu.get32(R.DR0 + 8 * n + 4) | 0]);
  }
  return pages;
}

/**
 * APM "Global Interrupt Flag, STGI and CLGI Instructions", effect of GIF = 0 on a debug exception or trap due to a breakpoint register
 * match: ignored and discarded.
 */
const matchesDiscarded = (cpu: Cpu): boolean => cpu.interception?.held === true;

/** DR6 bits of the instruction breakpoints at linear address `linear`, 0 when there is none. RF is the caller's to look at. */
export function codeBreakpoint(cpu: Cpu, linear: bigint): number {
  const dr7 = cpu.get32(R.DR7);
  if (matchesDiscarded(cpu)) return 0;
  let hits = 0;
  for (let n = 0; n < 4; n++) {
    if (enabled(dr7, n) && conditionOf(dr7, n) === Condition.Execute && lengthOf(dr7, n) === 1 && cpu.get64(R.DR0 + 8 * n) === linear) hits |= 1 << n;
  }
  return hits;
}

/** DR6 bits of the data breakpoints that an access to [linear, linear + bytes) touches. */
export function dataBreakpoint(cpu: Cpu, linear: bigint, bytes: number, write: boolean): number {
  const dr7 = cpu.get32(R.DR7);
  if (matchesDiscarded(cpu)) return 0;
  let hits = 0;
  for (let n = 0; n < 4; n++) {
    if (!enabled(dr7, n)) continue;
    const condition = conditionOf(dr7, n);
    if (condition !== Condition.ReadWrite && (condition !== Condition.Write || !write)) continue;
    if (overlaps(cpu.get64(R.DR0 + 8 * n), lengthOf(dr7, n), linear, bytes)) hits |= 1 << n;
  }
  return hits;
}

/** DR6 bits of the I/O breakpoints (CR4.DE) that an access to `bytes` ports from `port` on touches. */
export function portBreakpoint(cpu: Cpu, port: number, bytes: number): number {
  const dr7 = cpu.get32(R.DR7);
  if ((dr7 & Dr7.ENABLES) === 0 || (cpu.cr4 & Cr4.DE) === 0 || matchesDiscarded(cpu)) return 0;
  let hits = 0;
  for (let n = 0; n < 4; n++) {
    if (!enabled(dr7, n) || conditionOf(dr7, n) !== Condition.InputOutput) continue;
    if (overlaps(cpu.get64(R.DR0 + 8 * n), lengthOf(dr7, n), BigInt(port), bytes)) hits |= 1 << n;
  }
  return hits;
}

/** A breakpoint's address is aligned to its length, whatever its low bits say. */
function overlaps(address: bigint, length: number, from: bigint, bytes: number): boolean {
  const start = address & ~BigInt(length - 1);
  return start < from + BigInt(bytes) && from < start + BigInt(length);
}

/** Loads DR7. Whatever loads it comes through here: MOV to DR7, VM entries and exits, VMRUN and #VMEXIT, a debugger. */
export function setDr7(cpu: Cpu, value: number): void {
  const dr7 = ((value & DR7_WRITABLE) | DR7_FIXED) >>> 0;
  const unchanged = cpu.get32(R.DR7) === dr7;
  cpu.set32(R.DR7, dr7);
  cpu.set32(R.DR7 + 4, 0);
  if (unchanged && (dr7 & Dr7.ENABLES) === 0) return;
  breakpointsChanged(cpu);
}

/** Loads one of DR0-DR3. */
export function setBreakpointAddress(cpu: Cpu, n: number, linear: bigint): void {
  cpu.set64(R.DR0 + 8 * n, linear);
  if (enabled(cpu.get32(R.DR7), n)) breakpointsChanged(cpu);
}

/** DR0-DR3 and DR7 were replaced. Compiled code stops, because breakpoints hold from the next instruction on. */
export function breakpointsChanged(cpu: Cpu): void {
  cpu.mmu.watchBreakpoints(dataBreakpointPages(cpu));
  cpu.attention = true;
}

/** DR6 with the writable bits of `value`. */
export const dr6Of = (value: number): number => ((value & DR6_WRITABLE) | DR6_FIXED) >>> 0;

/** DR6 after a #DB with conditions `bits`: B0-B3 are replaced, the others accumulate. */
export const dr6After = (old: number, bits: number): number => dr6Of((old & ~(Dr6.B0 | Dr6.B1 | Dr6.B2 | Dr6.B3)) | bits);

/** Instructions after which no single-step trap is taken at once: they block it, or were the event themselves. */
const BLOCKS_TRAP = new Set(['INT', 'INT3', 'INTO', 'INT1']);

/**
 * DR6 bits of the single-step trap behind the instruction `op`, which began with these flags and this DebugCtl. With DebugCtl.BTF only
 * control transfers trap.
 */
export function singleStepTrap(op: string, flags: number, debugControl: number, branched: boolean): number {
  if ((flags & Flag.TF) === 0 || BLOCKS_TRAP.has(op) || ((debugControl & DebugCtl.BTF) !== 0 && !branched)) return 0;
  return Dr6.BS;
}

/** At delivery of a #DB with conditions `bits`: DR6 tells them, general detection is switched off, and so is all of DebugCtl. */
export function recordDebugException(cpu: Cpu, bits: number): void {
  cpu.set64(R.DR6, BigInt(dr6After(cpu.get32(R.DR6), bits)));
  cpu.set32(R.DR7, cpu.get32(R.DR7) & ~Dr7.GD);
  stopAtDebugException(cpu);
}
