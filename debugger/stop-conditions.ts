/** Breakpoints of all kinds put into force on a guest, and what they have to say when it stops. */
import { isCanonical } from '../cpu/canonical';
import { CodeBreakpoints } from '../cpu/code-breakpoints';
import type { Exit } from '../hypervisor/exit';
import { requesterName } from '../iommu/remapping';
import { VMCS, type FieldName } from '../vmx/vmcs/fields';
import type { ControlStructure } from './control-structure';
import { arrivingExit, describeExit, exitMatches, innerExit, requireReason } from './exit-view';
import { HitCounts } from './hit-counts';
import type { MemoryView } from './memory-view';
import type { ProcessorView } from './processor-view';
import { DebugError, type Breakpoint, type BreakpointOptions, type BreakpointSpec, type ExitView, type Position, type Stop } from './target';
import type { InnerExit, Timeline } from './timeline';
import { Watchpoints, type WatchRange } from './watchpoints';

const MAX_WATCH = 4096;

/** A place at which an access was made. */
export interface AccessPlace {
  readonly position: Position;
  readonly rip: bigint;
  /** In the hypervisor, while it handled the exit of this number; undefined: by an instruction of the guest. */
  readonly exit: number | undefined;
  /** By DMA of this device: `rip` is where the processor was. */
  readonly requester: number | undefined;
}

/** A stop that a condition asks for. */
export interface Hit {
  readonly stop: Stop;
  /** Accesses: where they were made, which is before the stop. */
  readonly access: AccessPlace | undefined;
}

type StopBody = Stop extends infer S ? (S extends Stop ? Omit<S, 'position'> : never) : never;
interface Entry {
  readonly id: number;
  readonly spec: BreakpointSpec;
  readonly options: BreakpointOptions;
  enabled: boolean;
  hits: number;
}
interface FieldAccess {
  readonly id: number;
  readonly write: boolean;
  readonly field: string;
  readonly oldValue: bigint;
  readonly newValue: bigint;
  readonly place: AccessPlace;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

function whoAccessed({ requester, exit, rip }: AccessPlace): string {
  if (requester !== undefined) return `DMA of ${requesterName(requester)} while the processor was at ${hex(rip)}`;
  return `${exit === undefined ? '' : 'the hypervisor for '}the instruction at ${hex(rip)}`;
}

export class StopConditions {
  private readonly entries: Entry[] = [];
  private nextId = 1;
  private nextInternal = -1;
  private readonly code = new CodeBreakpoints();
  private readonly hitCounts = new HitCounts();
  private readonly watchpoints: Watchpoints<AccessPlace>;
  /** Off while a place is visited on the way to another one. */
  private watching = false;
  /** Stops at the exit of this number, whatever else there is. */
  private wantedExit = Infinity;
  private exitHit: { readonly id: number | undefined; readonly exit: ExitView } | undefined;
  private fieldHits: FieldAccess[] = [];
  /** A condition that could not be asked, at an exit. */
  private failure: DebugError | undefined;

  constructor(
    private readonly timeline: Timeline,
    private readonly processor: ProcessorView,
    private readonly memory: MemoryView,
    private readonly control: ControlStructure,
  ) {
    const { guest } = timeline;
    const { machine } = guest;
    this.watchpoints = new Watchpoints(
      machine.memory,
      () => machine.engine.sharing.engines.map((e) => e.cpu),
      (requester) => this.place(requester),
      () => machine.engine.stop(),
    );
    this.watchpoints.enabled = false;
    timeline.listener = { arrived: (exit) => this.arrived(exit), inner: (exit) => this.inner(exit), forked: (here) => this.hitCounts.truncate(here) };
  }

  private place(requester?: number): AccessPlace {
    const { cpu } = this.timeline.guest.machine;
    const outside = this.timeline.guest.vm !== undefined && !cpu.guestMode;
    const rip = outside ? this.timeline.guest.vm!.processor.rip() : cpu.currentRip();
    return { position: this.timeline.position, rip, exit: outside ? this.timeline.exits : undefined, requester };
  }

  // ---- the list ----

  get list(): readonly Breakpoint[] {
    return this.entries.filter((e) => e.id > 0);
  }

  add(spec: BreakpointSpec, options: BreakpointOptions): Breakpoint {
    const entry: Entry = { id: this.nextId, spec, options, enabled: true, hits: 0 };
    const ranges = this.check(spec);
    this.nextId++;
    this.entries.push(entry);
    if (ranges !== undefined) this.watchpoints.add(entry.id, ranges, spec.kind === 'watch' ? spec.access : 'write');
    this.changed();
    return entry;
  }

  /** A breakpoint of the debugger's own, which no listing shows. Answers its id. */
  addInternal(address: bigint, holds: () => boolean): number {
    const id = this.nextInternal--;
    this.entries.push({ id, spec: { kind: 'execution', address }, options: { condition: { text: '', holds } }, enabled: true, hits: 0 });
    this.changed();
    return id;
  }

  remove(id: number): void {
    const entry = this.entry(id);
    this.entries.splice(this.entries.indexOf(entry), 1);
    this.watchpoints.remove(id);
    this.hitCounts.remove(id);
    this.changed();
  }

  enable(id: number, enabled: boolean): void {
    this.entry(id).enabled = enabled;
    this.changed();
  }

  private entry(id: number): Entry {
    const entry = this.entries.find((e) => e.id === id);
    if (entry === undefined) throw new DebugError(`there is no breakpoint ${id}`);
    return entry;
  }

  /** Throws DebugError for what cannot be watched. Answers the host-physical ranges of what watches memory. */
  private check(spec: BreakpointSpec): readonly WatchRange[] | undefined {
    switch (spec.kind) {
      case 'execution':
        if (!isCanonical(spec.address, this.timeline.guest.machine.cpu.linearAddressWidth))
          throw new DebugError(`${hex(spec.address)} is not canonical: no code is there`);
        return undefined;
      case 'watch':
        if (spec.length < 1 || spec.length > MAX_WATCH) throw new DebugError(`${spec.length} bytes cannot be watched: 1 to ${MAX_WATCH}`);
        return [...this.memory.pieces(spec.space, spec.address, spec.length)].map(({ host, length }) => {
          if (host !== undefined) return { physical: host, length };
          throw new DebugError(`${hex(spec.address)} has no host frame yet: the guest has never touched it`);
        });
      case 'exit':
        if (spec.reason !== undefined) requireReason(spec.reason, this.timeline);
        return undefined;
      case 'field': {
        const field = this.control.field(spec.field);
        if (this.control.kind === 'VMCS') return undefined;
        if (spec.access !== 'write') throw new DebugError('a VMCB is read by ordinary instructions: use awatch or rwatch on its memory');
        return [{ physical: this.control.address + field.offset, length: Math.ceil(field.bits / 8) }];
      }
    }
  }

  private changed(): void {
    const { machine } = this.timeline.guest;
    const wanted = new Set(this.entries.flatMap((e) => (e.enabled && e.spec.kind === 'execution' ? [e.spec.address] : [])));
    for (const address of this.addresses) {
      if (wanted.has(address)) continue;
      this.addresses.delete(address);
      for (const host of this.code.delete(address)) machine.engine.code.breaks.delete(host);
    }
    for (const address of wanted) {
      this.addresses.add(address);
      this.code.add(address);
    }
    const fields = this.entries.some((e) => e.enabled && e.spec.kind === 'field');
    if (machine.vmx !== undefined) {
      const { vmread: _, vmwrite: __, ...rest } = machine.vmx.observer;
      machine.vmx.observer = fields
        ? {
            ...rest,
            vmread: (_vmx, encoding) => this.fieldAccess(encoding, undefined),
            vmwrite: (_vmx, encoding, low, high) => this.fieldAccess(encoding, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)),
          }
        : rest;
    }
    this.apply();
  }
  private readonly addresses = new Set<bigint>();

  // ---- in force or not ----

  /** Whether conditions stop the guest from here on. `exit`: stop at the exit of this number too. */
  watch(on: boolean, exit = Infinity): void {
    this.watching = on;
    this.wantedExit = exit;
    this.forget();
    this.apply();
  }

  /** A snapshot was restored; or what is watched changed. */
  apply(): void {
    this.watchpoints.enabled = this.watching;
    this.timeline.guest.machine.engine.useBreakpoints(this.watching && !this.code.empty ? this.code : undefined);
  }

  /** The target has been seen to stand here: execution goes on with this instruction. */
  passHere(): void {
    this.code.pass(this.timeline.guest.instructions, this.processor.cpu().rip);
  }
  /** Nobody has seen it stand anywhere yet. */
  passNothing(): void {
    this.code.pass(-1, 0n);
  }

  /** What was heard belongs to another moment. */
  private forget(): void {
    this.watchpoints.take();
    this.code.hit = undefined;
    this.exitHit = undefined;
    this.failure = undefined;
    this.fieldHits = [];
  }

  // ---- while the guest runs ----

  private arrived(exit: Exit): boolean {
    if (this.timeline.exits === this.wantedExit) {
      this.exitHit = { id: undefined, exit: arrivingExit(this.timeline, exit) };
      return true;
    }
    return this.watching && this.exitBreakpoint(() => arrivingExit(this.timeline, exit));
  }

  private inner(exit: InnerExit): void {
    if (exit.failed?.vmFail === undefined && this.timeline.exits === this.wantedExit) this.exitHit = { id: undefined, exit: innerExit(this.timeline, exit) };
    else if (!this.watching || !this.exitBreakpoint(() => innerExit(this.timeline, exit))) return;
    this.timeline.guest.machine.engine.stop();
  }

  private exitBreakpoint(view: () => ExitView): boolean {
    let exit: ExitView | undefined;
    for (const entry of this.entries) {
      const { id, spec } = entry;
      if (!entry.enabled || spec.kind !== 'exit') continue;
      exit ??= view();
      if (!exitMatches(spec.reason, exit)) continue;
      try {
        if (!this.matches(entry, exit) || !this.asks(entry)) continue;
      } catch (error) {
        if (!(error instanceof DebugError)) throw error;
        // Not through the running guest: it stops here first.
        this.failure = error;
      }
      this.exitHit = { id, exit };
      return true;
    }
    return false;
  }

  private fieldAccess(encoding: number, written: bigint | undefined): void {
    if (!this.watching) return;
    for (const { id, spec, enabled } of this.entries) {
      if (!enabled || spec.kind !== 'field' || (spec.access !== 'access' && (spec.access === 'write') !== (written !== undefined))) continue;
      const field = this.control.field(spec.field);
      // Bit 0 of an encoding: the high half of a 64-bit field.
      if (VMCS[field.name as FieldName] !== (encoding & ~1)) continue;
      const oldValue = this.control.read(field);
      const high = (encoding & 1) !== 0 && written !== undefined;
      const whole = high ? (oldValue & 0xffff_ffffn) | (written << 32n) : (written ?? oldValue);
      const newValue = BigInt.asUintN(field.bits, whole);
      this.fieldHits.push({ id, write: written !== undefined, field: field.name, oldValue, newValue, place: this.place() });
      this.timeline.guest.machine.engine.stop();
    }
  }

  // ---- when it has stopped ----

  /** What the conditions have to say about the stop that was just made, if anything; each is told once. */
  collect(): Hit | undefined {
    const { position } = this.timeline;
    const stop = (body: StopBody): Stop => ({ ...body, position }) as Stop;
    const watchHits = this.watchpoints.take();
    const { exitHit, fieldHits, failure } = this;
    const address = this.code.hit;
    this.forget();
    if (failure !== undefined) throw failure;
    if (exitHit !== undefined) {
      this.count(exitHit.id);
      return { stop: stop({ kind: 'exit', ...exitHit, explanation: describeExit(exitHit.exit) }), access: undefined };
    }
    for (const { id, write, oldValue, newValue, place } of watchHits) {
      if (!this.holds(id)) continue;
      this.count(id);
      const change = write ? `written: ${hex(oldValue)} -> ${hex(newValue)}` : `read: ${hex(newValue)}`;
      const explanation = `watchpoint ${id} ${change}, by ${whoAccessed(place)}`;
      const { spec } = this.entry(id);
      const { rip } = place;
      const body: StopBody =
        spec.kind === 'field'
          ? { kind: 'field', id, write, field: this.control.field(spec.field).name, oldValue, newValue, explanation }
          : { kind: 'watchpoint', id, write, rip, oldValue, newValue, explanation };
      return { stop: stop(body), access: place };
    }
    for (const { place, ...access } of fieldHits) {
      if (!this.holds(access.id)) continue;
      this.count(access.id);
      const what = access.write
        ? `VMWRITE of ${access.field}: ${hex(access.oldValue)} -> ${hex(access.newValue)}`
        : `VMREAD of ${access.field}: ${hex(access.newValue)}`;
      const who = place.exit === undefined ? `by the instruction at ${hex(place.rip)}` : `by the hypervisor after exit ${place.exit}`;
      return { stop: stop({ kind: 'field', ...access, explanation: `${what}, ${who}` }), access: place };
    }
    if (address === undefined) return undefined;
    for (const { id, spec, enabled } of this.entries) {
      if (!enabled || spec.kind !== 'execution' || spec.address !== address || !this.holds(id)) continue;
      this.count(id);
      return { stop: stop({ kind: 'breakpoint', id, address, explanation: `breakpoint ${id} at ${hex(address)}` }), access: undefined };
    }
    // Its condition does not hold: the instruction executes.
    this.passHere();
    return undefined;
  }

  private holds(id: number): boolean {
    const entry = this.entries.find((e) => e.id === id);
    return entry !== undefined && entry.enabled && this.asks(entry);
  }

  private matches({ id, spec, options: { condition } }: Entry, exit: ExitView): boolean {
    return spec.kind === 'exit' && (spec.matches === undefined || answer(id, condition?.text, () => spec.matches!(exit)));
  }

  /** Whether an entry that is come to wants the target to stop. */
  private asks({ id, options: { condition, hitCount, log } }: Entry): boolean {
    if (condition !== undefined && !answer(id, condition.text, () => condition.holds())) return false;
    if (hitCount?.holds(this.hitCounts.number(id, this.timeline.position)) === false) return false;
    if (log !== undefined && !this.surveying) log();
    return log === undefined;
  }

  private count(id: number | undefined): void {
    if (id !== undefined && !this.surveying) this.stopped(id);
  }
  /** The target stands where a breakpoint has it stop. */
  stopped(id: number): void {
    const entry = this.entries.find((e) => e.id === id);
    if (entry !== undefined) entry.hits++;
  }
  /** Hits on the way are not counted: the target will not stop at them. */
  surveying = false;
}

/** Throws DebugError that names the breakpoint whose condition cannot be asked here. */
function answer(id: number, text: string | undefined, ask: () => boolean): boolean {
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof DebugError)) throw error;
    const what = text === undefined ? 'its condition' : `"${text}"`;
    throw new DebugError(`breakpoint ${id}: ${what} cannot be asked here: ${error.message}`, { cause: error });
  }
}
