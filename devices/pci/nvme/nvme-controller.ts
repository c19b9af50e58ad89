/**
 * An NVM Express 1.4 controller with one namespace: registers, doorbells, fetching and completing commands. Commands take effect a fixed
 * virtual time after the doorbell, in order, so that every interrupt arrives at the same instruction in every run.
 */
import { requireUsable, restoreDisk, saveDisk, type BlockBackend } from '../../block-backend';
import type { AccessSize, Timer } from '../../bus';
import type { PciAttachment, PciDeviceState } from '../pci-device';
import { PciEndpoint, type PciEndpointState } from '../pci-endpoint';
import { windowMap } from '../window-map';
import { ADMIN_COMMANDS } from './admin-commands';
import { AsyncEvents, ErrorEvent, type AsyncEventsState } from './async-events';
import { blockRange, COMMAND_BYTES, COMPLETION_BYTES, decodeCommand, type NvmeCommand } from './command';
import { DataTransfer } from './data-transfer';
import { done, type CommandOutcome, type CommandResult, type ControllerParts } from './controller-parts';
import { Features, type FeaturesState } from './features';
import { IO_COMMANDS, ioNamespaceValid } from './io-commands';
import { Logs, type LogsState } from './log-pages';
import { Queues, type CompletionQueue, type QueuesState, type SubmissionQueue } from './queues';
import { Cc, Csts, MAX_IO_QUEUES, MPS_LIMIT, pageSizeOf, Register, registersAfterReset, registerValue, SHN_SHIFT, type Registers } from './registers';
import { Status, statusField, type StatusCode } from './status';

/** Matched by its class code; the vendor is the one that emulated test devices use. */
const VENDOR = 0x1234;
const DEVICE = 0x1108;
const NVM_EXPRESS = 0x01_0802;

const ADMIN = 0;
const VECTORS = MAX_IO_QUEUES + 1;
const DOORBELLS = 0x1000;
const DOORBELL = 4;
const MSIX_TABLE = 0x2000;
const MSIX_PENDING = 0x3000;
const BAR_SIZE = 0x4000;
/** From a doorbell to the completion, in nanoseconds. */
const LATENCY = 10_000;
/** Commands that are executed at one moment; the others come another LATENCY later. */
const BURST = 64;
const PAGE_MASK = 0xffff_f000;
const AQA_WRITABLE = 0x0fff_0fff;
const TWO32 = 0x1_0000_0000;

export interface NvmeOptions {
  readonly backend: BlockBackend;
  /** At most 20 ASCII characters. */
  readonly serial: string;
}

export interface NvmeState extends PciEndpointState {
  registers: Registers;
  queues: QueuesState;
  features: FeaturesState;
  logs: LogsState;
  events: AsyncEventsState;
  /** Contents of the disk, where the store can say. */
  backend: unknown;
}

export class NvmeController extends PciEndpoint {
  private registers = registersAfterReset();
  private readonly queues = new Queues();
  private readonly features = new Features(VECTORS);
  private readonly logs = new Logs();
  private readonly events = new AsyncEvents();
  private readonly parts: ControllerParts;
  private timer: Timer | undefined;

  /** Throws RangeError for a store or a serial number that no controller can have. */
  constructor(private readonly options: NvmeOptions) {
    super({ vendor: VENDOR, device: DEVICE, classCode: NVM_EXPRESS, revision: 1, interruptPin: 1 });
    requireUsable(options.backend);
    if (!/^[\x21-\x7e]{1,20}$/.test(options.serial)) throw new RangeError(`the serial number "${options.serial}" is not 1 to 20 printable ASCII characters`);
    const msix = this.addMsix({ vectors: VECTORS, bar: 0, table: MSIX_TABLE, pending: MSIX_PENDING });
    const window = windowMap([
      {
        offset: 0,
        size: DOORBELLS,
        window: { read: (at, size) => this.readRegister(at, size), write: (at, size, value) => this.writeRegister(at, size, value) },
      },
      { offset: DOORBELLS, size: MSIX_TABLE - DOORBELLS, window: { read: () => 0, write: (at, size, value) => this.ring(at, size, value) } },
      { offset: MSIX_TABLE, size: MSIX_PENDING - MSIX_TABLE, window: msix.tableWindow },
      { offset: MSIX_PENDING, size: BAR_SIZE - MSIX_PENDING, window: msix.pendingWindow },
    ]);
    this.addBar(0, { kind: 'memory64', size: BAR_SIZE, window });
    this.parts = this.createParts();
  }

  private createParts(): ControllerParts {
    const { queues, features, logs, events, options, msix } = this;
    const cc = (): number => this.registers.cc;
    const data = new DataTransfer(this.dma, () => pageSizeOf(this.registers.cc));
    return {
      identity: { pciVendor: VENDOR, pciSubsystemVendor: 0, serial: options.serial },
      backend: options.backend,
      queues,
      features,
      logs,
      events,
      get cc() {
        return cc();
      },
      get usableVectors() {
        return msix?.enabled ? VECTORS : 1;
      },
      toHost: (command, bytes) => data.toHost(command, bytes),
      fromHost: (command, length) => data.fromHost(command, length),
      complete: (cid, outcome) => this.complete(ADMIN, queues.submission.get(ADMIN)!, cid, outcome),
    };
  }

  override attach(attachment: PciAttachment): void {
    super.attach(attachment);
    this.timer = attachment.scheduler.timer(() => this.work(), `NVMe ${attachment.requester}`);
  }

  // ---- registers ----

  private get ready(): boolean {
    return (this.registers.csts & (Csts.RDY | Csts.CFS)) === Csts.RDY;
  }

  private readRegister(at: number, size: AccessSize): number {
    const value = registerValue(this.registers, at & ~3);
    return size === 4 ? value : (value >>> (8 * (at & 3))) & (size === 1 ? 0xff : 0xffff);
  }

  /** "Accesses that are not of a dword or a register's size" have no defined result: nothing happens. */
  private writeRegister(at: number, size: AccessSize, value: number): void {
    if (size !== 4) return;
    const { registers } = this;
    switch (at) {
      case Register.INTMS:
        registers.interruptMask |= value;
        return this.drivePin();
      case Register.INTMC:
        registers.interruptMask &= ~value;
        return this.drivePin();
      case Register.CC:
        return this.configure((value & Cc.WRITABLE) >>> 0);
      case Register.AQA:
        registers.aqa = value & AQA_WRITABLE;
        return;
      case Register.ASQ:
        registers.asq[0] = (value & PAGE_MASK) >>> 0;
        return;
      case Register.ASQ_HIGH:
        registers.asq[1] = value;
        return;
      case Register.ACQ:
        registers.acq[0] = (value & PAGE_MASK) >>> 0;
        return;
      case Register.ACQ_HIGH:
        registers.acq[1] = value;
        return;
    }
  }

  private configure(cc: number): void {
    const old = this.registers.cc;
    this.registers.cc = cc;
    if ((cc & Cc.EN) !== 0 && (old & Cc.EN) === 0) this.enable();
    else if ((cc & Cc.EN) === 0 && (old & Cc.EN) !== 0) this.controllerReset();
    const shutdown = (cc & Cc.SHN) >>> SHN_SHIFT;
    if (shutdown !== 0 && (old & Cc.SHN) === 0) this.shutDown();
    else if (shutdown === 0) this.registers.csts &= ~Csts.SHST;
  }

  /** "The controller is ready to process commands": with settings that it has not, it never is. */
  private enable(): void {
    const { registers, queues } = this;
    const { cc, aqa, asq, acq } = registers;
    const [submission, completion] = [(aqa & 0xfff) + 1, (aqa >>> 16) + 1];
    if ((cc & (Cc.CSS | Cc.AMS)) !== 0 || ((cc >>> Cc.MPS_SHIFT) & 0xf) > MPS_LIMIT || submission < 2 || completion < 2) {
      registers.csts |= Csts.CFS;
      return;
    }
    queues.createCompletion(ADMIN, acq[1] * TWO32 + acq[0], completion, 0);
    queues.createSubmission(ADMIN, asq[1] * TWO32 + asq[0], submission, ADMIN);
    registers.csts = (registers.csts & ~Csts.SHST) | Csts.RDY;
  }

  /** "Controller Level Reset": everything but the admin queue registers. */
  private controllerReset(): void {
    this.queues.clear();
    this.features.reset();
    this.events.reset();
    this.timer?.disarm();
    this.registers.csts = 0;
    this.registers.interruptMask = 0;
    this.drivePin();
  }

  private shutDown(): void {
    // What the host has not flushed is flushed now.
    this.options.backend.flush();
    this.registers.csts = (this.registers.csts & ~Csts.SHST) | Csts.SHST_COMPLETE;
  }

  protected override resetFunction(): void {
    this.controllerReset();
    this.registers = registersAfterReset();
  }

  // ---- doorbells ----

  /** Submission Queue y Tail at 2y, Completion Queue y Head at 2y + 1. */
  private ring(at: number, size: AccessSize, value: number): void {
    if (!this.ready || size !== 4) return;
    const id = at >>> 3;
    const isHead = (at & DOORBELL) !== 0;
    const queue = isHead ? this.queues.completion.get(id) : this.queues.submission.get(id);
    if (queue === undefined || at % DOORBELL !== 0) this.events.error(ErrorEvent.INVALID_DOORBELL_REGISTER);
    else if (value >= queue.entries) this.events.error(ErrorEvent.INVALID_DOORBELL_VALUE);
    else if (isHead) queue.head = value;
    else queue.tail = value;
    this.drivePin();
    this.arm();
  }

  private arm(): void {
    const { timer, attachment } = this;
    if (timer !== undefined && attachment !== undefined && timer.deadline === Infinity && this.hasWork()) timer.arm(attachment.scheduler.clock.now() + LATENCY);
  }

  private hasWork(): boolean {
    if (!this.ready) return false;
    if (this.events.ready && this.room(ADMIN)) return true;
    return [...this.queues.submission.values()].some((queue) => queue.head !== queue.tail && this.room(queue.completionQueue));
  }

  /** Completions are never lost: a command waits in its queue until there is room for one. */
  private room(completionQueue: number): boolean {
    const queue = this.queues.completion.get(completionQueue);
    return queue !== undefined && !this.queues.full(queue);
  }

  // ---- commands ----

  /** Round robin over the submission queues, one command of each a turn. */
  private work(): void {
    let left = BURST;
    for (let progress = true; progress && left > 0;) {
      progress = false;
      for (const [id, queue] of [...this.queues.submission]) {
        if (left === 0 || !this.ready || this.queues.submission.get(id) !== queue) continue;
        if (queue.head === queue.tail || !this.room(queue.completionQueue)) continue;
        this.next(id, queue);
        progress = true;
        left--;
      }
    }
    this.reportEvents();
    this.drivePin();
    this.arm();
  }

  private next(id: number, queue: SubmissionQueue): void {
    const entry = this.dma.read(queue.base + queue.head * COMMAND_BYTES, COMMAND_BYTES);
    if (entry === undefined) return this.fatal();
    queue.head = (queue.head + 1) % queue.entries;
    const command = decodeCommand(entry);
    const result = this.execute(id, command);
    if (result === 'outstanding') return;
    if (result.status !== Status.SUCCESS) this.noteFailure(id, command, result.status);
    const seen = this.complete(id, queue, command.cid, result);
    if (seen && id !== ADMIN) this.options.backend.completed?.(IO_COMMANDS.get(command.opcode)?.name ?? 'unknown', result.status === Status.SUCCESS);
  }

  private execute(queue: number, command: NvmeCommand): CommandResult {
    const handler = (queue === ADMIN ? ADMIN_COMMANDS : IO_COMMANDS).get(command.opcode);
    if (handler === undefined) return done(Status.INVALID_OPCODE);
    // Neither fused operations nor SGLs.
    if (command.flags !== 0) return done(Status.INVALID_FIELD);
    if (queue !== ADMIN && !ioNamespaceValid(command)) return done(Status.INVALID_NAMESPACE);
    return handler.execute(this.parts, command);
  }

  private noteFailure(submissionQueue: number, command: NvmeCommand, status: StatusCode): void {
    const { cid, nsid } = command;
    if (status === Status.UNRECOVERED_READ_ERROR || status === Status.WRITE_FAULT) this.logs.counters.mediaErrors++;
    this.logs.failed({ submissionQueue, cid, status, lba: submissionQueue === ADMIN ? 0 : blockRange(command).first, nsid });
  }

  /** False: the host cannot see it. */
  private complete(submissionQueue: number, { head, completionQueue }: SubmissionQueue, cid: number, { status, result }: CommandOutcome): boolean {
    const queue = this.queues.completion.get(completionQueue);
    if (queue === undefined) return false;
    const entry = new Uint8Array(COMPLETION_BYTES);
    const view = new DataView(entry.buffer);
    view.setUint32(0, result, true);
    view.setUint16(8, head, true);
    view.setUint16(10, submissionQueue, true);
    view.setUint16(12, cid, true);
    view.setUint16(14, (statusField(status) << 1) | queue.phase, true);
    if (!this.dma.write(queue.base + queue.tail * COMPLETION_BYTES, entry)) {
      this.fatal();
      return false;
    }
    queue.tail = (queue.tail + 1) % queue.entries;
    if (queue.tail === 0) queue.phase = queue.phase === 1 ? 0 : 1;
    if (queue.vector !== undefined) this.msix?.signal(queue.vector);
    return true;
  }

  private reportEvents(): void {
    while (this.ready && this.events.ready && this.room(ADMIN)) {
      const { cid, result } = this.events.take()!;
      this.parts.complete(cid, done(Status.SUCCESS, result));
    }
  }

  /** "A fatal controller error that could not be communicated in a completion queue": the host must reset the controller. */
  private fatal(): void {
    this.registers.csts |= Csts.CFS;
  }

  /** INTA# is asserted while a completion waits in a queue whose vector is not masked. */
  private drivePin(): void {
    const waiting = ({ head, tail, vector }: CompletionQueue): boolean =>
      vector !== undefined && head !== tail && ((this.registers.interruptMask >>> (vector & 31)) & 1) === 0;
    this.setInterrupt([...this.queues.completion.values()].some(waiting));
  }

  // ---- state ----

  override saveState(): NvmeState {
    const { registers, queues, features, logs, events, options } = this;
    return {
      ...super.saveState(),
      registers: structuredClone(registers),
      queues: queues.saveState(),
      features: features.saveState(),
      logs: logs.saveState(),
      events: events.saveState(),
      backend: saveDisk(options.backend),
    };
  }

  override restoreState(state: PciDeviceState): void {
    const { registers, queues, features, logs, events, backend } = state as NvmeState;
    this.registers = structuredClone(registers);
    this.queues.restoreState(queues);
    this.features.restoreState(features);
    this.logs.restoreState(logs);
    this.events.restoreState(events);
    restoreDisk(this.options.backend, backend);
    super.restoreState(state);
  }
}
