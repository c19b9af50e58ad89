/**
 * The step loop of one processor: finds code, runs it, and between instructions takes care of everything the architecture puts
 * there: interrupts, timers, traps, windows of a hypervisor. Compiled code leaves by Status; this file is the only place that reads it.
 *
 * Exactness: compiled code runs only while the budget up to the next event is at least MAX_BLOCK; the rest is single-stepped.
 * So every event lands at the same instruction count whatever the block shapes, cache contents or tier.
 */
import { boundary } from './boundary';
import { branchCompleted, recordsBranches } from './branch-records';
import { codeBreakpoint, codeBreakpointsArmed, singleStepTrap } from './debug';
import { PAGE_SIZE } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';
import type { CodeBreakpoints } from './code-breakpoints';
import type { CodeCache } from './code-cache';
import { BREAK, CodeFinder, GATE } from './code-finder';
import type { CodeFinderState } from './code-finder-state';
import { CodePosition } from './code-position';
import { CodeSharing } from './code-sharing';
import { raiseUndefined, vectorOf, vectorOfNonCanonical } from './compiled-faults';
import { Activity, Flag, UNWIND, Vector, type Cpu } from './cpu';
import type { CpuState } from './cpu-state';
import { decode } from './decoder/decode';
import type { Insn } from './decoder/insn';
import { deliverEvent } from './exceptions';
import { EventType, type CpuEvent, type TimerQueue } from './interfaces';
import { R, RECORDS } from './layout';
import type { MmuState } from './mmu';
import type { RunRecords } from './stage/interpreter';
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

const LARGEST_BUDGET = 0x4000_0000;

/** The processor with everything it has cached. */
export interface EngineState {
  readonly cpu: CpuState;
  readonly mmu: MmuState;
  readonly finder: CodeFinderState;
  readonly stopRequested: boolean;
  readonly slowSteps: number;
}

export class Engine implements Stateful<EngineState> {
  private readonly runRecords: RunRecords;
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
  private readonly state: number;
  private readonly finder: CodeFinder;
  private readonly position: CodePosition;
  slowSteps = 0;

  constructor(
    readonly cpu: Cpu,
    readonly scheduler: TimerQueue,
    readonly sharing: CodeSharing = new CodeSharing(cpu.memory, cpu.profile),
  ) {
    this.state = cpu.base >>> 2;
    sharing.engines[cpu.index] = this;
    this.runRecords = sharing.run;
    this.code = sharing.code;
    this.gates = sharing.code.gates;
    this.finder = new CodeFinder(cpu, this.code, this.gates);
    cpu.mmu.mayWriteQuietly = (physical, bytes) => this.code.untouched(physical, bytes);
    cpu.mmu.dropCode = (host) => this.code.invalidate(cpu.memory.physical(host), PAGE_SIZE);
    this.position = new CodePosition(cpu, this.code);
    cpu.mmu.faultOfNonCanonical = () => vectorOfNonCanonical(cpu, this.code, this.finder, this.position.record);
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
    Object.assign(this, { stopRequested, slowSteps });
    this.position.leave();
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
      if (boundary(cpu, now)) continue;
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
    if ((cpu.get32(R.RFLAGS_SYSTEM) & (Flag.TF | Flag.RF)) !== 0 || recordsBranches(cpu)) return true;
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
      const status = this.runRecords(cpu.base, record);
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
      this.collectTraps(wasGuest, 0);
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
    this.position.leave();
  }

  /** Compiled code stopped inside an instruction: makes the state that of its start, and turns its complaint into cpu.fault. */
  private unwound(status: Status): void {
    const cpu = this.cpu;
    cpu.mmu.dataBreakpoints.take();
    const record = cpu.u32[this.state + R.EXIT_RECORD / 4];
    if (status !== Status.Unwound) {
      this.position.enter(record);
      const vector = vectorOf(cpu, this.code, status, record);
      cpu.fault = {
        vector,
        type: EventType.HardwareException,
        errorCode: vector === Vector.GP || vector === Vector.SS ? 0 : undefined,
        payload: 0n,
        length: 0,
      };
    }
    this.position.materialize();
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

  /** Like an instruction breakpoint of the debug registers, a debugger's is passed over while RFLAGS.RF is 1 and between the iterations of REP. */
  private breakpoint(): RunStop | undefined {
    const { cpu, finder } = this;
    const breakpoints = finder.breakpoints!;
    if ((cpu.get32(R.RFLAGS_SYSTEM) & Flag.RF) === 0 && !cpu.isRepeating() && !breakpoints.passes(cpu.retired(), cpu.rip)) {
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
    const debugControl = cpu.get32(R.DEBUGCTL);
    const start = debugControl === 0 ? 0n : cpu.rip;
    // In the shadow of MOV SS no debug exception is delivered, and a breakpoint is not remembered.
    if (armed && (flagsBefore & Flag.RF) === 0 && !cpu.isRepeating() && !(cpu.inShadow() && cpu.shadowByMovSs)) {
      const hit = codeBreakpoint(cpu, BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, cpu.rip + cpu.get64(R.CODE_BASE)));
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
    cpu.insn = insn;
    const record = this.code.single(insn, offset, cpu.index);
    const wasGuest = cpu.guestMode;
    cpu.budgetGiven = 1;
    cpu.i32[this.state + R.BUDGET / 4] = 1;
    cpu.mmu.slowStep = true;
    const status = this.runRecords(cpu.base, record);
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
    // RF lasts for one instruction (of a repeated one the first iteration, then isRepeating() says the same), unless that instruction loaded it (IRET).
    if ((flagsBefore & Flag.RF) !== 0 && insn.op !== 'IRET' && cpu.guestMode === wasGuest) cpu.set32(R.RFLAGS_SYSTEM, cpu.get32(R.RFLAGS_SYSTEM) & ~Flag.RF);
    this.collectTraps(wasGuest, singleStepTrap(insn.op, flagsBefore, debugControl, debugControl !== 0 && branchCompleted(cpu, insn, start)));
    return undefined;
  }

  /** An instruction completed: the data breakpoints that it met, and `others`, are pending now. VM entries and exits carry none along. */
  private collectTraps(wasGuest: boolean, others: number): void {
    const { cpu } = this;
    const bits = cpu.mmu.dataBreakpoints.take() | others;
    if (cpu.guestMode === wasGuest) cpu.pendingDebug |= bits;
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

  slowAccess(record: number, low: number, high: number, flags: number): number {
    this.position.enter(record);
    try {
      const { mmu } = this.cpu;
      const host = mmu.slow(low, high, flags);
      if (host === 0) return 0;
      // Somebody who watches a paging-structure entry wants a stop after this instruction, which is the end of a single step.
      if (this.stopRequested && !mmu.slowStep) {
        mmu.slowStepWanted = true;
        return 0;
      }
      this.position.leave();
      return host;
    } catch (e) {
      if (e !== UNWIND) throw e;
      return 0;
    }
  }

  system(record: number): number {
    const cpu = this.cpu;
    const insn = this.code.insnOf(record);
    const instruction = SYSTEM_INSTRUCTIONS[insn.op];
    cpu.insn = insn;
    this.position.enter(record);
    const ends = instruction === undefined || instruction.endsBlock;
    if (ends) this.position.setRip(this.code.startOffset(record) + insn.length);
    try {
      if (instruction === undefined) raiseUndefined(cpu, insn);
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
    if ((ends && cpu.attention) || this.stopRequested || cpu.mmu.dataBreakpoints.hits !== 0) {
      if (!ends) this.position.setRip(this.code.startOffset(record) + insn.length);
      cpu.i32[this.state + R.BUDGET / 4] -= this.code.indexInBlock(record) + 1;
      this.position.leave();
      return Status.Attention;
    }
    this.position.leave();
    return Status.Continue;
  }
}
