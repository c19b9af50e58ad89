/**
 * The registers by which software invalidates: CCMD, IOTLB and IVA ("Register-based Invalidation Interface"), and the queue's
 * ("Queued Invalidation Interface").
 */
import type { TableMemory } from '../table-memory';
import type { VtdCapabilities } from './capabilities';
import type { EventMessage } from './event-message';
import type { FaultLog } from './fault-log';
import type { InterruptRemapping } from './interrupt-remapping';
import { runQueue } from './invalidation-queue';
import type { RegisterFile } from './register-file';
import { Granularity } from './spec/descriptors';
import { CcmdHigh, Global, Ics, IotlbHigh, Iqa, Iva, QUEUE_POINTER, QueueError, Register } from './spec/registers';
import type { TranslationCaches } from './translation-caches';

export interface InvalidationTargets {
  readonly memory: TableMemory;
  readonly caches: TranslationCaches;
  readonly interrupts: InterruptRemapping;
  readonly capabilities: VtdCapabilities;
  readonly faults: FaultLog;
  readonly completionEvent: EventMessage;
}

const QUEUE_PAGE = 4096;

export class InvalidationRegisters {
  constructor(
    private readonly registers: RegisterFile,
    private readonly targets: InvalidationTargets,
  ) {}

  /** The high half of CCMD was written: with ICC it is a command. */
  contextCommand(value: number): void {
    if ((value & CcmdHigh.ICC) === 0) return;
    const low = this.registers.get(Register.CCMD);
    const [domain, source] = [low & 0xffff, low >>> 16];
    const granularity = (value >>> CcmdHigh.CIRG_SHIFT) & 3;
    const { caches } = this.targets;
    if (granularity === Granularity.Global) caches.invalidateContexts();
    if (granularity === Granularity.Domain) caches.invalidateDomainContexts(domain);
    if (granularity === Granularity.Selective) caches.invalidateDeviceContexts(domain, source, value & CcmdHigh.FM);
    // ICC reads 0 when it is done; CAIG says with what granularity, 0 for an incorrect request.
    const done = (value & ~(CcmdHigh.ICC | CcmdHigh.CAIG)) | (granularity << CcmdHigh.CAIG_SHIFT);
    this.registers.set(Register.CCMD + 4, done >>> 0);
  }

  /** The high half of the IOTLB register was written: with IVT it is a command. */
  iotlbCommand(value: number): void {
    if ((value & IotlbHigh.IVT) === 0) return;
    const granularity = (value >>> IotlbHigh.IIRG_SHIFT) & 3;
    const actual = this.invalidateTranslations(granularity, value & IotlbHigh.DID) ? granularity : Granularity.Reserved;
    const done = (value & ~(IotlbHigh.IVT | IotlbHigh.IAIG)) | (actual << IotlbHigh.IAIG_SHIFT);
    this.registers.set(Register.IOTLB + 4, done >>> 0);
  }

  /** False: an incorrect request, which is ignored. */
  private invalidateTranslations(granularity: number, domain: number): boolean {
    const { caches, capabilities } = this.targets;
    if (granularity === Granularity.Global) caches.invalidateTranslations();
    if (granularity === Granularity.Domain) caches.invalidateDomain(domain);
    if (granularity !== Granularity.Selective) return granularity !== Granularity.Reserved;
    const iva = this.registers.get(Register.IVA);
    const addressMask = iva & Iva.AM;
    if (addressMask > capabilities.maximumAddressMask) return false;
    caches.invalidatePages(domain, this.registers.address(Register.IVA, Iva.ADDRESS), addressMask, (iva & Iva.IH) !== 0);
    return true;
  }

  // ---- the queue ----

  /** QIE changed. A queue that is switched off starts again at its beginning. */
  queueEnabled(enabled: boolean): void {
    if (enabled) this.run();
    else this.registers.set(Register.IQH, 0);
  }

  /** There may be something to do: the tail moved, or an error was cleared. */
  run(): void {
    const { registers, targets } = this;
    const { memory, caches, interrupts, capabilities, faults } = targets;
    if ((registers.get(Register.GSTS) & Global.QIE) === 0 || faults.queueStopped) return;
    const queue = {
      address: registers.address(Register.IQA, Iqa.ADDRESS),
      size: QUEUE_PAGE * 2 ** (registers.get(Register.IQA) & Iqa.QS),
      head: registers.get(Register.IQH),
      tail: registers.get(Register.IQT) & QUEUE_POINTER,
    };
    const { maximumAddressMask, interruptRemapping } = capabilities;
    const progress = runQueue(queue, { memory, caches, interrupts, maximumAddressMask, interruptRemapping, completed: () => this.completed() });
    registers.set(Register.IQH, progress.head);
    if (progress.error !== QueueError.None) faults.invalidationQueueError(progress.error);
  }

  /** "If IWC was already Set, this is not treated as a new interrupt condition." */
  private completed(): void {
    if ((this.registers.get(Register.ICS) & Ics.IWC) !== 0) return;
    this.registers.set(Register.ICS, Ics.IWC);
    this.targets.completionEvent.raise();
  }

  /** ICS was written: IWC is cleared by writing 1. */
  completionStatus(value: number): void {
    if ((value & Ics.IWC) === 0) return;
    this.registers.set(Register.ICS, 0);
    this.targets.completionEvent.withdraw();
  }
}
