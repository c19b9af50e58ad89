/**
 * The step loop of one processor: finds code, runs it, and between instructions takes care of everything the architecture puts
 * there: interrupts, timers, traps, windows of a hypervisor. Compiled code leaves by Status; this file is the only place that reads it.
 *
 * Exactness: compiled code runs only while the budget up to the next event is at least MAX_BLOCK; the rest is single-stepped.
 * So every event lands at the same instruction count whatever the block shapes, cache contents or tier.
 */
import { codeBreakpoint, codeBreakpointsArmed } from './debug';
import { PAGE_SIZE } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';
import type { CodeBreakpoints } from './code-breakpoints';
import type { CodeCache } from './code-cache';
import { BREAK, CodeFinder, GATE } from './code-finder';
import type { CodeFinderState } from './code-finder-state';
import { CodeSharing } from './code-sharing';
import { Activity, Flag, UNWIND, Vector, type Cpu } from './cpu';
import type { CpuState } from './cpu-state';
import { decode } from './decoder/decode';
import { Segment, type Insn } from './decoder/insn';
import { deliverEvent } from './exceptions';
import { EventType, type CpuEvent, type TimerQueue } from './interfaces';
import { R, RECORDS, SEGMENT_STRIDE } from './layout';
import type { MmuState } from './mmu';
import type { Interpreter } from './stage/interpreter';
import { mmxVector, sseVector } from './simd-state';
import { MAX_BLOCK, Status } from './stage/record';
import { SYSTEM_INSTRUCTIONS } from './system/instructions';

/** Why run() returned. */
export type RunStop =
  /** Virtual time reached the limit. */
  | 'limit'
  /** A gate was reached: R.RIP is at it. */
  | 'gate'
  /** Halted, and nothing is scheduled that could wake the processor. */
  | 'idle'
  /** Shutdown (triple fault). */
  | 'shutdown'
  /** stop() was called, or a breakpoint of a debugger was reached (CodeBreakpoints.hit). */
  | 'stopped';

const TWO32 = 0x1_0000_0000;
const LARGEST_BUDGET = 0x4000_0000;
/** DR6.BS: a single-step trap. */
const DR6_BS = 0x4000;

/** The processor with everything it has cached. */
export interface EngineState {
  readonly cpu: CpuState;
  readonly mmu: MmuState;
  readonly finder: CodeFinderState;
  readonly stopRequested: boolean;
  readonly slowSteps: number;
}

export class Engine implements Stateful<EngineState> {
  readonly interpreter: Interpreter;
  readonly code: CodeCache;
  /** Host-physical addresses at which root-mode execution stops (see the hypervisor's root program). */
  private readonly gates: Set<number>;
  /**
   * Root mode is played by TypeScript between gates: its few machine instructions take no time, and only guest instructions count.
   */
  hosted = false;
  /** Hears of every exception before its delivery; true takes it over (an emulator injects it itself). */
  onFault: ((event: CpuEvent) => boolean) | undefined;
  private stopRequested = false;
  private currentRecord = 0;
  private materialized = false;
  private savedRipLow = 0;
  private savedRipHigh = 0;
  private readonly state: number;
  private readonly finder: CodeFinder;
  slowSteps = 0;

  constructor(
    readonly cpu: Cpu,
    readonly scheduler: TimerQueue,
    readonly sharing: CodeSharing = new CodeSharing(cpu.memory, cpu.profile),
  ) {
    this.state = cpu.base >>> 2;
    sharing.engines[cpu.index] = this;
    this.interpreter = sharing.interpreter;
    this.code = sharing.code;
    this.gates = sharing.code.gates;
    this.finder = new CodeFinder(cpu, this.code, this.gates);
    cpu.mmu.mayWriteQuietly = (physical, bytes) => this.code.untouched(physical, bytes);
    cpu.mmu.dropCode = (host) => this.code.invalidate(cpu.memory.physical(host), PAGE_SIZE);
    cpu.mmu.faultOfNonCanonical = () => this.vectorOfNonCanonical();
    cpu.indexInBlock = () => (this.currentRecord !== 0 && !this.materialized ? this.code.indexInBlock(this.currentRecord) : 0);
    cpu.materialize = () => this.materialize();
    cpu.dematerialize = () => this.dematerialize();
    cpu.currentRip = () => this.currentRip();
    scheduler.onChange = () => void (cpu.attention = true);
  }

  /** Makes run() return at the next instruction boundary. */
  stop(): void {
    this.stopRequested = true;
    this.cpu.attention = true;
  }

  /** Stops root-mode execution before the instruction at a host-physical address. */
  addGate(physical: number): void {
    this.gates.add(physical);
    this.code.invalidate(physical, 1);
  }
  /**
   * Puts a debugger's breakpoints into force, and again after each change of them or a restored snapshot. undefined: none.
   * DEVIATION: a lookup that only a breakpoint makes necessary may walk the paging structures for a page that the processor no longer
   * has cached, although it executes there.
   */
  useBreakpoints(breakpoints: CodeBreakpoints | undefined): void {
    this.finder.breakpoints = breakpoints;
    if (breakpoints !== undefined) breakpoints.guestOnly = this.hosted;
    this.finder.breakpointsChanged();
  }

  clearGates(): void {
    for (const gate of this.gates) this.code.invalidate(gate, 1);
    this.gates.clear();
  }

  // ---- snapshots; RAM is not part of them, and must be restored before ----

  saveState(): EngineState {
    const { cpu, finder, stopRequested, slowSteps } = this;
    return { cpu: cpu.saveState(), mmu: cpu.mmu.saveState(), finder: finder.saveState(), stopRequested, slowSteps };
  }

  restoreState({ cpu, mmu, finder, stopRequested, slowSteps }: EngineState): void {
    this.cpu.restoreState(cpu);
    this.cpu.mmu.restoreState(mmu);
    this.finder.restoreState(finder);
    Object.assign(this, { stopRequested, slowSteps, currentRecord: 0, materialized: false });
  }

  // ---- the loop ----

  /** Runs until virtual time `limit` (ticks) or something that only the caller can deal with. */
  run(limit: number): RunStop {
    const cpu = this.cpu;
    for (;;) {
      if (this.stopRequested) {
        this.stopRequested = false;
        return 'stopped';
      }
      let now = cpu.now();
      if (this.scheduler.next <= now) this.scheduler.run(now);
      cpu.attention = false;
      if (this.boundary(now)) continue;
      if (cpu.activity !== Activity.Active) {
        const stop = this.sleep(limit);
        if (stop !== undefined) return stop;
        continue;
      }
      now = cpu.now();
      if (now >= limit) return 'limit';
      const deadline = Math.min(limit, this.scheduler.next, this.extensionDeadline());
      const budget = Math.min(deadline - now, LARGEST_BUDGET);
      const stop = budget < MAX_BLOCK || this.mustStep() ? this.step() : this.runBlocks(budget);
      if (stop !== undefined) return stop;
    }
  }

  private extensionDeadline(): number {
    const x = this.cpu.interception;
    return x !== undefined && x.guestMode ? x.deadline : Infinity;
  }

  /** Traps or blocked events make every instruction boundary interesting. */
  private mustStep(): boolean {
    const cpu = this.cpu;
    if ((cpu.get32(R.RFLAGS_SYSTEM) & (Flag.TF | Flag.RF)) !== 0) return true;
    if (codeBreakpointsArmed(cpu)) return true;
    if (cpu.inShadow() && (cpu.nmiPending || (cpu.interrupts !== undefined && cpu.interrupts.pending()) || cpu.pendingDebug !== 0)) return true;
    const x = cpu.interception;
    return x !== undefined && x.attention;
  }

  private runBlocks(budget: number): RunStop | undefined {
    const cpu = this.cpu;
    const i32 = cpu.i32;
    const budgetWord = this.state + R.BUDGET / 4;
    let record = this.finder.lookup();
    if (record <= 0) return record === 0 ? this.afterUnwind() : this.gateOrStep(record);
    const wasGuest = cpu.guestMode;
    cpu.budgetGiven = budget;
    i32[budgetWord] = budget;
    for (;;) {
      const status = this.interpreter.run(cpu.base, record);
      if (status === Status.Link || status === Status.Lookup) {
        const from = status === Status.Link ? cpu.u32[this.state + R.EXIT_RECORD / 4] : 0;
        record = this.finder.lookup();
        if (record > 0) {
          if (from !== 0) {
            if (this.linkable(from, record)) this.code.link(from, record);
          } else if (this.finder.samePage) this.code.forward(cpu.u32[this.state + R.EXIT_RECORD / 4], record);
          continue;
        }
        this.settle(wasGuest);
        return record === 0 ? this.afterUnwind() : this.gateOrStep(record);
      }
      if (status !== Status.Budget && status !== Status.Attention) this.unwound(status);
      this.settle(wasGuest);
      if (status !== Status.Budget && status !== Status.Attention) return this.afterUnwind();
      return undefined;
    }
  }

  /** Accounts for what compiled code used of its budget. */
  private settle(wasGuest: boolean): void {
    const cpu = this.cpu;
    const used = cpu.budgetGiven - cpu.i32[this.state + R.BUDGET / 4];
    cpu.budgetGiven = 0;
    cpu.i32[this.state + R.BUDGET / 4] = 0;
    if (!this.hosted || wasGuest) cpu.retiredBase += used;
    this.currentRecord = 0;
    this.materialized = false;
  }

  /** Compiled code stopped inside an instruction: makes the state that of its start, and turns its complaint into cpu.fault. */
  private unwound(status: Status): void {
    const cpu = this.cpu;
    const record = cpu.u32[this.state + R.EXIT_RECORD / 4];
    if (status !== Status.Unwound) {
      this.currentRecord = record;
      const vector = this.vectorOf(status, record);
      cpu.fault = {
        vector,
        type: EventType.HardwareException,
        errorCode: vector === Vector.GP || vector === Vector.SS ? 0 : undefined,
        payload: 0n,
        length: 0,
      };
    }
    this.materialize();
  }

  private vectorOf(status: Status, record: number): number {
    if (status === Status.DivideError) return Vector.DE;
    if (status === Status.SseUnavailable) return sseVector(this.cpu);
    if (status === Status.MmxUnavailable) return mmxVector(this.cpu);
    const segment = this.code.segmentOf(record);
    const stack = status === Status.SegmentFault && (segment < 0 || segment === R.SEGMENTS + Segment.SS * SEGMENT_STRIDE);
    return stack ? Vector.SS : Vector.GP;
  }

  /** After an instruction (or a fetch) that did not complete: a slow step, the delivery of its fault, or nothing (VM exit). */
  private afterUnwind(): RunStop | undefined {
    const cpu = this.cpu;
    if (cpu.mmu.slowStepWanted) {
      cpu.mmu.slowStepWanted = false;
      cpu.fault = undefined;
      return this.step();
    }
    const fault = cpu.fault;
    cpu.fault = undefined;
    if (fault !== undefined && !(this.onFault !== undefined && this.onFault(fault))) deliverEvent(cpu, fault);
    return undefined;
  }

  private linkable(from: number, to: number): boolean {
    return (from & 0x1f) === 0 && to >= RECORDS && this.finder.samePage && this.code.targetOffset(from) >= 0 && this.code.targetOffset(from) < 4096;
  }

  private gateOrStep(code: number): RunStop | undefined {
    return code === GATE ? 'gate' : code === BREAK ? this.breakpoint() : this.step();
  }

  /** Like an instruction breakpoint of the debug registers, a debugger's is passed over once while RFLAGS.RF is 1. */
  private breakpoint(): RunStop | undefined {
    const { cpu, finder } = this;
    const breakpoints = finder.breakpoints!;
    if ((cpu.get32(R.RFLAGS_SYSTEM) & Flag.RF) === 0 && !breakpoints.passes(cpu.retired(), cpu.rip)) {
      breakpoints.hit = BigInt.asUintN(64, cpu.rip + cpu.get64(R.CODE_BASE));
      return 'stopped';
    }
    finder.passing = true;
    const stop = this.step();
    finder.passing = false;
    return stop;
  }

  // ---- single steps ----

  /** Executes exactly one instruction, which may touch devices, change code and cross pages. */
  step(): RunStop | undefined {
    const cpu = this.cpu;
    this.slowSteps++;
    const armed = codeBreakpointsArmed(cpu);
    const flagsBefore = cpu.get32(R.RFLAGS_SYSTEM);
    if (armed && (flagsBefore & Flag.RF) === 0) {
      const hit = codeBreakpoint(cpu, BigInt.asUintN(64, cpu.rip + cpu.get64(R.CODE_BASE)));
      if (hit !== 0) {
        deliverEvent(cpu, { vector: Vector.DB, type: EventType.HardwareException, errorCode: undefined, payload: BigInt(hit), length: 0 });
        return undefined;
      }
    }
    const host = this.finder.locate();
    if (host === 0) return this.afterUnwind();
    if (host === GATE) return 'gate';
    if (host === BREAK) return this.breakpoint();
    let insn: Insn | undefined;
    // Usually the instruction lies in one page of RAM.
    if (host > 0) insn = decode(cpu.u8, host, ((host & ~0xfff) >>> 0) + 0x1000, cpu.codeSize);
    if (insn === undefined) {
      try {
        insn = this.finder.fetch();
      } catch (e) {
        if (e !== UNWIND) throw e;
        return this.afterUnwind();
      }
    }
    const offset = (cpu.u32[this.state + R.RIP / 4] + cpu.u32[this.state + R.CODE_BASE / 4]) & 0xfff;
    const record = this.code.single(insn, offset, cpu.index);
    const wasGuest = cpu.guestMode;
    cpu.budgetGiven = 1;
    cpu.i32[this.state + R.BUDGET / 4] = 1;
    cpu.mmu.slowStep = true;
    const status = this.interpreter.run(cpu.base, record);
    cpu.mmu.slowStep = false;
    const done = status === Status.Budget || status === Status.Attention;
    if (!done) this.unwound(status);
    if (done) {
      // A device hears of the store at the time of the instruction, which is before it retires.
      cpu.i32[this.state + R.BUDGET / 4]++;
      cpu.mmu.commitStore(true);
      cpu.i32[this.state + R.BUDGET / 4]--;
    } else cpu.mmu.commitStore(false);
    this.settle(wasGuest);
    if (!done) return this.afterUnwind();
    // RF lasts for one instruction, unless that instruction loaded it (IRET).
    if ((flagsBefore & Flag.RF) !== 0 && insn.op !== 'IRET' && cpu.guestMode === wasGuest) cpu.set32(R.RFLAGS_SYSTEM, cpu.get32(R.RFLAGS_SYSTEM) & ~Flag.RF);
    if ((flagsBefore & Flag.TF) !== 0 && cpu.guestMode === wasGuest && !BLOCKS_TRAP.has(insn.op)) cpu.pendingDebug |= DR6_BS;
    return undefined;
  }

  // ---- between instructions ----

  /** Takes the pending event of highest priority; true when it changed where execution goes on. */
  private boundary(now: number): boolean {
    const cpu = this.cpu;
    const interrupts = cpu.interrupts;
    const pending = interrupts !== undefined && interrupts.pending();
    const x = cpu.interception;
    if (x !== undefined && x.guestMode && (x.attention || pending || cpu.nmiPending || x.deadline <= now)) {
      if (x.boundary(pending, cpu.nmiPending)) return true;
    }
    if (cpu.activity === Activity.Shutdown || cpu.activity === Activity.WaitForSipi) return false;
    if (cpu.pendingDebug !== 0 && !(cpu.inShadow() && cpu.shadowByMovSs)) {
      const bits = cpu.pendingDebug;
      cpu.pendingDebug = 0;
      deliverEvent(cpu, { vector: Vector.DB, type: EventType.HardwareException, errorCode: undefined, payload: BigInt(bits), length: 0 });
      return true;
    }
    if (x !== undefined && x.held === true) return false;
    const shadow = cpu.inShadow();
    if (cpu.nmiPending && !cpu.nmiBlocked && !shadow) {
      cpu.nmiPending = false;
      cpu.activity = Activity.Active;
      deliverEvent(cpu, { vector: Vector.NMI, type: EventType.Nmi, errorCode: undefined, payload: 0n, length: 0 });
      return true;
    }
    if (pending && !shadow && (x !== undefined && x.guestMode ? !x.interruptsBlocked() : cpu.interruptsEnabled)) {
      cpu.activity = Activity.Active;
      const vector = interrupts!.acknowledge();
      deliverEvent(cpu, { vector, type: EventType.ExternalInterrupt, errorCode: undefined, payload: 0n, length: 0 });
      return true;
    }
    return false;
  }

  /** Halted: jumps to the next event, or says that there is none. */
  private sleep(limit: number): RunStop | undefined {
    const cpu = this.cpu;
    if (cpu.activity === Activity.Shutdown) return 'shutdown';
    const now = cpu.now();
    const next = Math.min(this.scheduler.next, this.extensionDeadline());
    if (next === Infinity && limit === Infinity) return 'idle';
    if (Math.min(next, limit) > now) cpu.skew += Math.min(next, limit) - now;
    if (next >= limit) return next === Infinity ? 'idle' : 'limit';
    return undefined;
  }

  // ---- called by compiled code ----

  /** Called by compiled code. */
  slowAccess(record: number, low: number, high: number, flags: number): number {
    this.currentRecord = record;
    this.materialized = false;
    try {
      const { mmu } = this.cpu;
      const host = mmu.slow(low, high, flags);
      if (host === 0) return 0;
      // Somebody who watches a paging-structure entry wants a stop after this instruction, which is the end of a single step.
      if (this.stopRequested && !mmu.slowStep) {
        mmu.slowStepWanted = true;
        return 0;
      }
      this.currentRecord = 0;
      return host;
    } catch (e) {
      if (e !== UNWIND) throw e;
      return 0;
    }
  }

  /** Called by compiled code. */
  system(record: number): number {
    const cpu = this.cpu;
    const insn = this.code.insnOf(record);
    const instruction = SYSTEM_INSTRUCTIONS[insn.op];
    cpu.insn = insn;
    this.currentRecord = record;
    this.materialized = false;
    const ends = instruction === undefined || instruction.endsBlock;
    if (ends) this.setRip(this.code.startOffset(record) + insn.length);
    try {
      if (instruction === undefined) this.unimplemented(insn);
      instruction!.execute(cpu, insn);
    } catch (e) {
      if (e !== UNWIND) throw e;
      cpu.u32[this.state + R.EXIT_RECORD / 4] = record;
      return Status.Unwound;
    }
    if (cpu.exited) {
      cpu.exited = false;
      cpu.u32[this.state + R.EXIT_RECORD / 4] = record;
      return Status.Unwound;
    }
    if ((ends && cpu.attention) || this.stopRequested) {
      if (!ends) this.setRip(this.code.startOffset(record) + insn.length);
      cpu.i32[this.state + R.BUDGET / 4] -= this.code.indexInBlock(record) + 1;
      this.currentRecord = 0;
      return Status.Attention;
    }
    this.currentRecord = 0;
    return Status.Continue;
  }

  private unimplemented(insn: Insn): never {
    if (insn.op === 'TOO_LONG') this.cpu.gp();
    if (insn.op !== 'UD') this.cpu.observer.unimplemented?.(this.cpu, insn);
    return this.cpu.ud();
  }

  /** Called by compiled code. */
  divide(divisor: bigint, signed: boolean): number {
    const cpu = this.cpu;
    const d = signed ? BigInt.asIntN(64, divisor) : BigInt.asUintN(64, divisor);
    if (d === 0n) return 1;
    const both = (cpu.gpr(2) << 64n) | cpu.gpr(0);
    const n = signed ? BigInt.asIntN(128, both) : both;
    const q = n / d;
    if (signed ? BigInt.asIntN(64, q) !== q : BigInt.asUintN(64, q) !== q) return 1;
    cpu.setGpr(0, BigInt.asUintN(64, q));
    cpu.setGpr(2, BigInt.asUintN(64, n % d));
    return 0;
  }

  // ---- where we are ----

  /** R.RIP = page base + offset - code base. */
  private setRip(offset: number): void {
    const u32 = this.cpu.u32;
    const s = this.state;
    const low = u32[s + R.PAGE_BASE / 4] + offset;
    if (this.cpu.codeSize === 64) {
      u32[s + R.RIP / 4] = low;
      u32[s + R.RIP / 4 + 1] = low >= TWO32 ? u32[s + R.PAGE_BASE / 4 + 1] + 1 : u32[s + R.PAGE_BASE / 4 + 1];
    } else {
      u32[s + R.RIP / 4] = low - u32[s + R.CODE_BASE / 4];
      u32[s + R.RIP / 4 + 1] = 0;
    }
  }

  private materialize(): void {
    const record = this.currentRecord !== 0 ? this.currentRecord : 0;
    if (this.materialized || record === 0) return;
    this.materialized = true;
    const cpu = this.cpu;
    const s = this.state;
    this.savedRipLow = cpu.u32[s + R.RIP / 4];
    this.savedRipHigh = cpu.u32[s + R.RIP / 4 + 1];
    cpu.i32[s + R.BUDGET / 4] -= this.code.indexInBlock(record);
    this.setRip(this.code.startOffset(record));
  }

  private dematerialize(): void {
    if (!this.materialized || this.currentRecord === 0) return;
    this.materialized = false;
    const cpu = this.cpu;
    const s = this.state;
    cpu.u32[s + R.RIP / 4] = this.savedRipLow;
    cpu.u32[s + R.RIP / 4 + 1] = this.savedRipHigh;
    cpu.i32[s + R.BUDGET / 4] += this.code.indexInBlock(this.currentRecord);
  }

  private currentRip(): bigint {
    const cpu = this.cpu;
    if (this.currentRecord === 0 || this.materialized) return cpu.rip;
    const linear = cpu.get64(R.PAGE_BASE) + BigInt(this.code.startOffset(this.currentRecord)) - cpu.get64(R.CODE_BASE);
    return BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, linear);
  }

  /** #SS(0) for accesses through rSP or rBP without an override, #GP(0) otherwise. */
  private vectorOfNonCanonical(): number {
    const cpu = this.cpu;
    const record = this.currentRecord;
    if (record === 0) return Vector.GP;
    const host = this.finder.fetchHost(cpu.u32[this.state + R.PAGE_BASE / 4] | 0, cpu.u32[this.state + R.PAGE_BASE / 4 + 1] | 0);
    const start = this.code.startOffset(record);
    const insn = decode(cpu.u8, host + start, host + 4096, cpu.codeSize);
    if (insn === undefined) return Vector.GP;
    const stackOp =
      insn.op === 'PUSH' || insn.op === 'POP' || insn.op === 'CALL' || insn.op === 'RET' || insn.op === 'LEAVE' || (insn.op === 'CALLI' && !insn.hasMemory);
    return stackOp || insn.segment === Segment.SS ? Vector.SS : Vector.GP;
  }
}

/** Instructions after which no single-step trap is taken at once: they block it, or were the event themselves. */
const BLOCKS_TRAP = new Set(['INT', 'INT3', 'INTO', 'INT1']);
