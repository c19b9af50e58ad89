/**
 * A virtual processor and its run loop: events in, enter, exit, dispatch, count. The loop is the same for both vendors; handlers decide.
 */
import type { Cpu } from '../cpu/cpu';
import type { InterruptController, PortSpace } from '../cpu/interfaces';
import type { Scheduler } from '../devices/bus';
import { type Emulator } from './emulator';
import type { Exit, Outcome, RawExit, StopReason } from './exit';
import { retry } from './exit';
import type { GuestMemory } from './guest-memory';
import type { VirtualProcessor } from './port';
import { dispatch, type Routes } from './routes';
import type { Stateful } from '../memory/stateful';
import { ExitStatistics, type ExitStatisticsState } from './statistics';

/** One exit as an observer sees it. */
export interface ExitRecord {
  /** Guest instructions retired before it. */
  readonly instructions: number;
  /** Virtual time, nanoseconds. */
  readonly ticks: number;
  readonly rip: bigint;
  readonly raw: RawExit;
  readonly exit: Exit;
  readonly outcome: Outcome;
  /** Port, MSR, leaf, register or page, as the handler noted it. */
  readonly detail: number | undefined;
}

export interface VcpuObserver {
  exit?(record: ExitRecord): void;
  /** A VM exit, before its handler. True: run() returns 'stopped', and the next run() begins with the handler. */
  arrived?(exit: Exit): boolean;
}

/** Virtual time of the machine, as the hypervisor may move it. */
export interface VirtualTime {
  now(): number;
  /** Time passes without an instruction (the guest is halted). */
  skipTo(tick: number): void;
  /** An instruction was emulated: it retires once. */
  retireOne(): void;
  /** Guest instructions retired. */
  retired(): number;
}

/** What a VM does with MSRs and CPUID; replaceable. */
export interface ProcessorPolicy {
  cpuid(leaf: number, subleaf: number): readonly [number, number, number, number];
  readMsr(index: number): bigint | undefined;
  writeMsr(index: number, value: bigint): boolean;
}

export type VcpuStop = { readonly kind: 'limit' | 'idle' | 'stopped' } | { readonly kind: 'ended'; readonly because: StopReason; readonly explanation: string };

/** What the run loop keeps between exits. */
export interface VcpuState {
  readonly halted: boolean;
  readonly arrived: Exit | undefined;
  readonly deadline: number;
  readonly ending: VcpuStop | undefined;
  readonly nmiPending: boolean;
  readonly detail: number | undefined;
  readonly exitsSincePause: number;
  readonly statistics: ExitStatisticsState;
}

const PAUSE_INTERVAL = 1024;

export class Vcpu implements Stateful<VcpuState> {
  readonly statistics = new ExitStatistics();
  observer: VcpuObserver | undefined;
  /** The handler's detail of the current exit for the statistics: port, MSR, page or leaf. */
  detail: number | undefined;
  /** Asked once in PAUSE_INTERVAL exits: true ends the run between two exits. */
  pause: (() => boolean) | undefined;
  private exitsSincePause = 0;
  private halted = false;
  /** The exit whose handler has not run, because an observer wanted a stop. */
  arrived: Exit | undefined;
  /** The guest's turn ends at this tick. */
  private deadline = Infinity;
  private ending: VcpuStop | undefined;
  nmiPending = false;

  constructor(
    readonly processor: VirtualProcessor,
    readonly memory: GuestMemory,
    readonly ports: PortSpace,
    private readonly interrupts: InterruptController,
    private readonly timers: Scheduler,
    private readonly time: VirtualTime,
    private readonly emulator: Emulator,
    private readonly policy: ProcessorPolicy,
    public routes: Routes,
  ) {}

  cpuid(leaf: number, subleaf: number): readonly [number, number, number, number] {
    return this.policy.cpuid(leaf, subleaf);
  }
  readMsr(index: number): bigint | undefined {
    this.model();
    return this.policy.readMsr(index);
  }
  writeMsr(index: number, value: bigint): boolean {
    this.model();
    return this.policy.writeMsr(index, value);
  }
  /** The processor model that stands for the guest's processor, for policies and emulation. */
  model(): Cpu {
    return this.emulator.model;
  }

  /** Ends the run at the next exit boundary (power-off, reset, a debug-exit device). */
  end(because: StopReason, explanation: string): void {
    this.ending ??= { kind: 'ended', because, explanation };
  }

  saveState(): VcpuState {
    const { halted, arrived, deadline, ending, nmiPending, detail, exitsSincePause } = this;
    return { halted, arrived, deadline, ending, nmiPending, detail, exitsSincePause, statistics: this.statistics.saveState() };
  }

  restoreState({ statistics, ...fields }: VcpuState): void {
    Object.assign(this, fields);
    this.statistics.restoreState(statistics);
  }

  /** Executes the instruction that exited in software. */
  emulate(): Outcome {
    const model = this.emulator.model;
    this.processor.copyTo(model);
    const result = this.emulator.step();
    if (result.kind === 'fault') {
      const { vector, errorCode, payload } = result.event;
      return { kind: 'inject', vector, errorCode, address: vector === 14 ? payload : undefined };
    }
    this.processor.copyFrom(model);
    this.time.retireOne();
    if (result.kind === 'halted') this.halted = true;
    return retry;
  }

  /** Runs the guest until virtual time `limit`, or until it ends. */
  run(limit: number): VcpuStop {
    const arrived = this.arrived;
    this.arrived = undefined;
    if (arrived !== undefined) this.take(arrived);
    for (;;) {
      const now = this.time.now();
      if (this.timers.next <= now) this.timers.run(now);
      if (this.ending !== undefined) return this.ending;
      if (this.halted && !this.wake(limit)) return { kind: this.timers.next === Infinity ? 'idle' : 'limit' };
      if (this.time.now() >= limit) return { kind: 'limit' };
      if (this.processor.paused) {
        if (this.overtaken()) this.processor.kick();
      } else {
        this.prepareEvents();
        this.processor.setDeadline((this.deadline = this.timers.next));
      }
      const result = this.processor.run(limit);
      if (result.kind === 'paused') {
        if (result.because === 'shutdown') return { kind: 'ended', because: 'internal', explanation: 'the processor shut down in root mode' };
        return { kind: result.because };
      }
      if (this.observer?.arrived?.(result.exit) === true) {
        this.arrived = result.exit;
        return { kind: 'stopped' };
      }
      this.take(result.exit);
      if (++this.exitsSincePause >= PAUSE_INTERVAL) {
        this.exitsSincePause = 0;
        if (this.pause?.() === true) return { kind: 'stopped' };
      }
    }
  }

  /** The guest was prepared before the pause. Something came in since (somebody typed) that it has to come out for. */
  private overtaken(): boolean {
    return this.nmiPending || this.timers.next < this.deadline || (this.interrupts.pending() && !this.processor.windowRequested);
  }

  private take(exit: Exit): void {
    // A timer that came due at this very instruction comes first, as on a bare machine.
    if (this.timers.next <= this.time.now()) this.timers.run(this.time.now());
    this.apply(this.handle(exit));
  }

  private handle(exit: Exit): Outcome {
    this.detail = undefined;
    const instructions = this.time.retired();
    const observer = this.observer;
    if (observer?.exit === undefined) {
      const name = this.processor.exitName();
      const outcome = dispatch(this.routes, this, exit);
      this.statistics.count(name, this.detail);
      return outcome;
    }
    const rip = this.processor.rip();
    const ticks = this.time.now();
    const raw = this.processor.raw();
    const outcome = dispatch(this.routes, this, exit);
    this.statistics.count(raw.reason, this.detail);
    observer.exit({ instructions, ticks, rip, raw, exit, outcome, detail: this.detail });
    return outcome;
  }

  private apply(outcome: Outcome): void {
    switch (outcome.kind) {
      case 'next-instruction':
        this.processor.skipInstruction();
        this.time.retireOne();
        return;
      case 'retry':
        return;
      case 'halt':
        this.processor.skipInstruction();
        this.time.retireOne();
        this.halted = true;
        return;
      case 'inject':
        if (outcome.address !== undefined) this.processor.setCr2(outcome.address);
        this.processor.inject({ type: 'exception', vector: outcome.vector, errorCode: outcome.errorCode });
        return;
      case 'stop':
        this.end(outcome.because, outcome.explanation);
        return;
    }
  }

  /** Halted: true once an event ends it. Otherwise time goes to the next timer, or to `limit`. */
  private wake(limit: number): boolean {
    for (;;) {
      const wakes = this.nmiPending || (this.interrupts.pending() && this.processor.interruptible());
      if (wakes) {
        this.halted = false;
        return true;
      }
      const next = Math.min(this.timers.next, limit);
      if (next === Infinity) return false;
      if (next > this.time.now()) this.time.skipTo(next);
      if (this.timers.next > limit) return false;
      this.timers.run(this.time.now());
      if (this.ending !== undefined) return true;
    }
  }

  /** Injects what the guest can take now; otherwise asks to be told when it can. */
  private prepareEvents(): void {
    const p = this.processor;
    if (this.nmiPending && !p.injecting) {
      this.nmiPending = false;
      p.inject({ type: 'nmi', vector: 2 });
    }
    if (!this.interrupts.pending()) return p.requestInterruptWindow(false);
    if (p.interruptible()) {
      p.inject({ type: 'interrupt', vector: this.interrupts.acknowledge() });
      p.requestInterruptWindow(this.interrupts.pending());
    } else p.requestInterruptWindow(true);
  }
}
