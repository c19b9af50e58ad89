/** MOV to and from segment registers, PUSH and POP of them, far-pointer loads; LAR, LSL, VERR, VERW, ARPL. */
import { Flag, UNWIND, type Cpu } from '../cpu';
import { Segment, type Insn } from '../decoder/insn';
import { AccessBit, SystemType, dplOf, isNull, loadSegment, readDescriptor, type Descriptor } from '../segments';
import { farOffsetBytes } from './far-pointer';
import { push, setStackPointer, stackLinear, stackPointer } from './stack-access';
import type { SystemInstructions } from './table';

/** Interrupts and debug exceptions wait until the instruction behind a load of SS has executed. */
function blockAfterStackSegment(cpu: Cpu, s: number): void {
  if (s !== Segment.SS) return;
  cpu.shadowAt = cpu.retired() + 1;
  cpu.shadowByMovSs = true;
  cpu.attention = true;
}

function movSegment(cpu: Cpu, insn: Insn): void {
  if (insn.form[0] !== 's') {
    // To a register: zero-extended to the operand size. To memory: always 16 bits.
    cpu.writeOperand(0, BigInt(cpu.selector(insn.src)), insn.form[0] === 'm' ? 16 : insn.operandSize);
    return;
  }
  loadSegment(cpu, insn.dst, Number(cpu.readOperand(1, 16)));
  blockAfterStackSegment(cpu, insn.dst);
}

function popSegment(cpu: Cpu, insn: Insn): void {
  const bytes = insn.size / 8;
  const selector = Number(cpu.readLinear(stackLinear(cpu, 0, bytes, false), bytes) & 0xffffn);
  const after = stackPointer(cpu) + BigInt(bytes);
  loadSegment(cpu, insn.dst, selector);
  setStackPointer(cpu, after);
  blockAfterStackSegment(cpu, insn.dst);
}

/** LDS, LES, LSS, LFS, LGS: the segment first, so that its faults leave the register alone. */
const farPointer =
  (s: number) =>
  (cpu: Cpu, insn: Insn): void => {
    const bytes = farOffsetBytes(cpu, insn);
    const linear = cpu.linearOf(insn, bytes + 2, false);
    const offset = cpu.readLinear(linear, bytes);
    const selector = Number(cpu.readLinear(linear + BigInt(bytes), 2));
    loadSegment(cpu, s, selector);
    cpu.setGprSized(insn.dst, bytes === 2 ? 16 : bytes === 4 ? 32 : 64, offset);
  };

/** The descriptor of a selector that these instructions may look at, or undefined: then they only clear ZF. */
function visible(cpu: Cpu, selector: number, systemTypes: readonly number[]): Descriptor | undefined {
  if (isNull(selector)) return undefined;
  let d: Descriptor;
  try {
    d = readDescriptor(cpu, selector);
  } catch (e) {
    // Beyond the table: not a fault here. A page fault on the table still is one.
    if (e !== UNWIND || cpu.fault === undefined || cpu.fault.vector === 14) throw e;
    cpu.fault = undefined;
    return undefined;
  }
  if ((d.access & AccessBit.S) === 0 && !systemTypes.includes(d.access & 15)) return undefined;
  const conforming = (d.access & (AccessBit.S | AccessBit.CODE | AccessBit.CONFORMING)) === (AccessBit.S | AccessBit.CODE | AccessBit.CONFORMING);
  return conforming || Math.max(cpu.cpl, selector & 3) <= dplOf(d.access) ? d : undefined;
}

const setZf = (cpu: Cpu, on: boolean): void => cpu.setArithmetic(on ? cpu.rflags() | Flag.ZF : cpu.rflags() & ~Flag.ZF);
const BUSY = 2;

function requireProtected(cpu: Cpu): void {
  if (!cpu.protectedMode || cpu.v86) cpu.ud();
}

/** LSL and LAR: system types as SDM lists them; IA-32e mode has fewer. */
function lsl(cpu: Cpu, insn: Insn): void {
  requireProtected(cpu);
  const legacy = cpu.longMode ? [] : [SystemType.TSS16, SystemType.TSS16 | BUSY];
  const d = visible(cpu, Number(cpu.readOperand(1, 16)), [SystemType.LDT, SystemType.TSS, SystemType.TSS | BUSY, ...legacy]);
  if (d !== undefined) cpu.setGprSized(insn.dst, insn.size, BigInt(d.limit));
  setZf(cpu, d !== undefined);
}
function lar(cpu: Cpu, insn: Insn): void {
  requireProtected(cpu);
  const legacy = cpu.longMode ? [] : [SystemType.TSS16, SystemType.TSS16 | BUSY, SystemType.CALL_GATE16, SystemType.TASK_GATE];
  const d = visible(cpu, Number(cpu.readOperand(1, 16)), [SystemType.LDT, SystemType.TSS, SystemType.TSS | BUSY, SystemType.CALL_GATE, ...legacy]);
  if (d !== undefined) cpu.setGprSized(insn.dst, insn.size, BigInt(d.high & (insn.size === 16 ? 0xff00 : 0x00f0_ff00)));
  setZf(cpu, d !== undefined);
}
const verify =
  (write: boolean) =>
  (cpu: Cpu): void => {
    requireProtected(cpu);
    const d = visible(cpu, Number(cpu.readOperand(0, 16)), []);
    const code = d !== undefined && (d.access & AccessBit.CODE) !== 0;
    const bit = d !== undefined && (d.access & AccessBit.WRITABLE) !== 0;
    setZf(cpu, d !== undefined && (write ? !code && bit : !code || bit));
  };
function arpl(cpu: Cpu): void {
  requireProtected(cpu);
  const rpl = Number(cpu.readOperand(1, 16)) & 3;
  const selector = Number(cpu.readOperand(0, 16));
  const raise = (selector & 3) < rpl;
  if (raise) cpu.writeOperand(0, BigInt((selector & 0xfffc) | rpl), 16);
  setZf(cpu, raise);
}

export const SEGMENT_LOADS: SystemInstructions = {
  MOV_SEG: { execute: movSegment, endsBlock: true },
  PUSH_SEG: { execute: (cpu, insn) => push(cpu, cpu.selector(insn.src), insn.size / 8), endsBlock: false },
  POP_SEG: { execute: popSegment, endsBlock: true },
  LES: { execute: farPointer(Segment.ES), endsBlock: true },
  LDS: { execute: farPointer(Segment.DS), endsBlock: true },
  LSS: { execute: farPointer(Segment.SS), endsBlock: true },
  LFS: { execute: farPointer(Segment.FS), endsBlock: true },
  LGS: { execute: farPointer(Segment.GS), endsBlock: true },
  LSL: { execute: lsl, endsBlock: false },
  LAR: { execute: lar, endsBlock: false },
  VERR: { execute: verify(false), endsBlock: false },
  VERW: { execute: verify(true), endsBlock: false },
  ARPL: { execute: arpl, endsBlock: false },
};
