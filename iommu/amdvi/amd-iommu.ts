/**
 * One AMD IOMMU: registers, caches, command buffer, logs, and the two ways through it, memory requests and interrupts. Everything it does
 * it does at once: a command is complete when the store to the tail register is.
 */
import type { AccessSize, MmioDevice } from '../../devices/bus';
import type { InterruptMessage } from '../../devices/interrupt-message';
import type { Stateful } from '../../memory/stateful';
import { noTranslations, type DmaRemapper, type DmaTranslation, type IommuObserver, type RemappingFault, type TranslationCounts } from '../remapping';
import type { IommuReport } from '../report';
import type { TableMemory } from '../table-memory';
import { CommandBuffer } from './command-buffer';
import { DeviceTable } from './device-table';
import { DmaRemapping } from './dma-remapping';
import { EventLog } from './event-log';
import { GuestApicLog } from './guest-apic-log';
import { InterruptRemapping, indexOf } from './interrupt-remapping';
import { composeMessage } from './message';
import { postToGuest } from './posting';
import { hex, type Refusal, type Request } from './refusal';
import { RegisterFile, type RegisterFileState } from './register-file';
import { amdViReport } from './report';
import { IOMMU_REQUESTER } from './spec/capability';
import { EventCode, type IommuEvent } from './spec/events';
import { Control, HardwareEvent, Register, STATUS_CLEARABLE } from './spec/registers';
import { staleBehind, type Answered } from './stale';
import { StatusInterrupts, X2APIC_REGISTER, type InterruptSource } from './status-interrupts';
import { TranslationCaches, type Fill, type TranslationCachesState } from './translation-caches';

export interface AmdIommuOptions {
  readonly memory: TableMemory;
  /** Ticks: when caches were filled. */
  readonly now: () => number;
  readonly observer?: IommuObserver;
  /** A guest that runs has an interrupt in its backing page: tells the processor with that APIC id. */
  readonly doorbell?: (destination: number) => void;
}

export interface AmdIommuState {
  readonly registers: RegisterFileState;
  readonly caches: TranslationCachesState;
  readonly asserted: number;
  readonly counts: TranslationCounts;
}

/** Registers whose write puts a ring back to its start. */
const RING_POINTERS: Readonly<Record<number, readonly number[] | undefined>> = {
  [Register.COMMAND_BUFFER_BASE]: [Register.COMMAND_HEAD, Register.COMMAND_TAIL],
  [Register.EVENT_LOG_BASE]: [Register.EVENT_HEAD, Register.EVENT_TAIL],
  [Register.GA_LOG_BASE]: [Register.GA_HEAD, Register.GA_TAIL],
};

export class AmdIommu implements DmaRemapper, MmioDevice, Stateful<AmdIommuState> {
  observer: IommuObserver;
  readonly counts = noTranslations();
  /** The function's MSI capability; set by the function. */
  signal: (source: InterruptSource) => void = () => {};
  /** Where messages go that carry their own address (IntCapXTEn); set by the function. */
  messages: (message: InterruptMessage) => void = () => {};
  private readonly registers = new RegisterFile();
  private readonly caches = new TranslationCaches();
  private readonly events: EventLog;
  private readonly guestLog: GuestApicLog;
  private readonly commands: CommandBuffer;
  private readonly dma: DmaRemapping;
  private readonly interrupts: InterruptRemapping;
  private readonly own: StatusInterrupts;
  /** IommuEn. */
  private enabled = false;

  constructor(private readonly options: AmdIommuOptions) {
    const { memory, observer = {} } = options;
    const { registers, caches } = this;
    this.observer = observer;
    this.events = new EventLog(memory, registers);
    this.guestLog = new GuestApicLog(memory, registers);
    const deviceTable = new DeviceTable(memory, registers, caches);
    this.dma = new DmaRemapping(memory, registers, deviceTable, caches);
    this.interrupts = new InterruptRemapping(memory, registers, deviceTable, caches);
    this.own = new StatusInterrupts(registers, (source) => this.raise(source));
    this.commands = new CommandBuffer({
      memory,
      registers,
      caches,
      prefetch: (device, address) => this.dma.prefetch(device, address, options.now()),
      log: (event, reason) => this.commandFailed(event, reason),
    });
  }

  // ---- requests of devices ----

  translate(requester: number, address: number, length: number, write: boolean): DmaTranslation {
    if (!this.enabled) return { kind: 'mapped', physical: address, length };
    const request: Request = { device: requester, kind: write ? 'write' : 'read', address };
    const result = this.dma.translate(request, length, this.options.now());
    const translation = result.pageHit === true ? result.page : undefined;
    if (result.kind === 'refused') {
      this.counts.blocked++;
      return { kind: 'blocked', fault: this.refuse(request, result.refusal, address, translation) };
    }
    this.lookForChange(request, address, [result.device, result.page], translation);
    this.counts.translations++;
    return { kind: 'mapped', physical: result.physical, length: result.length };
  }

  remapInterrupt(message: InterruptMessage): InterruptMessage | undefined {
    // "The IOMMU does not translate its own transactions."
    if (!this.enabled || message.source === IOMMU_REQUESTER) return message;
    const request: Request = { device: message.source, kind: 'interrupt', address: message.address };
    const index = indexOf(message);
    const result = this.interrupts.remap(message, this.options.now());
    if (result.kind === 'refused') return this.refuseInterrupt(request, index, result.refusal);
    this.lookForChange(request, index, [result.device, result.interrupt]);
    if (result.kind === 'pass') return message;
    if (result.kind === 'remapped') {
      this.counts.interrupts++;
      return result.message;
    }
    const refusal = postToGuest(this.options.memory, result.entry, request, result.path);
    if (refusal !== undefined) return this.refuseInterrupt(request, index, refusal);
    this.counts.posted++;
    if (result.entry.running) this.options.doorbell?.(result.entry.destination);
    else if (result.entry.log) this.guestLog.append(message.source, result.entry.tag);
    this.own.settle();
    return undefined;
  }

  private refuseInterrupt(request: Request, index: number, refusal: Refusal): undefined {
    this.counts.blockedInterrupts++;
    this.refuse(request, refusal, index);
  }

  private refuse(request: Request, refusal: Refusal, address = request.address, translation?: Fill): RemappingFault {
    const { event, reason, walk, refusedBy, suppressed = false } = refusal;
    if (!suppressed) this.events.append(event);
    this.own.settle();
    const listened = this.observer.fault !== undefined || this.observer.stale !== undefined;
    const stale = listened ? staleBehind(this.options.memory, this.answered(request, address, true), walk, translation) : [];
    for (const use of stale) this.observer.stale?.(use);
    const fault: RemappingFault = {
      unit: 'AMD-Vi',
      request: request.kind,
      requester: request.device,
      address,
      code: EventCode[event.name],
      reason: `${event.name}: ${reason}`,
      walk,
      refusedBy,
      recorded: !suppressed,
      ...(stale.length > 0 && { stale }),
    };
    this.observer.fault?.(fault);
    return fault;
  }

  private answered({ device }: Request, address: number, refused: boolean): Answered {
    return { requester: device, address, refused, usedAt: this.options.now() };
  }

  /** Whether software changed what a cache served. */
  private lookForChange(request: Request, address: number, lines: readonly (Fill | undefined)[], translation?: Fill): void {
    const { stale } = this.observer;
    if (stale === undefined) return;
    const walk = lines.flatMap((line) => line?.path ?? []);
    for (const use of staleBehind(this.options.memory, this.answered(request, address, false), walk, translation)) stale(use);
  }

  // ---- the unit's own interrupts ----

  private raise(source: InterruptSource): void {
    if (!this.registers.control(Control.IntCapXTEn)) return this.signal(source);
    // DM is bit 2; the destination is bits 31:8 and 63:56, the vector bits 39:32.
    const value = this.registers.get(X2APIC_REGISTER[source]);
    const destination = Number((value >> 8n) & 0xff_ffffn) + Number(value >> 56n) * 0x100_0000;
    const interrupt = { destination, logical: (value & 4n) !== 0n, vector: Number((value >> 32n) & 0xffn), deliveryMode: 0, extended: true };
    this.messages(composeMessage(interrupt, IOMMU_REQUESTER));
  }

  /** What happened to a command, for whoever listens to faults: the requester is the unit itself. */
  private commandFailed(event: IommuEvent, reason: string): void {
    this.events.append(event);
    const address = Number(event.address);
    const common = { unit: 'AMD-Vi', request: 'read', requester: IOMMU_REQUESTER, address, code: EventCode[event.name] } as const;
    this.observer.fault?.({
      ...common,
      reason: `${event.name}: ${reason} (command at or access to ${hex(address)})`,
      walk: [],
      refusedBy: undefined,
      recorded: true,
    });
  }

  // ---- registers ----

  readMmio(offset: number, size: AccessSize): number {
    const value = this.registers.get(offset - (offset % 8));
    return Number(BigInt.asUintN(8 * size, value >> BigInt(8 * (offset % 8))));
  }

  /** "Software must use aligned 32-bit or 64-bit accesses": the bus splits the latter; narrower writes are dropped. */
  writeMmio(offset: number, size: AccessSize, value: number): void {
    if (size !== 4 || offset % 4 !== 0) return;
    const register = offset - (offset % 8);
    const high = offset % 8 === 4;
    if (register === Register.STATUS) {
      if (!high) this.registers.lower(value & STATUS_CLEARABLE);
    } else if (register === Register.HARDWARE_EVENT_STATUS) {
      const cleared = BigInt(high ? 0 : value & (HardwareEvent.HEV | HardwareEvent.HEO));
      this.registers.set(register, this.registers.get(register) & ~cleared);
    } else if (register === Register.CONTROL) this.writeControl(this.registers.written(register, value, high));
    else {
      this.registers.set(register, this.registers.written(register, value, high));
      for (const pointer of RING_POINTERS[register] ?? []) this.registers.set(pointer, 0n);
    }
    this.commands.run();
    this.own.settle();
  }

  private writeControl(value: bigint): void {
    const parts = [this.events, this.commands, this.guestLog];
    const before = parts.map((part) => part.enabled);
    this.registers.set(Register.CONTROL, value);
    this.enabled = this.registers.control(Control.IommuEn);
    parts.forEach((part, i) => part.control(before[i]));
  }

  /** For people. Changes nothing. */
  report(): IommuReport {
    return { ...amdViReport(this.options.memory, this.registers), cached: this.caches.sizes };
  }

  // ---- state ----

  saveState(): AmdIommuState {
    return { registers: this.registers.saveState(), caches: this.caches.saveState(), asserted: this.own.asserted, counts: { ...this.counts } };
  }

  restoreState({ registers, caches, asserted, counts }: AmdIommuState): void {
    this.registers.restoreState(registers);
    this.caches.restoreState(caches);
    this.own.asserted = asserted;
    Object.assign(this.counts, counts);
    this.enabled = this.registers.control(Control.IommuEn);
  }
}
