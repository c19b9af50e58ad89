/** Nested page tables as the second dimension of address translation, with the cache of guest-physical mappings. */
import { NestedAccess, type NestedTranslation } from '../cpu/interfaces';
import type { PhysicalMemory } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';
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

const CACHE_BITS = 11;
const CACHE_MASK = (1 << CACHE_BITS) - 1;
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
  readonly cached: readonly (readonly [page: number, root: number, asid: number, frame: number, permissions: number])[];
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

  // Guest-physical mappings: direct-mapped by page number. A page of -1 never matches.
  private readonly cachedPage = new Float64Array(1 << CACHE_BITS).fill(-1);
  private readonly cachedRoot = new Float64Array(1 << CACHE_BITS);
  private readonly cachedAsid = new Uint32Array(1 << CACHE_BITS);
  private readonly cachedFrame = new Float64Array(1 << CACHE_BITS);
  private readonly cachedPermissions = new Uint8Array(1 << CACHE_BITS);

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

  disable(): void {
    this.active = false;
  }

  /** Drops guest-physical mappings: those of one nCR3 (or `root`) in every mode, or all. Combined mappings are the MMU's. */
  flush(root?: number): void {
    if (root === undefined) {
      this.cachedPage.fill(-1);
      return;
    }
    const table = root - (root % MODE_SIZE);
    for (let i = 0; i <= CACHE_MASK; i++) {
      const cached = this.cachedRoot[i];
      if (cached - (cached % MODE_SIZE) === table) this.cachedPage[i] = -1;
    }
  }

  /** Drops the guest-physical mappings of one guest. APM "TLB Control". */
  flushAsid(asid: number): void {
    for (let i = 0; i <= CACHE_MASK; i++) if (this.cachedAsid[i] === asid) this.cachedPage[i] = -1;
  }

  translate(gpa: number, access: number, linear: bigint): number {
    // "Host table walks for guest page tables are always treated as data writes": APM "Nested versus Guest Page Faults, Fault Ordering".
    const wanted = (access & NestedAccess.Table) !== 0 ? NestedAccess.Read | NestedAccess.Write : access & RWX;
    const page = Math.floor(gpa / 4096);
    const slot = page & CACHE_MASK;
    if (this.cachedPage[slot] === page && this.cachedRoot[slot] === this.root && this.cachedAsid[slot] === this.asid) {
      const permissions = this.cachedPermissions[slot];
      if ((permissions & wanted) === wanted) {
        this.permissions = permissions;
        return this.cachedFrame[slot] + (gpa - page * 4096);
      }
    }
    return this.walk(gpa, page, slot, wanted, access, linear);
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

  private walk(gpa: number, page: number, slot: number, wanted: number, access: number, linear: bigint): number {
    const walker = this.walker;
    // What the format has no index bits for is mapped by nothing.
    const outcome = gpa < this.translated ? walker.walk(this.table, gpa, this.mode) : NptWalkOutcome.NotPresent;
    const allowed = outcome === NptWalkOutcome.Mapped ? this.allowed() : 0;
    if ((allowed & wanted) !== wanted) {
      this.cachedPage[slot] = -1;
      this.refuse({
        gpa,
        linear,
        errorLow: errorOf(outcome, wanted),
        errorHigh: (access & NestedAccess.Table) !== 0 ? NptErrorHigh.TABLE : NptErrorHigh.FINAL,
      });
      return -1;
    }
    walker.markUsed((wanted & NestedAccess.Write) !== 0);
    // A later write to a clean page must come here again, to set its dirty flag.
    const permissions = walker.dirty ? allowed : allowed & ~NestedAccess.Write;
    this.cachedPage[slot] = page;
    this.cachedRoot[slot] = this.root;
    this.cachedAsid[slot] = this.asid;
    this.cachedFrame[slot] = walker.frame;
    this.cachedPermissions[slot] = permissions;
    this.permissions = permissions;
    return walker.frame + (gpa - page * 4096);
  }

  saveState(): NptState {
    const { active, table, mode, asid } = this;
    const cached: NptState['cached'][number][] = [];
    this.cachedPage.forEach((page, i) => {
      if (page >= 0) cached.push([page, this.cachedRoot[i], this.cachedAsid[i], this.cachedFrame[i], this.cachedPermissions[i]]);
    });
    return { active, nCr3: table, mode: { ...mode }, asid, cached };
  }

  restoreState({ active, nCr3, mode, asid, cached }: NptState): void {
    this.enable(nCr3, mode, asid);
    this.active = active;
    this.flush();
    for (const [page, root, cachedAsid, frame, permissions] of cached) {
      const slot = page & CACHE_MASK;
      this.cachedPage[slot] = page;
      this.cachedRoot[slot] = root;
      this.cachedAsid[slot] = cachedAsid;
      this.cachedFrame[slot] = frame;
      this.cachedPermissions[slot] = permissions;
    }
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
