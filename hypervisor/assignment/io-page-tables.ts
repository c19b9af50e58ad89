/** Tables by which an IOMMU translates guest-physical addresses: 512 entries a level, in host memory. The vendors differ in the bits. */
import type { PhysicalMemory } from '../../memory/physical-memory';
import { SMALL, type HostFrames } from '../frames';

const ENTRIES = 512;
export const IO_LEVELS = 4;
const ADDRESS = 0x000f_ffff_ffff_f000n;

/** Bits of an entry, beside the address. */
export interface IoPageFormat {
  /** An entry of `level` that leads to a table: everything allowed. */
  table(level: number): bigint;
  /** An entry of `level` that maps a page: 1 is 4 KiB, 2 is 2 MiB. */
  page(level: number, writable: boolean): bigint;
  /** The entry maps a page. */
  isPage(entry: bigint, level: number): boolean;
}

export class IoPageTables {
  /** Host-physical address of the top table. */
  readonly root: number;

  constructor(
    private readonly memory: PhysicalMemory,
    private readonly frames: HostFrames,
    private readonly format: IoPageFormat,
  ) {
    this.root = frames.takeZeroed(memory);
  }

  /** [gpa, gpa + size) becomes host memory from `host` on; size is 4 KiB or 2 MiB. A page that was mapped before takes an invalidation. */
  map(gpa: number, host: number, size: number, writable: boolean): void {
    const level = size === SMALL ? 1 : 2;
    this.memory.write64(this.entry(gpa, level), BigInt(host) | this.format.page(level, writable));
  }

  unmap(gpa: number, size: number): void {
    this.memory.write64(this.entry(gpa, size === SMALL ? 1 : 2), 0n);
  }

  /** Host-physical address of the entry for `gpa` at a level; missing tables are made. Throws RangeError inside a larger page. */
  private entry(gpa: number, leafLevel: number): number {
    let table = this.root;
    for (let level = IO_LEVELS; ; level--) {
      const entry = table + (Math.floor(gpa / (SMALL * ENTRIES ** (level - 1))) % ENTRIES) * 8;
      if (level === leafLevel) return entry;
      const value = this.memory.read64(entry);
      if (value !== 0n && this.format.isPage(value, level)) throw new RangeError(`0x${gpa.toString(16)} is inside a larger page: change that as a whole`);
      if (value === 0n) {
        table = this.frames.takeZeroed(this.memory);
        this.memory.write64(entry, BigInt(table) | this.format.table(level));
      } else table = Number(value & ADDRESS);
    }
  }
}
