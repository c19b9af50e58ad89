/** Far JMP, CALL and RET. SDM volume 2, the pages of JMP, CALL and RET; volume 3A, "Privilege Level Checking When Transferring Program Control". */
import { Vector, type Cpu } from '../cpu';
import { Segment, type Insn } from '../decoder/insn';
import { innerStack } from '../exceptions';
import { Access } from '../mmu';
import {
  AccessBit,
  SystemType,
  checkCodeSegment,
  checkStackSegment,
  dplOf,
  isNull,
  readDescriptor,
  readUpperHalf,
  selectorError,
  setCodeSegment,
  setRealCodeSegment,
  setStackSegment,
  type Descriptor,
} from '../segments';
import { farOffsetBytes } from './far-pointer';
import { push, setStackPointer, stackLinear, stackPointer } from './stack-access';
import type { SystemInstructions } from './table';

const RSP = 4;

interface FarPointer {
  readonly selector: number;
  readonly offset: bigint;
}

function target(cpu: Cpu, insn: Insn): FarPointer {
  if (insn.form === 'p') return { selector: insn.imm2 & 0xffff, offset: BigInt(insn.imm >>> 0) & (insn.operandSize === 16 ? 0xffffn : 0xffff_ffffn) };
  const bytes = farOffsetBytes(cpu, insn);
  const linear = cpu.linearOf(insn, bytes + 2, false);
  return { offset: cpu.readLinear(linear, bytes), selector: Number(cpu.readLinear(linear + BigInt(bytes), 2)) };
}

/** The offset must lie inside a 32- or 16-bit segment, or be canonical. */
function checkOffset(cpu: Cpu, d: Descriptor, offset: bigint): void {
  const is64 = cpu.longMode && (d.access & AccessBit.L) !== 0;
  if (is64 ? !cpu.mmu.canonical(offset) : offset > BigInt(d.limit)) cpu.gp();
}

/** CS:IP as CALL pushes them, probed before anything changes. */
function pushReturn(cpu: Cpu, bytes: number): void {
  cpu.mmu.probe(stackLinear(cpu, -2 * bytes, 2 * bytes, true), 2 * bytes, Access.Write);
  const ip = cpu.nextRip();
  push(cpu, cpu.selector(Segment.CS), bytes);
  push(cpu, ip, bytes);
}

function farTransfer(cpu: Cpu, insn: Insn, call: boolean): void {
  const { selector, offset } = target(cpu, insn);
  const bytes = farOffsetBytes(cpu, insn);
  if (!cpu.protectedMode || cpu.v86) {
    if (call) pushReturn(cpu, bytes);
    setRealCodeSegment(cpu, selector);
    cpu.rip = offset;
    return;
  }
  if (isNull(selector)) cpu.gp();
  const d = readDescriptor(cpu, selector);
  if ((d.access & AccessBit.S) === 0) return throughGate(cpu, selector, d, call);
  checkCodeSegment(cpu, selector, d);
  const conforming = (d.access & AccessBit.CONFORMING) !== 0;
  const dpl = dplOf(d.access);
  if (conforming ? dpl > cpu.cpl : (selector & 3) > cpu.cpl || dpl !== cpu.cpl) cpu.gp(selectorError(selector));
  checkOffset(cpu, d, offset);
  if (call) pushReturn(cpu, bytes);
  setCodeSegment(cpu, selector, d, cpu.cpl);
  cpu.rip = offset;
}

/** Call gates. SDM "Accessing a Code Segment Through a Call Gate", "IA-32e Mode Call Gates". */
function throughGate(cpu: Cpu, selector: number, gate: Descriptor, call: boolean): void {
  const error = selectorError(selector);
  const type = gate.access & 15;
  // DEVIATION: a TSS or task gate raises #GP as in IA-32e mode; hardware task switching is not modelled.
  if (type !== SystemType.CALL_GATE && (type !== SystemType.CALL_GATE16 || cpu.longMode)) cpu.gp(error);
  if (dplOf(gate.access) < Math.max(cpu.cpl, selector & 3)) cpu.gp(error);
  if ((gate.access & AccessBit.PRESENT) === 0) cpu.raise(Vector.NP, error);
  const codeSelector = gate.low >>> 16;
  if (isNull(codeSelector)) cpu.gp();
  const code = readDescriptor(cpu, codeSelector);
  checkCodeSegment(cpu, codeSelector, code);
  if (dplOf(code.access) > cpu.cpl) cpu.gp(selectorError(codeSelector));
  if (cpu.longMode && (code.access & (AccessBit.L | AccessBit.DB)) !== AccessBit.L) cpu.gp(selectorError(codeSelector));
  const wide = type === SystemType.CALL_GATE;
  let offset = BigInt(gate.low & 0xffff) | (wide ? BigInt((gate.high & 0xffff_0000) >>> 0) : 0n);
  if (cpu.longMode) offset |= readUpperHalf(cpu, gate);
  checkOffset(cpu, code, offset);
  const nonConforming = (code.access & AccessBit.CONFORMING) === 0;
  const bytes = cpu.longMode ? 8 : wide ? 4 : 2;
  if (nonConforming && dplOf(code.access) < cpu.cpl) {
    if (!call) cpu.gp(selectorError(codeSelector));
    callInward(cpu, codeSelector, code, offset, bytes, gate.high & 0x1f);
    return;
  }
  if (call) pushReturn(cpu, bytes);
  setCodeSegment(cpu, codeSelector, code, cpu.cpl);
  cpu.rip = offset;
}

function callInward(cpu: Cpu, selector: number, code: Descriptor, offset: bigint, bytes: number, parameters: number): void {
  const newCpl = dplOf(code.access);
  const access = Access.Write | Access.Supervisor;
  const words: bigint[] = [BigInt(cpu.selector(Segment.SS)), cpu.gpr(RSP)];
  let top: bigint;
  let stack: { selector: number; d: Descriptor | undefined };
  let base = 0n;
  if (cpu.longMode) {
    const tss = cpu.segmentBase(Segment.TR);
    top = cpu.readLinear(tss + BigInt(4 + newCpl * 8), 8, Access.Read | Access.Supervisor);
    stack = { selector: newCpl, d: undefined };
  } else {
    const inner = innerStack(cpu, newCpl);
    stack = { selector: inner.ss, d: checkStackSegment(cpu, inner.ss, newCpl, false, Vector.TS) };
    top = BigInt(inner.esp);
    base = BigInt(stack.d!.base);
    for (let i = parameters - 1; i >= 0; i--) words.push(cpu.readLinear(stackLinear(cpu, i * bytes, bytes, false), bytes));
  }
  words.push(BigInt(cpu.selector(Segment.CS)), cpu.nextRip());
  const width = cpu.longMode ? 64 : 32;
  const bottom = BigInt.asUintN(width, top - BigInt(words.length * bytes));
  cpu.mmu.probe(BigInt.asUintN(width, base + bottom), words.length * bytes, access);
  words.forEach((word, i) => cpu.writeLinear(BigInt.asUintN(width, base + top - BigInt((i + 1) * bytes)), bytes, BigInt.asUintN(bytes * 8, word), access));
  setStackSegment(cpu, stack.selector, stack.d, newCpl);
  setCodeSegment(cpu, selector, code, newCpl);
  setStackPointer(cpu, bottom);
  cpu.rip = offset;
}

/** Segment registers that outer code may not keep are made null. SDM "RET": "FOR each SegReg in (ES, FS, GS, and DS)". */
export function dropInnerSegments(cpu: Cpu): void {
  for (const s of [Segment.ES, Segment.DS, Segment.FS, Segment.GS]) {
    const access = cpu.segmentAccess(s);
    const conforming = (access & (AccessBit.CODE | AccessBit.CONFORMING)) === (AccessBit.CODE | AccessBit.CONFORMING);
    if ((access & AccessBit.UNUSABLE) === 0 && !conforming && dplOf(access) < cpu.cpl) cpu.setSegment(s, 0, AccessBit.UNUSABLE, 0, cpu.segmentBase(s));
  }
}

function farReturn(cpu: Cpu, insn: Insn): void {
  const bytes = insn.operandSize / 8;
  const release = insn.imm & 0xffff;
  const at = (i: number): bigint => cpu.readLinear(stackLinear(cpu, i, bytes, false), bytes);
  const offset = at(0);
  const selector = Number(at(bytes) & 0xffffn);
  if (!cpu.protectedMode || cpu.v86) {
    setStackPointer(cpu, stackPointer(cpu) + BigInt(2 * bytes + release));
    setRealCodeSegment(cpu, selector);
    cpu.rip = offset;
    return;
  }
  const d = returnTarget(cpu, selector);
  const cpl = selector & 3;
  checkOffset(cpu, d, offset);
  if (cpl === cpu.cpl) {
    const after = stackPointer(cpu) + BigInt(2 * bytes + release);
    setStackPointer(cpu, after);
    setCodeSegment(cpu, selector, d, cpl);
  } else {
    const sp = at(2 * bytes + release);
    const ss = Number(at(3 * bytes + release) & 0xffffn);
    const stack = checkStackSegment(cpu, ss, cpl, cpu.longMode && (d.access & AccessBit.L) !== 0);
    setStackSegment(cpu, ss, stack, cpl);
    setCodeSegment(cpu, selector, d, cpl);
    setStackPointer(cpu, sp + BigInt(release));
    dropInnerSegments(cpu);
  }
  cpu.rip = offset;
}

/** The code segment that RET or IRET returns to: same or outer privilege. */
export function returnTarget(cpu: Cpu, selector: number): Descriptor {
  if (isNull(selector)) cpu.gp();
  const d = readDescriptor(cpu, selector);
  const rpl = selector & 3;
  const dpl = dplOf(d.access);
  const conforming = (d.access & AccessBit.CONFORMING) !== 0;
  const code = selectorError(selector);
  if ((d.access & (AccessBit.S | AccessBit.CODE)) !== (AccessBit.S | AccessBit.CODE) || rpl < cpu.cpl) cpu.gp(code);
  if (conforming ? dpl > rpl : dpl !== rpl) cpu.gp(code);
  checkCodeSegment(cpu, selector, d);
  return d;
}

export const FAR_TRANSFERS: SystemInstructions = {
  JMPF: { execute: (cpu, insn) => farTransfer(cpu, insn, false), endsBlock: true },
  CALLF: { execute: (cpu, insn) => farTransfer(cpu, insn, true), endsBlock: true },
  RETF: { execute: farReturn, endsBlock: true },
};
