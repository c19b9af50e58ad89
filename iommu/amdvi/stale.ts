/** Whether what a cache holds still stands in memory. */
import type { WalkStep } from '../remapping';
import { readQwords, type TableMemory } from '../table-memory';
import { IRTE32_NAME } from './spec/interrupt-table';
import { PageEntry } from './spec/page-table';

export interface Change {
  readonly cached: WalkStep;
  /** Undefined: it can no longer be read. */
  readonly now: readonly bigint[] | undefined;
}

/** The first entry of a cached path that means something else now. Bits that hardware ignores do not count. */
export function firstChange(memory: TableMemory, path: readonly WalkStep[]): Change | undefined {
  for (const cached of path) {
    const before = cached.value;
    if (before === undefined) continue;
    const small = cached.table === IRTE32_NAME;
    const now = small ? [BigInt(memory.read32(cached.address))] : readQwords(memory, cached.address, before.length);
    // Of the tables in question only page table entries are one quadword.
    const meaning = before.length === 1 && !small ? PageEntry.MEANING : ~0n;
    if (now === undefined || before.some((word, i) => ((word ^ now[i]) & meaning) !== 0n)) return { cached, now };
  }
  return undefined;
}
