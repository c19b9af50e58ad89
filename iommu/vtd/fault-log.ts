/** Fault recording registers and fault status: VT-d specification, "Primary Fault Logging" and "Fault Events". */
import type { Stateful } from '../../memory/stateful';
import type { EventMessage } from './event-message';
import { Frcd, Fsts, QueueError, type QueueErrorInfo } from './spec/registers';

const DWORDS = 4;
/** What software clears by writing 1. PPF follows the F bits. */
const CLEARABLE = Fsts.PFO | Fsts.IQE | Fsts.ICE | Fsts.ITE;

export interface FaultRecord {
  readonly requester: number;
  readonly reason: number;
  /** Bits 63:12 of the faulting address; of an interrupt its index in bits 63:48. */
  readonly low: number;
  readonly high: number;
  readonly read: boolean;
}

export interface FaultLogState {
  readonly records: number[];
  readonly next: number;
  readonly status: number;
  readonly firstIndex: number;
  readonly queueError: number;
}

export class FaultLog implements Stateful<FaultLogState> {
  private readonly records: Uint32Array;
  /** Register that the next fault goes to. */
  private next = 0;
  /** FSTS without PPF and FRI. */
  private status = 0;
  /** FRI: the first record that is pending. */
  private firstIndex = 0;
  private queueError: number = QueueError.None;

  constructor(
    private readonly count: number,
    private readonly event: EventMessage,
  ) {
    this.records = new Uint32Array(count * DWORDS);
  }

  private pending(index: number): boolean {
    return (this.records[index * DWORDS + 3] & Frcd.F) !== 0;
  }

  private get primaryPending(): boolean {
    for (let i = 0; i < this.count; i++) if (this.pending(i)) return true;
    return false;
  }

  /** False: not recorded, because of an overflow. */
  record({ requester, reason, low, high, read }: FaultRecord): boolean {
    // "If the Primary Fault Overflow (PFO) field is already Set, the fault is not recorded."
    if ((this.status & Fsts.PFO) !== 0) return false;
    const index = this.next;
    if (this.pending(index)) {
      this.set(Fsts.PFO);
      return false;
    }
    const quiet = !this.anyStatus;
    if (!this.primaryPending) this.firstIndex = index;
    this.records.set([low & Frcd.ADDRESS, high, requester & Frcd.SID, (reason & Frcd.FR) + (read ? Frcd.T1 : 0) + Frcd.F], index * DWORDS);
    this.next = (index + 1) % this.count;
    if (quiet) this.event.raise();
    return true;
  }

  /** Some field of FSTS says that software has something to serve. */
  private get anyStatus(): boolean {
    return this.status !== 0 || this.primaryPending;
  }

  /** "If any of the status fields was already Set, this is not treated as a new interrupt condition." */
  private set(bit: number): void {
    const quiet = !this.anyStatus;
    this.status |= bit;
    if (quiet) this.event.raise();
  }

  invalidationQueueError(info: QueueErrorInfo): void {
    this.queueError = info;
    this.set(Fsts.IQE);
  }

  get queueStopped(): boolean {
    return (this.status & Fsts.IQE) !== 0;
  }

  // ---- registers ----

  readStatus(): number {
    return this.status | (this.primaryPending ? Fsts.PPF : 0) | (this.firstIndex << Fsts.FRI_SHIFT);
  }

  writeStatus(value: number): void {
    this.status &= ~(value & CLEARABLE);
    if (!this.queueStopped) this.queueError = QueueError.None;
    this.served();
  }

  readQueueError(): number {
    return this.queueError;
  }

  readRecord(dword: number): number {
    return this.records[dword];
  }

  /** F is cleared by writing 1; everything else is read-only. */
  writeRecord(dword: number, value: number): void {
    if (dword % DWORDS !== 3 || (value & Frcd.F) === 0) return;
    this.records[dword] = (this.records[dword] & ~Frcd.F) >>> 0;
    this.served();
  }

  private served(): void {
    if (!this.anyStatus) this.event.withdraw();
  }

  saveState(): FaultLogState {
    const { next, status, firstIndex, queueError } = this;
    return { records: [...this.records], next, status, firstIndex, queueError };
  }
  restoreState({ records, ...rest }: FaultLogState): void {
    this.records.set(records);
    Object.assign(this, rest);
  }
}
