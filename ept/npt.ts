/** Nested page tables as the second dimension of address translation, with the cache of guest-physical mappings. */
import { NestedAccess, type NestedTranslation } from '../cpu/interfaces';
import type { PhysicalMemory } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';
import { MappingCache, cacheable, type CachedMapping } from './mapping-cache';
import { NptError, NptErrorHigh, type NestedPagingMode } from './npt-format';
import { NptWalkOutcome, NptWalker } from './npt-walk';

/** Why an access to a guest-physical address could not be made: EXITINFO1 in two halves, and EXITINFO2. */
export interface NptFault {
  readonly gpa: number;
  readonly linear: bigint;
  readonly errorLow: number;
  readonly errorHigh: number;
}

/** What a processor's nested paging can do. */
export interface NptCapabilities {
  readonly pages1G: boolean;
}

const RWX = NestedAccess.Read | NestedAccess.Write | NestedAccess.Fetch;
const LONG_MODE: NestedPagingMode = { levels: 4, nxe: true, pse: true };
/** nCR3 leaves bits 4:0 of `root` to the mode: a table of PAE is aligned to 32 bytes, the others to 4 KBytes. */
const MODE_SIZE = 32;

export interface NptState {
  readonly active: boolean;
  readonly nCr3: number;
  readonly mode: NestedPagingMode;
  readonly asid: number;
  /** Cached guest-physical mappings: they are as visible to software as those of a TLB. */
  readonly cached: readonly CachedMapping[];
}

export class Npt implements NestedTranslation, Stateful<NptState> {
  active = false;
  /** Where the nested tables are and how they are walked: the table's address, with a number for the mode in bits 4:0. */
  root = 0;
  permissions = 0;
  /** With nested paging the PDPEs of a guest in PAE mode are read on each walk. APM "Legacy PAE Mode" under "Nested Paging". */
  readonly walksPdptes = true;
  private table = 0;
  private mode: NestedPagingMode = LONG_MODE;
  /** The guest whose mappings are used: no other ASID sees them. */
  private asid = 0;
  private translated = 2 ** 48;
  private readonly walker: NptWalker;
  private readonly cache = new MappingCache();

  /** @param refuse performs the #VMEXIT. */
  constructor(
    memory: PhysicalMemory,
    physicalAddressWidth: number,
    capabilities: NptCapabilities,
    private readonly refuse: (fault: NptFault) => void,
  ) {
    this.walker = new NptWalker(memory, physicalAddressWidth, capabilities.pages1G);
  }

  /**
   * Puts nested paging in force.
   * @param nCr3 nested CR3, below 2^52; its low bits do not matter.
   * @param mode of the host at VMRUN. hCR0.WP plays no part: all nested accesses are user accesses, to which read-only always applies.
   * @param asid of the guest.
   */
  enable(nCr3: number, mode: NestedPagingMode = LONG_MODE, asid = 0): void {
    const { levels, nxe, pse } = mode;
    this.active = true;
    this.asid = asid;
    this.mode = mode;
    this.table = nCr3 - (nCr3 % (levels === 3 ? 32 : 4096));
    this.root = this.table + (levels - 2) + (nxe ? 4 : 0) + (pse ? 8 : 0);
    this.translated = levels === 5 ? 2 ** 52 : levels === 4 ? 2 ** 48 : 2 ** 32;
  }

  /** Levels of the nested walk. */
  get levels(): NestedPagingMode['levels'] {
    return this.mode.levels;
  }

  disable(): void {
    this.active = false;
  }

  /** Drops guest-physical mappings: those of one nCR3 (or `root`) in every mode, or all. Combined mappings are the MMU's. */
  flush(root?: number): void {
    if (root === undefined) this.cache.clear();
    else this.cache.dropRoot(root, MODE_SIZE);
  }

  /** Drops the guest-physical mappings of one guest. APM "TLB Control". */
  flushAsid(asid: number): void {
    this.cache.dropAsid(asid);
  }

  translate(gpa: number, access: number, linear: bigint): number {
    // "Host table walks for guest page tables are always treated as data writes": APM "Nested versus Guest Page Faults, Fault Ordering".
    const wanted = (access & NestedAccess.Table) !== 0 ? NestedAccess.Read | NestedAccess.Write : access & RWX;
    const page = Math.floor(gpa / 4096);
    const slot = this.cache.find(page, this.root, this.asid, wanted);
    if (slot >= 0) {
      this.permissions = this.cache.permissions(slot);
      return this.cache.frame(slot) + (gpa - page * 4096);
    }
    return this.walk(gpa, page, wanted, access, linear);
  }

  /** Where the nested tables map a guest-physical address, for debuggers: no exit, no accessed flags, no cache. undefined: they do not. */
  lookup(gpa: number): { readonly physical: number; readonly permissions: number } | undefined {
    const { walker } = this;
    if (gpa >= this.translated || walker.walk(this.table, gpa, this.mode) !== NptWalkOutcome.Mapped) return undefined;
    return { physical: walker.frame + (gpa % 4096), permissions: this.allowed() };
  }

  /** Nested accesses are user accesses: without the user bit nothing is allowed. */
  private allowed(): number {
    const { user, writable, executable } = this.walker;
    if (!user) return 0;
    return NestedAccess.Read | (writable ? NestedAccess.Write : 0) | (executable ? NestedAccess.Fetch : 0);
  }

  private walk(gpa: number, page: number, wanted: number, access: number, linear: bigint): number {
    const walker = this.walker;
    // What the format has no index bits for is mapped by nothing.
    const outcome = gpa < this.translated ? walker.walk(this.table, gpa, this.mode) : NptWalkOutcome.NotPresent;
    const allowed = outcome === NptWalkOutcome.Mapped ? this.allowed() : 0;
    if ((allowed & wanted) !== wanted) {
      this.cache.drop(page);
      this.refuse({
        gpa,
        linear,
        errorLow: errorOf(outcome, wanted),
        errorHigh: (access & NestedAccess.Table) !== 0 ? NptErrorHigh.TABLE : NptErrorHigh.FINAL,
      });
      return -1;
    }
    walker.markUsed((wanted & NestedAccess.Write) !== 0);
    this.permissions = cacheable(allowed, walker.dirty);
    this.cache.add(page, this.root, this.asid, walker.frame, this.permissions);
    return walker.frame + (gpa - page * 4096);
  }

  saveState(): NptState {
    const { active, table, mode, asid } = this;
    return { active, nCr3: table, mode: { ...mode }, asid, cached: this.cache.saveState() };
  }

  restoreState({ active, nCr3, mode, asid, cached }: NptState): void {
    this.enable(nCr3, mode, asid);
    this.active = active;
    this.cache.restoreState(cached);
  }
}

function errorOf(outcome: NptWalkOutcome, wanted: number): number {
  let error: number = NptError.USER;
  if (outcome !== NptWalkOutcome.NotPresent) error |= NptError.PRESENT;
  if (outcome === NptWalkOutcome.Reserved) error |= NptError.RESERVED;
  if ((wanted & NestedAccess.Write) !== 0) error |= NptError.WRITE;
  if ((wanted & NestedAccess.Fetch) !== 0) error |= NptError.FETCH;
  return error;
}
