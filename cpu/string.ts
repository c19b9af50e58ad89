/**
 * String instructions: MOVS, STOS, LODS, SCAS, CMPS, with and without REP. Each iteration retires as one instruction; a repetition is
 * cut short by the budget, so that interrupts arrive between iterations exactly. Runs inside a page are done at once.
 */
import { Segment, type Insn } from './decoder/insn';
import { Flag, Vector, type Cpu } from './cpu';
import { R, S, seg } from './layout';
import { Access } from './mmu';
import type { SystemInstructions } from './system/table';

const RSI = 6,
  RDI = 7,
  RCX = 1;
const PAGE = 4096;

/** Iterations this instruction may make now: 1 without REP, otherwise limited by rCX and the budget. */
function iterations(cpu: Cpu, insn: Insn): number {
  if (insn.rep === 0) return 1;
  const budget = cpu.i32[(cpu.base + R.BUDGET) >>> 2] - cpu.indexInBlock();
  const allowed = Math.max(1, budget);
  const low = cpu.gpr32(RCX);
  if (insn.addressSize === 16) return Math.min(low & 0xffff, allowed);
  const high = insn.addressSize === 64 ? cpu.u32[(cpu.base + R.GPR + RCX * 8 + 4) >>> 2] : 0;
  return high !== 0 ? allowed : Math.min(low, allowed);
}

/** Accounts for `done` iterations: rCX, the budget beyond the first, and RIP when more remain. */
function repeated(cpu: Cpu, insn: Insn, done: number, finished: boolean): void {
  if (insn.rep === 0) return;
  advance(cpu, RCX, -done, insn.addressSize);
  if (done > 1) cpu.i32[(cpu.base + R.BUDGET) >>> 2] -= done - 1;
  if (finished || countOf(cpu, insn) === 0) return;
  repeatAgain(cpu);
  cpu.attention = true;
}

/** An iteration is done and another one follows, but first the step loop looks around. */
export function repeatAgain(cpu: Cpu): void {
  cpu.rip = cpu.currentRip();
  cpu.repeatingAt = cpu.retired() + 1;
}

function countOf(cpu: Cpu, insn: Insn): number {
  if (insn.addressSize === 16) return cpu.gpr16(RCX);
  const low = cpu.gpr32(RCX);
  return insn.addressSize === 64 ? low + cpu.u32[(cpu.base + R.GPR + RCX * 8 + 4) >>> 2] * 0x1_0000_0000 : low;
}

/** Adds to a register at the width of the address size. */
function advance(cpu: Cpu, register: number, by: number, addressSize: number): void {
  if (addressSize === 64) cpu.setGpr(register, BigInt.asUintN(64, cpu.gpr(register) + BigInt(by)));
  else if (addressSize === 32) cpu.setGpr32(register, cpu.gpr32(register) + by);
  else cpu.setGpr16(register, cpu.gpr16(register) + by);
}

/** Where a string operand lies: linear address in halves, and how many elements of it are in reach of one check. */
class Pointer {
  low = 0;
  high = 0;
  /** Elements up to the page's (or segment's) end in the direction of travel, at least 1; 0 when one element crosses a page. */
  room = 0;
  /** Host address after map(), 0 for a device. */
  host = 0;
  private bytes = 0;

  locate(cpu: Cpu, segment: number, register: number, insn: Insn, bytes: number, write: boolean, backwards: boolean): void {
    this.bytes = bytes;
    const u32 = cpu.u32;
    const w = (cpu.base + R.GPR + register * 8) >>> 2;
    let low = u32[w] | 0;
    let high = insn.addressSize === 64 ? u32[w + 1] | 0 : 0;
    if (insn.addressSize === 16) low &= 0xffff;
    if (cpu.codeSize === 64) {
      if (segment >= Segment.FS) {
        const linear = cpu.segmentBase(segment) + ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
        low = Number(linear & 0xffff_ffffn) | 0;
        high = Number((linear >> 32n) & 0xffff_ffffn) | 0;
      }
      this.low = low;
      this.high = high;
      this.room = roomInPage(low, bytes, backwards);
      if (insn.addressSize !== 64 || cpu.mmu.dataBreakpoints.covers(low, high)) this.room = Math.min(this.room, 1);
      return;
    }
    // Outside 64-bit mode one element is checked at a time unless the whole page is inside the segment.
    const offset = low >>> 0;
    const lowLimit = Number(cpu.get64(seg(segment, write ? S.WRITE_LOW : S.READ_LOW)));
    const highLimit = Number(cpu.get64(seg(segment, write ? S.WRITE_HIGH : S.READ_HIGH)));
    if (offset < lowLimit || offset + bytes - 1 > highLimit) cpu.raise(segment === Segment.SS ? Vector.SS : Vector.GP, 0);
    this.low = (offset + u32[(cpu.base + seg(segment, S.BASE)) >>> 2]) | 0;
    this.high = 0;
    const room = roomInPage(this.low, bytes, backwards);
    const inSegment = backwards ? Math.floor((offset - lowLimit) / bytes) + 1 : Math.floor((highLimit - offset + 1) / bytes);
    const beforeWrap = insn.addressSize === 16 ? (backwards ? Math.floor(offset / bytes) + 1 : Math.floor((0x1_0000 - offset) / bytes)) : room;
    this.room = Math.min(room, inSegment, Math.max(1, beforeWrap));
    if (cpu.mmu.dataBreakpoints.covers(this.low, 0)) this.room = Math.min(this.room, 1);
  }

  map(cpu: Cpu, access: number): void {
    this.host = cpu.mmu.hostOf(this.low, this.high, access, this.bytes);
  }
  linear(): bigint {
    return (BigInt(this.high >>> 0) << 32n) | BigInt(this.low >>> 0);
  }
}

function roomInPage(low: number, bytes: number, backwards: boolean): number {
  const offset = low & 0xfff;
  if (offset + bytes > PAGE) return 0;
  return backwards ? Math.floor(offset / bytes) + 1 : Math.floor((PAGE - offset) / bytes);
}

const from = new Pointer();
const to = new Pointer();

function element(cpu: Cpu, host: number, bytes: number): number {
  cpu.memory.aboutToRead(host, bytes);
  return bytes === 1 ? cpu.u8[host] : bytes === 2 ? cpu.memory.view.getUint16(host, true) : cpu.memory.view.getUint32(host, true);
}

function movs(cpu: Cpu, insn: Insn): void {
  const bytes = insn.size / 8;
  const backwards = (cpu.get32(R.RFLAGS_SYSTEM) & Flag.DF) !== 0;
  let left = iterations(cpu, insn);
  let done = 0;
  if (left === 0) return;
  const step = backwards ? -bytes : bytes;
  try {
    while (left > 0) {
      from.locate(cpu, insn.segment, RSI, insn, bytes, false, backwards);
      to.locate(cpu, Segment.ES, RDI, insn, bytes, true, backwards);
      let n = Math.min(left, from.room, to.room);
      if (n > 0) {
        from.map(cpu, Access.Read);
        to.map(cpu, Access.Write);
      }
      if (n === 0 || from.host === 0 || to.host === 0) {
        // A device or a page-crossing element.
        cpu.writeLinear(to.linear(), bytes, cpu.readLinear(from.linear(), bytes));
        n = 1;
      } else {
        n = copyRun(cpu, from.host, to.host, n, bytes, backwards);
      }
      advance(cpu, RSI, step * n, insn.addressSize);
      advance(cpu, RDI, step * n, insn.addressSize);
      done += n;
      // A data breakpoint traps after the iteration that met it.
      left = cpu.mmu.dataBreakpoints.hits !== 0 ? 0 : left - n;
    }
  } finally {
    if (left > 0 && done > 0 && insn.rep !== 0) interrupted(cpu, insn, done);
  }
  repeated(cpu, insn, done, false);
}

/** A fault in iteration done + 1: the first `done` are committed and charged. */
function interrupted(cpu: Cpu, insn: Insn, done: number): void {
  advance(cpu, RCX, -done, insn.addressSize);
  cpu.i32[(cpu.base + R.BUDGET) >>> 2] -= done;
}

/** Copies up to n elements; overlapping runs go element by element in the order of the instruction. Returns how many. */
function copyRun(cpu: Cpu, source: number, target: number, n: number, bytes: number, backwards: boolean): number {
  const u8 = cpu.u8;
  const memory = cpu.memory;
  const length = n * bytes;
  const s = backwards ? source - length + bytes : source;
  const t = backwards ? target - length + bytes : target;
  memory.aboutToRead(s, length);
  memory.aboutToWrite(memory.physical(t), t, length);
  const overlaps = s < t + length && t < s + length && s !== t;
  const harmful = overlaps && (backwards ? s > t : s < t);
  if (!harmful) u8.copyWithin(t, s, s + length);
  else if (!backwards) for (let i = 0; i < n; i++) u8.copyWithin(t + i * bytes, s + i * bytes, s + (i + 1) * bytes);
  else for (let i = n - 1; i >= 0; i--) u8.copyWithin(t + i * bytes, s + i * bytes, s + (i + 1) * bytes);
  return n;
}

function stos(cpu: Cpu, insn: Insn): void {
  const bytes = insn.size / 8;
  const backwards = (cpu.get32(R.RFLAGS_SYSTEM) & Flag.DF) !== 0;
  let left = iterations(cpu, insn);
  let done = 0;
  if (left === 0) return;
  const step = backwards ? -bytes : bytes;
  try {
    while (left > 0) {
      to.locate(cpu, Segment.ES, RDI, insn, bytes, true, backwards);
      let n = Math.min(left, to.room);
      if (n > 0) to.map(cpu, Access.Write);
      if (n === 0 || to.host === 0) {
        cpu.writeLinear(to.linear(), bytes, cpu.gprSized(0, insn.size));
        n = 1;
      } else {
        const length = n * bytes;
        const t = backwards ? to.host - length + bytes : to.host;
        cpu.memory.aboutToWrite(cpu.memory.physical(t), t, length);
        fill(cpu, t, n, bytes);
      }
      advance(cpu, RDI, step * n, insn.addressSize);
      done += n;
      // A data breakpoint traps after the iteration that met it.
      left = cpu.mmu.dataBreakpoints.hits !== 0 ? 0 : left - n;
    }
  } finally {
    if (left > 0 && done > 0 && insn.rep !== 0) interrupted(cpu, insn, done);
  }
  repeated(cpu, insn, done, false);
}

function fill(cpu: Cpu, host: number, n: number, bytes: number): void {
  const low = cpu.gpr32(0);
  const high = cpu.u32[(cpu.base + R.GPR + 4) >>> 2];
  if (bytes === 1) cpu.u8.fill(low, host, host + n);
  else if (bytes === 2 && (host & 1) === 0) cpu.u16.fill(low, host >>> 1, (host >>> 1) + n);
  else if (bytes === 4 && (host & 3) === 0) cpu.u32.fill(low, host >>> 2, (host >>> 2) + n);
  else if (bytes === 8 && low === 0 && high === 0) cpu.u8.fill(0, host, host + n * 8);
  else {
    const value = cpu.gpr(0);
    for (let i = 0; i < n; i++) {
      if (bytes === 8) cpu.memory.view.setBigUint64(host + i * 8, value, true);
      else if (bytes === 4) cpu.memory.view.setUint32(host + i * 4, low, true);
      else cpu.memory.view.setUint16(host + i * 2, low, true);
    }
  }
}

function lods(cpu: Cpu, insn: Insn): void {
  const bytes = insn.size / 8;
  const backwards = (cpu.get32(R.RFLAGS_SYSTEM) & Flag.DF) !== 0;
  const left = iterations(cpu, insn);
  if (left === 0) return;
  // One element at a time: repeating LODS is of no use to anybody.
  from.locate(cpu, insn.segment, RSI, insn, bytes, false, backwards);
  const v = cpu.readLinear(from.linear(), bytes);
  cpu.setGprSized(0, insn.size, v);
  advance(cpu, RSI, backwards ? -bytes : bytes, insn.addressSize);
  repeated(cpu, insn, 1, false);
}

/** Flags of a - b at `size` bits. */
function compare(cpu: Cpu, a: bigint, b: bigint, size: number): void {
  const r = BigInt.asUintN(size, a - b);
  const top = BigInt(size - 1);
  let flags = 0;
  if (a < b) flags |= Flag.CF;
  if (r === 0n) flags |= Flag.ZF;
  if (r >> top) flags |= Flag.SF;
  if (((a ^ b) & (a ^ r)) >> top) flags |= Flag.OF;
  if ((a ^ b ^ r) & 16n) flags |= Flag.AF;
  let parity = Number(r & 0xffn);
  parity ^= parity >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  if ((parity & 1) === 0) flags |= Flag.PF;
  cpu.setArithmetic(flags);
}

/** True when REPE / REPNE ends after elements that compared `equal`. */
const ends = (insn: Insn, equal: boolean): boolean => (insn.rep === 0xf3 ? !equal : equal);

function scas(cpu: Cpu, insn: Insn): void {
  const bytes = insn.size / 8;
  const backwards = (cpu.get32(R.RFLAGS_SYSTEM) & Flag.DF) !== 0;
  const left = iterations(cpu, insn);
  if (left === 0) return;
  const step = backwards ? -bytes : bytes;
  to.locate(cpu, Segment.ES, RDI, insn, bytes, false, backwards);
  const a = cpu.gprSized(0, insn.size);
  let n = Math.min(left, to.room);
  if (n > 0) to.map(cpu, Access.Read);
  if (n <= 1 || to.host === 0 || bytes === 8) {
    const b = cpu.readLinear(to.linear(), bytes);
    compare(cpu, a, b, insn.size);
    advance(cpu, RDI, step, insn.addressSize);
    return repeated(cpu, insn, 1, ends(insn, a === b));
  }
  const wanted = Number(a);
  let stop = false;
  let done = 0;
  let value = 0;
  while (done < n && !stop) {
    value = element(cpu, to.host + step * done, bytes);
    done++;
    stop = ends(insn, value === wanted);
  }
  n = done;
  compare(cpu, a, BigInt(value), insn.size);
  advance(cpu, RDI, step * n, insn.addressSize);
  repeated(cpu, insn, n, stop);
}

function cmps(cpu: Cpu, insn: Insn): void {
  const bytes = insn.size / 8;
  const backwards = (cpu.get32(R.RFLAGS_SYSTEM) & Flag.DF) !== 0;
  const left = iterations(cpu, insn);
  if (left === 0) return;
  const step = backwards ? -bytes : bytes;
  from.locate(cpu, insn.segment, RSI, insn, bytes, false, backwards);
  to.locate(cpu, Segment.ES, RDI, insn, bytes, false, backwards);
  const n = Math.min(left, from.room, to.room);
  if (n > 0) {
    from.map(cpu, Access.Read);
    to.map(cpu, Access.Read);
  }
  if (n <= 1 || from.host === 0 || to.host === 0 || bytes === 8) {
    const a = cpu.readLinear(from.linear(), bytes);
    const b = cpu.readLinear(to.linear(), bytes);
    compare(cpu, a, b, insn.size);
    advance(cpu, RSI, step, insn.addressSize);
    advance(cpu, RDI, step, insn.addressSize);
    return repeated(cpu, insn, 1, ends(insn, a === b));
  }
  let stop = false;
  let done = 0;
  let a = 0;
  let b = 0;
  while (done < n && !stop) {
    a = element(cpu, from.host + step * done, bytes);
    b = element(cpu, to.host + step * done, bytes);
    done++;
    stop = ends(insn, a === b);
  }
  compare(cpu, BigInt(a), BigInt(b), insn.size);
  advance(cpu, RSI, step * done, insn.addressSize);
  advance(cpu, RDI, step * done, insn.addressSize);
  repeated(cpu, insn, done, stop);
}

/** They end the block because a repetition may come back to its own start, and because it spends budget. */
export const STRING_INSTRUCTIONS: SystemInstructions = {
  MOVS: { execute: movs, endsBlock: true },
  STOS: { execute: stos, endsBlock: true },
  LODS: { execute: lods, endsBlock: true },
  SCAS: { execute: scas, endsBlock: true },
  CMPS: { execute: cmps, endsBlock: true },
};
