/**
 * One remapping hardware unit: registers, DMA remapping, interrupt remapping, caches, invalidation and fault reporting put together.
 * VT-d specification, legacy mode: ECAP.SMTS is 0, and so are device-TLBs and page requests.
 *
 * DEVIATION: commands and invalidations complete at once: software that polls finds them done. Nothing is in flight that could be drained.
 */
import type { AccessSize, Clock, MmioDevice } from '../../devices/bus';
import type { InterruptMessage, InterruptSink } from '../../devices/interrupt-message';
import type { Stateful } from '../../memory/stateful';
import { citeVtd, type VtdKey } from '../../spec/vtd';
import {
  noTranslations,
  type DmaRemapper,
  type DmaTranslation,
  type IommuObserver,
  type RemappingFault,
  type StaleUse,
  type TranslationCounts,
} from '../remapping';
import type { IommuReport } from '../report';
import type { TableMemory } from '../table-memory';
import { VtdCapabilities, type VtdOptions } from './capabilities';
import { DmaRemapping, inInterruptRange, type RootTable } from './dma-remapping';
import { EventMessage, type EventMessageState } from './event-message';
import { FaultLog, type FaultLogState } from './fault-log';
import { InterruptRemapping, type CachedEntry, type InterruptTable } from './interrupt-remapping';
import { InvalidationRegisters } from './invalidation-registers';
import { unprotectedRun } from './protected-memory';
import { isRefusal, type Refusal } from './refusal';
import { RegisterFile } from './register-file';
import { registersOf } from './register-layout';
import { vtdReport } from './report';
import { FAULT_REASONS, isInterruptReason } from './spec/fault-reasons';
import { Global, Irta, Pmen, Register, Rtaddr } from './spec/registers';
import { pathOf, staleDma, staleInterrupt, type Answered } from './stale';
import { TranslationCaches, type TranslationCachesState } from './translation-caches';

/** Where Intel chipsets have it, and its size. */
export const VTD_BASE = 0xfed9_0000;
export { REGISTER_WINDOW as VTD_SIZE } from './spec/registers';

export interface VtdSurroundings {
  readonly memory: TableMemory;
  readonly clock: Clock;
  /** Where its own messages go: to the processors, without remapping. */
  readonly deliver: InterruptSink;
}

export interface VtdState {
  readonly registers: number[];
  readonly rootTable: RootTable;
  readonly interruptTable: InterruptTable;
  readonly caches: TranslationCachesState;
  readonly interruptEntries: [number, CachedEntry][];
  readonly faults: FaultLogState;
  readonly faultEvent: EventMessageState;
  readonly completionEvent: EventMessageState;
  readonly counts: TranslationCounts;
}

const PAGE = 4096;

export class Vtd implements DmaRemapper, MmioDevice, Stateful<VtdState> {
  observer: IommuObserver = {};
  readonly counts = noTranslations();
  readonly capabilities: VtdCapabilities;
  private readonly registers: RegisterFile;
  private readonly caches = new TranslationCaches();
  private readonly dma: DmaRemapping;
  private readonly interrupts: InterruptRemapping;
  private readonly faultEvent: EventMessage;
  private readonly completionEvent: EventMessage;
  private readonly faults: FaultLog;
  private readonly invalidation: InvalidationRegisters;
  /** What the commands Set Root Table Pointer and Set Interrupt Remap Table Pointer latched. */
  private rootTable: RootTable = { address: 0, mode: 0 };
  private interruptTable: InterruptTable = { address: 0, entries: 0, extended: false };

  /** Throws RangeError for options that no hardware has. */
  constructor(
    private readonly around: VtdSurroundings,
    options: VtdOptions = {},
  ) {
    const { memory, deliver } = around;
    this.capabilities = new VtdCapabilities(options);
    this.dma = new DmaRemapping(memory, this.capabilities, this.caches);
    this.interrupts = new InterruptRemapping(memory, this.capabilities.postedInterrupts);
    const extended = (): boolean => this.interruptTable.extended;
    this.faultEvent = new EventMessage(deliver, extended);
    this.completionEvent = new EventMessage(deliver, extended);
    this.faults = new FaultLog(this.capabilities.faultRecords, this.faultEvent);
    const { capabilities, caches, interrupts, faults, faultEvent, completionEvent } = this;
    const invalidation = (): InvalidationRegisters => this.invalidation;
    this.registers = new RegisterFile(
      registersOf({ capabilities, faults, faultEvent, completionEvent, invalidation, command: (value) => this.command(value), protect: () => this.protect() }),
    );
    this.invalidation = new InvalidationRegisters(this.registers, { memory, caches, interrupts, capabilities, faults, completionEvent });
  }

  // ---- Global Command Register ----

  private enabled(bit: number): boolean {
    return (this.registers.get(Register.GSTS) & bit) !== 0;
  }

  private setStatus(bit: number, on: boolean): void {
    const status = this.registers.get(Register.GSTS);
    this.registers.set(Register.GSTS, on ? status | bit : status & ~bit);
  }

  private command(value: number): void {
    if ((value & Global.SRTP) !== 0) {
      this.rootTable = { address: this.registers.address(Register.RTADDR, Rtaddr.ADDRESS), mode: (this.registers.get(Register.RTADDR) & Rtaddr.TTM) >>> 10 };
      this.setStatus(Global.SRTP, true);
    }
    if ((value & Global.SIRTP) !== 0 && this.capabilities.interruptRemapping) {
      const irta = this.registers.get(Register.IRTA);
      const extended = (irta & Irta.EIME) !== 0;
      this.interruptTable = { address: this.registers.address(Register.IRTA, Irta.ADDRESS), entries: 2 ** ((irta & Irta.S) + 1), extended };
      this.setStatus(Global.SIRTP, true);
    }
    this.setStatus(Global.TE, (value & Global.TE) !== 0);
    if (this.capabilities.interruptRemapping) {
      this.setStatus(Global.IRE, (value & Global.IRE) !== 0);
      this.setStatus(Global.CFI, (value & Global.CFI) !== 0);
    }
    const queue = (value & Global.QIE) !== 0;
    const changed = queue !== this.enabled(Global.QIE);
    this.setStatus(Global.QIE, queue);
    if (changed) this.invalidation.queueEnabled(queue);
  }

  // ---- protected memory ----

  private protect(): void {
    const on = (this.registers.get(Register.PMEN) & Pmen.EPM) !== 0;
    this.registers.set(Register.PMEN, on ? Pmen.EPM | Pmen.PRS : 0);
  }

  /** Bytes of an untranslated request that may go on. */
  private unprotected(address: number, length: number): number {
    const { registers } = this;
    if ((registers.get(Register.PMEN) & Pmen.EPM) === 0) return length;
    const all = 0xffff_ffff;
    const granule = 0xf_ffff;
    return unprotectedRun(
      {
        enabled: true,
        low: [registers.get(Register.PLMBASE), (registers.get(Register.PLMLIMIT) | granule) >>> 0],
        high: [registers.address(Register.PHMBASE, all), registers.address(Register.PHMLIMIT, all) + granule],
      },
      address,
      length,
    );
  }

  // ---- DMA ----

  translate(requester: number, address: number, length: number, write: boolean): DmaTranslation {
    const translating = this.enabled(Global.TE);
    if (inInterruptRange(address) && (translating || this.enabled(Global.IRE)))
      return this.refuseSilently(requester, address, write, 'the interrupt address range takes only interrupt messages', 'interruptRange');
    if (!translating) return this.passThrough(requester, address, address, length, write);
    const result = this.dma.translate(this.rootTable, requester, address, length, write, this.around.clock.now());
    if (isRefusal(result)) return { kind: 'blocked', fault: this.fault(result, write ? 'write' : 'read', requester, address) };
    const { stale } = this.observer;
    if (stale !== undefined) {
      const { context, leaf, leafHit } = result;
      const path = { context: context.walk, pages: leaf?.walk ?? [], translation: leafHit ? leaf : undefined };
      for (const use of staleDma(this.around.memory, this.rootTable, this.answered(requester, address, false), path)) stale(use);
    }
    if (result.leaf === undefined) return this.passThrough(requester, address, result.physical, result.length, write);
    this.counts.translations++;
    return { kind: 'mapped', physical: result.physical, length: result.length };
  }

  private passThrough(requester: number, address: number, physical: number, length: number, write: boolean): DmaTranslation {
    const run = this.unprotected(physical, length);
    if (run === 0) return this.refuseSilently(requester, address, write, 'the address is in a protected memory region', 'protectedMemory');
    if (this.enabled(Global.TE)) this.counts.translations++;
    return { kind: 'mapped', physical, length: run };
  }

  /** What hardware refuses without a fault record. */
  private refuseSilently(requester: number, address: number, write: boolean, reason: string, cite: VtdKey): DmaTranslation {
    this.counts.blocked++;
    const request = write ? 'write' : 'read';
    const fault: RemappingFault = {
      unit: 'VT-d',
      request,
      requester,
      address,
      code: 0,
      reason,
      walk: [],
      refusedBy: undefined,
      recorded: false,
      source: citeVtd(cite),
    };
    this.observer.fault?.(fault);
    return { kind: 'blocked', fault };
  }

  // ---- interrupts ----

  remapInterrupt(message: InterruptMessage): InterruptMessage | undefined {
    if (!this.enabled(Global.IRE)) return message;
    const { counts, interruptTable, around } = this;
    const result = this.interrupts.remap(message, interruptTable, this.enabled(Global.CFI), around.clock.now());
    switch (result.kind) {
      case 'pass':
        return result.message;
      case 'blocked':
        this.fault(result.refusal, 'interrupt', message.source, result.index);
        return undefined;
      case 'remapped':
      case 'posted': {
        const { stale } = this.observer;
        if (stale !== undefined)
          for (const use of staleInterrupt(around.memory, interruptTable, this.answered(message.source, result.index, false), result.entry.walk)) stale(use);
        if (result.kind === 'remapped') counts.interrupts++;
        else counts.posted++;
        return result.kind === 'remapped' ? result.message : result.notification;
      }
    }
  }

  // ---- faults ----

  private answered(requester: number, address: number, refused: boolean): Answered {
    return { requester, address, refused, usedAt: this.around.clock.now() };
  }

  /** Which entries that a refusal came from are no longer in memory so. */
  private staleBehind({ walk, translation }: Refusal, request: RemappingFault['request'], requester: number, address: number): StaleUse[] {
    if (this.observer.fault === undefined && this.observer.stale === undefined) return [];
    const answered = this.answered(requester, address, true);
    const { memory } = this.around;
    if (request === 'interrupt') return staleInterrupt(memory, this.interruptTable, answered, walk);
    return staleDma(memory, this.rootTable, answered, pathOf(walk, translation));
  }

  private fault(refusal: Refusal, request: RemappingFault['request'], requester: number, address: number): RemappingFault {
    if (request === 'interrupt') this.counts.blockedInterrupts++;
    else this.counts.blocked++;
    const { refused: reason, text, walk, by, faultProcessingDisabled } = refusal;
    const page = address - (address % PAGE);
    const [low, high] = isInterruptReason(reason) ? [0, address * 0x1_0000] : [page % 2 ** 32, Math.floor(page / 2 ** 32)];
    const recorded = !faultProcessingDisabled && this.faults.record({ requester, reason, low, high, read: request === 'read' });
    const stale = this.staleBehind(refusal, request, requester, address);
    for (const use of stale) this.observer.stale?.(use);
    const fault: RemappingFault = {
      unit: 'VT-d',
      request,
      requester,
      address,
      code: reason,
      reason: text,
      walk,
      refusedBy: by,
      recorded,
      source: citeVtd(FAULT_REASONS[reason].cite),
      ...(stale.length > 0 && { stale }),
    };
    this.observer.fault?.(fault);
    return fault;
  }

  // ---- registers ----

  readMmio(offset: number, size: AccessSize): number {
    return this.registers.readMmio(offset, size);
  }
  writeMmio(offset: number, size: AccessSize, value: number): void {
    this.registers.writeMmio(offset, size, value);
  }

  /** For people. Changes nothing. */
  report(): IommuReport {
    return {
      ...vtdReport((offset) => this.readMmio(offset, 4), this.capabilities.faultRecords),
      cached: { ...this.caches.sizes, interrupts: this.interrupts.cachedEntries },
    };
  }

  saveState(): VtdState {
    const { rootTable, interruptTable, counts } = this;
    return {
      registers: this.registers.saveState(),
      rootTable,
      interruptTable,
      caches: this.caches.saveState(),
      interruptEntries: this.interrupts.saveState(),
      faults: this.faults.saveState(),
      faultEvent: this.faultEvent.saveState(),
      completionEvent: this.completionEvent.saveState(),
      counts: { ...counts },
    };
  }

  restoreState(state: VtdState): void {
    this.registers.restoreState(state.registers);
    this.rootTable = state.rootTable;
    this.interruptTable = state.interruptTable;
    this.caches.restoreState(state.caches);
    this.interrupts.restoreState(state.interruptEntries);
    this.faults.restoreState(state.faults);
    this.faultEvent.restoreState(state.faultEvent);
    this.completionEvent.restoreState(state.completionEvent);
    Object.assign(this.counts, state.counts);
  }
}
