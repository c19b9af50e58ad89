/** IN, OUT, INS, OUTS: SDM volume 1, "Input/Output". */
import { Flag, type Cpu } from '../cpu';
import { portBreakpoint } from '../debug';
import { Segment, type Insn } from '../decoder/insn';
import { Sensitive } from '../interfaces';
import { R } from '../layout';
import { Access } from '../mmu';
import { repeatAgain } from '../string';
import type { SystemInstructions } from './table';

const RAX = 0,
  RCX = 1,
  RDX = 2,
  RSI = 6,
  RDI = 7;
/** Offset of the I/O map base in a 32-bit or 64-bit TSS, and the smallest limit that holds it. */
const TSS_IO_MAP_BASE = 102;
const TSS_MINIMUM_LIMIT = 103;
/** Descriptor types 9 and 11: 32-bit or 64-bit TSS, available or busy. */
const TSS_TYPE_MASK = 0x1_009d;
const TSS_TYPE = 0x0_0089;

type PortSize = 1 | 2 | 4;

/** #GP(0) unless the port may be used: SDM "I/O Privilege Level" and "I/O Permission Bit Map". */
export function checkPortPermission(cpu: Cpu, port: number, bytes: number): void {
  if (!cpu.protectedMode || (cpu.cpl <= cpu.iopl && !cpu.v86)) return;
  const limit = cpu.segmentLimit(Segment.TR);
  if ((cpu.segmentAccess(Segment.TR) & TSS_TYPE_MASK) !== TSS_TYPE || limit < TSS_MINIMUM_LIMIT) cpu.gp();
  const tss = cpu.segmentBase(Segment.TR);
  const supervisor = Access.Read | Access.Supervisor;
  const map = Number(cpu.readLinear(tss + BigInt(TSS_IO_MAP_BASE), 2, supervisor)) + (port >>> 3);
  // Two bytes are read always, so the limit must reach one byte further.
  if (map + 1 > limit) cpu.gp();
  const bits = Number(cpu.readLinear(tss + BigInt(map), 2, supervisor));
  if (((bits >>> (port & 7)) & ((1 << bytes) - 1)) !== 0) cpu.gp();
}

function readPort(cpu: Cpu, port: number, bytes: PortSize): number {
  return cpu.ports === undefined ? 0xffff_ffff : cpu.ports.read(port, bytes);
}

/** I/O breakpoints are traps: the #DB comes after the instruction. */
function noteBreakpoint(cpu: Cpu, port: number, bytes: number): void {
  const hits = portBreakpoint(cpu, port, bytes);
  if (hits === 0) return;
  cpu.pendingDebug |= hits;
  cpu.attention = true;
}

const portOf = (cpu: Cpu, insn: Insn): number => (insn.form === 'i' ? insn.imm & 0xff : cpu.gpr16(RDX));

function input(cpu: Cpu, insn: Insn): void {
  const port = portOf(cpu, insn);
  const bytes = (insn.size >>> 3) as PortSize;
  checkPortPermission(cpu, port, bytes);
  if (cpu.exits(Sensitive.IN, port)) return;
  const value = readPort(cpu, port, bytes);
  if (bytes === 1) cpu.setGpr8(RAX, value);
  else if (bytes === 2) cpu.setGpr16(RAX, value);
  else cpu.setGpr32(RAX, value);
  noteBreakpoint(cpu, port, bytes);
}

function output(cpu: Cpu, insn: Insn): void {
  const port = portOf(cpu, insn);
  const bytes = (insn.size >>> 3) as PortSize;
  checkPortPermission(cpu, port, bytes);
  if (cpu.exits(Sensitive.OUT, port)) return;
  const value = bytes === 1 ? cpu.gpr8(RAX) : bytes === 2 ? cpu.gpr16(RAX) : cpu.gpr32(RAX);
  cpu.ports?.write(port, bytes, value);
  noteBreakpoint(cpu, port, bytes);
}

// ---- string forms: one iteration an execution ----

/** Runs `iteration` once; with REP it counts rCX down and, when more remain, comes back to the same instruction. */
function repeat(cpu: Cpu, insn: Insn, iteration: (cpu: Cpu, insn: Insn) => void): void {
  if (insn.rep === 0) return iteration(cpu, insn);
  if (cpu.gprSized(RCX, insn.addressSize) === 0n) {
    // A 32-bit count that is 0 still clears nothing: no register is written.
    return;
  }
  iteration(cpu, insn);
  step(cpu, RCX, -1, insn.addressSize);
  if (cpu.gprSized(RCX, insn.addressSize) !== 0n) repeatAgain(cpu);
}

function step(cpu: Cpu, register: number, by: number, addressSize: number): void {
  cpu.setGprSized(register, addressSize, BigInt.asUintN(addressSize, cpu.gprSized(register, addressSize) + BigInt(by)));
}

const stride = (cpu: Cpu, bytes: number): number => ((cpu.get32(R.RFLAGS_SYSTEM) & Flag.DF) !== 0 ? -bytes : bytes);

function insOnce(cpu: Cpu, insn: Insn): void {
  const port = cpu.gpr16(RDX);
  const bytes = (insn.size >>> 3) as PortSize;
  checkPortPermission(cpu, port, bytes);
  cpu.intercept(Sensitive.INS, port);
  // The destination must be known good before the device is read: reading has side effects.
  const linear = cpu.linear(Segment.ES, cpu.gprSized(RDI, insn.addressSize), bytes, true);
  cpu.mmu.probe(linear, bytes, Access.Write);
  const value = readPort(cpu, port, bytes);
  cpu.writeLinear(linear, bytes, BigInt(bytes === 4 ? value : bytes === 2 ? value & 0xffff : value & 0xff));
  step(cpu, RDI, stride(cpu, bytes), insn.addressSize);
  noteBreakpoint(cpu, port, bytes);
}

function outsOnce(cpu: Cpu, insn: Insn): void {
  const port = cpu.gpr16(RDX);
  const bytes = (insn.size >>> 3) as PortSize;
  checkPortPermission(cpu, port, bytes);
  cpu.intercept(Sensitive.OUTS, port);
  const linear = cpu.linear(insn.segment, cpu.gprSized(RSI, insn.addressSize), bytes, false);
  const value = Number(cpu.readLinear(linear, bytes));
  cpu.ports?.write(port, bytes, value);
  step(cpu, RSI, stride(cpu, bytes), insn.addressSize);
  noteBreakpoint(cpu, port, bytes);
}

export const PORT_IO: SystemInstructions = {
  IN: { execute: input, endsBlock: true },
  OUT: { execute: output, endsBlock: true },
  INS: { execute: (cpu, insn) => repeat(cpu, insn, insOnce), endsBlock: true },
  OUTS: { execute: (cpu, insn) => repeat(cpu, insn, outsOnce), endsBlock: true },
};
