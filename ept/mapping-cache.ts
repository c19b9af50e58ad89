/**
 * Guest-physical mappings that a processor caches beside its TLB: SDM "Information That May Be Cached"; APM "TLB Control". Direct-mapped by
 * page number, and tagged with the tables (`root`) and the guest (`asid`) they were made for.
 */
import { NestedAccess } from '../cpu/interfaces';

const BITS = 11;
const MASK = (1 << BITS) - 1;
const ENTRIES = 1 << BITS;
/** A page that never matches. */
const NONE = -1;

export type CachedMapping = readonly [page: number, root: number, asid: number, frame: number, permissions: number];

export class MappingCache {
  private readonly pages = new Float64Array(ENTRIES).fill(NONE);
  private readonly roots = new Float64Array(ENTRIES);
  private readonly asids = new Uint32Array(ENTRIES);
  private readonly frames = new Float64Array(ENTRIES);
  private readonly allowed = new Uint8Array(ENTRIES);

  /** The slot that holds a mapping of `page` which permits `wanted` (bits of NestedAccess); -1: none does. */
  find(page: number, root: number, asid: number, wanted: number): number {
    const slot = page & MASK;
    return this.pages[slot] === page && this.roots[slot] === root && this.asids[slot] === asid && (this.allowed[slot] & wanted) === wanted ? slot : -1;
  }
  frame(slot: number): number {
    return this.frames[slot];
  }
  permissions(slot: number): number {
    return this.allowed[slot];
  }

  /** A mapping whose dirty flag is not set must not permit writes: the first one has to walk again, to set it. */
  add(page: number, root: number, asid: number, frame: number, permissions: number): void {
    const slot = page & MASK;
    this.pages[slot] = page;
    this.roots[slot] = root;
    this.asids[slot] = asid;
    this.frames[slot] = frame;
    this.allowed[slot] = permissions;
  }

  /** What stands in the slot of `page`, whoever it belongs to. */
  drop(page: number): void {
    this.pages[page & MASK] = NONE;
  }
  clear(): void {
    this.pages.fill(NONE);
  }
  /** Mappings of tables at `root`; with `size` a power of two, of all roots that differ below it only. */
  dropRoot(root: number, size = 1): void {
    const table = root - (root % size);
    for (let i = 0; i < ENTRIES; i++) if (this.roots[i] - (this.roots[i] % size) === table) this.pages[i] = NONE;
  }
  dropAsid(asid: number): void {
    for (let i = 0; i < ENTRIES; i++) if (this.asids[i] === asid) this.pages[i] = NONE;
  }

  saveState(): CachedMapping[] {
    const saved: CachedMapping[] = [];
    this.pages.forEach((page, i) => {
      if (page !== NONE) saved.push([page, this.roots[i], this.asids[i], this.frames[i], this.allowed[i]]);
    });
    return saved;
  }
  restoreState(saved: readonly CachedMapping[]): void {
    this.clear();
    for (const [page, root, asid, frame, permissions] of saved) this.add(page, root, asid, frame, permissions);
  }
}

/** What of a leaf's permissions may be cached: without its dirty flag no write. */
export const cacheable = (permissions: number, dirty: boolean): number => (dirty ? permissions : permissions & ~NestedAccess.Write);
