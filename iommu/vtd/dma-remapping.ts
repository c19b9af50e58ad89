/** DMA requests through the translation tables and their caches: VT-d specification, "DMA Remapping". */
import type { WalkStep } from '../remapping';
import type { TableMemory } from '../table-memory';
import type { VtdCapabilities } from './capabilities';
import { readContext } from './context';
import { hex, isRefusal, refuse, type Refusal } from './refusal';
import { walkSecondLevel } from './second-level';
import { FaultReason } from './spec/fault-reasons';
import type { CachedContext, CachedLeaf, Fill, TranslationCaches } from './translation-caches';

/** RTADDR as it was when software gave the command to set it. */
export interface RootTable {
  readonly address: number;
  /** Translation table mode: 0 is legacy mode, the only one without ECAP.SMTS. */
  readonly mode: number;
}

/** A request that may go on. */
export interface Translated {
  readonly physical: number;
  readonly length: number;
  readonly context: CachedContext;
  /** Undefined: passed through. */
  readonly leaf: CachedLeaf | undefined;
  /** The leaf came out of the IOTLB. */
  readonly leafHit: boolean;
}

export const INTERRUPT_RANGE = { first: 0xfee0_0000, last: 0xfeef_ffff } as const;
export const inInterruptRange = (address: number): boolean => address >= INTERRUPT_RANGE.first && address <= INTERRUPT_RANGE.last;

export class DmaRemapping {
  constructor(
    private readonly memory: TableMemory,
    private readonly capabilities: VtdCapabilities,
    readonly caches: TranslationCaches,
  ) {}

  translate(root: RootTable, requester: number, address: number, length: number, write: boolean, now: number): Translated | Refusal {
    if (root.mode !== 0) return refuse(FaultReason.TableModeInvalid, [], `mode ${root.mode}`);
    const context = this.caches.context(requester) ?? this.fetchContext(root, requester, now);
    if (isRefusal(context)) return context;
    const no = (reason: Parameters<typeof refuse>[0], walk: readonly WalkStep[], text: string): Refusal =>
      refuse(reason, walk, text, context.faultProcessingDisabled);
    const beyond = 2 ** context.width - address;
    if (beyond <= 0) return no(FaultReason.AddressBeyondMgaw, context.walk, `${hex(address)} has more than ${context.width} bits`);
    if (context.passThrough) return { physical: address, length: Math.min(length, beyond), context, leaf: undefined, leafHit: false };

    const cached = this.caches.leaf(context.domain, address);
    const permitted = cached !== undefined && (write ? cached.writable : cached.readable);
    // Without the permission the tables decide: software may have granted it since, and need not invalidate for that.
    const leaf = permitted ? cached : this.fetchLeaf(context, { filledBy: requester, filledAt: now }, address, write);
    if (isRefusal(leaf)) return leaf;
    const offset = address - leaf.first;
    const physical = leaf.page + offset;
    if (inInterruptRange(physical)) {
      const refusal = no(FaultReason.OutputInInterruptRange, [...context.walk, ...leaf.walk], hex(physical));
      return permitted ? { ...refusal, translation: leaf } : refusal;
    }
    return { physical, length: Math.min(length, leaf.size - offset), context, leaf, leafHit: permitted };
  }

  private fetchContext(root: RootTable, requester: number, filledAt: number): CachedContext | Refusal {
    const context = readContext(this.memory, this.capabilities, root.address, requester);
    return isRefusal(context) ? context : this.caches.fillContext(context, { filledBy: requester, filledAt });
  }

  private fetchLeaf(context: CachedContext, fill: Fill, address: number, write: boolean): CachedLeaf | Refusal {
    const leaf = walkSecondLevel(this.memory, this.capabilities, context, address, write, {
      find: (domain, level, at) => this.caches.find(domain, level, at),
      fill: (domain, level, at, reference) => this.caches.fill(domain, level, at, reference, fill),
    });
    return isRefusal(leaf) ? leaf : this.caches.fillLeaf(context.domain, address, leaf, fill);
  }
}
