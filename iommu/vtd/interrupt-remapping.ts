/** Interrupt requests through the remapping table: VT-d specification, "Interrupt-Remapping Hardware Operation". */
import { MessageAddress, MessageData, type InterruptMessage } from '../../devices/interrupt-message';
import type { Stateful } from '../../memory/stateful';
import { BoundedMap } from '../bounded-map';
import { keptSteps } from '../remapping';
import type { TableMemory } from '../table-memory';
import { readInterruptEntry, sourceMismatch, type InterruptEntry, type RemappedEntry } from './interrupt-entry';
import { post, type Posted } from './posting';
import { hex, isRefusal, refuse, type Refusal } from './refusal';
import { FaultReason } from './spec/fault-reasons';
import { Irte, RemappableAddress, RemappableData } from './spec/interrupts';
import type { Fill } from './translation-caches';

/** IRTA as it was when software gave the command to set it. */
export interface InterruptTable {
  readonly address: number;
  readonly entries: number;
  /** Extended interrupt mode: 32-bit destinations, and no messages in compatibility format. */
  readonly extended: boolean;
}

export type CachedEntry = InterruptEntry & Fill;
export type Remapped =
  | { readonly kind: 'pass'; readonly message: InterruptMessage }
  | { readonly kind: 'remapped'; readonly message: InterruptMessage; readonly index: number; readonly entry: CachedEntry }
  | ({ readonly kind: 'posted'; readonly index: number; readonly entry: CachedEntry } & Posted)
  | { readonly kind: 'blocked'; readonly index: number; readonly refusal: Refusal };

const ENTRIES = 256;

export class InterruptRemapping implements Stateful<[number, CachedEntry][]> {
  /** The interrupt entry cache, by index. */
  private readonly cache = new BoundedMap<CachedEntry>(ENTRIES);

  constructor(
    private readonly memory: TableMemory,
    private readonly posting: boolean,
  ) {}

  /** @param compatibilityAllowed GSTS.CFIS. */
  remap(message: InterruptMessage, table: InterruptTable, compatibilityAllowed: boolean, now: number): Remapped {
    const { address, data, source } = message;
    if ((address & RemappableAddress.FORMAT) === 0) {
      if (compatibilityAllowed && !table.extended) return { kind: 'pass', message };
      const why = table.extended ? 'extended interrupt mode' : 'GSTS.CFIS is 0';
      return { kind: 'blocked', index: 0, refusal: refuse(FaultReason.CompatibilityBlocked, [], why) };
    }
    const subhandle = (address & RemappableAddress.SHV) !== 0;
    const handle = ((address >>> RemappableAddress.HANDLE_SHIFT) & RemappableAddress.HANDLE_LOW) | ((address & RemappableAddress.HANDLE_15) << 13);
    const index = handle + (subhandle ? data & RemappableData.SUBHANDLE : 0);
    const blocked = (refusal: Refusal): Remapped => ({ kind: 'blocked', index, refusal });
    if (subhandle && (data & RemappableData.RESERVED) !== 0) return blocked(refuse(FaultReason.RequestReserved, [], `data ${hex(data)}`));
    if (index >= table.entries) return blocked(refuse(FaultReason.IndexBeyondTable, [], `${index} of ${table.entries}`));

    const entry = this.cache.get(index) ?? this.fetch(index, table, source, now);
    if (isRefusal(entry)) return blocked(entry);
    const mismatch = sourceMismatch(entry, source);
    if (mismatch !== undefined) return blocked(refuse(FaultReason.SourceIdMismatch, entry.walk, mismatch, entry.faultProcessingDisabled));
    if (entry.kind === 'remapped') return { kind: 'remapped', index, entry, message: remappedMessage(entry, source, table.extended) };
    const posted = post(this.memory, entry, source, table.extended);
    return isRefusal(posted) ? blocked(posted) : { kind: 'posted', index, entry, ...posted };
  }

  private fetch(index: number, table: InterruptTable, filledBy: number, filledAt: number): CachedEntry | Refusal {
    const entry = readInterruptEntry(this.memory, table.address + index * Irte.BYTES, table.extended, this.posting);
    if (isRefusal(entry)) return entry;
    const filled = { ...entry, filledBy, filledAt };
    this.cache.set(index, { ...filled, walk: keptSteps(entry.walk, filledBy, filledAt) });
    return filled;
  }

  invalidateAll(): void {
    this.cache.clear();
  }
  /** 2^indexMask entries around `index`. */
  invalidateIndex(index: number, indexMask: number): void {
    const size = 2 ** indexMask;
    const first = index - (index % size);
    this.cache.deleteWhere((_, i) => i >= first && i < first + size);
  }

  get cachedEntries(): number {
    return this.cache.size;
  }

  saveState(): [number, CachedEntry][] {
    return this.cache.saveState();
  }
  restoreState(state: [number, CachedEntry][]): void {
    this.cache.restoreState(state);
  }
}

function remappedMessage(entry: RemappedEntry, source: number, extended: boolean): InterruptMessage {
  const { destination, logical, redirectionHint, vector, deliveryMode, level } = entry;
  const address =
    MessageAddress.BASE +
    (destination & 0xff) * 2 ** MessageAddress.DESTINATION_SHIFT +
    (logical ? MessageAddress.LOGICAL : 0) +
    (redirectionHint ? MessageAddress.REDIRECTION_HINT : 0);
  const data = vector | (deliveryMode << MessageData.MODE_SHIFT) | MessageData.ASSERT | (level ? MessageData.LEVEL : 0);
  return { address, data, source, extendedDestination: extended ? destination : undefined };
}
