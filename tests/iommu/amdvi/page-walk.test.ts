/** AMD IOMMU specification, "I/O Page Tables for Host Translations". */
import fc from 'fast-check';
import { PhysicalMemory } from '../../../memory/physical-memory';
import { DEVICE, DOMAIN, HOLE, IR, IW, IommuBench, RAM, ROOT, codeOf, dte, flagsOf, invalidatePages, pde, pte } from './bench';

const PR = 0x010;
const WRITE = 0x020;
const PE = 0x040;
const RZ = 0x080;
const table = (n: number): number => ROOT + 0x1000 * n;

const benchWith = (mode: number, memory?: PhysicalMemory): IommuBench => {
  const bench = new IommuBench(memory).enable();
  bench.setDte(dte({ mode }));
  return bench;
};

describe('host page tables', () => {
  it.each([1, 2, 3, 4, 5])('%i levels, 4 KiB pages', (levels) => {
    const bench = benchWith(levels);
    // Index n at level n, so that every level takes part.
    let address = 0x234;
    for (let level = 1; level <= levels; level++) address += level * 2 ** (12 + 9 * (level - 1));
    for (let level = levels; level > 1; level--) bench.memory.write64(table(levels - level) + 8 * level, pde(table(levels - level + 1), level - 1));
    bench.memory.write64(table(levels - 1) + 8, pte(0x5_6000));
    expect(bench.iommu.translate(DEVICE, address, 0x2000, true)).toEqual({ kind: 'mapped', physical: 0x5_6234, length: 0x1000 - 0x234 });
    // One more bit of address than the tables translate.
    if (levels < 5) {
      expect(bench.read(2 ** (12 + 9 * levels))).toBeUndefined();
      expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[2, 0]]);
    }
  });

  it('six levels translate any address that the model can name', () => {
    const bench = benchWith(6);
    const address = 2 ** 52 + 0x3000;
    bench.memory.write64(table(0), pde(table(1), 5));
    bench.memory.write64(table(1) + 8 * 16, pde(table(2), 1));
    bench.memory.write64(table(2) + 8 * 3, pte(0x9000));
    expect(bench.write(address)).toBe(0x9000);
  });

  it.each([
    [1, 12],
    [2, 21],
    [3, 30],
    [4, 39],
  ])('Next Level 0 in an entry of level %i maps 2^%i bytes', (levels, shift) => {
    const bench = benchWith(levels);
    // Address bits below the page size do not count.
    bench.memory.write64(table(0) + 8, pte(2 ** shift + (shift > 12 ? 0x1000 : 0)));
    expect(bench.iommu.translate(DEVICE, 2 ** shift + 0x10, 2 ** 40, false)).toEqual({
      kind: 'mapped',
      physical: 2 ** shift + 0x10,
      length: 2 ** shift - 0x10,
    });
  });

  it.each([
    // Size, level, address bits that say so: ones below the zero in bit log2(size) - 1.
    [8 << 10, 1, 0x0000n],
    [16 << 10, 1, 0x1000n],
    [64 << 10, 1, 0x7000n],
    [1 << 20, 1, 0x7_f000n],
    [4 << 20, 2, 0x1f_f000n],
    [512 << 20, 2, 0xfff_f000n],
  ])('Next Level 7: a page of %i bytes', (size, levels, ones) => {
    const bench = benchWith(levels);
    const entry = pde(BigInt(size) | ones, 7);
    const entrySize = 2 ** (12 + 9 * (levels - 1));
    for (let i = 0; i < size / entrySize; i++) bench.memory.write64(table(0) + 8 * (size / entrySize + i), entry);
    expect(bench.iommu.translate(DEVICE, size + 0x1234, size, true)).toEqual({ kind: 'mapped', physical: size + 0x1234, length: size - 0x1234 });
  });

  it.each([
    ['as small as the default of its level', 2, 0xf_f000n],
    ['smaller than that', 2, 0x7_f000n],
    ['as large as the default of the level above', 1, 0xf_f000n],
  ])('Next Level 7 with a page %s is an invalid encoding', (_, levels, ones) => {
    const bench = benchWith(levels);
    bench.memory.write64(table(0), pde(ones, 7));
    expect(bench.read(0x10)).toBeUndefined();
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[2, PR]]);
  });

  it('levels can be skipped where the address has zeroes', () => {
    const bench = benchWith(4);
    bench.memory.write64(table(0) + 8, pde(table(1), 1));
    bench.memory.write64(table(1) + 8 * 5, pte(0x7000));
    const base = 2 ** 39;
    expect(bench.read(base + 0x5000)).toBe(0x7000);
    expect([bench.read(base + 0x5000 + 2 ** 21), bench.read(base + 0x5000 + 2 ** 30)]).toEqual([undefined, undefined]);
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([
      [2, PR],
      [2, PR],
    ]);
  });

  it.each([3, 4, 5])('Next Level %i in a table of level 3 is an invalid encoding', (next) => {
    const bench = benchWith(3);
    bench.memory.write64(table(0), pde(table(1), next));
    expect(bench.write(0)).toBeUndefined();
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[2, PR | WRITE]]);
  });

  it('PR = 0: not present', () => {
    const bench = benchWith(2);
    bench.memory.write64(table(0), pde(table(1), 1));
    bench.memory.write64(table(1), pte(0x5000) & ~1n);
    expect(bench.write(0x18)).toBeUndefined();
    expect(bench.takeEvents()).toEqual([[(2n << 60n) | (BigInt(WRITE) << 48n) | (BigInt(DOMAIN) << 32n) | BigInt(DEVICE), 0x18n]]);
    expect(bench.faults[0].walk.map((s) => [s.table, s.address])).toEqual([
      ['device table entry', 0x10_0000 + 32 * DEVICE],
      ['level 2 PDE', table(0)],
      ['level 1 PTE', table(1)],
    ]);
    expect(bench.faults[0].refusedBy).toBe(bench.faults[0].walk[2]);
  });

  it.each([
    ['PTE', 52, true],
    ['PTE', 58, true],
    ['PTE', 59, false],
    ['PTE', 60, false],
    ['PDE', 52, true],
    ['PDE', 59, true],
    ['PDE', 60, true],
    ['PDE', 63, false],
  ])('%s bit %i reserved: %s', (kind, bit, reserved) => {
    const bench = benchWith(2);
    const extra = 1n << BigInt(bit);
    bench.memory.write64(table(0), pde(table(1), 1) | (kind === 'PDE' ? extra : 0n));
    bench.memory.write64(table(1), pte(0x5000) | (kind === 'PTE' ? extra : 0n));
    expect(bench.read(0)).toBe(reserved ? undefined : 0x5000);
    expect(bench.takeEvents().map(flagsOf)).toEqual(reserved ? [PR | RZ] : []);
  });

  it('permissions of all levels are combined', () => {
    const cases: [pde: bigint, pte: bigint, read: boolean, write: boolean][] = [
      [IR | IW, IR, true, false],
      [IR, IR | IW, true, false],
      [IW, IR | IW, false, true],
      [IR, IW, false, false],
    ];
    for (const [upper, lower, read, write] of cases) {
      const bench = benchWith(2);
      bench.memory.write64(table(0), pde(table(1), 1, upper));
      bench.memory.write64(table(1), pte(0x5000, lower));
      expect([bench.read(0), bench.write(0)]).toEqual([read ? 0x5000 : undefined, write ? 0x5000 : undefined]);
      for (const event of bench.takeEvents()) expect(flagsOf(event) & (PR | PE)).toBe(PR | PE);
    }
  });

  it('a table that cannot be read: PAGE_TAB_HARDWARE_ERROR with the address of the entry', () => {
    const bench = benchWith(2);
    bench.memory.write64(table(0) + 8, pde(HOLE, 1));
    expect(bench.read(2 ** 21 + 0x3000)).toBeUndefined();
    expect(bench.takeEvents()).toEqual([[(4n << 60n) | (1n << 57n) | (BigInt(DOMAIN) << 32n) | BigInt(DEVICE), BigInt(HOLE + 24)]]);
  });

  it('a write below a boundary goes to the pages on either side', () => {
    const bench = benchWith(1);
    bench.memory.write64(ROOT, pte(0x5000));
    bench.memory.write64(ROOT + 8, pte(0x9000));
    expect(bench.iommu.translate(DEVICE, 0xffe, 4, true)).toEqual({ kind: 'mapped', physical: 0x5ffe, length: 2 });
    expect(bench.iommu.translate(DEVICE, 0x1000, 2, true)).toEqual({ kind: 'mapped', physical: 0x9000, length: 2 });
  });
});

// ---- against a reference that knows nothing of caches ----

interface Mapped {
  readonly physical: bigint;
  readonly read: boolean;
  readonly write: boolean;
}

/** The walk as the manual draws it, on whole 64-bit words; undefined: it ends in a fault. */
function reference(bench: IommuBench, mode: number, address: bigint): Mapped | undefined {
  if (address >> BigInt(12 + 9 * mode) !== 0n) return undefined;
  let [level, at, read, write] = [mode, BigInt(ROOT), true, true];
  for (;;) {
    const position = at + ((address >> BigInt(3 + 9 * level)) & 0x1ffn) * 8n;
    if (position >= BigInt(RAM)) return undefined;
    const entry = bench.memory.read64(Number(position));
    const next = Number((entry >> 9n) & 7n);
    const leaf = next === 0 || next === 7;
    if ((entry & 1n) === 0n || ((entry >> 52n) & (leaf ? 0x7fn : 0x1ffn)) !== 0n) return undefined;
    read &&= (entry & IR) !== 0n;
    write &&= (entry & IW) !== 0n;
    const target = entry & 0x000f_ffff_ffff_f000n;
    if (leaf) {
      let size = 1n << BigInt(3 + 9 * level);
      const next9 = size << 9n;
      if (next === 7) {
        let zero = 0x1000n;
        while (target & zero) zero <<= 1n;
        if (zero << 1n <= size || zero << 1n >= next9) return undefined;
        size = zero << 1n;
      }
      return { physical: (target & ~(size - 1n)) + (address & (size - 1n)), read, write };
    }
    if (next >= level) return undefined;
    const between = (1n << BigInt(3 + 9 * level)) - (1n << BigInt(12 + 9 * next));
    if ((address & between) !== 0n) return undefined;
    [level, at] = [next, target];
  }
}

describe('any tables', () => {
  const TABLES = 4;
  /** Entries that mostly lead somewhere. */
  const entry = fc
    .record({
      target: fc.oneof(
        { weight: 6, arbitrary: fc.integer({ min: 0, max: TABLES - 1 }).map((n) => BigInt(table(n))) },
        { weight: 1, arbitrary: fc.constantFrom(0n, 0x1000n, 0x3000n, 0x1f_f000n, 0x3f_f000n, BigInt(HOLE)) },
      ),
      next: fc.integer({ min: 0, max: 7 }),
      permissions: fc.constantFrom(IR | IW, IR | IW, IR | IW, IR, IW),
      present: fc.integer({ min: 0, max: 15 }),
      odd: fc.constantFrom(0n, 0n, 0n, 0n, 0n, 0n, 1n << 52n, 1n << 60n, 1n << 63n, 0x1fen),
    })
    .map(({ target, next, permissions, present, odd }) => target | (BigInt(next) << 9n) | permissions | (present === 0 ? 0n : 1n) | odd);
  /** Few indexes, so that walks meet filled entries. */
  const address = fc
    .tuple(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 5, maxLength: 5 }), fc.integer({ min: 0, max: 0xfff }))
    .map(([indexes, offset]) => indexes.reduce((sum, index, i) => sum + index * 2 ** (12 + 9 * i), offset));

  // The seed is given because a write may hit a table, one time in tens of thousands: then the caches are stale, and right to say so.
  it('translate as the reference does, caches or not', () => {
    const memory = new PhysicalMemory(RAM);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.array(entry, { minLength: TABLES * 3, maxLength: TABLES * 3 }),
        fc.array(fc.tuple(address, fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 12 }),
        (mode, entries, requests) => {
          const bench = benchWith(mode, memory);
          entries.forEach((value, i) => bench.memory.write64(table(Math.floor(i / 3)) + 8 * (i % 3), value));
          for (const [where, write, flush] of requests) {
            const expected = reference(bench, mode, BigInt(where));
            const permitted = expected !== undefined && (write ? expected.write : expected.read);
            const got = write ? bench.write(where) : bench.read(where);
            expect(got).toBe(permitted ? Number(expected.physical) : undefined);
            if (flush) bench.command(invalidatePages(DOMAIN, 0x7fff_ffff_ffff_f000n, 1));
          }
          expect(bench.stale).toEqual([]);
        },
      ),
      { numRuns: 500, seed: 14 },
    );
  });
});
