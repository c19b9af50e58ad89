/** EPT translation against a walker written straight from SDM "EPT Translation Mechanism", on random tables. */
import fc from 'fast-check';
import { NestedAccess } from '../../cpu/interfaces';
import { Ept, type EptFault } from '../../ept/ept';
import { PhysicalMemory } from '../../memory/physical-memory';
import { runs } from '../runs';

const WIDTH = 40;
const ALL = { fiveLevels: true, pages1G: true, executeOnly: true, accessedDirty: true };
const TABLES = 0x1000;
const TABLE_COUNT = 8;

type Outcome =
  | { kind: 'mapped'; physical: number; entries: { address: number; leaf: boolean }[] }
  | { kind: 'violation'; permissions: number }
  | { kind: 'misconfiguration' };

/** The reference: BigInt, one level after the other. */
function reference(memory: PhysicalMemory, root: number, levels: 4 | 5, gpa: bigint, capabilities: typeof ALL, wanted: number): Outcome {
  const field = (value: bigint, high: number, low: number): bigint => (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
  let table = BigInt(root);
  let permissions = 7n;
  const entries: { address: number; leaf: boolean }[] = [];
  for (let level: number = levels; level >= 1; level--) {
    const shift = 12 + 9 * (level - 1);
    const address = table + 8n * field(gpa, shift + 8, shift);
    const entry = memory.read64(Number(address));
    if (field(entry, 2, 0) === 0n) return { kind: 'violation', permissions: 0 };
    permissions &= field(entry, 2, 0);
    const leaf = level === 1 || (level < 4 && field(entry, 7, 7) === 1n);
    const rwx = field(entry, 2, 0);
    const bad =
      rwx === 2n ||
      rwx === 6n ||
      (rwx === 4n && !capabilities.executeOnly) ||
      field(entry, 51, WIDTH) !== 0n ||
      (leaf
        ? [2n, 3n, 7n].includes(field(entry, 5, 3)) || (level > 1 && field(entry, shift - 1, 12) !== 0n) || (level === 3 && !capabilities.pages1G)
        : field(entry, 6, 3) !== 0n || (level >= 4 && field(entry, 7, 7) !== 0n));
    if (bad) return { kind: 'misconfiguration' };
    entries.push({ address: Number(address), leaf });
    if (leaf) {
      if ((Number(permissions) & wanted) !== wanted) return { kind: 'violation', permissions: Number(permissions) };
      const base = field(entry, 51, shift) << BigInt(shift);
      return { kind: 'mapped', physical: Number(base + field(gpa, shift - 1, 0)), entries };
    }
    table = field(entry, 51, 12) << 12n;
  }
  throw new Error('no leaf');
}

class Refused extends Error {
  constructor(readonly fault: EptFault) {
    super(fault.kind);
  }
}

const fresh = (capabilities = ALL): { memory: PhysicalMemory; ept: Ept } => {
  const memory = new PhysicalMemory(1 << 20);
  const ept = new Ept(memory, WIDTH, capabilities, (fault) => {
    throw new Refused(fault);
  });
  return { memory, ept };
};

/** Entries that are mostly sensible, so that walks get somewhere: next table or frame, permissions, and rare trouble. */
const entry = fc.record({
  permissions: fc.constantFrom(7, 7, 7, 7, 5, 3, 1, 4, 0, 2, 6),
  type: fc.constantFrom(0, 0, 0, 6, 6, 1, 2, 7),
  large: fc.boolean(),
  table: fc.integer({ min: 0, max: TABLE_COUNT - 1 }),
  frame: fc.constantFrom(0n, 0n, 0x20_0000n, 0x4000_0000n, 0x1000n, 1n << 41n),
});

describe('EPT walk', () => {
  it('agrees with the reference on every table, access and capability', () => {
    fc.assert(
      fc.property(
        fc.array(entry, { minLength: 16, maxLength: 16 }),
        fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 5, maxLength: 5 }),
        fc.constantFrom(4 as const, 5 as const),
        fc.integer({ min: 0, max: 0xfff }),
        fc.constantFrom(1, 2, 4),
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        (entries, indexes, levels, offset, wanted, accessedDirty, executeOnly, pages1G) => {
          const capabilities = { fiveLevels: true, pages1G, executeOnly, accessedDirty: true };
          const { memory, ept } = fresh(capabilities);
          // Entries 0 and 1 of every table.
          entries.forEach((e, i) => {
            const leafLike = e.large ? 0x80n : 0n;
            const value =
              BigInt(e.permissions) |
              leafLike |
              (e.large || i % 4 === 3 ? BigInt(e.type) << 3n : 0n) |
              (e.large ? e.frame & ~0xfffn : BigInt(TABLES + e.table * 0x1000));
            memory.write64(TABLES + Math.floor(i / 2) * 0x1000 + (i % 2) * 8, value);
          });
          const gpa = indexes.slice(5 - levels).reduce((a, i) => (a << 9n) | BigInt(i), 0n) * 4096n + BigInt(offset);
          const expected = reference(memory, TABLES, levels, gpa, capabilities, wanted);
          const before = new Map(expected.kind === 'mapped' ? expected.entries.map((e) => [e.address, memory.read64(e.address)]) : []);
          ept.enable(TABLES | ((levels - 1) << 3) | 6 | (accessedDirty ? 0x40 : 0), 0);
          try {
            const physical = ept.translate(Number(gpa), wanted, 0n);
            expect(expected).toMatchObject({ kind: 'mapped', physical });
            if (expected.kind !== 'mapped') return;
            for (const e of new Set(expected.entries.map((x) => x.address))) {
              const leaf = expected.entries.some((x) => x.address === e && x.leaf);
              const set = accessedDirty ? 0x100n | (leaf && wanted === 2 ? 0x200n : 0n) : 0n;
              expect(memory.read64(e)).toBe(before.get(e)! | set);
            }
          } catch (e) {
            if (!(e instanceof Refused)) throw e;
            expect(e.fault.kind).toBe(expected.kind);
            if (e.fault.kind === 'violation' && expected.kind === 'violation') expect(e.fault.qualification).toBe(wanted | (expected.permissions << 3));
          }
        },
      ),
      { numRuns: runs(200) },
    );
  });
});

describe('EPT violation', () => {
  const refusal = (ept: Ept, gpa: number, access: number): EptFault => {
    try {
      ept.translate(gpa, access, 0x1234n);
    } catch (e) {
      if (e instanceof Refused) return e.fault;
      throw e;
    }
    throw new Error('translated');
  };
  const mapped = (permissions: number, accessedDirty: boolean): { memory: PhysicalMemory; ept: Ept } => {
    const t = fresh();
    for (let level = 0; level < 3; level++) t.memory.write64(TABLES + level * 0x1000, BigInt(TABLES + (level + 1) * 0x1000) | 7n);
    t.memory.write64(TABLES + 0x3000, 0x5_0000n | 0x30n | BigInt(permissions));
    t.ept.enable(TABLES | 0x1e | (accessedDirty ? 0x40 : 0), 0);
    return t;
  };
  const { Read, Write, Fetch, Table, LinearValid, GuestUser, GuestWritable, GuestExecutable } = NestedAccess;

  it('reports a write to a read-only page with its permissions and the linear address', () => {
    expect(refusal(mapped(5, false).ept, 0x123, Write | LinearValid)).toEqual({
      kind: 'violation',
      gpa: 0x123,
      linear: 0x1234n,
      qualification: 0b10 | (5 << 3) | 0x80 | 0x100 | 0x800,
    });
  });
  it('gives advanced information for final accesses', () => {
    expect(refusal(mapped(3, false).ept, 0, Fetch | LinearValid | GuestUser | GuestWritable | GuestExecutable)).toMatchObject({
      qualification: 0b100 | (3 << 3) | 0x180 | 0x600,
    });
  });
  it('clears bit 8 for guest paging structures; with A/D flags on their reads count as writes: bits 0 and 1', () => {
    expect(refusal(mapped(1, true).ept, 0, Read | Table | LinearValid)).toMatchObject({ qualification: 0b11 | (1 << 3) | 0x80 });
    expect(mapped(1, false).ept.translate(0, Read | Table | LinearValid, 0n)).toBe(0x5_0000);
    expect(refusal(mapped(1, false).ept, 0, Write | Table | LinearValid)).toMatchObject({ qualification: 0b11 | (1 << 3) | 0x80 });
  });
  it('does not translate guest-physical addresses beyond 48 bits', () => {
    expect(refusal(mapped(7, false).ept, 2 ** 48, Read)).toMatchObject({ kind: 'violation', qualification: 1 });
  });

  it('keeps using a cached mapping until INVEPT, and drops it when it causes a violation', () => {
    const { memory, ept } = mapped(7, false);
    expect(ept.translate(0, Read, 0n)).toBe(0x5_0000);
    memory.write64(TABLES + 0x3000, 0x6_0000n | 0x37n);
    expect(ept.translate(0, Read, 0n)).toBe(0x5_0000);
    ept.flush(TABLES);
    expect(ept.translate(0, Read, 0n)).toBe(0x6_0000);

    memory.write64(TABLES + 0x3000, 0x6_0000n | 0x31n);
    ept.flush();
    expect(ept.translate(0, Read, 0n)).toBe(0x6_0000);
    expect(refusal(ept, 0, Write)).toMatchObject({ kind: 'violation' });
    memory.write64(TABLES + 0x3000, 0x7_0000n | 0x37n);
    expect(ept.translate(0, Read, 0n)).toBe(0x7_0000);
  });

  it('sets the dirty flag at the first write to a page that was read before', () => {
    const { memory, ept } = mapped(7, true);
    ept.translate(0, Read, 0n);
    expect(ept.permissions & Write).toBe(0);
    expect(memory.read64(TABLES + 0x3000) & 0x300n).toBe(0x100n);
    ept.translate(0, Write, 0n);
    expect(ept.permissions & Write).toBe(Write);
    expect(memory.read64(TABLES + 0x3000) & 0x300n).toBe(0x300n);
  });
});
