/** Descriptors and the loading of segment registers. SDM volume 3A, "Segmentation", "Protection"; checks as in the MOV and far-transfer pages. */
import { Cr0, Vector, type Cpu } from './cpu';
import { Segment } from './decoder/insn';
import { R } from './layout';
import { Access } from './mmu';

/** Bits of an access word (VMCS format; a descriptor's bits 23:8). */
export const AccessBit = {
  ACCESSED: 1,
  WRITABLE: 2,
  READABLE: 2,
  CONFORMING: 4,
  CODE: 8,
  S: 0x10,
  PRESENT: 0x80,
  L: 0x2000,
  DB: 0x4000,
  UNUSABLE: 0x1_0000,
} as const;
/** Types of system descriptors (4-bit type with S = 0). */
export const SystemType = {
  TSS16: 1,
  LDT: 2,
  CALL_GATE16: 4,
  TASK_GATE: 5,
  INTERRUPT_GATE16: 6,
  TRAP_GATE16: 7,
  TSS: 9,
  CALL_GATE: 12,
  INTERRUPT_GATE: 14,
  TRAP_GATE: 15,
} as const;

const TI = 4;
const IMPLICIT_READ = Access.Read | Access.Supervisor;
const IMPLICIT_WRITE = Access.Write | Access.Supervisor;
const GRANULARITY = 0x80_0000;
const TSS_BUSY = 2;

/** A descriptor as it stands in memory. */
export interface Descriptor {
  readonly low: number;
  readonly high: number;
  /** Bits 15:0 of the access word. */
  readonly access: number;
  /** In bytes. */
  readonly limit: number;
  /** Bits 31:0. */
  readonly base: number;
  /** Linear address of the descriptor. */
  readonly address: bigint;
}

export const dplOf = (access: number): number => (access >>> 5) & 3;
export const isNull = (selector: number): boolean => (selector & 0xfffc) === 0;
/** The selector as an error code: RPL replaced by EXT. */
export const selectorError = (selector: number, external = 0): number => (selector & 0xfffc) | external;

/** Reads the descriptor of a non-null selector; a selector beyond its table raises `vector`(selector). */
export function readDescriptor(cpu: Cpu, selector: number, vector: number = Vector.GP, external = 0): Descriptor {
  const local = (selector & TI) !== 0;
  const usable = !local || (cpu.segmentAccess(Segment.LDTR) & AccessBit.UNUSABLE) === 0;
  const limit = local ? cpu.segmentLimit(Segment.LDTR) : cpu.get32(R.GDTR_LIMIT);
  if (!usable || (selector | 7) > limit) cpu.raise(vector, selectorError(selector, external));
  const base = local ? cpu.segmentBase(Segment.LDTR) : cpu.get64(R.GDTR_BASE);
  const address = BigInt.asUintN(64, base + BigInt(selector & 0xfff8));
  const value = cpu.readLinear(address, 8, IMPLICIT_READ);
  const low = Number(value & 0xffff_ffffn);
  const high = Number(value >> 32n);
  const raw = (low & 0xffff) | (high & 0xf_0000);
  return {
    low,
    high,
    access: (high >>> 8) & 0xf0ff,
    limit: (high & GRANULARITY) !== 0 ? ((raw << 12) | 0xfff) >>> 0 : raw,
    base: ((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff00_0000)) >>> 0,
    address,
  };
}

/** Upper half of the base (or offset) of a 16-byte descriptor of IA-32e mode. */
export const readUpperHalf = (cpu: Cpu, d: Descriptor): bigint => cpu.readLinear(BigInt.asUintN(64, d.address + 8n), 4, IMPLICIT_READ) << 32n;

function setTypeBits(cpu: Cpu, d: Descriptor, bits: number): void {
  if (((d.high >>> 8) & bits) === bits) return;
  cpu.writeLinear(d.address + 5n, 1, BigInt(((d.high >>> 8) & 0xff) | bits), IMPLICIT_WRITE);
}

/** Real-address mode and virtual-8086 mode: the base follows from the selector; limit and rights stay (v8086: are fixed). */
function loadReal(cpu: Cpu, s: number, selector: number): void {
  const access = cpu.v86 ? 0xf3 : cpu.segmentAccess(s) & ~AccessBit.UNUSABLE;
  cpu.setSegment(s, selector, access, cpu.v86 ? 0xffff : cpu.segmentLimit(s), BigInt(selector << 4));
}

/** Intel, and AMD with NullSelectorClearsBase, clear base and limit; older AMD processors leave both. APM volume 3, CPUID Fn8000_0021_EAX. */
function loadNull(cpu: Cpu, s: number, selector: number): void {
  const keeps = cpu.profile.vendor === 'amd' && !cpu.profile.has('null-sel-clr-base');
  if (keeps) cpu.setSegment(s, selector, cpu.segmentAccess(s) | AccessBit.UNUSABLE, cpu.segmentLimit(s), cpu.segmentBase(s));
  else cpu.setSegment(s, selector, AccessBit.UNUSABLE, 0, 0n);
}

/** MOV, POP, LDS... into DS, ES, FS, GS or SS. Faults before anything changed. */
export function loadSegment(cpu: Cpu, s: number, selector: number): void {
  if ((cpu.cr0 & Cr0.PE) === 0 || cpu.v86) loadReal(cpu, s, selector);
  else if (s === Segment.SS) return loadStackSegment(cpu, selector, cpu.cpl, cpu.codeSize === 64);
  else if (isNull(selector)) loadNull(cpu, s, selector);
  else {
    const d = readDescriptor(cpu, selector);
    const code = selectorError(selector);
    const readable = (d.access & AccessBit.CODE) === 0 || (d.access & AccessBit.READABLE) !== 0;
    if ((d.access & AccessBit.S) === 0 || !readable) cpu.gp(code);
    const conforming = (d.access & (AccessBit.CODE | AccessBit.CONFORMING)) === (AccessBit.CODE | AccessBit.CONFORMING);
    if (!conforming && Math.max(selector & 3, cpu.cpl) > dplOf(d.access)) cpu.gp(code);
    if ((d.access & AccessBit.PRESENT) === 0) cpu.raise(Vector.NP, code);
    setTypeBits(cpu, d, AccessBit.ACCESSED);
    cpu.setSegment(s, selector, d.access | AccessBit.ACCESSED, d.limit, BigInt(d.base));
  }
  if (s === Segment.SS) cpu.modeChanged();
}

/**
 * The stack segment for privilege level `cpl`, checked. A null one is accepted (undefined) for 64-bit code below CPL 3 if its RPL is right.
 * @param vector what a bad one raises: #GP, or #TS where it comes from a TSS.
 */
export function checkStackSegment(
  cpu: Cpu,
  selector: number,
  cpl: number,
  nullAllowed: boolean,
  vector: number = Vector.GP,
  external = 0,
): Descriptor | undefined {
  if (isNull(selector)) {
    if (!nullAllowed || cpl === 3 || (selector & 3) !== cpl) cpu.raise(vector, external);
    return undefined;
  }
  const d = readDescriptor(cpu, selector, vector, external);
  const code = selectorError(selector, external);
  const writableData = (d.access & (AccessBit.S | AccessBit.CODE | AccessBit.WRITABLE)) === (AccessBit.S | AccessBit.WRITABLE);
  if ((selector & 3) !== cpl || dplOf(d.access) !== cpl || !writableData) cpu.raise(vector, code);
  if ((d.access & AccessBit.PRESENT) === 0) cpu.raise(Vector.SS, code);
  return d;
}

/** Loads SS from a descriptor that checkStackSegment accepted; modeChanged() is the caller's. */
export function setStackSegment(cpu: Cpu, selector: number, d: Descriptor | undefined, cpl: number): void {
  if (d === undefined) return cpu.setSegment(Segment.SS, selector, AccessBit.UNUSABLE | (cpl << 5), 0, 0n);
  setTypeBits(cpu, d, AccessBit.ACCESSED);
  cpu.setSegment(Segment.SS, selector, d.access | AccessBit.ACCESSED, d.limit, BigInt(d.base));
}

function loadStackSegment(cpu: Cpu, selector: number, cpl: number, nullAllowed: boolean): void {
  setStackSegment(cpu, selector, checkStackSegment(cpu, selector, cpl, nullAllowed), cpl);
  cpu.modeChanged();
}

/** LLDT and LTR. */
export function loadSystemSegment(cpu: Cpu, s: typeof Segment.LDTR | typeof Segment.TR, selector: number): void {
  if (isNull(selector)) {
    if (s === Segment.TR) cpu.gp();
    return cpu.setSegment(s, selector, AccessBit.UNUSABLE, 0, 0n);
  }
  const code = selectorError(selector);
  if ((selector & TI) !== 0) cpu.gp(code);
  const d = readDescriptor(cpu, selector);
  const type = d.access & 0x1f;
  const fits = s === Segment.LDTR ? type === SystemType.LDT : type === SystemType.TSS || (type === SystemType.TSS16 && !cpu.longMode);
  if (!fits) cpu.gp(code);
  if ((d.access & AccessBit.PRESENT) === 0) cpu.raise(Vector.NP, code);
  const base = BigInt(d.base) | (cpu.longMode ? readUpperHalf(cpu, d) : 0n);
  if (s === Segment.TR) setTypeBits(cpu, d, TSS_BUSY);
  cpu.setSegment(s, selector, s === Segment.TR ? d.access | TSS_BUSY : d.access, d.limit, base);
}

/** A code segment that a transfer of control may go to: type, 64-bit bits, presence. The privilege rules are the transfer's. */
export function checkCodeSegment(cpu: Cpu, selector: number, d: Descriptor, external = 0): void {
  const code = selectorError(selector, external);
  if ((d.access & (AccessBit.S | AccessBit.CODE)) !== (AccessBit.S | AccessBit.CODE)) cpu.gp(code);
  if (cpu.longMode && (d.access & (AccessBit.L | AccessBit.DB)) === (AccessBit.L | AccessBit.DB)) cpu.gp(code);
  if ((d.access & AccessBit.PRESENT) === 0) cpu.raise(Vector.NP, code);
}

/** Loads CS from a checked descriptor and makes `cpl` the privilege level. */
export function setCodeSegment(cpu: Cpu, selector: number, d: Descriptor, cpl: number): void {
  setTypeBits(cpu, d, AccessBit.ACCESSED);
  cpu.set32(R.CPL, cpl);
  cpu.setSegment(Segment.CS, (selector & 0xfffc) | cpl, d.access | AccessBit.ACCESSED, d.limit, BigInt(d.base));
  cpu.modeChanged();
}
/** CS in real-address and virtual-8086 mode. */
export function setRealCodeSegment(cpu: Cpu, selector: number): void {
  loadReal(cpu, Segment.CS, selector);
  cpu.modeChanged();
}
