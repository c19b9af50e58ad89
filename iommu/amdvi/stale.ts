/** Whether what the caches served or refused a request with still stands in memory, and which command would have thrown it out. */
import type { StaleUse, WalkStep } from '../remapping';
import { readQwords, type TableMemory } from '../table-memory';
import { hex } from './refusal';
import { IRTE32_NAME } from './spec/interrupt-table';
import { NextLevel, PAGE_SHIFT, PageEntry, levelShift } from './spec/page-table';
import type { Fill } from './translation-caches';

export interface Change {
  readonly cached: WalkStep;
  /** Undefined: it can no longer be read. */
  readonly now: readonly bigint[] | undefined;
}

/** A request that has been answered. */
export interface Answered {
  readonly requester: number;
  /** The index of an interrupt. */
  readonly address: number;
  readonly refused: boolean;
  readonly usedAt: number;
}

const DTE = 'device table entry';
/** Of the tables in question only page table entries are one quadword. */
const isPageEntry = ({ table, value }: WalkStep): boolean => value?.length === 1 && table !== IRTE32_NAME;

/** The first entry of a walk through caches that means something else now. Bits that hardware ignores do not count. */
export function firstChange(memory: TableMemory, walk: readonly WalkStep[]): Change | undefined {
  for (const cached of walk) {
    const before = cached.value;
    if (before === undefined || cached.read === undefined) continue;
    const now = cached.table === IRTE32_NAME ? [BigInt(memory.read32(cached.address))] : readQwords(memory, cached.address, before.length);
    const meaning = isPageEntry(cached) ? PageEntry.MEANING : ~0n;
    if (now === undefined || before.some((word, i) => ((word ^ now[i]) & meaning) !== 0n)) return { cached, now };
  }
  return undefined;
}

/**
 * What was stale on the way of a request, the device table entry first.
 * @param translation the page came out of the IOTLB, filled by that.
 */
export function staleBehind(memory: TableMemory, request: Answered, walk: readonly WalkStep[], translation?: Fill): StaleUse[] {
  const device = walk[0]?.table === DTE ? walk[0] : undefined;
  const tables = device === undefined ? walk : walk.slice(1);
  const stale: StaleUse[] = [];
  const oldDevice = device && firstChange(memory, [device]);
  if (oldDevice !== undefined) stale.push(use(request, 'device table cache', oldDevice, `INVALIDATE_DEVTAB_ENTRY: device ${hex(request.requester)}`));
  const old = firstChange(memory, tables);
  if (old === undefined) return stale;
  if (isPageEntry(old.cached)) {
    const domain = Number((device?.value?.[1] ?? 0n) & 0xffffn);
    const cache = translation === undefined ? 'page directory cache' : 'IOTLB';
    stale.push(use(request, cache, old, pageInvalidation(domain, request.address, old.cached), translation));
  } else stale.push(use(request, 'interrupt table cache', old, `INVALIDATE_INTERRUPT_TABLE: device ${hex(request.requester)}`));
  return stale;
}

function use({ requester, address, refused, usedAt }: Answered, cache: string, { cached, now }: Change, missing: string, fill?: Fill): StaleUse {
  const filledBy = fill?.filledBy ?? cached.read?.by ?? requester;
  const filledAt = fill?.filledAt ?? cached.read?.at ?? usedAt;
  return { unit: 'AMD-Vi', cache, requester, address, refused, filledBy, filledAt, cached, now, usedAt, missing };
}

/** "All pages" of a domain. */
const ALL_PAGES = 0x7fff_ffff_ffff_f000n;

/** The command for all that an entry maps; directory entries stay without PDE. */
function pageInvalidation(domain: number, address: number, { table, value }: WalkStep): string {
  const entry = value?.[0] ?? 0n;
  const next = Number((entry >> PageEntry.NEXT_LEVEL_SHIFT) & 7n);
  const directory = next !== NextLevel.DefaultSize && next !== NextLevel.SizeInAddress;
  const level = Number(/\d/.exec(table)?.[0]);
  // A page whose size its address tells is smaller than what the next level covers, and goes with it.
  const shift = next === NextLevel.SizeInAddress ? levelShift(level + 1) : levelShift(level);
  const base = (BigInt(address) >> BigInt(shift)) << BigInt(shift);
  const operand = shift === PAGE_SHIFT ? [`address ${hex(base)}`] : [`address ${hex((base | ((1n << BigInt(shift - 1)) - 1n)) & ALL_PAGES)}`, 'S = 1'];
  return [`INVALIDATE_IOMMU_PAGES: domain ${domain}`, ...operand, ...(directory ? ['PDE = 1'] : [])].join(', ');
}
