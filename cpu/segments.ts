import { Access } from './mmu';
import { Vector, type Cpu } from './cpu';
import { Segment } from './decoder/insn';
import { R } from './layout';

export interface Descriptor {
  readonly low: number;
  readonly high: number;
  readonly access: number;
  readonly limit: number;
  readonly base: number;
  readonly address: bigint;
}
const IMPLICIT_READ = Access.Read | Access.Supervisor;
export function fetchDescriptor(cpu: Cpu, selector: number, vector: number = Vector.GP): Descriptor {
  const ldt = (selector & 4) !== 0;
  const base = ldt ? cpu.segmentBase(Segment.LDTR) : cpu.get64(R.GDTR_BASE);
  const limit = ldt ? ((cpu.segmentAccess(Segment.LDTR) & 0x1_0000) !== 0 ? -1 : cpu.segmentLimit(Segment.LDTR)) : cpu.get32(R.GDTR_LIMIT);
  if ((selector | 7) > limit) cpu.raise(vector, selector & 0xfffc);
  const address = BigInt.asUintN(64, base + BigInt(selector & 0xfff8));
  const d = cpu.readLinear(address, 8, IMPLICIT_READ);
  const low = Number(d & 0xffff_ffffn),
    high = Number(d >> 32n);
  const raw = (low & 0xffff) | (high & 0xf_0000);
  return {
    low,
    high,
    access: (high >>> 8) & 0xf0ff,
    limit: (high & 0x80_0000) !== 0 ? ((raw << 12) | 0xfff) >>> 0 : raw,
    base: ((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff00_0000)) >>> 0,
    address,
  };
}
export function setAccessed(cpu: Cpu, d: Descriptor): void {
  if ((d.high & 0x100) === 0) cpu.writeLinear(d.address + 5n, 1, BigInt(((d.high >>> 8) & 0xff) | 1), Access.Write | Access.Supervisor);
}
export function loadDataSegment(cpu: Cpu, s: number, selector: number): void {
  if (!cpu.protectedMode || cpu.v86) {
    cpu.setSegment(s, selector, cpu.v86 ? 0xf3 : cpu.segmentAccess(s) & 0x1_0000 ? 0x93 : cpu.segmentAccess(s), cpu.segmentLimit(s), BigInt(selector << 4));
    if (s === Segment.SS) cpu.modeChanged();
    return;
  }
  const cpl = cpu.cpl,
    rpl = selector & 3;
  if ((selector & 0xfffc) === 0) {
    if (s === Segment.SS) {
      if (cpu.codeSize !== 64 || cpl === 3 || rpl !== cpl) cpu.gp();
      cpu.setSegment(s, selector, 0x1_0000 | (cpl << 5), 0, 0n);
      cpu.modeChanged();
      return;
    }
    cpu.setSegment(s, selector, 0x1_0000, 0, 0n);
    return;
  }
  const d = fetchDescriptor(cpu, selector);
  const dpl = (d.access >>> 5) & 3,
    code = selector & 0xfffc;
  if (s === Segment.SS) {
    if (rpl !== cpl || dpl !== cpl || (d.access & 0x1a) !== 0x12) cpu.gp(code);
    if ((d.access & 0x80) === 0) cpu.raise(Vector.SS, code);
  } else {
    if ((d.access & 0x10) === 0 || (d.access & 0xa) === 8) cpu.gp(code);
    if ((d.access & 0xc) !== 0xc && (rpl > dpl || cpl > dpl)) cpu.gp(code);
    if ((d.access & 0x80) === 0) cpu.raise(Vector.NP, code);
  }
  setAccessed(cpu, d);
  cpu.setSegment(s, selector, d.access | 1, d.limit, BigInt(d.base));
  if (s === Segment.SS) cpu.modeChanged();
}
export function loadSystemSegment(cpu: Cpu, s: number, selector: number): void {
  if ((selector & 0xfffc) === 0) {
    if (s === Segment.TR) cpu.gp();
    cpu.setSegment(s, selector, 0x1_0000, 0, 0n);
    return;
  }
  if ((selector & 4) !== 0) cpu.gp(selector & 0xfffc);
  const d = fetchDescriptor(cpu, selector);
  const type = d.access & 0x1f;
  if (s === Segment.LDTR ? type !== 2 : type !== 9 && type !== 1) cpu.gp(selector & 0xfffc);
  if ((d.access & 0x80) === 0) cpu.raise(Vector.NP, selector & 0xfffc);
  let base = BigInt(d.base);
  if (cpu.longMode) base |= (cpu.readLinear(d.address + 8n, 8, IMPLICIT_READ) & 0xffff_ffffn) << 32n;
  if (s === Segment.TR) cpu.writeLinear(d.address + 5n, 1, BigInt(((d.high >>> 8) & 0xff) | 2), Access.Write | Access.Supervisor);
  cpu.setSegment(s, selector, s === Segment.TR ? d.access | 2 : d.access, d.limit, base);
}
/** Loads CS from an already checked descriptor. */
export function loadCs(cpu: Cpu, selector: number, d: Descriptor, cpl: number): void {
  setAccessed(cpu, d);
  cpu.set32(R.CPL, cpl);
  cpu.setSegment(Segment.CS, (selector & 0xfffc) | cpl, d.access | 1, d.limit, BigInt(d.base));
  cpu.modeChanged();
}
