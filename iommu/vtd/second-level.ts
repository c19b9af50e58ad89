/** The second-level walk: VT-d specification, "Second-level Translation". */
import type { WalkStep } from '../remapping';
import { readEntry, type TableMemory } from '../table-memory';
import type { VtdCapabilities } from './capabilities';
import type { Context } from './context';
import { hex, refuse, type Refusal } from './refusal';
import { FaultReason } from './spec/fault-reasons';
import { LARGEST_LEAF, SL_ENTRIES, SL_NAMES, SlEntry, coverage } from './spec/tables';

/** What an entry that references a table leads to: what the paging-structure cache keeps. */
export interface TableReference {
  readonly table: number;
  /** Permissions of all entries so far. */
  readonly readable: boolean;
  readonly writable: boolean;
  readonly walk: readonly WalkStep[];
}

export interface Leaf {
  /** Physical address of the page. */
  readonly page: number;
  /** Bytes: 4 KiB, 2 MiB or 1 GiB. */
  readonly size: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly walk: readonly WalkStep[];
}

/** Keeps what it is told about tables: `level` is that of the entry that references `reference.table`. */
export interface PagingStructureCache {
  find(domain: number, level: number, address: number): TableReference | undefined;
  fill(domain: number, level: number, address: number, reference: TableReference): void;
}

/** Walks from the table of the lowest level that the cache knows. `address` is below 2^52. */
export function walkSecondLevel(
  memory: TableMemory,
  capabilities: VtdCapabilities,
  context: Context,
  address: number,
  write: boolean,
  cache?: PagingStructureCache,
): Leaf | Refusal {
  let level = context.levels;
  let here: TableReference = { table: context.table, readable: true, writable: true, walk: [] };
  for (let known = 2; cache !== undefined && known <= context.levels; known++) {
    const reference = cache.find(context.domain, known, address);
    if (reference === undefined || !(write ? reference.writable : reference.readable)) continue;
    here = reference;
    level = known - 1;
    break;
  }
  for (;;) {
    const read = readLevel(memory, capabilities, context, here, level, address, write);
    if ('size' in read || 'refused' in read) return read;
    cache?.fill(context.domain, level, address, read);
    here = read;
    level--;
  }
}

function readLevel(
  memory: TableMemory,
  capabilities: VtdCapabilities,
  { faultProcessingDisabled: fpd, walk: above }: Context,
  here: TableReference,
  level: number,
  address: number,
  write: boolean,
): Leaf | TableReference | Refusal {
  const size = coverage(level);
  const entry = readEntry(memory, SL_NAMES[level], here.table + 8 * (Math.floor(address / size) % SL_ENTRIES));
  const walk = [...here.walk, entry];
  const no = (reason: Parameters<typeof refuse>[0], detail: string, by = entry): Refusal => refuse(reason, [...above, ...walk], detail, fpd, by);
  if (entry.value === undefined) return no(FaultReason.NextTableAccess, `nothing at ${hex(entry.address)}`, here.walk.at(-1) ?? above.at(-1));
  const [value] = entry.value;
  const denied = write ? FaultReason.WriteDenied : FaultReason.ReadDenied;
  // R and W both 0: the entry is not present, and nothing else in it counts.
  if ((value & (SlEntry.R | SlEntry.W)) === 0n) return no(denied, `${entry.table} ${hex(value)} is not present`);
  const leaf = level === 1 || ((value & SlEntry.PS) !== 0n && level <= LARGEST_LEAF && capabilities.largePages);
  const wrong = value & reservedBits(capabilities, level, leaf);
  if (wrong !== 0n) return no(FaultReason.PagingEntryReserved, `${entry.table} ${hex(value)} has ${hex(wrong)} set`);
  const readable = here.readable && (value & SlEntry.R) !== 0n;
  const writable = here.writable && (value & SlEntry.W) !== 0n;
  if (!(write ? writable : readable)) return no(denied, `${entry.table} ${hex(value)}`);
  const target = Number(value & SlEntry.ADDRESS);
  return leaf ? { page: target - (target % size), size, readable, writable, walk } : { table: target, readable, writable, walk };
}

function reservedBits({ beyondHost, largePages }: VtdCapabilities, level: number, leaf: boolean): bigint {
  const common = beyondHost | SlEntry.TM;
  if (!leaf) return common | SlEntry.SNP | (level > 1 && (level > LARGEST_LEAF || !largePages) ? SlEntry.PS : 0n);
  // A page of 2 MiB or 1 GiB has address bits of its own only above its size; bit 7 of an SL-PTE is ignored.
  return common | (BigInt(coverage(level) - 1) & SlEntry.ADDRESS);
}
