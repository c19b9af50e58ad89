/**
 * A run that can be visited at any of its moments: a guest, what came in from outside with the moments at which it came, and snapshots.
 * Everything between follows from these, because time is the number of instructions. What the guest prints is passed on once, however
 * often the moment is visited.
 */
import type { Exit } from '../hypervisor/exit';
import { Guest, type GuestConfig, type GuestStop } from '../hypervisor/guest';
import type { GuestState } from '../hypervisor/guest-state';
import { ExitStatistics, type ExitRow, type ExitStatisticsState } from '../hypervisor/statistics';
import type { ExitRecord } from '../hypervisor/vcpu';
import { writtenPages } from '../memory/ram-state';
import type { ExitInformation } from '../trace/exit-row';
import { VMCB } from '../svm/vmcb/layout';
import type { VM_FAIL_INVALID, VmFailValid } from '../vmx/instructions/result';
import { OFFSET } from '../vmx/vmcs/layout';
import { Checkpoints, type Checkpoint } from './checkpoints';
import { ExitCamera, fieldOf, keep, type ExitImage } from './exit-image';
import { exitName } from './exit-names';
import { failedExit, refusedEntry, type FailedEntry } from './failed-entry';
import { InputLog } from './input-log';
import { comparePositions, DebugError, type Position } from './target';

export interface TimelineOptions {
  /** Work between snapshots: instructions, and what exits cost in their place. Half as much more where a lot of memory is written. */
  readonly interval?: number;
  /** Memory that snapshots may hold, in bytes. */
  readonly budget?: number;
  /** false: no snapshots are taken, and there is no way back. Default true. */
  readonly history?: boolean;
  /** Begins where this snapshot was taken, of a guest with the settings of the configuration. */
  readonly from?: GuestState;
}

/** What a timeline knows beside the guest. */
export interface Counters {
  readonly exits: number;
  readonly events: number;
  /** Bytes of console output, and inputs by tick that have come. */
  readonly written: number;
  readonly delivered: number;
  readonly lastRecord: ExitRecord | undefined;
  readonly lastInner: InnerExit | undefined;
  readonly image: ExitImage | undefined;
  readonly innerExits: ExitStatisticsState;
}

/** A VM exit inside a bare machine: to a hypervisor that is a guest of ours. Or a VM entry of its that ended in VMfail. */
export interface InnerExit {
  /** Exit reason or EXITCODE; the VM-instruction error of a VMfail. */
  readonly code: number;
  /** VM exits until then. */
  readonly number: number;
  readonly rip: bigint;
  /** Exit qualification, or EXITINFO1. */
  readonly qualification: bigint;
  readonly failed: FailedEntry | undefined;
  readonly instructions: number;
  readonly ticks: number;
}

/** Hears of exits while the guest runs. */
export interface TimelineListener {
  /** Before the handler; true stops the run there. */
  arrived(exit: Exit): boolean;
  /** Inside a bare machine, and failed entries there. The run can be stopped behind it. */
  inner(exit: InnerExit): void;
  /** What the run knew to come behind this position will not. */
  forked(here: Position): void;
}

/** A VM exit with its handler takes as long as so many instructions do, and so does a page in a snapshot. */
const EXIT_COST = 1000;
const PAGE_COST = 300;
/** A snapshot waits until it costs at most this share of the work since the last one, but never longer than so many intervals. */
const SHARE = 1 / 32;
const PATIENCE = 1.5;
const DEFAULTS = { interval: 64 << 20, budget: 512 << 20 } as const;
/** Instructions before a place that is visited backward, at which snapshots make the next visit to its past short. */
const APPROACH = [1 << 20, 1 << 14] as const;
/** Ticks that one piece of work makes at most. */
const SLICE = 4 << 20;

export class Timeline {
  readonly guest: Guest;
  readonly inputs = new InputLog();
  readonly checkpoints: Checkpoints<Counters>;
  listener: TimelineListener | undefined;
  /** Exit handled last, by our hypervisor or by one inside a bare machine. */
  lastRecord: ExitRecord | undefined;
  lastInner: InnerExit | undefined;
  /** Of the exit that was taken last. */
  image: ExitImage | undefined;
  private readonly camera: ExitCamera;
  /** Exits to a hypervisor inside a bare machine. */
  private readonly innerStatistics = new ExitStatistics();
  /** The furthest position that was reached. */
  private furthest: Position | undefined;
  /** VM exits taken. */
  exits = 0;
  private events = 0;
  private written = 0;
  private shown = 0;
  private exitsShown = 0;
  private delivered = 0;
  private sending = false;
  /** Bytes typed since the guest stopped: they come when virtual time has an instruction boundary of its own. */
  private typed: Uint8Array[] = [];
  private settled = false;
  private readonly interval: number;

  /** @param config its serialOutput and observer hear of everything once. Entropy must be Stateful (or absent). */
  constructor(
    private readonly config: GuestConfig,
    options: TimelineOptions = {},
  ) {
    this.interval = options.interval ?? DEFAULTS.interval;
    this.checkpoints = new Checkpoints(options.budget ?? DEFAULTS.budget);
    if (options.history === false) this.forwardOnly = 'this run keeps no history: build it with history to go back';
    const mine: GuestConfig = {
      ...config,
      // Pieces are short already.
      pause: undefined,
      serialOutput: (byte) => this.output(byte),
      observer: { exit: (record, information) => this.handled(record, information), arrived: (exit) => this.arrive(exit) },
    };
    this.guest = new Guest(mine, options.from);
    this.camera = new ExitCamera(this.guest);
    const { machine, vm } = this.guest;
    machine.observer = { ...machine.cpu.observer, deliver: () => void this.events++ };
    if (vm !== undefined) return;
    const entry = (): void => void this.events++;
    if (machine.vmx !== undefined) {
      const { observer } = machine.vmx;
      machine.vmx.observer = { ...observer, entry, exit: (_, reason) => this.inner(reason), refused: (_, result) => this.refused(result) };
    }

    if (machine.svm !== undefined) machine.svm.observer = { ...machine.svm.observer, entry, exit: (_, code) => this.inner(code) };
  }

  get position(): Position {
    const { guest, exits, events } = this;
    return { instructions: guest.instructions, exits, events, ticks: guest.time };
  }
  get end(): Position {
    const here = this.position;
    return this.furthest !== undefined && comparePositions(this.furthest, here) > 0 ? this.furthest : here;
  }
  get begin(): Position {
    return this.checkpoints.first?.position ?? this.position;
  }
  /** The exit at which the target stands, because its handler has not run. */
  get atExit(): Exit | undefined {
    return this.guest.vm?.vcpu.arrived;
  }

  // ---- forward ----

  /** Runs to virtual time `limit`, or less: a piece of it, with the inputs that belong there. Takes snapshots on the way. */
  run(limit: number): GuestStop {
    if (this.checkpoints.first === undefined) this.saveOnTheWay();
    if (this.settled) this.type();
    const due = this.inputs.tickOf(this.delivered);
    // Who stops the guest often keeps it from ever being stopped by time alone.
    const soon = this.guest.time + (this.typed.length > 0 || this.saveIsDue() ? 1 : Math.min(SLICE, this.interval));
    const stop = this.guest.run(Math.min(limit, due, soon));
    this.settled = stop.kind === 'limit' || stop.kind === 'idle';
    const came = this.settled && this.guest.time >= due;
    if (came) this.deliver();
    const here = this.position;
    if (this.furthest === undefined || comparePositions(here, this.furthest) > 0) this.furthest = here;
    if (this.settled && this.saveIsDue()) this.saveOnTheWay();
    // Who was idle has something to do now.
    return came || (stop.kind === 'idle' && this.typed.length > 0) ? { kind: 'limit' } : stop;
  }

  /** Runs until so many instructions have retired, and stops before the next one. */
  *runToInstructions(instructions: number): Generator<undefined, GuestStop, undefined> {
    for (;;) {
      const left = instructions - this.guest.instructions;
      if (left <= 0) return { kind: 'limit' };
      const stop = this.run(this.guest.time + left);
      if (stop.kind === 'ended' || stop.kind === 'idle') return stop;
      yield;
    }
  }

  private deliver(): void {
    const { bytes } = this.inputs.byTick[this.delivered++];
    this.guest.sendSerial(bytes);
  }

  /** Bytes typed by the user now; in the past they change what comes. */
  sendSerial(bytes: Uint8Array): void {
    if (this.sending) {
      // From inside the output of a byte: the moment is that byte.
      if (this.written < this.shown) return;
      this.inputs.byByte.push({ byte: this.written, bytes: bytes.slice() });
      this.guest.sendSerial(bytes);
      return;
    }
    this.typed.push(bytes.slice());
  }

  /** Recorded inputs must come at a moment that virtual time alone names: one at which the guest was stopped by time. */
  private type(): void {
    if (this.typed.length === 0) return;
    if (comparePositions(this.position, this.end) < 0) this.dropFuture();
    for (const bytes of this.typed.splice(0)) {
      this.inputs.byTick.push({ tick: this.guest.time, bytes });
      this.deliver();
    }
  }

  private output(byte: number): void {
    this.written++;
    for (const { bytes } of this.inputs.atByte(this.written)) this.guest.sendSerial(bytes);
    if (this.written <= this.shown || this.muted) return;
    this.shown = this.written;
    this.sending = true;
    this.config.serialOutput(byte);
    this.sending = false;
  }
  /** Visits to places that may lie behind the end of the history, and count as never made. */
  private muted = false;

  /** The exit that was taken last, as the dispatcher sees it. */
  arriving: Exit | undefined;

  private arrive(exit: Exit): boolean {
    this.exits++;
    this.events++;
    this.image = this.camera.take();
    this.arriving = exit;
    return this.listener?.arrived(exit) === true;
  }

  private handled(record: ExitRecord, information: () => ExitInformation): void {
    this.events++;
    this.lastRecord = record;
    if (this.exits <= this.exitsShown || this.muted) return;
    this.exitsShown = this.exits;
    this.config.observer?.exit?.(record, information);
  }

  private inner(code: number): void {
    this.exits++;
    this.image = this.camera.take();
    const { guest, image } = this;
    const [rip, qualification] = image === undefined ? [0n, 0n] : exitFields(guest, image);
    this.innerStatistics.count(exitName(guest.machine.vmx !== undefined ? 'vmx' : 'svm', code), undefined);
    this.tellInner({ code, rip, qualification, failed: failedExit(guest, code) });
  }

  /** No exit: the instruction reports VMfail, and is over. */
  private refused(result: VmFailValid | typeof VM_FAIL_INVALID): void {
    this.image = this.camera.take();
    const code = result.kind === 'fail-valid' ? result.error : 0;
    this.tellInner({ code, rip: this.guest.machine.cpu.currentRip(), qualification: 0n, failed: refusedEntry(this.guest, result) });
  }

  private tellInner(what: Pick<InnerExit, 'code' | 'rip' | 'qualification' | 'failed'>): void {
    this.events++;
    this.lastInner = { ...what, number: this.exits, instructions: this.guest.instructions, ticks: this.guest.time };
    this.listener?.inner(this.lastInner);
  }

  /** VM exits by reason: to our hypervisor, or to one inside a bare machine. */
  exitRows(details: number): ExitRow[] {
    return this.guest.vm === undefined ? this.innerStatistics.rows(details) : this.guest.exitRows(details);
  }

  // ---- snapshots ----

  /** Throws DebugError with the reason if this guest cannot be saved. */
  save(): Checkpoint<Counters> {
    const checkpoint = this.capture();
    this.checkpoints.add(checkpoint);
    return checkpoint;
  }

  /** A snapshot that is not part of the history. Throws DebugError with the reason if this guest cannot be saved. */
  capture(): Checkpoint<Counters> {
    const { exits, events, written, delivered, lastRecord, lastInner } = this;
    try {
      const extra = { exits, events, written, delivered, lastRecord, lastInner, image: keep(this.image), innerExits: this.innerStatistics.saveState() };
      return { position: this.position, state: this.guest.saveState(), extra };
    } catch (error) {
      throw new DebugError(`this machine cannot go back: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Goes on from a snapshot of capture() as another run: output and exits are passed on again, and the history begins there. */
  adopt(checkpoint: Checkpoint<Counters>): void {
    this.restore(checkpoint);
    this.furthest = undefined;
    this.fork();
  }

  /** Why there is no way back, when the machine has a part that cannot be saved; then it runs forward only. */
  private forwardOnly: string | undefined;
  private saveIsDue(): boolean {
    if (this.forwardOnly !== undefined) return false;
    const { position } = this;
    const last = this.checkpoints.before(position);
    if (last === undefined) return false;
    const work = workBetween(last.position, position);
    if (work < this.interval) return false;
    return work >= this.interval * PATIENCE || writtenPages(this.guest.machine.memory) * PAGE_COST <= work * SHARE;
  }
  private saveOnTheWay(): void {
    if (this.forwardOnly !== undefined) return;
    try {
      this.save();
    } catch (error) {
      if (!(error instanceof DebugError)) throw error;
      this.forwardOnly = error.message;
    }
  }

  /** Throws DebugError when there is nothing to go back to. */
  requireHistory(): void {
    if (this.forwardOnly !== undefined) throw new DebugError(this.forwardOnly);
    if (this.checkpoints.first === undefined) throw new DebugError('nothing has run yet: there is no history to go back to');
  }

  restore({ state, extra }: Checkpoint<Counters>): void {
    const { end } = this;
    this.guest.restoreState(state);
    this.furthest = end;
    const { innerExits, ...counters } = extra;
    Object.assign(this, counters, { settled: false, typed: [] });
    this.innerStatistics.restoreState(innerExits);
  }

  /** Restores the nearest snapshot and runs to the first moment at which so many instructions have retired. */
  *goTo(instructions: number): Generator<undefined, GuestStop, undefined> {
    this.requireHistory();
    this.restore(this.checkpoints.before({ instructions, exits: 0, events: -1, ticks: 0 }) ?? this.checkpoints.first!);
    for (const before of APPROACH) {
      if (instructions - before - this.guest.instructions < before) continue;
      yield* this.runToInstructions(instructions - before);
      this.save();
    }
    return yield* this.runToInstructions(instructions);
  }

  /** What follows leaves no trace outside until `work` is over. */
  *muting<T>(work: Generator<undefined, T, undefined>): Generator<undefined, T, undefined> {
    const { furthest, muted } = this;
    this.muted = true;
    try {
      return yield* work;
    } finally {
      this.muted = muted;
      this.furthest = furthest;
    }
  }

  /** The guest was changed here: no other moment of the run belongs to it any more. */
  fork(): void {
    this.dropFuture();
    this.checkpoints.clear();
    this.settled = false;
  }

  private dropFuture(): void {
    const here = this.position;
    this.checkpoints.truncate(here);
    this.inputs.truncate(this.delivered, this.written);
    this.shown = this.written;
    this.exitsShown = this.exits;
    this.furthest = here;
    this.listener?.forked(here);
  }
}

/** RIP and the qualification or EXITINFO1. */
const exitFields = ({ machine }: Guest, image: ExitImage): [rip: bigint, qualification: bigint] =>
  machine.vmx !== undefined
    ? [fieldOf(image, OFFSET.GUEST_RIP, 64), fieldOf(image, OFFSET.EXIT_QUALIFICATION, 64)]
    : [fieldOf(image, VMCB.RIP, 64), fieldOf(image, VMCB.EXITINFO1, 64)];

/** How long the way is from one position to a later one. */
const workBetween = (from: Position, to: Position): number => to.instructions - from.instructions + EXIT_COST * (to.exits - from.exits);
