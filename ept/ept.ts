/** Extended page tables as the second dimension of address translation, with the cache of guest-physical mappings. */
import { NestedAccess, type NestedTranslation } from '../cpu/interfaces';
import type { PhysicalMemory } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';
import { EptEntry, EptQualification, Eptp, type EptCapabilities } from './format';
import { EptWalkOutcome, EptWalker } from './walk';

/** Why an access to a guest-physical address could not be made. */
export type EptFault =
  /** `qualification`: bits 11:0 as SDM "Exit Qualification for EPT Violations"; bit 12 belongs to the processor. */
  | { readonly kind: 'violation'; readonly gpa: number; readonly linear: bigint; readonly qualification: number }
  | { readonly kind: 'misconfiguration'; readonly gpa: number; readonly linear: bigint; readonly entryAddress: number };

const TWO32 = 0x1_0000_0000;
const CACHE_BITS = 11;
const CACHE_MASK = (1 << CACHE_BITS) - 1;
/** Guest-physical addresses that a page walk of length 4 translates: bits 47:0. */
const TRANSLATED = 2 ** 48;

export interface EptState {
  readonly active: boolean;
  readonly root: number;
  readonly accessedDirty: boolean;
  /** Cached guest-physical mappings: they are as visible to software as those of a TLB. */
  readonly cached: readonly (readonly [page: number, root: number, frame: number, permissions: number])[];
}

export class Ept implements NestedTranslation, Stateful<EptState> {
  active = false;
  /** Bits 51:12 of the EPTP: mappings are associated with nothing else of it. SDM "Information That May Be Cached". */
  root = 0;
  permissions = 0;
  private accessedDirty = false;
  private readonly walker: EptWalker;

  // Guest-physical mappings: direct-mapped by page number. A page of -1 never matches.
  private readonly cachedPage = new Float64Array(1 << CACHE_BITS).fill(-1);
  private readonly cachedRoot = new Float64Array(1 << CACHE_BITS);
  private readonly cachedFrame = new Float64Array(1 << CACHE_BITS);
  private readonly cachedPermissions = new Uint8Array(1 << CACHE_BITS);

  /** @param refuse performs the VM exit. */
  constructor(
    memory: PhysicalMemory,
    physicalAddressWidth: number,
    capabilities: EptCapabilities,
    private readonly refuse: (fault: EptFault) => void,
  ) {
    this.walker = new EptWalker(memory, physicalAddressWidth, capabilities);
  }

  /** Puts EPT in force with an EPTP given as its two words. */
  enable(eptpLow: number, eptpHigh: number): void {
    this.active = true;
    this.root = ((eptpLow & ~0xfff) >>> 0) + (eptpHigh & 0x000f_ffff) * TWO32;
    this.accessedDirty = (eptpLow & Eptp.ACCESSED_DIRTY) !== 0;
  }

  disable(): void {
    this.active = false;
  }

  /** Drops guest-physical mappings: those of one root, or all. Combined mappings are the MMU's. */
  flush(root?: number): void {
    if (root === undefined) {
      this.cachedPage.fill(-1);
      return;
    }
    for (let i = 0; i <= CACHE_MASK; i++) if (this.cachedRoot[i] === root) this.cachedPage[i] = -1;
  }

  translate(gpa: number, access: number, linear: bigint): number {
    const table = (access & NestedAccess.Table) !== 0;
    // With accessed and dirty flags on, an access to a guest paging-structure entry counts as a write.
    let wanted = access & (NestedAccess.Read | NestedAccess.Write | NestedAccess.Fetch);
    if (table && (this.accessedDirty || (wanted & NestedAccess.Write) !== 0)) wanted = NestedAccess.Read | NestedAccess.Write;

    const page = Math.floor(gpa / 4096);
    const slot = page & CACHE_MASK;
    if (this.cachedPage[slot] === page && this.cachedRoot[slot] === this.root && (this.cachedPermissions[slot] & wanted) === wanted) {
      this.permissions = this.cachedPermissions[slot];
      return this.cachedFrame[slot] + (gpa - page * 4096);
    }
    return this.walk(gpa, page, slot, wanted, access, linear);
  }

  /** Where EPT maps a guest-physical address, for debuggers: no exit, no accessed flags, no cache. undefined: it does not. */
  lookup(gpa: number): { readonly physical: number; readonly permissions: number } | undefined {
    const { walker } = this;
    if (gpa >= TRANSLATED || walker.walk(this.root, gpa) !== EptWalkOutcome.Mapped) return undefined;
    return { physical: walker.frame + (gpa % 4096), permissions: walker.permissions };
  }

  private walk(gpa: number, page: number, slot: number, wanted: number, access: number, linear: bigint): number {
    const walker = this.walker;
    const outcome = gpa < TRANSLATED ? walker.walk(this.root, gpa) : EptWalkOutcome.NotPresent;
    if (outcome === EptWalkOutcome.Misconfigured) return this.refused({ kind: 'misconfiguration', gpa, linear, entryAddress: walker.entryAddress });
    // Bits 2:0 of an entry and of NestedAccess have the same meaning.
    const allowed = outcome === EptWalkOutcome.Mapped ? walker.permissions : 0;
    if ((allowed & wanted) !== wanted) {
      // An EPT violation invalidates what is cached for the address that caused it.
      this.cachedPage[slot] = -1;
      return this.refused({ kind: 'violation', gpa, linear, qualification: this.qualification(wanted, allowed, access) });
    }
    const write = (wanted & NestedAccess.Write) !== 0;
    let permissions = allowed;
    if (this.accessedDirty) {
      walker.markUsed(write);
      // A later write to a clean page must come here again, to set its dirty flag.
      if (!walker.dirty) permissions &= ~EptEntry.WRITE;
    }
    this.cachedPage[slot] = page;
    this.cachedRoot[slot] = this.root;
    this.cachedFrame[slot] = walker.frame;
    this.cachedPermissions[slot] = permissions;
    this.permissions = permissions;
    return walker.frame + (gpa - page * 4096);
  }

  saveState(): EptState {
    const { active, root, accessedDirty } = this;
    const cached: EptState['cached'][number][] = [];
    this.cachedPage.forEach((page, i) => {
      if (page >= 0) cached.push([page, this.cachedRoot[i], this.cachedFrame[i], this.cachedPermissions[i]]);
    });
    return { active, root, accessedDirty, cached };
  }

  restoreState({ active, root, accessedDirty, cached }: EptState): void {
    this.active = active;
    this.root = root;
    this.accessedDirty = accessedDirty;
    this.flush();
    for (const [page, pageRoot, frame, permissions] of cached) {
      const slot = page & CACHE_MASK;
      this.cachedPage[slot] = page;
      this.cachedRoot[slot] = pageRoot;
      this.cachedFrame[slot] = frame;
      this.cachedPermissions[slot] = permissions;
    }
  }

  private refused(fault: EptFault): -1 {
    this.refuse(fault);
    return -1;
  }

  private qualification(wanted: number, allowed: number, access: number): number {
    let q = wanted | (allowed << EptQualification.PERMISSIONS_SHIFT);
    if ((access & NestedAccess.LinearValid) === 0) return q;
    q |= EptQualification.LINEAR_ADDRESS_VALID;
    if ((access & NestedAccess.Table) !== 0) return q;
    q |= EptQualification.FINAL_ACCESS;
    if ((access & NestedAccess.GuestUser) !== 0) q |= EptQualification.USER_MODE_LINEAR;
    if ((access & NestedAccess.GuestWritable) !== 0) q |= EptQualification.WRITABLE_LINEAR;
    if ((access & NestedAccess.GuestExecutable) === 0) q |= EptQualification.EXECUTE_DISABLE_LINEAR;
    return q;
  }
}
