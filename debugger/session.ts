/** A guest under the control of a debugger: forward by running it, backward by restoring a snapshot and running to the place wanted. */
import { decode } from '../cpu/decoder/decode';
import type { Insn } from '../cpu/decoder/insn';
import type { GuestConfig, GuestStop } from '../hypervisor/guest';
import { ControlStructure } from './control-structure';
import { lastExitOf } from './exit-view';
import { MemoryView } from './memory-view';
import { ProcessorView } from './processor-view';
import { ReverseSearch } from './reverse-search';
import { StopConditions } from './stop-conditions';
import {
  comparePositions,
  DebugError,
  type Breakpoint,
  type BreakpointOptions,
  type BreakpointSpec,
  type DebugTarget,
  type ExitView,
  type MemorySpace,
  type Motion,
  type Position,
  type RegisterInfo,
  type Stop,
} from './target';
import { Timeline, type TimelineOptions } from './timeline';

const MAX_INSTRUCTION = 15;
/** Stops whose conditions do not hold, between two looks at the outside. */
const STOPS_A_PIECE = 256;
/** Instructions that next() executes with everything they call. */
const CALLS: ReadonlySet<string> = new Set(['CALL', 'CALLI', 'CALLF', 'INT', 'INT3', 'INTO', 'SYSCALL', 'SYSENTER']);
/** Stops at which something has happened since the instruction before had retired. */
const BETWEEN: ReadonlySet<Stop['kind']> = new Set(['breakpoint', 'exit', 'watchpoint', 'field']);

export class Session implements DebugTarget {
  readonly timeline: Timeline;
  readonly processor: ProcessorView;
  readonly memory: MemoryView;
  readonly control: ControlStructure;
  readonly conditions: StopConditions;
  readonly backend: GuestConfig['backend'];
  lastStop: Stop | undefined;
  private readonly reverse: ReverseSearch;
  private motions = 0;
  private interrupted = false;

  /** Builds the guest; throws what `new Guest` throws. Its console output and exits are passed on once, in whatever direction it is driven. */
  constructor(config: GuestConfig, options?: TimelineOptions) {
    this.backend = config.backend;
    this.timeline = new Timeline(config, options);
    const { guest } = this.timeline;
    this.processor = new ProcessorView(guest);
    this.memory = new MemoryView(guest, this.processor);
    this.control = new ControlStructure(guest);
    this.conditions = new StopConditions(this.timeline, this.processor, this.memory, this.control);
    this.reverse = new ReverseSearch(this.timeline, this.conditions);
  }

  get description(): string {
    return this.timeline.guest.description;
  }
  /** RAM of the guest in bytes. */
  get ramBytes(): number {
    const { vm, machine } = this.timeline.guest;
    return vm?.memory.bytes ?? machine.memory.ramBytes;
  }
  get position(): Position {
    return this.timeline.position;
  }
  get history(): { readonly begin: Position; readonly end: Position } {
    return { begin: this.timeline.begin, end: this.timeline.end };
  }
  get lastExit(): ExitView | undefined {
    return lastExitOf(this.timeline);
  }

  /** What the exit carries at which the target stands, or that is being looked at by a condition: port, size, gpa ... as numbers. */
  get exitOperands(): Readonly<Record<string, bigint>> {
    const { arriving } = this.timeline;
    if (arriving === undefined) return {};
    const numbers = Object.entries(arriving).flatMap(([name, value]) =>
      typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean' ? [[name, BigInt.asUintN(64, BigInt(value))] as const] : [],
    );
    return Object.fromEntries(numbers);
  }

  // ---- registers and memory ----

  get registers(): readonly RegisterInfo[] {
    return this.processor.registers;
  }
  readRegister(name: string): bigint {
    return this.processor.read(name);
  }
  writeRegister(name: string, value: bigint): void {
    this.processor.write(name, value);
    this.timeline.fork();
  }
  readMemory(space: MemorySpace, address: bigint, length: number): Uint8Array {
    return this.memory.read(space, address, length);
  }
  writeMemory(space: MemorySpace, address: bigint, bytes: Uint8Array): void {
    this.memory.write(space, address, bytes);
    this.timeline.fork();
  }
  sendSerial(bytes: Uint8Array): void {
    this.timeline.sendSerial(bytes);
  }

  // ---- breakpoints ----

  get breakpoints(): readonly Breakpoint[] {
    return this.conditions.list;
  }
  addBreakpoint(spec: BreakpointSpec, options: BreakpointOptions = {}): Breakpoint {
    return this.conditions.add(spec, options);
  }
  removeBreakpoint(id: number): void {
    this.conditions.remove(id);
  }
  enableBreakpoint(id: number, enabled: boolean): void {
    this.conditions.enable(id, enabled);
  }

  // ---- motions ----

  step(count = 1): Motion {
    requireCount(count);
    return this.motion(() => this.forward(this.position.instructions + count));
  }
  stepExit(count = 1): Motion {
    requireCount(count);
    this.requireExits();
    return this.motion(() => this.forward(Infinity, this.timeline.exits + count));
  }
  resume(): Motion {
    return this.motion(() => this.forward(Infinity));
  }
  next(): Motion {
    return this.motion(() => this.stepOver());
  }
  interrupt(): void {
    this.interrupted = true;
  }

  reverseStep(count = 1): Motion {
    requireCount(count);
    return this.backMotion(() => this.backward(count));
  }
  reverseNext(): Motion {
    return this.backMotion(() => this.stepBackOver());
  }
  reverseExit(count = 1): Motion {
    requireCount(count);
    this.requireExits();
    const here = this.timeline.atExit !== undefined || (this.lastStop?.kind === 'exit' && comparePositions(this.lastStop.position, this.position) === 0);
    return this.backMotion(() => this.reverse.toExit(this.timeline.exits + (here ? 0 : 1) - count));
  }
  reverseResume(): Motion {
    return this.backMotion(() => this.reverse.toLastHit());
  }
  seek(instructions: number): Motion {
    if (!Number.isSafeInteger(instructions) || instructions < 0) throw new DebugError(`${instructions} is no number of instructions`);
    const { begin } = this.history;
    if (instructions < begin.instructions) throw new DebugError(`the history begins at instruction ${begin.instructions}: ${instructions} is out of reach`);
    return this.motion(() => this.visit(instructions));
  }

  private requireExits(): void {
    const { vmx, svm } = this.timeline.guest.machine;
    if (vmx === undefined && svm === undefined) throw new DebugError('this machine has neither VT-x nor AMD-V: it makes no VM exits');
  }

  private backMotion(work: () => Generator<undefined, Stop, undefined>): Motion {
    this.timeline.requireHistory();
    return this.motion(work);
  }

  /** One motion at a time, ended by interrupt() or by the next one. */
  private *motion(work: () => Generator<undefined, Stop, undefined>): Motion {
    const number = ++this.motions;
    this.interrupted = false;
    const pieces = work();
    try {
      for (;;) {
        const { done, value } = pieces.next();
        if (done === true) return (this.lastStop = value);
        this.lastStop = undefined;
        if (this.interrupted || number !== this.motions) {
          return (this.lastStop = {
            kind: 'interrupted',
            explanation: `interrupted after ${this.position.instructions} instructions`,
            position: this.position,
          });
        }
        yield;
      }
    } finally {
      pieces.return(undefined as never);
      if (number === this.motions) this.conditions.watch(false);
    }
  }

  private *forward(instructions: number, exit = Infinity): Generator<undefined, Stop, undefined> {
    const { timeline, conditions } = this;
    const { guest } = timeline;
    conditions.watch(true, exit);
    conditions.passHere();
    for (let pieces = 1; ; pieces++) {
      const left = instructions - guest.instructions;
      if (left <= 0) return { kind: 'step', explanation: `stepped to instruction ${guest.instructions}`, position: this.position };
      const raw = timeline.run(guest.time + left);
      const hit = conditions.collect();
      if (hit !== undefined) return this.stoppedAt(hit.stop);
      const end = this.endOf(raw);
      if (end !== undefined) return end;
      if (raw.kind === 'limit' || this.interrupted || pieces % STOPS_A_PIECE === 0) yield;
    }
  }

  /** A stop that more running will not get over. */
  private endOf(raw: GuestStop): Stop | undefined {
    const { position } = this;
    if (raw.kind === 'idle') return { kind: 'idle', explanation: 'the guest is halted, and nothing but input can wake it', position };
    if (raw.kind !== 'ended') return undefined;
    return { kind: 'ended', because: raw.because, status: raw.status, explanation: `the guest ended: ${raw.explanation}`, position };
  }

  private stoppedAt(stop: Stop): Stop {
    const id = 'id' in stop ? stop.id : undefined;
    if (id !== undefined && this.breakpoints.find((b) => b.id === id)?.options.temporary === true) this.conditions.remove(id);
    return stop;
  }

  private *stepOver(): Generator<undefined, Stop, undefined> {
    const insn = this.instructionAt(this.processor.linearRip);
    if (insn === undefined || !(CALLS.has(insn.op) || insn.rep !== 0)) return yield* this.forward(this.position.instructions + 1);
    const rsp = this.readRegister('rsp');
    const address = BigInt.asUintN(64, this.processor.linearRip + BigInt(insn.length));
    // Deeper calls of the same function come by there too.
    const back = this.conditions.addInternal(address, () => this.readRegister('rsp') >= rsp);
    try {
      const stop = yield* this.forward(Infinity);
      return stop.kind === 'breakpoint' && stop.id === back ? { kind: 'step', explanation: `stepped over ${insn.op}`, position: this.position } : stop;
    } finally {
      this.conditions.remove(back);
    }
  }

  /** undefined: nothing is mapped there, or it is no instruction. */
  instructionAt(linear: bigint): Insn | undefined {
    for (const length of [MAX_INSTRUCTION, 4096 - Number(linear & 0xfffn)]) {
      try {
        const bytes = this.memory.read('virtual', linear, Math.min(length, MAX_INSTRUCTION));
        return decode(bytes, 0, bytes.length, this.processor.cpu().codeSize);
      } catch (error) {
        if (!(error instanceof DebugError)) throw error;
      }
    }
    return undefined;
  }

  private *backward(count: number): Generator<undefined, Stop, undefined> {
    const { timeline } = this;
    const start = this.position;
    let left = count;
    if (this.lastStop !== undefined && BETWEEN.has(this.lastStop.kind)) {
      // An exit or an exception behind the last instruction that retired: undoing it is a step.
      yield* this.reverse.goTo(start.instructions);
      if (comparePositions(timeline.position, start) < 0) left--;
    }
    const target = start.instructions - left;
    if (target < timeline.begin.instructions) return this.reverse.atBegin();
    if (left > 0) yield* this.reverse.goTo(target);
    return { kind: 'step', explanation: `back at instruction ${timeline.guest.instructions}`, position: timeline.position };
  }

  private *stepBackOver(): Generator<undefined, Stop, undefined> {
    const rip = this.processor.linearRip;
    const rsp = this.readRegister('rsp');
    const start = this.position;
    const stop = yield* this.backward(1);
    // It was a return if the stack was deeper then: go back to the call that has it come here.
    if (stop.kind !== 'step' || this.readRegister('rsp') >= rsp) return stop;
    const calls: number[] = [];
    for (let length = 2; length <= 7; length++) {
      const insn = this.instructionAt(rip - BigInt(length));
      if (insn?.length !== length || !CALLS.has(insn.op)) continue;
      calls.push(this.conditions.addInternal(rip - BigInt(length), () => this.readRegister('rsp') === rsp));
    }
    if (calls.length === 0) return stop;
    try {
      const found = yield* this.reverse.toLastHit();
      if (found.kind === 'history-begin') yield* this.reverse.goTo(start.instructions - 1);
      return found.kind === 'breakpoint' && calls.includes(found.id)
        ? { kind: 'step', explanation: 'stepped back over a call', position: this.position }
        : found;
    } finally {
      for (const id of calls) this.conditions.remove(id);
    }
  }

  private *visit(instructions: number): Generator<undefined, Stop, undefined> {
    const { timeline } = this;
    const here = this.position;
    const near = timeline.checkpoints.before({ ...here, instructions, events: -1 });
    this.conditions.watch(false);
    const back = instructions <= here.instructions || (near !== undefined && comparePositions(near.position, here) > 0);
    const raw = back && timeline.checkpoints.first !== undefined ? yield* timeline.goTo(instructions) : yield* timeline.runToInstructions(instructions);
    const end = raw.kind === 'limit' ? undefined : this.endOf(raw);
    return end ?? { kind: 'limit', explanation: `at instruction ${timeline.guest.instructions}`, position: timeline.position };
  }
}

function requireCount(count: number): void {
  if (!Number.isSafeInteger(count) || count < 1) throw new DebugError(`${count} is no number of steps: give 1 or more`);
}
