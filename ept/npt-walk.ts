/** The walk of nested page tables. APM volume 2, "Nested Table Walk". */
import type { PhysicalMemory } from '../memory/physical-memory';
import { NO_EXECUTE_HIGH, NptEntry, type NestedPagingMode } from './npt-format';

const TWO32 = 0x1_0000_0000;
/** Bits 51:32 of an entry as they stand in its high word. */
const HIGH_ADDRESS = 0x000f_ffff;
const LARGEST_LEVELS = 5;
/** Levels of the walk that end at a PAE page-directory-pointer table, and at one of legacy paging. */
const PAE = 3;
const LEGACY = 2;
/** 4-MByte entry (PSE-36): bits 20:13 are bits 39:32 of the address, bit 21 must be zero. */
const PSE_ADDRESS_SHIFT = 13;
const PSE_ADDRESS = 0xff;
const PSE_RESERVED = 0x0020_0000;
/** Bits 62:52 of an entry, in its high word: available to software in long mode, reserved with PAE. */
const AVAILABLE_HIGH = 0x7ff0_0000;
/** Bits of PML5, PML4 and PDP entries that refer to a table. */
const RESERVED_UPPER = NptEntry.GLOBAL | NptEntry.LARGE;
/** Address bits below the alignment of a large page; bit 12 is the PAT bit. */
const RESERVED_2M = 0x001f_e000;
const RESERVED_1G = 0x3fff_e000;

export enum NptWalkOutcome {
  Mapped,
  NotPresent,
  /** A reserved bit is set. */
  Reserved,
}

/** A walker for one processor; the result of the last walk stands in its fields, so that a walk allocates nothing. */
export class NptWalker {
  /** Physical address of the 4-KByte page that contains the guest-physical address. */
  frame = 0;
  writable = false;
  user = false;
  executable = false;
  /** Bytes that the leaf maps. */
  pageSize = 0;
  dirty = false;
  /** Level of the entry that ended the walk (1 is the last level) and its physical address. */
  level = 0;
  entryAddress = 0;

  private readonly entries = new Float64Array(LARGEST_LEVELS + 1);
  private readonly reservedHigh: number;
  private top = 0;

  constructor(
    private readonly memory: PhysicalMemory,
    physicalAddressWidth: number,
    private readonly pages1G: boolean,
  ) {
    this.reservedHigh = (HIGH_ADDRESS & ~(2 ** (physicalAddressWidth - 32) - 1)) >>> 0;
  }

  /** @param root physical address of the top table. @param gpa guest-physical address within what `mode` translates. */
  walk(root: number, gpa: number, mode: NestedPagingMode): NptWalkOutcome {
    const low = gpa >>> 0;
    const high = Math.floor(gpa / TWO32);
    const legacy = mode.levels === LEGACY;
    this.top = mode.levels;
    this.writable = this.user = this.executable = true;
    let table = root;
    for (let level: number = mode.levels; ; level--) {
      const address = table + (legacy ? legacyIndex(low, level) * 4 : index(low, high, level) * 8);
      this.level = level;
      this.entryAddress = this.entries[level] = address;
      const entryLow = this.memory.read32(address) | 0;
      const entryHigh = legacy ? 0 : this.memory.read32(address + 4) | 0;
      if ((entryLow & NptEntry.PRESENT) === 0) return NptWalkOutcome.NotPresent;
      // The four page-directory-pointer entries of PAE have no permissions, no flags and no large pages.
      const pointer = mode.levels === PAE && level === 3;
      const leaf = level === 1 || (!pointer && (entryLow & NptEntry.LARGE) !== 0 && (legacy ? mode.pse : level <= 3));
      const reserved = legacy ? leaf && this.reservedLegacy(entryLow, level) : this.reserved(entryLow, entryHigh, level, leaf, pointer, mode);
      if (reserved) return NptWalkOutcome.Reserved;
      if (!pointer) {
        if ((entryLow & NptEntry.WRITE) === 0) this.writable = false;
        if ((entryLow & NptEntry.USER) === 0) this.user = false;
        if ((entryHigh & NO_EXECUTE_HIGH) !== 0) this.executable = false;
      }
      if (leaf) {
        this.finish(entryLow, entryHigh, low, level, legacy);
        return NptWalkOutcome.Mapped;
      }
      table = ((entryLow & ~0xfff) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32;
    }
  }

  private finish(entryLow: number, entryHigh: number, low: number, level: number, legacy: boolean): void {
    this.pageSize = level === 1 ? 0x1000 : legacy ? 0x40_0000 : level === 2 ? 0x20_0000 : 0x4000_0000;
    const inPage = low & (this.pageSize - 1) & ~0xfff;
    const upper = legacy && level === 2 ? (entryLow >>> PSE_ADDRESS_SHIFT) & PSE_ADDRESS : entryHigh & HIGH_ADDRESS;
    this.frame = ((entryLow & ~(this.pageSize - 1)) >>> 0) + upper * TWO32 + inPage;
    this.dirty = (entryLow & NptEntry.DIRTY) !== 0;
  }

  /** Sets the accessed flags of the entries of the last (successful) walk, and the dirty flag of its leaf for a write. */
  markUsed(write: boolean): void {
    for (let level = this.top; level >= this.level; level--) {
      if (this.top === PAE && level === 3) continue;
      const bits = NptEntry.ACCESSED | (write && level === this.level ? NptEntry.DIRTY : 0);
      const address = this.entries[level];
      const entry = this.memory.read32(address);
      if ((entry & bits) !== bits) this.memory.write32(address, (entry | bits) >>> 0);
    }
    if (write) this.dirty = true;
  }

  private reserved(low: number, high: number, level: number, leaf: boolean, pointer: boolean, mode: NestedPagingMode): boolean {
    if ((high & this.reservedHigh) !== 0) return true;
    if (pointer) return (low & NptEntry.PAE_POINTER_RESERVED) !== 0 || (high & (AVAILABLE_HIGH | NO_EXECUTE_HIGH)) !== 0;
    if ((high & NO_EXECUTE_HIGH) !== 0 && !mode.nxe) return true;
    if (mode.levels === PAE && (high & AVAILABLE_HIGH) !== 0) return true;
    if (!leaf) return level >= 3 && (low & RESERVED_UPPER) !== 0;
    if (level === 3) return !this.pages1G || (low & RESERVED_1G) !== 0;
    return level === 2 && (low & RESERVED_2M) !== 0;
  }

  /** Of 32-bit entries, 4-MByte ones alone have reserved bits. */
  private reservedLegacy(low: number, level: number): boolean {
    if (level !== 2) return false;
    return (low & PSE_RESERVED) !== 0 || ((low >>> PSE_ADDRESS_SHIFT) & PSE_ADDRESS & this.reservedHigh) !== 0;
  }
}

function index(low: number, high: number, level: number): number {
  if (level === 5) return (high >>> 16) & 0xf;
  if (level === 4) return (high >>> 7) & 0x1ff;
  if (level === 3) return ((high & 0x7f) << 2) | (low >>> 30);
  return (low >>> (level === 2 ? 21 : 12)) & 0x1ff;
}
const legacyIndex = (low: number, level: number): number => (level === 2 ? low >>> 22 : (low >>> 12) & 0x3ff);
