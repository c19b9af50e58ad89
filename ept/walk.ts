/** The walk of the EPT paging structures. SDM "EPT Translation Mechanism", "EPT Violations and EPT Misconfigurations", "Accessed and Dirty Flags for EPT". */
import type { PhysicalMemory } from '../memory/physical-memory';
import { EptEntry, VALID_MEMORY_TYPES, type EptCapabilities, type EptLevels } from './format';

const TWO32 = 0x1_0000_0000;
/** Bits 51:32 of an entry as they stand in its high word. */
const HIGH_ADDRESS = 0x000f_ffff;

export enum EptWalkOutcome {
  Mapped,
  /** An entry is not present. */
  NotPresent,
  Misconfigured,
}

/** A walker for one processor; the result of the last walk stands in its fields, so that a walk allocates nothing. */
export class EptWalker {
  /** Physical address of the page frame that contains the guest-physical address: its low 12 bits are 0. */
  frame = 0;
  /** AND of bits 2:0 of the entries used; 0 if one was not present. */
  permissions = 0;
  /** Bytes that the leaf maps: 4 KB, 2 MB or 1 GB. */
  pageSize = 0;
  /** Memory type of the leaf (bits 5:3). */
  memoryType = 0;
  /** The leaf's dirty flag. */
  dirty = false;
  /** Level of the entry that ended the walk (5 is the PML5E, 1 the PTE) and its physical address. */
  level = 0;
  entryAddress = 0;

  private readonly entries = new Float64Array(6);
  private readonly reservedHigh: number;
  private top: EptLevels = 4;

  constructor(
    private readonly memory: PhysicalMemory,
    physicalAddressWidth: number,
    private readonly capabilities: EptCapabilities,
  ) {
    this.reservedHigh = (HIGH_ADDRESS & ~(2 ** (physicalAddressWidth - 32) - 1)) >>> 0;
  }

  /**
   * @param root physical address of the EPT PML4 table, or of the EPT PML5 table with five levels.
   * @param gpa guest-physical address; what the levels do not translate (bits 63:48 with four) must be 0.
   */
  walk(root: number, gpa: number, levels: EptLevels = 4): EptWalkOutcome {
    const low = gpa >>> 0;
    const high = Math.floor(gpa / TWO32);
    let table = root;
    let permissions: number = EptEntry.PERMISSIONS;
    this.top = levels;
    for (let level: number = levels; ; level--) {
      const address = table + index(low, high, level) * 8;
      this.level = level;
      this.entryAddress = this.entries[level] = address;
      const host = this.memory.host(address);
      const entryLow = host !== 0 ? this.memory.u32[host >>> 2] : this.memory.read32(address);
      const entryHigh = host !== 0 ? this.memory.u32[(host >>> 2) + 1] : this.memory.read32(address + 4);
      permissions &= entryLow;
      if ((entryLow & EptEntry.PERMISSIONS) === 0) {
        this.permissions = 0;
        return EptWalkOutcome.NotPresent;
      }
      const leaf = level === 1 || ((entryLow & EptEntry.LARGE) !== 0 && level <= 3);
      if (this.misconfigured(entryLow, entryHigh, level, leaf)) {
        this.permissions = permissions;
        return EptWalkOutcome.Misconfigured;
      }
      const base = ((entryLow & ~0xfff) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32;
      if (leaf) {
        this.pageSize = level === 1 ? 0x1000 : level === 2 ? 0x20_0000 : 0x4000_0000;
        this.frame = base + (low & (this.pageSize - 1) & ~0xfff);
        this.permissions = permissions;
        this.memoryType = (entryLow & EptEntry.MEMORY_TYPE) >>> 3;
        this.dirty = (entryLow & EptEntry.DIRTY) !== 0;
        return EptWalkOutcome.Mapped;
      }
      table = base;
    }
  }

  /** Sets the accessed flags of the entries of the last (successful) walk, and the dirty flag of its leaf for a write. */
  markUsed(write: boolean): void {
    for (let level: number = this.top; level >= this.level; level--) {
      const bits = EptEntry.ACCESSED | (write && level === this.level ? EptEntry.DIRTY : 0);
      const address = this.entries[level];
      const entry = this.memory.read32(address);
      if ((entry & bits) !== bits) this.memory.write32(address, (entry | bits) >>> 0);
    }
    if (write) this.dirty = true;
  }

  /** SDM "EPT Misconfigurations": an entry that is present and has a setting that is reserved. */
  private misconfigured(low: number, high: number, level: number, leaf: boolean): boolean {
    // Writable but not readable.
    if ((low & (EptEntry.READ | EptEntry.WRITE)) === EptEntry.WRITE) return true;
    if ((low & EptEntry.PERMISSIONS) === EptEntry.EXECUTE && !this.capabilities.executeOnly) return true;
    if ((high & this.reservedHigh) !== 0) return true;
    if (!leaf) return (low & (level >= 4 ? 0xf8 : 0x78)) !== 0;
    if (((VALID_MEMORY_TYPES >>> ((low & EptEntry.MEMORY_TYPE) >>> 3)) & 1) === 0) return true;
    if (level === 3) return !this.capabilities.pages1G || (low & 0x3fff_f000) !== 0;
    return level === 2 && (low & 0x1f_f000) !== 0;
  }
}

function index(low: number, high: number, level: number): number {
  if (level === 5) return (high >>> 16) & 0x1ff;
  if (level === 4) return (high >>> 7) & 0x1ff;
  if (level === 3) return ((high & 0x7f) << 2) | (low >>> 30);
  return (low >>> (level === 2 ? 21 : 12)) & 0x1ff;
}
