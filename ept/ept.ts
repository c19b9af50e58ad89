/** Extended page tables as the second dimension of address translation, with the cache of guest-physical mappings. */
import { NestedAccess, type NestedTranslation } from '../cpu/interfaces';
import type { PhysicalMemory } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';
import { EptQualification, Eptp, eptLevels, type EptCapabilities, type EptLevels } from './format';
import { MappingCache, cacheable, type CachedMapping } from './mapping-cache';
import { EptWalkOutcome, EptWalker } from './walk';

/** Why an access to a guest-physical address could not be made. */
export type EptFault =
  /** `qualification`: bits 11:0 as SDM "Exit Qualification for EPT Violations"; bit 12 belongs to the processor. */
  | { readonly kind: 'violation'; readonly gpa: number; readonly linear: bigint; readonly qualification: number }
  | { readonly kind: 'misconfiguration'; readonly gpa: number; readonly linear: bigint; readonly entryAddress: number };

const TWO32 = 0x1_0000_0000;
/** Mappings of EPT are tagged with its root alone. */
const NO_ASID = 0;
/** Guest-physical addresses that a page walk translates: bits 47:0 with length 4; with length 5 all there are. */
const TRANSLATED = { 4: 2 ** 48, 5: 2 ** 52 } as const;
/** `root` of a table of five levels: one root with two lengths names two sets of mappings. */
const FIVE_LEVELS = 1;
/** Roots are aligned to 4 KBytes. */
const ROOT_SIZE = 4096;

export interface EptState {
  readonly active: boolean;
  readonly root: number;
  readonly accessedDirty: boolean;
  /** Cached guest-physical mappings: they are as visible to software as those of a TLB. */
  readonly cached: readonly CachedMapping[];
}

export class Ept implements NestedTranslation, Stateful<EptState> {
  active = false;
  /** Bits 51:12 of the EPTP, the root of its tables, with bit 0 for five levels. SDM "Information That May Be Cached". */
  root = 0;
  permissions = 0;
  private accessedDirty = false;
  private readonly walker: EptWalker;
  private readonly cache = new MappingCache();

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
    this.root = ((eptpLow & ~0xfff) >>> 0) + (eptpHigh & 0x000f_ffff) * TWO32 + (eptLevels(eptpLow) === 5 ? FIVE_LEVELS : 0);
    this.accessedDirty = (eptpLow & Eptp.ACCESSED_DIRTY) !== 0;
  }

  disable(): void {
    this.active = false;
  }

  /** Drops guest-physical mappings: those of one root, or all. Combined mappings are the MMU's. */
  flush(root?: number): void {
    if (root === undefined) this.cache.clear();
    else this.cache.dropRoot(root, ROOT_SIZE);
  }

  translate(gpa: number, access: number, linear: bigint): number {
    const table = (access & NestedAccess.Table) !== 0;
    // With accessed and dirty flags on, an access to a guest paging-structure entry counts as a write.
    let wanted = access & (NestedAccess.Read | NestedAccess.Write | NestedAccess.Fetch);
    if (table && (this.accessedDirty || (wanted & NestedAccess.Write) !== 0)) wanted = NestedAccess.Read | NestedAccess.Write;

    const page = Math.floor(gpa / 4096);
    const slot = this.cache.find(page, this.root, NO_ASID, wanted);
    if (slot >= 0) {
      this.permissions = this.cache.permissions(slot);
      return this.cache.frame(slot) + (gpa - page * 4096);
    }
    return this.walk(gpa, page, wanted, access, linear);
  }

  /** Where EPT maps a guest-physical address, for debuggers: no exit, no accessed flags, no cache. undefined: it does not. */
  lookup(gpa: number): { readonly physical: number; readonly permissions: number } | undefined {
    const { walker } = this;
    if (this.walkTables(gpa) !== EptWalkOutcome.Mapped) return undefined;
    return { physical: walker.frame + (gpa % 4096), permissions: walker.permissions };
  }

  /** Levels of the walk, and the physical address of the top table. */
  get levels(): EptLevels {
    return this.root % ROOT_SIZE === FIVE_LEVELS ? 5 : 4;
  }
  get table(): number {
    return this.root - (this.root % ROOT_SIZE);
  }
  private walkTables(gpa: number): EptWalkOutcome {
    const { levels } = this;
    return gpa < TRANSLATED[levels] ? this.walker.walk(this.table, gpa, levels) : EptWalkOutcome.NotPresent;
  }

  private walk(gpa: number, page: number, wanted: number, access: number, linear: bigint): number {
    const walker = this.walker;
    const outcome = this.walkTables(gpa);
    if (outcome === EptWalkOutcome.Misconfigured) return this.refused({ kind: 'misconfiguration', gpa, linear, entryAddress: walker.entryAddress });
    // Bits 2:0 of an entry and of NestedAccess have the same meaning.
    const allowed = outcome === EptWalkOutcome.Mapped ? walker.permissions : 0;
    if ((allowed & wanted) !== wanted) {
      // An EPT violation invalidates what is cached for the address that caused it.
      this.cache.drop(page);
      return this.refused({ kind: 'violation', gpa, linear, qualification: this.qualification(wanted, allowed, access) });
    }
    if (this.accessedDirty) walker.markUsed((wanted & NestedAccess.Write) !== 0);
    this.permissions = cacheable(allowed, !this.accessedDirty || walker.dirty);
    this.cache.add(page, this.root, NO_ASID, walker.frame, this.permissions);
    return walker.frame + (gpa - page * 4096);
  }

  saveState(): EptState {
    const { active, root, accessedDirty } = this;
    return { active, root, accessedDirty, cached: this.cache.saveState() };
  }

  restoreState({ active, root, accessedDirty, cached }: EptState): void {
    this.active = active;
    this.root = root;
    this.accessedDirty = accessedDirty;
    this.cache.restoreState(cached);
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
