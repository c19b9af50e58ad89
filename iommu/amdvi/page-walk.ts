/** The walk of the host page tables: AMD IOMMU specification, "I/O Page Tables for Host Translations". */
import type { WalkStep } from '../remapping';
import { hex } from './refusal';
import { ENTRY_BYTES, LEVEL_BITS, NextLevel, PAGE_SHIFT, PageEntry, encodedPageShift, entryName, levelShift } from './spec/page-table';
import type { TableMemory } from '../table-memory';

/** Where a walk begins: the root, or a table that a cached directory entry points to. */
export interface WalkStart {
  /** 1 to 6. */
  readonly level: number;
  /** Physical address. */
  readonly table: number;
  /** Permissions of the entries above. */
  readonly read: boolean;
  readonly write: boolean;
  readonly path: readonly WalkStep[];
}

export type WalkResult =
  | {
      readonly kind: 'page';
      /** Of the page, in I/O virtual and physical addresses. */
      readonly base: bigint;
      readonly physical: bigint;
      readonly shift: number;
      readonly read: boolean;
      readonly write: boolean;
      readonly path: readonly WalkStep[];
    }
  | { readonly kind: 'fault'; readonly present: boolean; readonly reserved: boolean; readonly reason: string; readonly path: readonly WalkStep[] }
  /** A table entry could not be read. */
  | { readonly kind: 'unreadable'; readonly address: number; readonly path: readonly WalkStep[] };

/**
 * @param start where to begin; the address bits above its level are zero or have been checked.
 * @param passed called with every table below the start that the walk goes to.
 */
export function walkPageTables(memory: TableMemory, address: bigint, start: WalkStart, passed: (table: WalkStart) => void): WalkResult {
  let { level, table, read, write } = start;
  const path = [...start.path];
  const fault = (present: boolean, reserved: boolean, reason: string): WalkResult => ({ kind: 'fault', present, reserved, reason, path });
  for (;;) {
    const index = Number((address >> BigInt(levelShift(level))) & BigInt(2 ** LEVEL_BITS - 1));
    const at = table + index * ENTRY_BYTES;
    if (memory.host(at) === 0) {
      path.push({ table: entryName(level, level === 1), address: at, value: undefined });
      return { kind: 'unreadable', address: at, path };
    }
    const entry = memory.read64(at);
    const next = Number((entry >> PageEntry.NEXT_LEVEL_SHIFT) & 7n);
    const maps = next === NextLevel.DefaultSize || next === NextLevel.SizeInAddress;
    const name = entryName(level, maps);
    path.push({ table: name, address: at, value: [entry] });
    if ((entry & PageEntry.PR) === 0n) return fault(false, false, `the ${name} is not present (PR = 0)`);
    if ((entry & (maps ? PageEntry.PTE_RESERVED : PageEntry.PDE_RESERVED)) !== 0n) return fault(true, true, `reserved bits are set in the ${name}`);
    read &&= (entry & PageEntry.IR) !== 0n;
    write &&= (entry & PageEntry.IW) !== 0n;
    const target = entry & PageEntry.ADDRESS;
    if (maps) {
      let shift = levelShift(level);
      if (next === NextLevel.SizeInAddress) {
        // "larger than the default page size of the level and smaller than that of the next higher one"
        const encoded = encodedPageShift(target);
        if (encoded <= shift || encoded >= shift + LEVEL_BITS)
          return fault(true, false, `the ${name} encodes a page of 2^${encoded} bytes, which level ${level} cannot map`);
        shift = encoded;
      }
      const offsets = (1n << BigInt(shift)) - 1n;
      return { kind: 'page', base: address & ~offsets, physical: target & ~offsets, shift, read, write, path };
    }
    if (next >= level) return fault(true, false, `the ${name} names next level ${next}, which is not below ${level}`);
    // Levels may be skipped where the address has only zeroes for them.
    const skipped = (address >> BigInt(levelShift(next + 1))) & ((1n << BigInt(LEVEL_BITS * (level - 1 - next))) - 1n);
    if (skipped !== 0n) return fault(true, false, `the ${name} skips to level ${next}, but the address has ${hex(skipped)} in the bits between`);
    level = next;
    table = Number(target);
    passed({ level, table, read, write, path: [...path] });
  }
}

/** Address bits that tables of `levels` levels cannot translate must be zero. */
export const beyondTables = (address: bigint, levels: number): boolean => address >> BigInt(PAGE_SHIFT + LEVEL_BITS * levels) !== 0n;
