/** Asynchronous events: NVM Express Base Specification 1.4, "Asynchronous Event Request command". */
import type { Stateful } from '../../../memory/stateful';
import { ASYNC_EVENT_LIMIT } from './identify';
import { LogPage } from './log-pages';

const EventType = { ERROR: 0 } as const;
/** Asynchronous Event Information of an error status. */
export const ErrorEvent = { INVALID_DOORBELL_REGISTER: 0, INVALID_DOORBELL_VALUE: 1 } as const;
type ErrorInformation = (typeof ErrorEvent)[keyof typeof ErrorEvent];

export interface AsyncEventsState {
  outstanding: number[];
  pending: number[];
  masked: boolean;
}

export class AsyncEvents implements Stateful<AsyncEventsState> {
  /** Command identifiers that wait for an event. */
  private outstanding: number[] = [];
  /** Dword 0 of completions that wait for a command. */
  private pending: number[] = [];
  /** "Masked until the host reads the log page": an error event was reported. */
  private masked = false;

  reset(): void {
    this.outstanding = [];
    this.pending = [];
    this.masked = false;
  }

  /** False: more requests than AERL allows. */
  request(cid: number): boolean {
    if (this.outstanding.length >= ASYNC_EVENT_LIMIT) return false;
    this.outstanding.push(cid);
    return true;
  }

  /** True: the command was outstanding, and is not any more. */
  abort(cid: number): boolean {
    const index = this.outstanding.indexOf(cid);
    if (index >= 0) this.outstanding.splice(index, 1);
    return index >= 0;
  }

  error(information: ErrorInformation): void {
    const event = (LogPage.ERROR_INFORMATION << 16) | (information << 8) | EventType.ERROR;
    if (!this.masked && !this.pending.includes(event)) this.pending.push(event);
  }

  /** The host read a log page and did not ask to retain events. */
  logRead(page: number): void {
    if (page === LogPage.ERROR_INFORMATION) this.masked = false;
  }

  /** A command to complete now, with the event as its result. */
  take(): { cid: number; result: number } | undefined {
    if (this.masked || this.outstanding.length === 0 || this.pending.length === 0) return undefined;
    this.masked = true;
    // Events of a type that is masked are not reported again.
    const result = this.pending[0];
    this.pending = [];
    return { cid: this.outstanding.shift()!, result };
  }

  get ready(): boolean {
    return !this.masked && this.outstanding.length > 0 && this.pending.length > 0;
  }

  saveState(): AsyncEventsState {
    return { outstanding: [...this.outstanding], pending: [...this.pending], masked: this.masked };
  }

  restoreState({ outstanding, pending, masked }: AsyncEventsState): void {
    [this.outstanding, this.pending, this.masked] = [[...outstanding], [...pending], masked];
  }
}
