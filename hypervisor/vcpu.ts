/**
 * A virtual processor and its run loop: events in, enter, exit, dispatch, count. The loop is the same for both vendors; handlers decide.
 */
import type { Cpu } from '../cpu/cpu';
import type { CpuEvent, InterruptController, PortSpace } from '../cpu/interfaces';
import type { Scheduler } from '../devices/bus';
import type { DeviceMoves } from './device-move';
import type { EmulationResult, Emulator } from './emulator';
import type { Exit, ExitOf, Outcome, RawExit, StopReason } from './exit';
import { retry, tripleFault } from './exit';
import type { GuestMemory } from './guest-memory';
import type { HostDevices } from './host-devices';
import type { VirtualProcessor } from './port';
import { dispatch, type Routes } from './routes';
import type { Stateful } from '../memory/stateful';
import { ExitStatistics, type ExitStatisticsState } from './statistics';
import type { ExitInformation } from '../trace/exit-row';

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
  /** @param information can be called until this returns. */
  exit?(record: ExitRecord, information: () => ExitInformation): void;
  /** A VM exit, before its handler. True: run() returns 'stopped', and the next run() begins with the handler. */
  arrived?(exit: Exit): boolean;
  /** The guest is about to be entered, at this RIP and virtual time: what the exit before decided has been done. */
  entering?(rip: bigint, ticks: number): void;
}

/** Virtual time of the machine, as the hypervisor may move it. */
export interface VirtualTime {
  now(): number;
  /** Time passes without an instruction (the guest is halted). */
  skipTo(tick: number): void;
  /** An instruction was emulated: it retires once. */
  retireOne(): void;
  /** An event was delivered in software. */
  delivered(): void;
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
  readonly exitsAtOnce: number;
  readonly lastExit: number;
  readonly statistics: ExitStatisticsState;
}

const PAUSE_INTERVAL = 1024;
/** Exits without an instruction or a delivery between them, after which the guest will never come further. An instruction touches a few dozen pages. */
const FUTILE_EXITS = 10_000;
const DB = 1,
  PF = 14;

export class Vcpu implements Stateful<VcpuState> {
  readonly statistics = new ExitStatistics();
  observer: VcpuObserver | undefined;
  /** The handler's detail of the current exit for the statistics: port, MSR, page or leaf. */
  detail: number | undefined;
  /** Asked once in PAUSE_INTERVAL exits: true ends the run between two exits. */
  pause: (() => boolean) | undefined;
  private exitsSincePause = 0;
  /** Exits since virtual time last moved, and when that was. */
  private exitsAtOnce = 0;
  private lastExit = -1;
  private halted = false;
  /** The exit whose handler has not run, because an observer wanted a stop. */
  arrived: Exit | undefined;
  /** The guest's turn ends at this tick. */
  private deadline = Infinity;
  private ending: VcpuStop | undefined;
  nmiPending = false;
  /** Physical devices that were assigned to the VM. */
  host: HostDevices | undefined;

  constructor(
    readonly processor: VirtualProcessor,
    readonly memory: GuestMemory,
    readonly ports: PortSpace,
    private readonly interrupts: InterruptController,
    private readonly timers: Scheduler,
    private readonly time: VirtualTime,
    private readonly emulator: Emulator,
    private readonly moves: DeviceMoves,
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
    const { halted, arrived, deadline, ending, nmiPending, detail, exitsSincePause, exitsAtOnce, lastExit } = this;
    const statistics = this.statistics.saveState();
    return { halted, arrived, deadline, ending, nmiPending, detail, exitsSincePause, exitsAtOnce, lastExit, statistics };
  }

  restoreState({ statistics, ...fields }: VcpuState): void {
    Object.assign(this, fields);
    this.statistics.restoreState(statistics);
  }

  /** Executes the instruction that exited in software. */
  emulate(): Outcome {
    this.processor.copyTo(this.emulator.model);
    return this.emulated(this.emulator.step());
  }
  /** The instruction met a device: done here and now if it is a plain MOV, and otherwise in software as any other. */
  accessDevice(exit: ExitOf<'nested-page-fault'>): Outcome {
    return this.moves.execute(this.processor, exit) ?? this.emulate();
  }
  /** Delivers an event in software: not even its stack or its tables are memory. */
  deliver(event: CpuEvent): Outcome {
    this.processor.copyTo(this.emulator.model);
    return this.emulated(this.emulator.deliver(event));
  }

  private emulated(result: EmulationResult): Outcome {
    switch (result.kind) {
      case 'fault': {
        const { vector, errorCode, payload } = result.event;
        return { kind: 'inject', vector, errorCode, address: vector === PF ? payload : undefined, debug: vector === DB ? Number(payload) : undefined };
      }
      case 'shutdown':
        return tripleFault;
      case 'done':
      case 'halted':
        this.processor.copyFrom(this.emulator.model);
        if (result.retired) this.time.retireOne();
        else this.time.delivered();
        this.halted = result.kind === 'halted';
        return retry;
    }
  }

  /** Runs the guest until virtual time `limit`, or until it ends. */
  run(limit: number): VcpuStop {
    const arrived = this.arrived;
    this.arrived = undefined;
    if (arrived !== undefined) {
      this.take(arrived);
      // Counted here as below, so that who stops at exits leaves no trace in the state.
      this.exitsSincePause++;
    }
    for (;;) {
      const now = this.time.now();
      if (this.timers.next <= now) this.timers.run(now);
      this.serveHost(now);
      if (this.ending !== undefined) return this.ending;
      if (this.halted && !this.wake(limit)) return { kind: this.nextTimer === Infinity ? 'idle' : 'limit' };
      if (this.time.now() >= limit) return { kind: 'limit' };
      if (this.processor.paused) {
        if (this.overtaken()) this.processor.kick();
      } else {
        this.prepareEvents();
        this.processor.setDeadline((this.deadline = this.timers.next));
        if (this.observer?.entering !== undefined) this.observer.entering(this.processor.rip(), this.time.now());
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
    this.expectProgress(exit);
  }

  /** A guest can be hopeless, but it must not keep its host busy for ever without virtual time going on. */
  private expectProgress(exit: Exit): void {
    const now = this.time.now();
    if (now !== this.lastExit) {
      this.lastExit = now;
      this.exitsAtOnce = 0;
    } else if (++this.exitsAtOnce === FUTILE_EXITS) {
      const where = `at RIP 0x${this.processor.rip().toString(16)}`;
      this.end('internal', `the guest made no progress in ${FUTILE_EXITS} exits ${where}, the last one: ${this.processor.exitName()} (${exit.kind})`);
    }
  }

  private readonly information = (): ExitInformation => this.processor.exitInformation();

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
    observer.exit({ instructions, ticks, rip, raw, exit, outcome, detail: this.detail }, this.information);
    return outcome;
  }

  private apply(outcome: Outcome): void {
    switch (outcome.kind) {
      case 'next-instruction':
        this.processor.skipInstruction(outcome.length);
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
        if (outcome.debug !== undefined) this.processor.recordDebugException(outcome.debug);
        this.processor.inject({ type: 'exception', vector: outcome.vector, errorCode: outcome.errorCode });
        return;
      case 'stop':
        this.end(outcome.because, outcome.explanation);
        return;
    }
  }

  /** The guest's timers, and those of devices that work for it. */
  private get nextTimer(): number {
    return this.host === undefined ? this.timers.next : Math.min(this.timers.next, this.host.timers.next);
  }

  private serveHost(now: number): void {
    const { host } = this;
    if (host === undefined) return;
    if (host.timers.next <= now) host.timers.run(now);
    host.takeInterrupts();
  }

  /** Halted: true once an event ends it. Otherwise time goes to the next timer, or to `limit`. */
  private wake(limit: number): boolean {
    for (;;) {
      const p = this.processor;
      const wakes = p.eventDue || (this.nmiPending && p.nmiAllowed()) || (this.interrupts.pending() && p.interruptible());
      if (wakes) {
        this.halted = false;
        return true;
      }
      const next = Math.min(this.nextTimer, limit);
      if (next === Infinity) return false;
      if (next > this.time.now()) this.time.skipTo(next);
      if (this.nextTimer > limit) return false;
      this.timers.run(this.time.now());
      this.serveHost(this.time.now());
      if (this.ending !== undefined) return true;
    }
  }

  /** Injects what the guest can take now; otherwise asks to be told when it can. */
  private prepareEvents(): void {
    const p = this.processor;
    if (this.nmiPending && p.offerNmi()) this.nmiPending = false;
    if (!this.interrupts.pending()) return p.requestInterruptWindow(false);
    if (p.interruptible()) {
      p.inject({ type: 'interrupt', vector: this.interrupts.acknowledge() });
      p.requestInterruptWindow(this.interrupts.pending());
    } else p.requestInterruptWindow(true);
  }
}
