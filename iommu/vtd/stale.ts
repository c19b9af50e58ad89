/** Uses of cached entries that have changed in memory: allowed by the specification, and reported. */
import type { StaleUse, WalkStep } from '../remapping';
import { changedStep, readQwords, type TableMemory } from '../table-memory';
import { LARGEST_MASK } from './capabilities';
import type { RootTable } from './dma-remapping';
import type { InterruptTable } from './interrupt-remapping';
import { hex } from './refusal';
import { Irte } from './spec/interrupts';
import { ContextEntry, LEVELS_BY_AW, RootEntry, SL_ENTRIES, SL_NAMES, SlEntry, coverage } from './spec/tables';
import type { Fill } from './translation-caches';

type Changed = NonNullable<ReturnType<typeof changedStep>>;
const PAGE = coverage(1);

/** A request that has been answered. */
export interface Answered {
  readonly requester: number;
  /** The interrupt index of an interrupt. */
  readonly address: number;
  readonly refused: boolean;
  readonly usedAt: number;
}

/** The entries an answer was made from. */
export interface DmaPath {
  /** Root and context entry. */
  readonly context: readonly WalkStep[];
  /** Second-level entries; none where the request went no further. */
  readonly pages: readonly WalkStep[];
  /** They came out of the IOTLB, filled by that. */
  readonly translation?: Fill;
}

/** The walk of a refusal, taken apart. */
export function pathOf(walk: readonly WalkStep[], translation?: Fill): DmaPath {
  const levels = walk.findIndex((step) => SL_NAMES.includes(step.table));
  return levels < 0 ? { context: walk, pages: [] } : { context: walk.slice(0, levels), pages: walk.slice(levels), translation };
}

/** What was stale, the context first. */
export function staleDma(memory: TableMemory, root: RootTable, request: Answered, { context, pages, translation }: DmaPath): StaleUse[] {
  const stale: StaleUse[] = [];
  const low = context.at(1)?.value?.[0] ?? 0n;
  const high = context.at(1)?.value?.[1] ?? 0n;
  const domain = Number((high >> ContextEntry.DID_SHIFT) & 0xffffn);
  const oldContext = changed(memory, context, root.address + (request.requester >>> 8) * RootEntry.BYTES);
  if (oldContext !== undefined) {
    const missing = `context-cache invalidation, device-selective: domain ${domain}, source ${hex(request.requester)}; then IOTLB invalidation of the domain`;
    stale.push(use(request, 'context cache', oldContext, missing));
  }
  const levels = LEVELS_BY_AW[Number(high & ContextEntry.AW)] ?? 0;
  const first = Number(low & ContextEntry.SLPTPTR) + 8 * (Math.floor(request.address / coverage(levels)) % SL_ENTRIES);
  const oldPage = changed(memory, pages, first);
  if (oldPage !== undefined) {
    const cache = translation === undefined ? 'paging-structure cache' : 'IOTLB';
    stale.push(use(request, cache, oldPage, pageInvalidation(domain, request.address, oldPage.cached), translation));
  }
  return stale;
}

/** @param first where the first entry would be read now: the walk may have begun in another table. */
function changed(memory: TableMemory, walk: readonly WalkStep[], first: number): Changed | undefined {
  const [top] = walk;
  if (top?.read !== undefined && top.address !== first) return { cached: top, now: readQwords(memory, first, top.value?.length ?? 1) };
  return changedStep(memory, walk);
}

function use({ requester, address, refused, usedAt }: Answered, cache: string, { cached, now }: Changed, missing: string, fill?: Fill): StaleUse {
  const filledBy = fill?.filledBy ?? cached.read?.by ?? requester;
  const filledAt = fill?.filledAt ?? cached.read?.at ?? usedAt;
  return { unit: 'VT-d', cache, requester, address, refused, filledBy, filledAt, cached, now, usedAt, missing };
}

/** The invalidation of all that an entry maps. One that references a table stays if the hint says that only leaves have changed. */
function pageInvalidation(domain: number, address: number, { table, value }: WalkStep): string {
  const level = SL_NAMES.indexOf(table);
  const size = coverage(level);
  const mask = Math.log2(size / PAGE);
  if (mask > LARGEST_MASK) return `IOTLB invalidation, domain-selective: domain ${domain}`;
  const leaf = level === 1 || ((value?.[0] ?? 0n) & SlEntry.PS) !== 0n;
  return `IOTLB invalidation, page-selective: domain ${domain}, address ${hex(address - (address % size))}, mask ${mask}${leaf ? '' : ', IH 0'}`;
}

/** @param walk the entry of the interrupt remapping table, if it was looked at. */
export function staleInterrupt(memory: TableMemory, table: InterruptTable, request: Answered, walk: readonly WalkStep[]): StaleUse[] {
  const index = request.address;
  const old = changed(memory, walk, table.address + index * Irte.BYTES);
  return old === undefined ? [] : [use(request, 'interrupt entry cache', old, `interrupt entry cache invalidation, index-selective: index ${index}`)];
}
