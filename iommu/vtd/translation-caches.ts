/**
 * Context cache, IOTLB and paging-structure caches: VT-d specification, "Caching Translation Information". What they hold stays until it
 * is invalidated or makes room, whatever happens to the tables. With CAP.CM = 0 nothing is kept that refuses a request.
 */
import { BoundedMap } from '../bounded-map';
import type { Stateful } from '../../memory/stateful';
import { keptSteps } from '../remapping';
import type { Context } from './context';
import type { Leaf, TableReference } from './second-level';
import { SQ_IGNORES } from './spec/interrupts';
import { coverage } from './spec/tables';

/** Who filled an entry, and when (ticks). */
export interface Fill {
  readonly filledBy: number;
  readonly filledAt: number;
}
export type CachedContext = Context & Fill;
export type CachedLeaf = Leaf & Fill & { readonly first: number };
type CachedTable = TableReference & { readonly first: number; readonly level: number };

const CONTEXTS = 64;
/** Entries a domain. */
const LEAVES = 512;
const TABLES = 128;
/** Page sizes as levels of the leaf. */
const LEAF_LEVELS = [1, 2, 3];
/** More domains than this and the caches of the oldest go. */
const DOMAINS = 256;

const keyOf = (address: number, level: number): number => Math.floor(address / coverage(level)) * 8 + level;

interface DomainCaches {
  readonly leaves: BoundedMap<CachedLeaf>;
  readonly tables: BoundedMap<CachedTable>;
}

export interface TranslationCachesState {
  readonly contexts: [number, CachedContext][];
  readonly domains: [domain: number, leaves: [number, CachedLeaf][], tables: [number, CachedTable][]][];
}

export class TranslationCaches implements Stateful<TranslationCachesState> {
  private readonly contexts = new BoundedMap<CachedContext>(CONTEXTS);
  private readonly domains = new BoundedMap<DomainCaches>(DOMAINS);

  // ---- lookups and fills ----

  context(requester: number): CachedContext | undefined {
    return this.contexts.get(requester);
  }
  fillContext(context: Context, fill: Fill): CachedContext {
    const filled = { ...context, ...fill };
    this.contexts.set(fill.filledBy, { ...filled, walk: keptSteps(context.walk, fill.filledBy, fill.filledAt) });
    return filled;
  }

  leaf(domain: number, address: number): CachedLeaf | undefined {
    const leaves = this.domains.get(domain)?.leaves;
    if (leaves === undefined) return undefined;
    for (const level of LEAF_LEVELS) {
      const found = leaves.get(keyOf(address, level));
      if (found !== undefined) return found;
    }
    return undefined;
  }
  /** Replaces what is cached for the address, whatever its size. */
  fillLeaf(domain: number, address: number, leaf: Leaf, fill: Fill): CachedLeaf {
    const { leaves } = this.ofDomain(domain);
    for (const level of LEAF_LEVELS) leaves.delete(keyOf(address, level));
    const filled = { ...leaf, ...fill, first: address - (address % leaf.size) };
    leaves.set(
      keyOf(
        address,
        LEAF_LEVELS.find((level) => coverage(level) === leaf.size)!,
      ),
      { ...filled, walk: keptSteps(leaf.walk, fill.filledBy, fill.filledAt) },
    );
    return filled;
  }

  find(domain: number, level: number, address: number): TableReference | undefined {
    return this.domains.get(domain)?.tables.get(keyOf(address, level));
  }
  fill(domain: number, level: number, address: number, reference: TableReference, { filledBy, filledAt }: Fill): void {
    const walk = keptSteps(reference.walk, filledBy, filledAt);
    this.ofDomain(domain).tables.set(keyOf(address, level), { ...reference, walk, level, first: address - (address % coverage(level)) });
  }

  private ofDomain(domain: number): DomainCaches {
    const caches = this.domains.get(domain) ?? { leaves: new BoundedMap<CachedLeaf>(LEAVES), tables: new BoundedMap<CachedTable>(TABLES) };
    if (this.domains.get(domain) === undefined) this.domains.set(domain, caches);
    return caches;
  }

  // ---- "Context-cache Invalidate" ----

  invalidateContexts(): void {
    this.contexts.clear();
  }
  invalidateDomainContexts(domain: number): void {
    this.contexts.deleteWhere((context) => context.domain === domain);
  }
  /** @param functionMask FM: which bits of the function number do not count. */
  invalidateDeviceContexts(domain: number, source: number, functionMask: number): void {
    const counted = 0xffff & ~SQ_IGNORES[functionMask];
    this.contexts.deleteWhere((context, requester) => context.domain === domain && ((requester ^ source) & counted) === 0);
  }

  // ---- "IOTLB Invalidate": paging-structure caches go with it ----

  invalidateTranslations(): void {
    this.domains.clear();
  }
  invalidateDomain(domain: number): void {
    this.domains.delete(domain);
  }
  /**
   * 2^addressMask pages of 4 KiB around `address`.
   * @param leavesOnly IH: software says that it changed no entry that references a table.
   */
  invalidatePages(domain: number, address: number, addressMask: number, leavesOnly: boolean): void {
    const caches = this.domains.get(domain);
    if (caches === undefined) return;
    const size = coverage(1) * 2 ** addressMask;
    const first = address - (address % size);
    const overlaps = (start: number, length: number): boolean => start < first + size && first < start + length;
    caches.leaves.deleteWhere((leaf) => overlaps(leaf.first, leaf.size));
    if (!leavesOnly) caches.tables.deleteWhere((table) => overlaps(table.first, coverage(table.level)));
  }

  /** Entries of each cache. */
  get sizes(): Record<'contexts' | 'translations' | 'tables', number> {
    const sizes = { contexts: this.contexts.size, translations: 0, tables: 0 };
    for (const [, { leaves, tables }] of this.domains.entries()) {
      sizes.translations += leaves.size;
      sizes.tables += tables.size;
    }
    return sizes;
  }

  saveState(): TranslationCachesState {
    const domains = [...this.domains.entries()].map(([domain, { leaves, tables }]): TranslationCachesState['domains'][number] => [
      domain,
      leaves.saveState(),
      tables.saveState(),
    ]);
    return { contexts: this.contexts.saveState(), domains };
  }

  restoreState(state: TranslationCachesState): void {
    this.contexts.restoreState(state.contexts);
    this.domains.clear();
    for (const [domain, leaves, tables] of state.domains) {
      const caches = this.ofDomain(domain);
      caches.leaves.restoreState(leaves);
      caches.tables.restoreState(tables);
    }
  }
}
