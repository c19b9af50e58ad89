/** What is said of cached entries that no longer stand in memory, and that the command which is missing helps when it is given as said. */
import { explainFault, explainStale } from '../../../iommu/explain';
import { DEVICE, DOMAIN, IommuBench, ROOT, dte, invalidateDevice, invalidatePages, pde, pte } from './bench';

const OTHER_DEVICE = 0x28;
const TABLE = ROOT + 0x1000;
const NEW_TABLE = ROOT + 0x2000;
const FILLED = 100;
const USED = 5000;

/** Two devices of a domain. One has had page 0 translated; then the directory entry changed. Page 2 is only in the new table. */
function moved(): IommuBench {
  const bench = new IommuBench().enable();
  bench.setDte(dte({ mode: 2 }));
  bench.setDte(dte({ mode: 2 }), OTHER_DEVICE);
  bench.memory.write64(ROOT, pde(TABLE, 1));
  for (let n = 0; n < 2; n++) bench.memory.write64(TABLE + 8 * n, pte(0x5_0000 + 0x1000 * n));
  for (let n = 0; n < 3; n++) bench.memory.write64(NEW_TABLE + 8 * n, pte(0x9_0000 + 0x1000 * n));
  bench.ticks = FILLED;
  bench.read(0);
  bench.memory.write64(ROOT, pde(NEW_TABLE, 1));
  bench.ticks = USED;
  return bench;
}

describe('a page directory entry that changed without an invalidation', () => {
  it('is reported at its first use for another page, with who filled it and when', () => {
    const bench = moved();
    expect(bench.read(0x1000, 4, OTHER_DEVICE)).toBe(0x5_1000);
    expect(bench.stale.map(explainStale)).toEqual([
      'AMD-Vi: 00:05.0 used a stale translation of 0x1000 from the page directory cache, filled by 00:04.0 at tick 100: level 2 PDE at 0x300000 = 0x6000000000301201 then, ' +
        '0x6000000000302201 now; it changed between tick 100 and this use at tick 5000. Missing: INVALIDATE_IOMMU_PAGES: domain 7, address 0xff000, S = 1, PDE = 1',
    ]);
  });

  it('is behind what the IOTLB was filled with: both readings are told', () => {
    const bench = moved();
    bench.read(0x1000, 4, OTHER_DEVICE);
    bench.ticks = 6000;
    bench.read(0x1000);
    expect(explainStale(bench.stale[1])).toContain(
      '00:04.0 used a stale translation of 0x1000 from the IOTLB, filled by 00:05.0 at tick 5000 from the level 2 PDE that 00:04.0 had read at tick 100: ',
    );
    expect(bench.stale[1].missing).toBe(bench.stale[0].missing);
  });

  it.each<[string, number, number, number]>([
    ['as it is missing', 0xf_f000, 3, 0x9_1000],
    ['without PDE', 0xf_f000, 1, 0x5_1000],
  ])('INVALIDATE_IOMMU_PAGES %s', (_, address, flags, physical) => {
    const bench = moved();
    bench.read(0x1000);
    bench.command(invalidatePages(DOMAIN, address, flags));
    expect(bench.read(0x1000)).toBe(physical);
  });

  it('refuses what the tables permit: the fault says which entry is not the one in memory', () => {
    const bench = moved();
    expect(bench.read(0x2000, 4, OTHER_DEVICE)).toBeUndefined();
    const text = explainFault(bench.faults[0]);
    expect(text).toContain('level 2 PDE at 0x300000 = 0x6000000000301201 <- cached; level 1 PTE at 0x301010 = 0x0 <- refused. ');
    expect(text).toContain(
      'Refused through a cached level 2 PDE 0x6000000000301201 (page directory cache, filled by 00:04.0 at tick 100), while memory holds 0x6000000000302201. ' +
        'Missing: INVALIDATE_IOMMU_PAGES: domain 7, address 0xff000, S = 1, PDE = 1',
    );
    // As an event, too.
    expect(bench.stale).toEqual(bench.faults[0].stale);
    expect(bench.stale).toMatchObject([{ refused: true, requester: OTHER_DEVICE, filledBy: DEVICE, filledAt: FILLED, usedAt: USED }]);
  });
});

it('a refusal through entries that stand in memory says nothing of caches', () => {
  const bench = moved();
  bench.memory.write64(ROOT, pde(TABLE, 1));
  expect(bench.read(0x2000)).toBeUndefined();
  expect([bench.stale, bench.faults[0].stale]).toEqual([[], undefined]);
});

it('a device table entry that permits nothing refuses until it is invalidated, and says so', () => {
  const bench = new IommuBench().enable();
  bench.setDte(dte({ mode: 0, permissions: 0n }));
  bench.read(0);
  bench.setDte(dte({ mode: 0 }));
  expect([bench.read(0), bench.faults[1].stale]).toMatchObject([
    undefined,
    [{ cache: 'device table cache', refused: true, missing: 'INVALIDATE_DEVTAB_ENTRY: device 0x20' }],
  ]);
  bench.command(invalidateDevice(DEVICE));
  expect(bench.read(0)).toBe(0);
});

it('a large page is invalidated with the size in the address', () => {
  const bench = new IommuBench().enable();
  bench.setDte(dte({ mode: 2 }));
  bench.memory.write64(ROOT + 8, pte(0x40_0000));
  bench.read(0x20_0000);
  bench.memory.write64(ROOT + 8, pte(0x60_0000));
  bench.read(0x23_4000);
  expect(bench.stale[0].missing).toBe('INVALIDATE_IOMMU_PAGES: domain 7, address 0x2ff000, S = 1');
});
