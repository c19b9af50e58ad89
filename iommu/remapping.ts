/**
 * What VT-d and AMD-Vi have in common, and nothing else: devices ask for DMA and send interrupt messages, an IOMMU translates or refuses,
 * and tells what it did. Both specifications call the asking side a requester and name it by bus << 8 | device << 3 | function.
 */
import type { InterruptMessage } from '../devices/interrupt-message';

export interface DmaRemapper {
  /**
   * Translates one DMA request of `requester`. `address` is what the device put on the bus, below 2^53; `length` >= 1 bytes.
   * The answer covers the first `length` bytes of the request that are contiguous, never less than one: ask again for the rest.
   */
  translate(requester: number, address: number, length: number, write: boolean): DmaTranslation;
  /** The message that goes to the processors; undefined: it was blocked, or there is none to send (posted without notification). */
  remapInterrupt(message: InterruptMessage): InterruptMessage | undefined;
}

export type DmaTranslation =
  { readonly kind: 'mapped'; readonly physical: number; readonly length: number } | { readonly kind: 'blocked'; readonly fault: RemappingFault };

/** One table entry that was read on the way, in order. */
export interface WalkStep {
  /** As the manual calls it: `root entry`, `context entry`, `SL-PML4E`, `device table entry`, `interrupt remapping table entry` … */
  readonly table: string;
  /** Physical address of the entry. */
  readonly address: number;
  /** The entry, least significant 64 bits first; absent when it could not be read. */
  readonly value: readonly bigint[] | undefined;
  /** Of a step that came out of a cache: who had the entry read from memory, and when. Absent: it was read for this request. */
  readonly read?: Reading;
}

export interface Reading {
  readonly by: number;
  /** Ticks. */
  readonly at: number;
}

/** The steps as a cache keeps them: those that were read for this fill are marked, those that came out of a cache themselves are already. */
export const keptSteps = (walk: readonly WalkStep[], by: number, at: number): WalkStep[] =>
  walk.map((step) => (step.read === undefined ? { ...step, read: { by, at } } : step));

/** Why a request was refused. */
export interface RemappingFault {
  readonly unit: 'VT-d' | 'AMD-Vi';
  readonly request: 'read' | 'write' | 'interrupt';
  readonly requester: number;
  /** The address of a DMA request, or the interrupt index. */
  readonly address: number;
  /** Fault reason or event code as the manual numbers it. */
  readonly code: number;
  /** In words, with the offending values. */
  readonly reason: string;
  readonly walk: readonly WalkStep[];
  /** What refused: the last entry of the walk, or undefined where no entry was at fault. */
  readonly refusedBy: WalkStep | undefined;
  /** False: software asked that faults of this requester be not recorded. */
  readonly recorded: boolean;
  /** Entries that refused, or led to the one that did, and that no longer stand in memory so. Looked for only where somebody listens. */
  readonly stale?: readonly StaleUse[];
  /** Where the manual says so. */
  readonly source?: string;
}

/** A request was served or refused out of a cache though the table entry has changed: allowed, and usually a missing invalidation. */
export interface StaleUse {
  readonly unit: 'VT-d' | 'AMD-Vi';
  readonly cache: string;
  readonly requester: number;
  /** As in RemappingFault. */
  readonly address: number;
  readonly refused: boolean;
  /** Who filled the entry of that cache, and when (ticks). `cached.read` may be earlier and somebody else's: the IOTLB is filled from caches, too. */
  readonly filledBy: number;
  readonly filledAt: number;
  /** The entry as it was cached, and as it stands in memory now. */
  readonly cached: WalkStep;
  readonly now: readonly bigint[] | undefined;
  /** Ticks of this use: the entry changed between `cached.read.at` and now. */
  readonly usedAt: number;
  /** What would remove the translation, as the manual calls the command. */
  readonly missing: string;
}

/** All optional: nobody listens by default, and staleness is looked for only where `stale` is. */
export interface IommuObserver {
  fault?(fault: RemappingFault): void;
  stale?(use: StaleUse): void;
}

export interface TranslationCounts {
  /** DMA requests translated (passed through included), and refused. */
  translations: number;
  blocked: number;
  /** Interrupt messages remapped, posted, and refused. Messages that pass unchanged do not count. */
  interrupts: number;
  posted: number;
  blockedInterrupts: number;
}

export const noTranslations = (): TranslationCounts => ({ translations: 0, blocked: 0, interrupts: 0, posted: 0, blockedInterrupts: 0 });

/** `00:1f.2`. */
export function requesterName(requester: number): string {
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  return `${hex(requester >>> 8)}:${hex((requester >>> 3) & 0x1f)}.${requester & 7}`;
}
