/** What is kept, what a use of it after a change says, and which command throws it out: AMD IOMMU specification, "Commands". */
import {
  ALL_PAGES,
  DEVICE,
  DEVICE_TABLE,
  DOMAIN,
  INVALIDATE_ALL,
  IR,
  IommuBench,
  ROOT,
  dte,
  invalidateDevice,
  invalidateInterrupts,
  invalidatePages,
  pde,
  pte,
} from './bench';

const OTHER_DEVICE = 0x28;
const TABLE = ROOT + 0x1000;
const NEW_TABLE = ROOT + 0x2000;

/** Two levels: page n at 5_0000h + n pages. */
function mapped(): IommuBench {
  const bench = new IommuBench().enable();
  bench.setDte(dte({ mode: 2 }));
  bench.setDte(dte({ mode: 2 }), OTHER_DEVICE);
  bench.memory.write64(ROOT, pde(TABLE, 1));
  for (let n = 0; n < 512; n++) bench.memory.write64(TABLE + 8 * n, pte(0x5_0000 + 0x1000 * n));
  return bench;
}

describe('IOTLB', () => {
  it('serves a translation after its entry changed, says so, and stops after INVALIDATE_IOMMU_PAGES', () => {
    const bench = mapped();
    bench.ticks = 1000;
    expect(bench.read(0x3010)).toBe(0x5_3010);
    expect(bench.stale).toEqual([]);
    const entry = TABLE + 8 * 3;
    bench.memory.write64(entry, 0n);
    bench.ticks = 2000;
    // Another device of the domain uses it too.
    expect(bench.read(0x3020, 4, OTHER_DEVICE)).toBe(0x5_3020);
    expect(bench.stale).toEqual([
      {
        unit: 'AMD-Vi',
        cache: 'IOTLB',
        requester: OTHER_DEVICE,
        address: 0x3020,
        refused: false,
        filledBy: DEVICE,
        filledAt: 1000,
        cached: { table: 'level 1 PTE', address: entry, value: [pte(0x5_3000)], read: { by: DEVICE, at: 1000 } },
        now: [0n],
        usedAt: 2000,
        missing: 'INVALIDATE_IOMMU_PAGES: domain 7, address 0x3000',
      },
    ]);
    bench.command(invalidatePages(DOMAIN, 0x3000));
    expect(bench.read(0x3020)).toBeUndefined();
    expect(bench.stale).toHaveLength(1);
  });

  it('does not take a change of ignored bits for a change', () => {
    const bench = mapped();
    bench.read(0x3010);
    bench.memory.write64(TABLE + 8 * 3, pte(0x5_3000) | 0x1fen | (1n << 63n));
    expect(bench.read(0x3010)).toBe(0x5_3010);
    expect(bench.stale).toEqual([]);
  });

  it('keeps no entry that is not present', () => {
    const bench = mapped();
    bench.memory.write64(TABLE, 0n);
    expect(bench.read(0)).toBeUndefined();
    bench.memory.write64(TABLE, pte(0x7000));
    expect([bench.read(0), bench.stale]).toEqual([0x7000, []]);
  });

  it('holds permissions as they were', () => {
    const bench = mapped();
    bench.memory.write64(TABLE, pte(0x7000, IR));
    expect([bench.read(0), bench.write(0)]).toEqual([0x7000, undefined]);
    bench.memory.write64(TABLE, pte(0x7000));
    expect(bench.stale).toEqual([]);
    // A stale refusal is reported like a stale permission.
    expect(bench.write(0)).toBeUndefined();
    expect(bench.stale).toMatchObject([{ cache: 'IOTLB', cached: { value: [pte(0x7000, IR)] }, now: [pte(0x7000)] }]);
    bench.command(invalidatePages(DOMAIN, 0));
    expect(bench.write(0)).toBe(0x7000);
  });

  /** Pages of 0 to 15 that a command throws out: those that a change reaches afterwards. */
  const gone = (command: readonly [bigint, bigint]): number[] => {
    const bench = mapped();
    for (let n = 0; n < 16; n++) bench.read(0x1000 * n);
    for (let n = 0; n < 16; n++) bench.memory.write64(TABLE + 8 * n, pte(0x9_0000));
    bench.command(command);
    return Array.from({ length: 16 }, (_, n) => n).filter((n) => bench.read(0x1000 * n) === 0x9_0000);
  };
  const all = Array.from({ length: 16 }, (_, n) => n);

  it.each<[string, readonly [bigint, bigint], number[]]>([
    ['one page', invalidatePages(DOMAIN, 0x5000), [5]],
    ['two pages: S, bit 12 clear', invalidatePages(DOMAIN, 0x4000, 1), [4, 5]],
    ['four pages: S, address 01b', invalidatePages(DOMAIN, 0x5000, 1), [4, 5, 6, 7]],
    ['eight pages: S, address 011b', invalidatePages(DOMAIN, 0xb000, 1), [8, 9, 10, 11, 12, 13, 14, 15]],
    ['all pages: S, 7FFF_FFFF_FFFF_F000h', invalidatePages(DOMAIN, ALL_PAGES, 1), all],
    ['another domain', invalidatePages(DOMAIN + 1, ALL_PAGES, 1), []],
    ['INVALIDATE_IOMMU_ALL', INVALIDATE_ALL, all],
    ['INVALIDATE_DEVTAB_ENTRY leaves translations', invalidateDevice(DEVICE), []],
    ['INVALIDATE_INTERRUPT_TABLE too', invalidateInterrupts(DEVICE), []],
  ])('loses %s', (_, command, pages) => {
    expect(gone(command)).toEqual(pages);
  });

  it('loses a large page by any address in it', () => {
    const bench = mapped();
    bench.memory.write64(ROOT + 8, pte(0x40_0000));
    expect(bench.read(0x20_0000)).toBe(0x40_0000);
    bench.memory.write64(ROOT + 8, pte(0x60_0000));
    bench.command(invalidatePages(DOMAIN, 0x2f_f000));
    expect(bench.read(0x20_0000)).toBe(0x60_0000);
  });

  it('is bounded: old translations make room, and are walked for again', () => {
    const bench = mapped();
    const address = (n: number): number => 0x1000 * n;
    for (let n = 0; n < 512; n++) bench.read(address(n));
    bench.memory.write64(ROOT + 8, pte(0x40_0000));
    // One more than it holds: the first is gone.
    bench.read(0x20_0000);
    bench.memory.write64(TABLE, pte(0x9_0000));
    bench.memory.write64(TABLE + 8 * 511, pte(0x9_0000));
    expect([bench.read(0), bench.read(address(511))]).toEqual([0x9_0000, 0x5_0000 + address(511)]);
  });
});

describe('page directory entries', () => {
  it('stay after an invalidation without PDE, and go with it', () => {
    const bench = mapped();
    bench.read(0x3000);
    bench.memory.write64(NEW_TABLE + 8 * 3, pte(0xa_0000));
    bench.memory.write64(ROOT, pde(NEW_TABLE, 1));
    bench.command(invalidatePages(DOMAIN, 0x3000));
    // The walk begins at the cached directory entry.
    expect(bench.read(0x3000)).toBe(0x5_3000);
    expect(bench.read(0x3000)).toBe(0x5_3000);
    const old = { cached: { table: 'level 2 PDE', address: ROOT }, now: [pde(NEW_TABLE, 1)] };
    expect(bench.stale).toMatchObject([
      { cache: 'page directory cache', ...old },
      { cache: 'IOTLB', ...old },
    ]);
    bench.command(invalidatePages(DOMAIN, 0x3000, 2));
    expect(bench.read(0x3000)).toBe(0xa_0000);
  });
});

describe('device table cache', () => {
  it('serves an entry after it changed, says so, and stops after INVALIDATE_DEVTAB_ENTRY', () => {
    const bench = mapped();
    bench.ticks = 5;
    bench.read(0x3000);
    bench.setDte(dte({ mode: 0, permissions: 0n }));
    bench.ticks = 6;
    expect(bench.read(0x4000)).toBe(0x5_4000);
    expect(bench.stale).toMatchObject([
      {
        cache: 'device table cache',
        requester: DEVICE,
        address: 0x4000,
        filledBy: DEVICE,
        filledAt: 5,
        cached: { table: 'device table entry', address: DEVICE_TABLE + 32 * DEVICE, value: dte({ mode: 2 }) },
        now: dte({ mode: 0, permissions: 0n }),
        missing: 'INVALIDATE_DEVTAB_ENTRY: device 0x20',
      },
    ]);
    bench.command(invalidateDevice(OTHER_DEVICE), invalidatePages(DOMAIN, ALL_PAGES, 3));
    expect(bench.read(0x4000)).toBe(0x5_4000);
    bench.command(invalidateDevice(DEVICE));
    expect(bench.read(0x4000)).toBeUndefined();
  });

  it('keeps no entry that says nothing (V = IV = 0)', () => {
    const bench = mapped();
    bench.setDte([0n, 0n, 0n, 0n]);
    expect(bench.read(0x3000)).toBe(0x3000);
    bench.setDte(dte({ mode: 2 }));
    expect([bench.read(0x3000), bench.stale]).toEqual([0x5_3000, []]);
  });

  it('a new domain is another set of translations', () => {
    const bench = mapped();
    bench.read(0x3000);
    bench.setDte(dte({ mode: 1, root: TABLE, domain: 9 }));
    bench.memory.write64(TABLE + 8 * 3, pte(0xb_0000));
    bench.command(invalidateDevice(DEVICE));
    expect([bench.read(0x3000), bench.read(0x3000, 4, OTHER_DEVICE)]).toEqual([0xb_0000, 0x5_3000]);
  });
});

describe('interrupt table cache', () => {
  const MESSAGE = { address: 0xfee0_0000, data: 2, source: DEVICE };
  const TABLE_OF_INTERRUPTS = 0x35_0000;

  it('serves an entry after it changed, says so, and stops after INVALIDATE_INTERRUPT_TABLE', () => {
    const bench = new IommuBench().enable();
    // IV, IntTabLen 4 (16 entries), IntCtl 2.
    bench.setDte([0n, 0n, 1n | (4n << 1n) | BigInt(TABLE_OF_INTERRUPTS) | (2n << 60n), 0n]);
    const at = TABLE_OF_INTERRUPTS + 4 * 2;
    bench.memory.write32(at, 0x0041_0001);
    expect(bench.iommu.remapInterrupt(MESSAGE)?.data).toBe(0x41);
    // The other entry in the same quadword is not this one's business.
    bench.memory.write32(at + 4, 0x0055_0001);
    expect([bench.iommu.remapInterrupt(MESSAGE)?.data, bench.stale]).toEqual([0x41, []]);
    bench.memory.write32(at, 0x0042_0001);
    expect(bench.iommu.remapInterrupt(MESSAGE)?.data).toBe(0x41);
    expect(bench.stale).toMatchObject([
      {
        cache: 'interrupt table cache',
        requester: DEVICE,
        address: 2,
        cached: { address: at, value: [0x0041_0001n] },
        now: [0x0042_0001n],
        missing: 'INVALIDATE_INTERRUPT_TABLE: device 0x20',
      },
    ]);
    bench.command(invalidateInterrupts(OTHER_DEVICE), invalidateDevice(DEVICE));
    expect(bench.iommu.remapInterrupt(MESSAGE)?.data).toBe(0x41);
    bench.command(invalidateInterrupts(DEVICE));
    expect(bench.iommu.remapInterrupt(MESSAGE)?.data).toBe(0x42);
  });
});

describe('state', () => {
  it('goes on in another unit: registers, caches, what is pending', () => {
    const bench = mapped();
    bench.read(0x3000);
    bench.memory.write64(TABLE + 8 * 3, 0n);
    bench.read(0x4000_0000);
    const state = structuredClone(bench.iommu.saveState());
    const other = bench.create();
    other.restoreState(state);
    expect(other.saveState()).toEqual(state);
    expect(other.translate(DEVICE, 0x3008, 4, false)).toEqual({ kind: 'mapped', physical: 0x5_3008, length: 4 });
    expect([other.readMmio(0x2018, 4), other.readMmio(0x2020, 4)]).toEqual([0x10, 0x1a]);
    expect(other.counts).toEqual({ translations: 2, blocked: 1, interrupts: 0, posted: 0, blockedInterrupts: 0 });
    // Later running does not change what was saved.
    expect(bench.iommu.saveState()).toEqual(state);
  });
});
