/** Delivery of interrupts and exceptions through the IDT. SDM volume 3A, "Interrupt and Exception Handling". */
import { eventDelivered } from './branch-records';
import { Activity, Flag, UNWIND, Vector, type Cpu } from './cpu';
import { recordDebugException } from './debug';
import { Segment } from './decoder/insn';
import { EventType, REGISTERS_HOLD_IT, type CpuEvent } from './interfaces';
import { R } from './layout';
import { Access } from './mmu';
import {
  AccessBit,
  SystemType,
  checkCodeSegment,
  checkStackSegment,
  dplOf,
  isNull,
  readDescriptor,
  selectorError,
  setCodeSegment,
  setRealCodeSegment,
  setStackSegment,
  type Descriptor,
} from './segments';

const IMPLICIT_READ = Access.Read | Access.Supervisor;
const IMPLICIT_WRITE = Access.Write | Access.Supervisor;
const RSP = 4;
/** Error code of a fault that an IDT entry caused: bit 1; bit 0 is EXT. */
const IDT = 2;
/** Offsets in a 64-bit TSS. */
const TSS64_RSP0 = 4;
const TSS64_IST1 = 36;

/** SDM "Interrupt and Exception Classes": contributory exceptions. The rest is benign, page faults apart. */
const CONTRIBUTORY: ReadonlySet<number> = new Set([Vector.DE, Vector.TS, Vector.NP, Vector.SS, Vector.GP, Vector.CP]);

const isSoftware = (event: CpuEvent): boolean =>
  event.type === EventType.SoftwareInterrupt || event.type === EventType.SoftwareException || event.type === EventType.PrivilegedSoftwareException;

/** SDM "Conditions for Generating a Double Fault". */
function makesDoubleFault(first: CpuEvent, second: CpuEvent): boolean {
  if (first.type !== EventType.HardwareException) return false;
  if (first.vector === Vector.PF) return second.vector === Vector.PF || CONTRIBUTORY.has(second.vector);
  return CONTRIBUTORY.has(first.vector) && CONTRIBUTORY.has(second.vector);
}

const DOUBLE_FAULT: CpuEvent = { vector: Vector.DF, type: EventType.HardwareException, errorCode: 0, payload: 0n, length: 0 };

/**
 * Delivers `event` with R.RIP at the instruction to return to (software events: at the INT instruction). A fault while delivering leads to
 * that fault, a double fault, or shutdown; in guest mode each of them may exit instead.
 */
export function deliverEvent(cpu: Cpu, event: CpuEvent): void {
  let current = event;
  let original: CpuEvent | undefined;
  for (;;) {
    const x = cpu.interception;
    const interceptable = current.type !== EventType.ExternalInterrupt && current.type !== EventType.SoftwareInterrupt;
    if (x !== undefined && x.guestMode && interceptable && x.exception(current, original)) return;
    cpu.delivering = current;
    try {
      deliver(cpu, current);
      delivered(cpu);
      cpu.pendingDebug |= cpu.mmu.dataBreakpoints.take();
      cpu.observer.deliver?.(cpu, current);
      return;
    } catch (e) {
      if (e !== UNWIND) throw e;
    } finally {
      cpu.delivering = undefined;
    }
    const second = cpu.fault;
    cpu.fault = undefined;
    cpu.mmu.dataBreakpoints.take();
    // A VM exit took over.
    if (second === undefined) return;
    if (x !== undefined && x.guestMode && x.interceptsBeforeDoubleFault === true && x.exception(second, current)) return;
    if (current.type === EventType.HardwareException && current.vector === Vector.DF) return shutdown(cpu);
    original = current;
    current = makesDoubleFault(current, second) ? DOUBLE_FAULT : second;
  }
}

/** Virtual time of a delivery after which nothing retires before the next one, in ticks. */
const BARREN_DELIVERY = 100;

/**
 * An event has been delivered. Blocking by STI and MOV SS ends with it. Deliveries take no virtual time, as instructions do; but a handler
 * whose first instruction faults must not stop the clock for ever.
 */
export function delivered(cpu: Cpu): void {
  cpu.shadowAt = cpu.repeatingAt = -1;
  const retired = cpu.retired();
  if (cpu.deliveredAt === retired) cpu.skew += BARREN_DELIVERY;
  else cpu.deliveredAt = retired;
}

function shutdown(cpu: Cpu): void {
  const x = cpu.interception;
  if (x !== undefined && x.guestMode && x.tripleFault()) return;
  cpu.activity = Activity.Shutdown;
}

function deliver(cpu: Cpu, event: CpuEvent): void {
  if (event.type === EventType.HardwareException && event.payload !== REGISTERS_HOLD_IT) {
    if (event.vector === Vector.PF) cpu.set64(R.CR2, event.payload);
    if (event.vector === Vector.DB) recordDebugException(cpu, Number(event.payload));
  }
  const from = cpu.rip;
  const returnRip = isSoftware(event) ? BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, from + BigInt(event.length)) : from;
  if (!cpu.protectedMode) deliverReal(cpu, event, returnRip);
  else deliverProtected(cpu, event, returnRip);
  if (event.type === EventType.Nmi) cpu.nmiBlocked = true;
  if (cpu.get32(R.DEBUGCTL) !== 0) eventDelivered(cpu, event, from);
}

/** Real-address mode: IP, CS and FLAGS on the stack, CS:IP from the table of four-byte vectors. */
function deliverReal(cpu: Cpu, event: CpuEvent, returnRip: bigint): void {
  const entry = event.vector * 4;
  if (entry + 3 > cpu.get32(R.IDTR_LIMIT)) cpu.gp(event.vector * 8 + IDT);
  const target = cpu.readLinear(cpu.get64(R.IDTR_BASE) + BigInt(entry), 4, IMPLICIT_READ);
  const flags = cpu.rflags();
  const words = [BigInt(flags & 0xffff), BigInt(cpu.selector(Segment.CS)), returnRip & 0xffffn];
  const sp = cpu.gpr16(RSP);
  words.forEach((word, i) => cpu.writeLinear(cpu.linear(Segment.SS, BigInt((sp - 2 * (i + 1)) & 0xffff), 2, true), 2, word));
  cpu.setGpr16(RSP, sp - 6);
  setRealCodeSegment(cpu, Number(target >> 16n));
  cpu.rip = target & 0xffffn;
  cpu.setRflags(flags & ~(Flag.IF | Flag.TF | Flag.AC | Flag.RF));
}

interface Gate {
  readonly type: number;
  readonly selector: number;
  readonly offset: bigint;
  readonly ist: number;
}

/** The IDT entry, checked. SDM "IDT Descriptors", "Protection of Exception- and Interrupt-Handler Procedures". */
function readGate(cpu: Cpu, event: CpuEvent, external: number): Gate {
  const error = event.vector * 8 + IDT + external;
  const bytes = cpu.longMode ? 16 : 8;
  if (event.vector * bytes + bytes - 1 > cpu.get32(R.IDTR_LIMIT)) cpu.gp(error);
  const at = cpu.get64(R.IDTR_BASE) + BigInt(event.vector * bytes);
  const low = cpu.readLinear(at, 8, IMPLICIT_READ);
  const high = Number(low >> 32n);
  const type = (high >>> 8) & 0x1f;
  const allowed =
    type === SystemType.INTERRUPT_GATE ||
    type === SystemType.TRAP_GATE ||
    (!cpu.longMode && (type === SystemType.INTERRUPT_GATE16 || type === SystemType.TRAP_GATE16));
  // DEVIATION: task gates raise #GP as in IA-32e mode; hardware task switching is not modelled.
  if (!allowed) cpu.gp(error);
  const checksDpl = event.type === EventType.SoftwareInterrupt || event.type === EventType.SoftwareException;
  if (checksDpl && dplOf(high >>> 8) < cpu.cpl) cpu.gp(error);
  if ((high & 0x8000) === 0) cpu.raise(Vector.NP, error);
  const upper = cpu.longMode ? cpu.readLinear(at + 8n, 4, IMPLICIT_READ) << 32n : 0n;
  return { type, selector: Number((low >> 16n) & 0xffffn), offset: (low & 0xffffn) | (BigInt(high) & 0xffff_0000n) | upper, ist: high & 7 };
}

/** DEVIATION: in virtual-8086 mode ES, DS, FS and GS are not pushed: that mode is not modelled. */
function deliverProtected(cpu: Cpu, event: CpuEvent, returnRip: bigint): void {
  const external = isSoftware(event) && event.type !== EventType.PrivilegedSoftwareException ? 0 : 1;
  const gate = readGate(cpu, event, external);
  if (isNull(gate.selector)) cpu.gp(external);
  const code = readDescriptor(cpu, gate.selector, Vector.GP, external);
  const cpl = cpu.cpl;
  const error = selectorError(gate.selector, external);
  if ((code.access & (AccessBit.S | AccessBit.CODE)) !== (AccessBit.S | AccessBit.CODE) || dplOf(code.access) > cpl) cpu.gp(error);
  checkCodeSegment(cpu, gate.selector, code, external);
  if (cpu.longMode && (code.access & (AccessBit.L | AccessBit.DB)) !== AccessBit.L) cpu.gp(error);
  const newCpl = (code.access & AccessBit.CONFORMING) !== 0 ? cpl : dplOf(code.access);
  const flags = cpu.rflags();
  const frame = { event, returnRip, flags: pushedFlags(cpu, event, flags), newCpl, external };
  if (cpu.longMode) pushFrame64(cpu, gate, code, frame);
  else pushFrame32(cpu, gate, code, frame);
  cpu.rip = gate.offset;
  const isTrapGate = (gate.type & 1) !== 0;
  cpu.setRflags(flags & ~(Flag.TF | Flag.NT | Flag.RF | Flag.VM | (isTrapGate ? 0 : Flag.IF)));
}

/**
 * RF is 1 in the image of fault-class exceptions, and of interrupts and traps between the iterations of a repeated string instruction, so
 * that an instruction breakpoint does not hit again. SDM "Instruction-Breakpoint Exception Condition".
 */
function pushedFlags(cpu: Cpu, event: CpuEvent, flags: number): number {
  const fault = event.type === EventType.HardwareException && event.vector !== Vector.DB && event.vector !== Vector.DF && event.vector !== Vector.MC;
  return fault || (!isSoftware(event) && cpu.isRepeating()) ? flags | Flag.RF : flags;
}

interface Frame {
  readonly event: CpuEvent;
  readonly returnRip: bigint;
  readonly flags: number;
  readonly newCpl: number;
  readonly external: number;
}
const errorCodeOf = (event: CpuEvent): number | undefined => (event.type === EventType.HardwareException ? event.errorCode : undefined);

/** SDM "64-Bit Mode Stack Frame": SS:RSP always, RSP aligned to 16, the new SS null after a change of privilege. */
function pushFrame64(cpu: Cpu, gate: Gate, code: Descriptor, { event, returnRip, flags, newCpl }: Frame): void {
  const tss = cpu.segmentBase(Segment.TR);
  const inward = newCpl < cpu.cpl;
  let rsp = cpu.gpr(RSP);
  if (gate.ist !== 0) rsp = readTss64(cpu, tss, TSS64_IST1 + (gate.ist - 1) * 8);
  else if (inward) rsp = readTss64(cpu, tss, TSS64_RSP0 + newCpl * 8);
  if (!cpu.mmu.canonical(rsp)) cpu.raise(Vector.SS, 0);
  if (!cpu.mmu.canonical(gate.offset)) cpu.gp();
  rsp &= ~15n;
  const words = [BigInt(cpu.selector(Segment.SS)), cpu.gpr(RSP), BigInt(flags), BigInt(cpu.selector(Segment.CS)), returnRip];
  const errorCode = errorCodeOf(event);
  if (errorCode !== undefined) words.push(BigInt(errorCode));
  // The pushes have the new privilege level.
  const access = newCpl < 3 ? IMPLICIT_WRITE : Access.Write;
  const bottom = BigInt.asUintN(64, rsp - BigInt(words.length * 8));
  cpu.mmu.probe(bottom, words.length * 8, access);
  words.forEach((word, i) => cpu.writeLinear(BigInt.asUintN(64, rsp - BigInt(8 * (i + 1))), 8, word, access));
  if (inward) cpu.setSegment(Segment.SS, newCpl, AccessBit.UNUSABLE | (newCpl << 5), 0, 0n);
  setCodeSegment(cpu, gate.selector, code, newCpl);
  cpu.setGpr(RSP, bottom);
}

function readTss64(cpu: Cpu, tss: bigint, offset: number): bigint {
  if (offset + 7 > cpu.segmentLimit(Segment.TR)) cpu.raise(Vector.TS, selectorError(cpu.selector(Segment.TR)));
  return cpu.readLinear(tss + BigInt(offset), 8, IMPLICIT_READ);
}

/** 32- and 16-bit gates; the stack of an inner level comes from the TSS. SDM "Stack Usage on Transfers to Interrupt and Exception-Handling Routines". */
function pushFrame32(cpu: Cpu, gate: Gate, code: Descriptor, { event, returnRip, flags, newCpl, external }: Frame): void {
  const bytes = (gate.type & 8) !== 0 ? 4 : 2;
  const oldSs = cpu.selector(Segment.SS);
  const oldEsp = cpu.gpr32(RSP);
  const words: number[] = [flags, cpu.selector(Segment.CS), Number(returnRip & 0xffff_ffffn)];
  const errorCode = errorCodeOf(event);
  if (errorCode !== undefined) words.push(errorCode);
  let top = oldEsp;
  let base = cpu.segmentBase(Segment.SS);
  let mask = Number(cpu.get64(R.STACK_MASK) & 0xffff_ffffn);
  let stack: { readonly selector: number; readonly d: Descriptor | undefined } | undefined;
  if (newCpl < cpu.cpl) {
    const inner = innerStack(cpu, newCpl);
    stack = { selector: inner.ss, d: checkStackSegment(cpu, inner.ss, newCpl, false, Vector.TS, external) };
    top = inner.esp;
    base = BigInt(stack.d!.base);
    mask = (stack.d!.access & AccessBit.DB) !== 0 ? 0xffff_ffff : 0xffff;
    words.unshift(oldSs, oldEsp);
  }
  let offset = top;
  for (const word of words) {
    offset = ((offset - bytes) & mask) >>> 0;
    const value = BigInt(word >>> 0) & (bytes === 4 ? 0xffff_ffffn : 0xffffn);
    const linear = stack === undefined ? cpu.linear(Segment.SS, BigInt(offset), bytes, true) : BigInt.asUintN(32, base + BigInt(offset));
    cpu.writeLinear(linear, bytes, value, newCpl < 3 ? IMPLICIT_WRITE : Access.Write);
  }
  if (stack !== undefined) setStackSegment(cpu, stack.selector, stack.d, newCpl);
  setCodeSegment(cpu, gate.selector, code, newCpl);
  if (mask === 0xffff) cpu.setGpr16(RSP, offset);
  else cpu.setGpr32(RSP, offset);
}

/** SS:ESP of an inner privilege level from a 32- or 16-bit TSS. */
export function innerStack(cpu: Cpu, cpl: number): { readonly ss: number; readonly esp: number } {
  const tss = cpu.segmentBase(Segment.TR);
  const wide = (cpu.segmentAccess(Segment.TR) & 8) !== 0;
  const offset = wide ? 4 + cpl * 8 : 2 + cpl * 4;
  const size = wide ? 4 : 2;
  if (offset + size + 1 > cpu.segmentLimit(Segment.TR)) cpu.raise(Vector.TS, selectorError(cpu.selector(Segment.TR)));
  const esp = Number(cpu.readLinear(tss + BigInt(offset), size, IMPLICIT_READ));
  return { esp, ss: Number(cpu.readLinear(tss + BigInt(offset + size), 2, IMPLICIT_READ)) };
}
