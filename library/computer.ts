/**
 * A computer to experiment with: a guest on the physical machine, or in a VM under the hypervisor, that can be run, stopped, looked at,
 * listened to, and, with a history, taken backward. Time in it is the number of instructions, so that everything happens again exactly.
 */
import { Session } from '../debugger/session';
import type { Checkpoint } from '../debugger/checkpoints';
import type { ControlField } from '../debugger/control-structure';
import {
  complete,
  DebugError,
  type Breakpoint,
  type BreakpointOptions,
  type BreakpointSpec,
  type ExitView,
  type MemorySpace,
  type Motion,
  type Position,
  type RegisterInfo,
  type Stop,
} from '../debugger/target';
import type { Counters } from '../debugger/timeline';
import type { Guest } from '../hypervisor/guest';
import type { ExitRow } from '../hypervisor/statistics';
import { Address, Bytes, CountLimit, Hear, Input, Length, Limits, Name, Options, requireArgument, Space, Spec, Value, WrittenPlace } from './arguments';
import { checkConfiguration, guestConfig, openDrives, type ComputerConfiguration } from './configuration';
import type { OpenDisks } from './disk-image';
import { EventStream } from './event-stream';
import type { EventName, Listener } from './events';
import { hooksOf, shared } from './hooks';
import { translationOf, type Translation } from './translation';
import { WriteHooks, type GuestWrite } from './write-hooks';
import type { ExitRecord } from '../hypervisor/vcpu';

/** Where runUntil() stops: at the first of these. */
export interface RunLimits {
  /** So many instructions have retired since the start of the guest. */
  readonly instructions?: number;
  /** Before the instruction at this linear address (64 bits, canonical), in whatever address space. */
  readonly address?: bigint;
  /** Before the handler of a VM exit: of this reason or kind, as "EPT_VIOLATION" or "cpuid"; or that a predicate wants. */
  readonly exit?: string | ((exit: ExitView) => boolean);
  /** The console has shown this text, since runUntil() was called. */
  readonly console?: string | RegExp;
}

/** A moment of a computer, to go on from as often as wanted. Snapshots share the memory that did not change between them. */
export interface Snapshot {
  readonly position: Position;
}

const SNAPSHOTS = new WeakMap<Snapshot, { readonly computer: Computer; readonly checkpoint: Checkpoint<Counters>; readonly console: string }>();
/** Of the console, what runUntil() looks back at. */
const CONSOLE_KEPT = 1 << 20;

export class Computer {
  /** What runs underneath: for what this class does not offer. */
  readonly session: Session;
  private readonly events: EventStream;
  private readonly writes: WriteHooks;
  private readonly onExit: (listener: (record: ExitRecord) => void) => () => void;
  private readonly onConsole: (listener: (byte: number) => void) => () => void;
  private readonly observer: { exit?: (record: ExitRecord) => void } = {};
  private readonly disks: OpenDisks;
  private printed: ((byte: number) => void) | undefined;
  private text = '';
  private closed = false;

  /** Builds it and loads the image; nothing runs yet. Throws ConfigurationError, and BootError for an image that cannot be booted. */
  constructor(configuration: ComputerConfiguration) {
    const checked = checkConfiguration(configuration);
    this.disks = openDrives(checked);
    const config = guestConfig(checked, this.disks.drives, (byte) => {
      this.text += String.fromCharCode(byte);
      if (this.text.length > 2 * CONSOLE_KEPT) this.text = this.text.slice(-CONSOLE_KEPT);
      checked.serialOutput?.(byte);
      this.printed?.(byte);
    });
    const history = checked.history === false ? { history: false } : checked.history === true ? {} : checked.history;
    try {
      this.session = new Session({ ...config, observer: this.observer }, history);
    } catch (error) {
      this.disks.close();
      throw error;
    }
    const { guest } = this;
    this.onExit = shared((fire) => {
      this.observer.exit = fire;
      return () => delete this.observer.exit;
    });
    this.onConsole = shared((fire) => {
      this.printed = fire;
      return () => (this.printed = undefined);
    });
    this.events = new EventStream(hooksOf({ guest, onExit: this.onExit, onConsole: this.onConsole }));
    this.writes = new WriteHooks(guest);
  }

  /**
   * Closes the files of the disks, and lets other machines write them. What the guest did not flush may still be lost by a crash of the host.
   * The computer can be looked at after this, and does not run any more.
   */
  close(): void {
    this.closed = true;
    this.disks.close();
  }

  /** What makes the guest move goes through here. Throws Error when the computer is closed. */
  private get open(): Session {
    if (this.closed) throw new Error('this computer is closed, with the files of its disks: build another one to run');
    return this.session;
  }

  /** The guest itself: machine, hypervisor, devices. Changing it directly invalidates the history. */
  get guest(): Guest {
    return this.session.timeline.guest;
  }
  /** What runs, in one line. */
  get description(): string {
    return this.session.description;
  }
  /** Instructions retired, VM exits taken, virtual time in nanoseconds. */
  get position(): Position {
    return this.session.position;
  }
  /** The last MiB or so of what the guest printed on COM1, a character a byte (Latin-1). */
  get console(): string {
    return this.text;
  }
  /** VM exits by reason, the most frequent first; of a bare machine, those to a hypervisor inside it. @param details how many ports, MSRs, pages ... to name for each. */
  exitCounts(details = 3): ExitRow[] {
    return this.session.timeline.exitRows(details);
  }
  /** The exit that the computer stands at, or the last one that was handled. */
  get lastExit(): ExitView | undefined {
    return this.session.lastExit;
  }

  // ---- running ----

  /** Runs to the end, to a breakpoint, or until the guest waits for input. A guest that never ends does not return: give a limit. */
  run(limit?: { readonly instructions: number }): Stop {
    if (limit === undefined) return complete(this.open.resume());
    requireArgument('run: limit', CountLimit, limit);
    return this.runUntil(limit);
  }

  /** Runs to the first of the limits, a breakpoint, or the end. The stop says which: 'limit' or 'step' for a count, 'interrupted' for a text. */
  runUntil(limits: RunLimits): Stop {
    return complete(this.motionUntil(limits));
  }

  /** The same, giving way to the event loop every few milliseconds. */
  async runUntilAsync(limits: RunLimits = {}): Promise<Stop> {
    return givingWay(this.motionUntil(limits));
  }

  private *motionUntil(limits: RunLimits): Motion {
    requireArgument('runUntil: limits', Limits, limits);
    const { instructions, address, exit, console } = limits;
    const session = this.open;
    const here = session.position.instructions;
    if (instructions !== undefined && (!Number.isSafeInteger(instructions) || instructions < 0))
      throw new DebugError(`${instructions} is no number of instructions`);
    const added: Breakpoint[] = [];
    const stopListening = console === undefined ? undefined : this.stopAtText(console);
    try {
      if (address !== undefined) added.push(session.addBreakpoint({ kind: 'execution', address }));
      if (exit !== undefined) added.push(session.addBreakpoint(typeof exit === 'string' ? { kind: 'exit', reason: exit } : { kind: 'exit', matches: exit }));
      if (instructions === undefined) return yield* session.resume();
      if (instructions <= here) return { kind: 'limit', explanation: `${here} instructions have run already`, position: session.position };
      const stop = yield* session.step(instructions - here);
      return stop.kind === 'step' ? { ...stop, kind: 'limit', explanation: `${instructions} instructions have run` } : stop;
    } finally {
      stopListening?.();
      for (const { id } of added) session.removeBreakpoint(id);
    }
  }

  private stopAtText(wanted: string | RegExp): () => void {
    let seen = '';
    return this.onConsole((byte) => {
      seen += String.fromCharCode(byte);
      if (typeof wanted === 'string' ? !seen.endsWith(wanted) : !wanted.test(seen)) return;
      seen = '';
      this.session.interrupt();
      this.guest.stop();
    });
  }

  /** Steps instructions; handlers of interrupts and exceptions are stepped into, VM exits are passed. */
  step(count = 1): Stop {
    return complete(this.open.step(count));
  }
  /** To the `count`-th VM exit from here, before its handler. Throws DebugError for a processor without VT-x and AMD-V. */
  stepExit(count = 1): Stop {
    return complete(this.open.stepExit(count));
  }

  /**
   * Every VM exit from here on, before its handler runs: while the loop's body works, the computer stands at it. Ends with the guest, at a
   * breakpoint, or when the guest waits for input.
   * @param reason only these: as "EPT_VIOLATION" or "cpuid". Throws DebugError for one that does not exist.
   */
  async *exits(reason?: string): AsyncGenerator<ExitView, void, undefined> {
    const { id } = this.addBreakpoint({ kind: 'exit', reason });
    try {
      for (;;) {
        const stop = await givingWay(this.open.resume());
        if (stop.kind !== 'exit') return;
        yield stop.exit;
      }
    } finally {
      this.session.removeBreakpoint(id);
    }
  }

  /** Types bytes, or text as Latin-1, at COM1. */
  type(input: string | Uint8Array): void {
    requireArgument('type: input', Input, input);
    this.session.sendSerial(typeof input === 'string' ? Uint8Array.from(input, (c) => c.charCodeAt(0)) : input);
  }

  // ---- backward: needs `history` in the configuration, and throws DebugError without ----

  reverseStep(count = 1): Stop {
    return complete(this.open.reverseStep(count));
  }
  reverseExit(count = 1): Stop {
    return complete(this.open.reverseExit(count));
  }
  /** To the last hit of a breakpoint before here; watchpoints stop before the instruction that made the access. */
  reverseRun(): Stop {
    return complete(this.open.reverseResume());
  }
  /** To the first moment at which so many instructions have retired, backward or forward. */
  seek(instructions: number): Stop {
    return complete(this.open.seek(instructions));
  }

  /**
   * Goes back to who wrote to memory, or to a field of the VMCS or VMCB, last: before the instruction, or at the VM exit whose handler did.
   * The stop says who ('watchpoint'), or that nobody in the history did ('history-begin').
   */
  lastWrite(what: { readonly space: MemorySpace; readonly address: bigint; readonly length: number } | { readonly field: string }): Stop {
    requireArgument('lastWrite: what', WrittenPlace, what);
    const session = this.open;
    // A field is memory too.
    const { control } = session;
    const field = 'field' in what ? control.field(what.field) : undefined;
    const place =
      field !== undefined
        ? ({ space: 'host-physical', address: BigInt(control.address + field.offset), length: Math.ceil(field.bits / 8) } as const)
        : (what as Exclude<typeof what, { field: string }>);
    const { id } = session.addBreakpoint({ kind: 'watch', ...place, access: 'write' });
    const others = session.breakpoints.filter((b) => b.enabled && b.id !== id);
    for (const other of others) session.enableBreakpoint(other.id, false);
    try {
      return complete(session.reverseResume());
    } finally {
      session.removeBreakpoint(id);
      for (const other of others) session.enableBreakpoint(other.id, true);
    }
  }

  // ---- listening ----

  /** Hears of every event of a name, in order, while the guest runs. @returns how to stop listening. Listeners must not run the computer. */
  on<K extends EventName>(name: K, listener: Listener<K>): () => void {
    return this.events.on(name, listener);
  }

  /** See {@link BreakpointSpec}. Throws TypeError for what is none, DebugError for what cannot be. */
  addBreakpoint(spec: BreakpointSpec, options: BreakpointOptions = {}): Breakpoint {
    requireArgument('addBreakpoint: spec', Spec, spec);
    requireArgument('addBreakpoint: options', Options, options);
    return this.session.addBreakpoint(spec, options);
  }
  removeBreakpoint(id: number): void {
    this.session.removeBreakpoint(id);
  }

  /**
   * Calls `hear` before every write to [gpa, gpa + length), guest-physical, by way of EPT or NPT. The instruction is then carried out.
   * @returns how to take the hook away. Throws DebugError for a bare machine and for what is not RAM. It changes the run: it makes exits.
   */
  onWrite(gpa: number, length: number, hear: (write: GuestWrite) => void): () => void {
    requireArgument('onWrite: hear', Hear, hear);
    return this.writes.add(gpa, length, hear);
  }

  // ---- looking ----

  /** Names and widths, in the order in which people expect them. */
  get registers(): readonly RegisterInfo[] {
    return this.session.registers;
  }
  /** Unsigned, of the register's width. Throws DebugError for a name that does not exist. */
  readRegister(name: string): bigint {
    requireArgument('readRegister: name', Name, name);
    return this.session.readRegister(name);
  }
  /** Throws DebugError for values that do not fit, and for what the processor cannot hold. */
  writeRegister(name: string, value: bigint): void {
    requireArgument('writeRegister: name', Name, name);
    requireArgument('writeRegister: value', Value, value);
    this.session.writeRegister(name, value);
  }
  /** A copy of `length` bytes. Throws DebugError that names the first address that is not mapped, or not RAM. */
  readMemory(space: MemorySpace, address: bigint, length: number): Uint8Array {
    requirePlace('readMemory', space, address);
    requireArgument('readMemory: length', Length, length);
    return this.session.readMemory(space, address, length);
  }
  /** All or nothing. Throws DebugError as readMemory does. */
  writeMemory(space: MemorySpace, address: bigint, bytes: Uint8Array): void {
    requirePlace('writeMemory', space, address);
    requireArgument('writeMemory: bytes', Bytes, bytes);
    this.session.writeMemory(space, address, bytes);
  }

  /** Fields of the VMCS or the VMCB of this processor, with their widths in bits. */
  get fields(): readonly ControlField[] {
    return this.session.control.fields;
  }
  /** A field of the current VMCS or VMCB, unsigned. Throws DebugError for a name that does not exist, and when none is current. */
  readField(name: string): bigint {
    requireArgument('readField: name', Name, name);
    const { control } = this.session;
    return control.read(control.field(name));
  }

  /** The whole walk of a linear address in both dimensions, without any effect on the guest. What fails is told in the result. */
  translate(linear: bigint): Translation {
    requireArgument('translate: linear', Address, linear);
    return translationOf(linear, this.session.memory.walk(linear));
  }

  // ---- snapshots ----

  /** This moment. Costs the memory that was written since the snapshot before. Throws DebugError for a machine that cannot be saved. */
  snapshot(): Snapshot {
    const checkpoint = this.session.timeline.capture();
    const snapshot: Snapshot = { position: checkpoint.position };
    SNAPSHOTS.set(snapshot, { computer: this, checkpoint, console: this.text });
    return snapshot;
  }

  /** Goes on from a snapshot of this computer; the history begins there. Throws DebugError for one of another. */
  restore(snapshot: Snapshot): void {
    const found = SNAPSHOTS.get(snapshot);
    if (found === undefined || found.computer !== this) throw new DebugError('the snapshot is of another computer: take it with snapshot() of this one');
    this.session.timeline.adopt(found.checkpoint);
    this.text = found.console;
    this.writes.restored();
  }
}

function requirePlace(method: string, space: unknown, address: unknown): void {
  requireArgument(`${method}: space`, Space, space);
  requireArgument(`${method}: address`, Address, address);
}

async function givingWay(motion: Motion): Promise<Stop> {
  for (;;) {
    const { done, value } = motion.next();
    if (done === true) return value;
    await new Promise(setImmediate);
  }
}
