/** Paging structures that map guest-physical addresses: four levels of 512 entries in host memory. EPT and NPT differ in the bits only. */
import type { PhysicalMemory } from '../memory/physical-memory';
import type { HostFrames } from './frames';

const ENTRIES = 512;
const LEVELS = 4;
const LARGE_PAGE = 0x80;
const ADDRESS = 0x000f_ffff_ffff_f000n;

/** Bits of an entry, beside the address. */
export interface NestedFormat {
  /** An entry that leads to a table: everything allowed. */
  readonly table: number;
  readonly readWriteExecute: number;
  readonly readExecute: number;
}

export class NestedTables {
  /** Host-physical address of the top table. */
  readonly root: number;

  constructor(
    private readonly memory: PhysicalMemory,
    private readonly frames: HostFrames,
    private readonly format: NestedFormat,
  ) {
    this.root = this.frames.takeZeroed(memory);
  }

  /** Guest-physical pages [gpa, gpa + size) become host frames from `host` on; size is 4 KiB or 2 MiB. */
  map(gpa: number, host: number, size: number, writable: boolean): void {
    const level = size === 4096 ? 1 : 2;
    const bits = (writable ? this.format.readWriteExecute : this.format.readExecute) | (level === 2 ? LARGE_PAGE : 0);
    this.memory.write64(this.entry(gpa, level), BigInt(host) | BigInt(bits));
  }

  unmap(gpa: number, size: number): void {
    this.memory.write64(this.entry(gpa, size === 4096 ? 1 : 2), 0n);
  }

  /** Host-physical address of the entry that maps `gpa` at a level; missing tables are made. */
  private entry(gpa: number, leafLevel: number): number {
    let table = this.root;
    for (let level = LEVELS; ; level--) {
      const index = Math.floor(gpa / (4096 * ENTRIES ** (level - 1))) % ENTRIES;
      const entry = table + index * 8;
      if (level === leafLevel) return entry;
      const value = this.memory.read64(entry);
      if (value === 0n) {
        table = this.frames.takeZeroed(this.memory);
        this.memory.write64(entry, BigInt(table | this.format.table));
      } else table = Number(value & ADDRESS);
    }
  }
}
