/** The nested walk against one written straight from APM "Page Translation and Protection", on random tables in all four formats. */
import fc from 'fast-check';
import { NestedAccess } from '../../cpu/interfaces';
import { Npt, type NptFault } from '../../ept/npt';
import type { NestedPagingMode } from '../../ept/npt-format';
import { PhysicalMemory } from '../../memory/physical-memory';
import { runs } from '../runs';

const WIDTH = 38;
const TABLES = 0x2000;
const TABLE_COUNT = 8;
const { Read, Write, Fetch, Table } = NestedAccess;

interface Entry {
  readonly address: bigint;
  readonly flags: bigint;
}
type Outcome = { kind: 'mapped'; physical: bigint; entries: Entry[] } | { kind: 'fault'; errorLow: number };

const field = (value: bigint, high: number, low: number): bigint => (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
const bit = (value: bigint, n: number): boolean => field(value, n, n) === 1n;

interface Level {
  /** Bits of the guest-physical address that index the table. */
  readonly index: readonly [high: number, low: number];
  /** PS may be set: the entry maps a page of 2^low bytes. */
  readonly page: 'always' | 'if PS' | 'never';
  readonly reserved: (entry: bigint, isPage: boolean) => boolean;
  readonly pointerOfPae?: boolean;
}

function levelsOf(mode: NestedPagingMode, pages1G: boolean): readonly Level[] {
  if (mode.levels === 2)
    return [
      { index: [31, 22], page: mode.pse ? 'if PS' : 'never', reserved: (e, page) => page && (bit(e, 21) || field(e, 20, 13) >> BigInt(WIDTH - 32) !== 0n) },
      { index: [21, 12], page: 'always', reserved: () => false },
    ];
  const address = (e: bigint): boolean => field(e, 51, WIDTH) !== 0n;
  const common = (e: bigint): boolean => address(e) || (bit(e, 63) && !mode.nxe) || (mode.levels === 3 && field(e, 62, 52) !== 0n);
  const pd: Level = { index: [29, 21], page: 'if PS', reserved: (e, page) => common(e) || (page && field(e, 20, 13) !== 0n) };
  const pt: Level = { index: [20, 12], page: 'always', reserved: common };
  if (mode.levels === 3)
    return [
      {
        index: [31, 30],
        page: 'never',
        reserved: (e) => address(e) || field(e, 63, 52) !== 0n || field(e, 2, 1) !== 0n || field(e, 8, 5) !== 0n,
        pointerOfPae: true,
      },
      pd,
      pt,
    ];
  const top = (index: readonly [number, number]): Level => ({ index, page: 'never', reserved: (e) => common(e) || field(e, 8, 7) !== 0n });
  const long: Level[] = [
    top([47, 39]),
    { index: [38, 30], page: 'if PS', reserved: (e, page) => common(e) || (page ? !pages1G || field(e, 29, 13) !== 0n : bit(e, 8)) },
    pd,
    pt,
  ];
  return mode.levels === 5 ? [top([56, 48]), ...long] : long;
}

function reference(memory: PhysicalMemory, mode: NestedPagingMode, pages1G: boolean, gpa: bigint, wanted: number): Outcome {
  const bytes = mode.levels === 2 ? 4n : 8n;
  const code = 4 | ((wanted & Write) !== 0 ? 2 : 0) | ((wanted & Fetch) !== 0 ? 16 : 0);
  let table = BigInt(TABLES);
  let allowed = Read | Write | Fetch;
  const entries: Entry[] = [];
  for (const level of levelsOf(mode, pages1G)) {
    const address = table + field(gpa, ...level.index) * bytes;
    const entry = bytes === 4n ? BigInt(memory.read32(Number(address))) : memory.read64(Number(address));
    if (!bit(entry, 0)) return { kind: 'fault', errorLow: code };
    const page = level.page === 'always' || (level.page === 'if PS' && bit(entry, 7));
    if (level.reserved(entry, page)) return { kind: 'fault', errorLow: code | 9 };
    if (level.pointerOfPae !== true) {
      if (!bit(entry, 1)) allowed &= ~Write;
      if (!bit(entry, 2)) allowed = 0;
      if (bytes === 8n && bit(entry, 63)) allowed &= ~Fetch;
      entries.push({ address, flags: 0x20n | (page && (wanted & Write) !== 0 ? 0x40n : 0n) });
    }
    if (page) {
      if ((allowed & wanted) !== wanted) return { kind: 'fault', errorLow: code | 1 };
      const shift = level.index[1];
      let base = (field(entry, 51, shift) << BigInt(shift)) + field(gpa, shift - 1, 0);
      if (bytes === 4n && shift === 22) base += field(entry, 20, 13) << 32n;
      return { kind: 'mapped', physical: base, entries };
    }
    table = field(entry, 51, 12) << 12n;
  }
  throw new Error('no page');
}

class Refused extends Error {
  constructor(readonly fault: NptFault) {
    super('#NPF');
  }
}

/** Entries that are mostly sensible, so that walks get somewhere, and rare trouble. */
const entry = fc.record({
  flags: fc.constantFrom(7n, 7n, 7n, 7n, 0x107n, 0x27n, 0x67n, 1n, 5n, 3n, 6n),
  pointerFlags: fc.constantFrom(1n, 1n, 1n, 1n, 7n, 0x21n, 0n),
  large: fc.boolean(),
  high: fc.constantFrom(0n, 0n, 0n, 0n, 0n, 1n << 63n, 1n << 60n, 1n << 40n),
  table: fc.integer({ min: 0, max: TABLE_COUNT - 1 }),
  frame: fc.constantFrom(0n, 0n, 0x4000_0000n, 0x40_0000n, 0x20_0000n, 0x2000n, 0x10_0000n),
});
const mode = fc.record({ levels: fc.constantFrom(2 as const, 3 as const, 4 as const, 5 as const), nxe: fc.boolean(), pse: fc.boolean() });

describe('nested walk', () => {
  it('agrees with the reference on every format, table and access', () => {
    const seen = new Set<string>();
    const memory = new PhysicalMemory(1 << 20);
    fc.assert(
      fc.property(
        mode,
        fc.boolean(),
        fc.array(entry, { minLength: 2 * TABLE_COUNT, maxLength: 2 * TABLE_COUNT }),
        fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 5, maxLength: 5 }),
        fc.integer({ min: 0, max: 0xfff }),
        fc.constantFrom(Read, Write, Fetch, Read | Table),
        (how, pages1G, entries, indexes, offset, access) => {
          for (let address = TABLES; address < TABLES + TABLE_COUNT * 0x1000; address += 0x1000) {
            memory.write64(address, 0n);
            memory.write64(address + 8, 0n);
          }
          // Entries 0 and 1 of every table; a page-directory-pointer table of PAE is table 0.
          entries.forEach((e, i) => {
            const pointer = how.levels === 3 && i < 2;
            const value = (pointer ? e.pointerFlags : e.flags) | (e.large && !pointer ? 0x80n | e.frame : BigInt(TABLES + e.table * 0x1000)) | e.high;
            const address = TABLES + Math.floor(i / 2) * 0x1000 + (i % 2) * (how.levels === 2 ? 4 : 8);
            if (how.levels === 2) memory.write32(address, Number(value & 0xffff_ffffn));
            else memory.write64(address, value);
          });
          const levels = levelsOf(how, pages1G);
          const gpa = levels.reduce((a, { index }, i) => a | (BigInt(indexes[i]) << BigInt(index[1])), 0n) | BigInt(offset);
          const wanted = access === (Read | Table) ? Read | Write : access;
          const expected = reference(memory, how, pages1G, gpa, wanted);
          const before = new Map((expected.kind === 'mapped' ? expected.entries : []).map((e) => [e.address, memory.read64(Number(e.address))]));
          seen.add(`${how.levels} ${expected.kind}`);

          const npt = new Npt(memory, WIDTH, { pages1G }, (fault) => {
            throw new Refused(fault);
          });
          npt.enable(TABLES, how);
          try {
            const physical = npt.translate(Number(gpa), access, 0n);
            if (expected.kind !== 'mapped') throw new Error(`mapped to ${physical}, expected error ${expected.errorLow}`);
            expect(BigInt(physical)).toBe(expected.physical);
            // A table may be used at two levels; then both sets of flags are there.
            const set = new Map<bigint, bigint>();
            for (const e of expected.entries) set.set(e.address, (set.get(e.address) ?? 0n) | e.flags);
            for (const [address, flags] of set) expect(memory.read64(Number(address)) & 0xffff_ffffn).toBe((before.get(address)! | flags) & 0xffff_ffffn);
          } catch (e) {
            if (!(e instanceof Refused)) throw e;
            expect(expected).toEqual({ kind: 'fault', errorLow: e.fault.errorLow });
            expect(e.fault.errorHigh).toBe(access === (Read | Table) ? 2 : 1);
          }
        },
      ),
      { numRuns: runs(1000) },
    );
    // The tables were not so odd that a format never mapped anything.
    expect([...seen].sort()).toEqual(['2 fault', '2 mapped', '3 fault', '3 mapped', '4 fault', '4 mapped', '5 fault', '5 mapped']);
  });
});
