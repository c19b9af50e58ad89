/**
 * One logical processor: what is frequently asked about its registers, memory as its instructions see it, and the
 * one way in which a fault or VM exit unwinds out of TypeScript slow paths.
 */
import type { PhysicalMemory } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';
import { linearAddressWidth, type LinearAddressWidth } from './canonical';
import { restoreCpu, saveCpu, type CpuState } from './cpu-state';
import { R, S, seg } from './layout';
import { NO_REGISTER, RIP_BASE, Segment, type CodeSize, type Insn } from './decoder/insn';
import {
  EventType,
  type Sensitive,
  type CpuEvent,
  type CpuProfile,
  type EntropySource,
  type InterruptController,
  type Interception,
  type NestedTranslation,
  type PortSpace,
} from './interfaces';
import { arithmeticFlags, setArithmeticFlags, ARITHMETIC_FLAGS } from './flags';
import { Mmu, Access } from './mmu';
import { RegisterBlock } from './register-block';
import { rangesOf } from './segment-ranges';
import { Activity, Cr0, Efer, Flag, UNWIND, Vector } from './registers';

export { updateSimdState } from './simd-state';
export { Activity, Cr0, Cr4, Efer, Flag, UNWIND, Vector } from './registers';

const MASK64 = (1n << 64n) - 1n;

/** Events an observer may hear of; every hook may be absent. */
export interface CpuObserver {
  /** An opcode that this model does not implement raised #UD. */
  unimplemented?(cpu: Cpu, insn: Insn): void;
  /** An event is delivered through the IDT. */
  deliver?(cpu: Cpu, event: CpuEvent): void;
  /** A linear address was translated by walking the paging structures; `physical` is behind both dimensions, -1 if the last access exited. */
  pageWalk?(cpu: Cpu, low: number, high: number, access: number, physical: number): void;
  /** A translation went into the TLB. `host` is an address in linear memory. */
  tlbFill?(cpu: Cpu, low: number, high: number, host: number): void;
  /** RDMSR or WRMSR completed on this processor, without a VM exit. */
  msr?(cpu: Cpu, index: number, value: bigint, write: boolean): void;
}

export class Cpu extends RegisterBlock implements Stateful<CpuState> {
  readonly mmu: Mmu;

  interception: Interception | undefined;
  nested: NestedTranslation | undefined;
  interrupts: InterruptController | undefined;
  ports: PortSpace | undefined;
  entropy: EntropySource | undefined;
  observer: CpuObserver = {};

  /** The instruction being executed by a TypeScript handler. */
  insn!: Insn;
  /** The exception to deliver after an unwind; undefined when a VM exit (or a retry) unwound. */
  fault: CpuEvent | undefined;
  /** The event on its way through the IDT, while deliverEvent works on it. */
  delivering: CpuEvent | undefined;
  activity = Activity.Active;
  /** NMI edge waiting; NMIs blocked until IRET. */
  nmiPending = false;
  nmiBlocked = false;
  /** Instruction count at which STI / MOV SS blocking is in force (until one more instruction retires), or -1. */
  shadowAt = -1;
  shadowByMovSs = false;
  /** Instruction count after an iteration of a repeated string instruction that was not its last, or -1. */
  repeatingAt = -1;
  /** Instructions retired at the last delivery of an event. */
  deliveredAt = -1;
  /** #DB conditions collected for the next boundary, as DR6 bits (pending debug exceptions). */
  pendingDebug = 0;
  /** CS.L / CS.D of the code running now. */
  codeSize: CodeSize = 16;
  /** EFER.LMA. */
  longMode = false;
  /** Bits of linear addresses that the processor supports; how many count now is the MMU's to say. */
  readonly linearAddressWidth: LinearAddressWidth;
  /** Set by anything that may have made an interrupt deliverable or moved a deadline: the step loop re-evaluates before the next instruction. */
  attention = false;

  constructor(
    memory: PhysicalMemory,
    readonly profile: CpuProfile,
    index = 0,
  ) {
    super(memory, index);
    this.linearAddressWidth = linearAddressWidth(profile);
    this.set64(R.MASK16, 0xffffn);
    this.set64(R.MASK32, 0xffff_ffffn);
    this.set64(R.MASK64, MASK64);
    this.set64(R.IP_MASK, 0xffff_ffffn);
    this.mmu = new Mmu(this);
  }

  // ---- frequently tested state ----

  get cpl(): number {
    return this.get32(R.CPL);
  }
  get cr0(): number {
    return this.get32(R.CR0);
  }
  get cr4(): number {
    return this.get32(R.CR4);
  }
  get efer(): number {
    return this.get32(R.EFER);
  }
  get protectedMode(): boolean {
    return (this.cr0 & Cr0.PE) !== 0;
  }
  get v86(): boolean {
    return (this.get32(R.RFLAGS_SYSTEM) & Flag.VM) !== 0;
  }
  get iopl(): number {
    return (this.get32(R.RFLAGS_SYSTEM) >>> 12) & 3;
  }
  get interruptsEnabled(): boolean {
    return (this.get32(R.RFLAGS_SYSTEM) & Flag.IF) !== 0;
  }
  get guestMode(): boolean {
    return this.interception !== undefined && this.interception.guestMode;
  }

  get rip(): bigint {
    return this.get64(R.RIP);
  }
  /** Where execution goes on. Handlers of block-ending instructions find R.RIP at the next instruction and may change it. */
  set rip(value: bigint) {
    this.set64(R.RIP, value);
  }

  // ---- flags ----

  /** All of RFLAGS, arithmetic flags evaluated. */
  rflags(): number {
    return (this.get32(R.RFLAGS_SYSTEM) | arithmeticFlags(this)) >>> 0;
  }
  /** Loads RFLAGS as given (bit 1 forced to 1): no permission rules here. */
  setRflags(value: number): void {
    const old = this.get32(R.RFLAGS_SYSTEM);
    this.set32(R.RFLAGS_SYSTEM, ((value & ~ARITHMETIC_FLAGS & 0x003f_ffff) | 2) >>> 0);
    setArithmeticFlags(this, value);
    if ((old & Flag.AC) !== 0 && (value & Flag.AC) === 0) this.mmu.smapEnforcedAgain();
    if ((~old & value & Flag.IF) !== 0 || (value & (Flag.TF | Flag.RF)) !== 0) this.attention = true;
  }
  /** Replaces the arithmetic flags only. */
  setArithmetic(value: number): void {
    setArithmeticFlags(this, value);
  }

  // ---- time ----

  /** Instructions retired when compiled code last returned to the step loop, with BUDGET accounted for. */
  retiredBase = 0;
  /** Budget given out at retiredBase. */
  budgetGiven = 0;
  /** Ticks that passed without an instruction (HLT), or instructions that take no time (negative). */
  skew = 0;
  /** AMD-V guest mode: what multiplies the host's time stamp counter before the guest's offset is added, 8.32 fixed point; undefined: 1. */
  guestTscRatio: bigint | undefined;
  /** Instructions retired, exact inside an instruction too. */
  retired(): number {
    return this.retiredBase + (this.budgetGiven - this.i32[(this.base + R.BUDGET) >>> 2]) + this.indexInBlock();
  }
  /** Virtual time in ticks (nanoseconds). */
  now(): number {
    return this.retired() + this.skew;
  }
  /** Supplied by the step loop: instructions of the current block before the current one, not yet charged. */
  indexInBlock: () => number = () => 0;
  /** Supplied by the step loop: puts R.RIP at the start of the current instruction and charges what precedes it. Idempotent. */
  materialize: () => void = () => {};
  /** Supplied by the step loop: takes materialize() back, because the instruction goes on after all. */
  dematerialize: () => void = () => {};

  /** Blocking by STI or MOV SS is in force for the instruction about to execute. */
  inShadow(): boolean {
    return this.shadowAt === this.retired();
  }

  /** The instruction at RIP is a repeated string instruction that has begun. */
  isRepeating(): boolean {
    return this.repeatingAt === this.retired();
  }

  // ---- faults and exits ----

  /** Ends the current instruction with a fault: registers are as before it. */
  raise(vector: number, errorCode?: number, payload = 0n): never {
    this.fault = { vector, type: EventType.HardwareException, errorCode, payload, length: 0 };
    throw UNWIND;
  }
  /** Ends the current instruction, which is to return at once, with an event: as raise(), without the cost of an exception. */
  endWith(event: CpuEvent): void {
    this.fault = event;
    this.exited = true;
  }
  /** #GP(0). */
  gp(errorCode = 0): never {
    return this.raise(Vector.GP, errorCode);
  }
  ud(): never {
    return this.raise(Vector.UD);
  }
  /** Leaves the instruction because a VM exit replaced the state. */
  unwind(): never {
    this.fault = undefined;
    throw UNWIND;
  }
  /** In guest mode: lets the hypervisor's controls turn the instruction into a VM exit (then does not return). */
  intercept(what: Sensitive, operand = 0, value = 0n): void {
    const x = this.interception;
    if (x === undefined || !x.guestMode) return;
    this.materialize();
    if (x.instruction(what, operand, value)) this.unwind();
    this.dematerialize();
  }
  /**
   * The same without the cost of an exception, for instructions that exit often: true when a VM exit replaced the state; the caller
   * must return at once.
   */
  exits(what: Sensitive, operand = 0, value = 0n): boolean {
    const x = this.interception;
    if (x === undefined || !x.guestMode) return false;
    this.materialize();
    if (x.instruction(what, operand, value)) return (this.exited = true);
    this.dematerialize();
    return false;
  }
  /** exits() made a VM exit, or endWith() has an event: the step loop leaves the instruction. */
  exited = false;
  requireCpl0(): void {
    if (this.cpl !== 0) this.gp();
  }

  // ---- segments ----

  selector(s: number): number {
    return this.get32(seg(s, S.SELECTOR)) & 0xffff;
  }
  segmentBase(s: number): bigint {
    return this.get64(seg(s, S.BASE));
  }
  segmentLimit(s: number): number {
    return this.get32(seg(s, S.LIMIT));
  }
  segmentAccess(s: number): number {
    return this.get32(seg(s, S.ACCESS));
  }
  /** Loads a segment register's cache; call modeChanged() after CS, SS or a mode bit changed. */
  setSegment(s: number, selector: number, access: number, limit: number, base: bigint): void {
    this.set32(seg(s, S.SELECTOR), selector & 0xffff);
    this.set32(seg(s, S.ACCESS), access);
    this.set32(seg(s, S.LIMIT), limit);
    this.set64(seg(s, S.BASE), base);
    rangesOf(this, s);
  }

  /** Re-derives codeSize, segment ranges and the jump key after CR0.PE, EFER.LMA, RFLAGS.VM, CPL or CS changed. */
  modeChanged(): void {
    this.longMode = (this.efer & Efer.LMA) !== 0;
    const cs = this.segmentAccess(Segment.CS);
    this.codeSize = this.longMode && (cs & 0x2000) !== 0 ? 64 : (cs & 0x4000) !== 0 ? 32 : 16;
    this.set64(R.CODE_BASE, this.codeSize === 64 ? 0n : this.segmentBase(Segment.CS));
    this.set64(R.IP_MASK, this.codeSize === 64 ? MASK64 : 0xffff_ffffn);
    this.set64(R.STACK_MASK, this.codeSize === 64 ? MASK64 : (this.segmentAccess(Segment.SS) & 0x4000) !== 0 ? 0xffff_ffffn : 0xffffn);
    for (let s = 0; s < 6; s++) rangesOf(this, s);
    this.mmu.contextChanged();
  }

  // ---- operands of TypeScript handlers ----

  /** Offset of the memory operand in its segment, wrapped to the address size. */
  offsetOf(i: Insn): bigint {
    let a = BigInt(i.disp);
    if (i.base === RIP_BASE) a += this.nextRip();
    else if (i.base !== NO_REGISTER) a += this.gpr(i.base);
    if (i.index !== NO_REGISTER) a += this.gpr(i.index) << BigInt(i.scale);
    return BigInt.asUintN(i.addressSize, a);
  }
  /** RIP of the current instruction (insn) and of the one behind it, as offsets in CS. */
  currentRip: () => bigint = () => this.rip;
  nextRip(): bigint {
    return BigInt.asUintN(this.codeSize === 64 ? 64 : 32, this.currentRip() + BigInt(this.insn.length));
  }

  /** Linear address of [offset, offset+bytes) in segment `s` after limit, type and canonicality checks (#GP(0), #SS(0)). */
  linear(s: number, offset: bigint, bytes: number, write: boolean): bigint {
    const last = offset + BigInt(bytes - 1);
    const low = this.get64(seg(s, write ? S.WRITE_LOW : S.READ_LOW));
    const high = this.get64(seg(s, write ? S.WRITE_HIGH : S.READ_HIGH));
    if (offset < low || last > high) this.raise(s === Segment.SS ? Vector.SS : Vector.GP, 0);
    if (this.codeSize !== 64) return BigInt.asUintN(32, this.segmentBase(s) + offset);
    const linear = BigInt.asUintN(64, (s >= Segment.FS ? this.segmentBase(s) : 0n) + offset);
    if (!this.mmu.canonical(linear)) this.raise(s === Segment.SS ? Vector.SS : Vector.GP, 0);
    return linear;
  }
  linearOf(i: Insn, bytes: number, write: boolean): bigint {
    return this.linear(i.segment, this.offsetOf(i), bytes, write);
  }

  /** Reads / writes 1, 2, 4 or 8 bytes at a linear address with the current privilege (or access: Access.Supervisor for implicit ones). */
  readLinear(linear: bigint, bytes: number, access: number = Access.Read): bigint {
    return this.mmu.read(linear, bytes, access);
  }
  writeLinear(linear: bigint, bytes: number, value: bigint, access: number = Access.Write): void {
    this.mmu.write(linear, bytes, value, access);
  }

  /** r/m operand number 1 (`dst`) or 2 (`src`) of `size` bits, zero-extended. */
  readOperand(which: 0 | 1, size = this.insn.size): bigint {
    const i = this.insn;
    const kind = i.form[which];
    if (kind === 'm') return this.readLinear(this.linearOf(i, size / 8, false), size / 8);
    if (kind === 'i') return BigInt.asUintN(size, BigInt(i.imm));
    return this.gprSized(which === 0 ? i.dst : i.src, size);
  }
  writeOperand(which: 0 | 1, value: bigint, size = this.insn.size): void {
    const i = this.insn;
    if (i.form[which] === 'm') this.writeLinear(this.linearOf(i, size / 8, true), size / 8, BigInt.asUintN(size, value));
    else this.setGprSized(which === 0 ? i.dst : i.src, size, value);
  }

  // ---- snapshots: registers; what is cached of memory is the MMU's and the step loop's ----

  saveState(): CpuState {
    return saveCpu(this);
  }
  restoreState(state: CpuState): void {
    restoreCpu(this, state);
  }
}
