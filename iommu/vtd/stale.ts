/** Uses of cached translations whose entries have changed: allowed by the specification, and reported. */
import type { StaleUse } from '../remapping';
import { changedStep, readQwords, type TableMemory } from '../table-memory';
import type { RootTable, Translated } from './dma-remapping';
import type { CachedEntry, InterruptTable } from './interrupt-remapping';
import { hex } from './refusal';
import { Irte } from './spec/interrupts';
import { RootEntry, SL_BITS, coverage } from './spec/tables';
import type { CachedContext, CachedLeaf } from './translation-caches';

type Changed = NonNullable<ReturnType<typeof changedStep>>;
const PAGE = coverage(1);

/** What was stale in a translation, the context first. */
export function staleTranslation(memory: TableMemory, root: RootTable, requester: number, address: number, use: Translated): StaleUse[] {
  const { context, leaf } = use;
  const at = { unit: 'VT-d', requester, address } as const;
  const stale: StaleUse[] = [];
  const oldContext = use.contextHit ? changedContext(memory, root, requester, context) : undefined;
  if (oldContext !== undefined) {
    const missing = `context-cache invalidation, device-selective: domain ${context.domain}, source ${hex(requester)}; then IOTLB invalidation of the domain`;
    stale.push({ ...at, cache: 'context cache', filledBy: context.filledBy, filledAt: context.filledAt, ...oldContext, missing });
  }
  const oldLeaf = leaf && changedLeaf(memory, context, address, leaf);
  if (leaf !== undefined && oldLeaf !== undefined) {
    const missing = `IOTLB invalidation, page-selective: domain ${context.domain}, address ${hex(leaf.first)}, mask ${Math.log2(leaf.size / PAGE)}`;
    const cache = use.leafHit ? 'IOTLB' : 'paging-structure cache';
    stale.push({ ...at, cache, filledBy: leaf.filledBy, filledAt: leaf.filledAt, ...oldLeaf, missing });
  }
  return stale;
}

function changedContext(memory: TableMemory, root: RootTable, requester: number, { walk }: CachedContext): Changed | undefined {
  const entry = root.address + (requester >>> 8) * RootEntry.BYTES;
  // Another root table since then.
  if (walk[0].address !== entry) return { cached: walk[0], now: readQwords(memory, entry, 2) };
  return changedStep(memory, walk);
}

function changedLeaf(memory: TableMemory, { table, levels }: CachedContext, address: number, { walk }: CachedLeaf): Changed | undefined {
  const first = table + 8 * (Math.floor(address / coverage(levels)) % 2 ** SL_BITS);
  if (walk[0].address !== first) return { cached: walk[0], now: readQwords(memory, first, 1) };
  return changedStep(memory, walk);
}

/** @param index of the entry that remapped the interrupt. */
export function staleInterrupt(memory: TableMemory, table: InterruptTable, requester: number, index: number, entry: CachedEntry): StaleUse | undefined {
  const address = table.address + index * Irte.BYTES;
  const changed = entry.walk[0].address !== address ? { cached: entry.walk[0], now: readQwords(memory, address, 2) } : changedStep(memory, entry.walk);
  if (changed === undefined) return undefined;
  const { filledBy, filledAt } = entry;
  const missing = `interrupt entry cache invalidation, index-selective: index ${index}`;
  return { unit: 'VT-d', cache: 'interrupt entry cache', requester, address: index, filledBy, filledAt, ...changed, missing };
}
