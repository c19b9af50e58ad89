/** AMD IOMMU specification, "Commands", "ILLEGAL_COMMAND_ERROR Event", "COMMAND_HARDWARE_ERROR Event". */
import {
  ALL_PAGES,
  COMMANDS,
  DEVICE,
  DOMAIN,
  HOLE,
  INVALIDATE_ALL,
  IommuBench,
  ROOT,
  STORE,
  completionWait,
  dte,
  invalidateDevice,
  invalidateInterrupts,
  invalidatePages,
  pte,
} from './bench';

const COMPLETION_INT = 0x4;
const COMMAND_RUN = 0x10;
const ILLEGAL_COMMAND_ERROR = 5n << 60n;
const COMMAND_HARDWARE_ERROR = 6n << 60n;

describe('COMPLETION_WAIT', () => {
  it('stores all 64 bits, and moves the head past itself', () => {
    const bench = new IommuBench().enable();
    bench.command(completionWait(STORE, 0x1122_3344_5566_7788n));
    expect([bench.memory.read64(STORE), bench.get(0x2000)]).toEqual([0x1122_3344_5566_7788n, 0x10n]);
  });

  it('I sets ComWaitInt; the interrupt is sent once with ComWaitIntEn, and again after software has cleared the bit', () => {
    const bench = new IommuBench().enable();
    bench.command(completionWait(STORE, 1n, true));
    expect([bench.status & COMPLETION_INT, bench.signals]).toEqual([COMPLETION_INT, []]);
    bench.set(0x18, bench.get(0x18) | 0x10n);
    expect(bench.signals).toEqual(['general']);
    bench.command(completionWait(STORE, 2n, true));
    expect(bench.signals).toHaveLength(1);
    bench.set(0x2020, BigInt(COMPLETION_INT));
    expect(bench.status & COMPLETION_INT).toBe(0);
    bench.command(completionWait(STORE, 3n, true));
    expect(bench.signals).toHaveLength(2);
  });

  it('without S stores nothing', () => {
    const bench = new IommuBench().enable();
    bench.command([(1n << 60n) | BigInt(STORE) | 4n, 5n]);
    expect([bench.memory.read64(STORE), bench.status & COMMAND_RUN]).toEqual([0n, COMMAND_RUN]);
  });

  it('a store that nothing takes: COMMAND_HARDWARE_ERROR with its address, and the buffer stops', () => {
    const bench = new IommuBench().enable();
    bench.command(completionWait(HOLE, 1n), completionWait(STORE, 1n));
    expect(bench.takeEvents()).toEqual([[COMMAND_HARDWARE_ERROR | (1n << 57n), BigInt(HOLE)]]);
    expect([bench.status & COMMAND_RUN, bench.memory.read64(STORE), bench.get(0x50)]).toEqual([0, 0n, 1n]);
  });
});

describe('the ring', () => {
  it('wraps, for as many commands as software puts in', () => {
    const bench = new IommuBench().enable();
    for (let n = 1n; n <= 1300n; n++) {
      bench.command(completionWait(STORE, n));
      expect(bench.memory.read64(STORE)).toBe(n);
    }
    expect(bench.get(0x2000)).toBe((1300n * 16n) % 8192n);
  });

  it('is not read before CmdBufEn and IommuEn, and then from where the head is', () => {
    const bench = new IommuBench();
    bench.set(0x08, BigInt(COMMANDS) | (9n << 56n));
    bench.command(completionWait(STORE, 1n));
    bench.set(0x18, 0x1000n);
    expect([bench.memory.read64(STORE), bench.get(0x2000)]).toEqual([0n, 0n]);
    bench.set(0x18, 0x1001n);
    expect([bench.memory.read64(STORE), bench.get(0x2000)]).toEqual([1n, 0x10n]);
  });

  it('a reserved length (less than 256 commands) is not read', () => {
    const bench = new IommuBench().enable();
    bench.set(0x08, BigInt(COMMANDS) | (7n << 56n));
    bench.command(completionWait(STORE, 1n));
    expect(bench.memory.read64(STORE)).toBe(0n);
  });

  it('that cannot be read: COMMAND_HARDWARE_ERROR', () => {
    const bench = new IommuBench().enable();
    bench.set(0x08, BigInt(HOLE) | (9n << 56n));
    bench.iommu.writeMmio(0x2008, 4, 0x10);
    expect(bench.takeEvents()).toEqual([[COMMAND_HARDWARE_ERROR | (1n << 57n), BigInt(HOLE)]]);
    expect(bench.get(0x2000)).toBe(0n);
  });
});

describe('illegal commands', () => {
  it.each<[string, readonly [bigint, bigint]]>([
    ['opcode 0', [0n, 0n]],
    ['opcode 9', [9n << 60n, 0n]],
    ['opcode 15', [15n << 60n, 0n]],
    ['INVALIDATE_IOTLB_PAGES without IOTLBs', [(4n << 60n) | BigInt(DEVICE), 0n]],
    ['COMPLETE_PPR_REQUEST without PPR', [(7n << 60n) | BigInt(DEVICE), 0n]],
    ['COMPLETION_WAIT with bit 52', [(1n << 60n) | (1n << 52n), 0n]],
    ['INVALIDATE_DEVTAB_ENTRY with bit 16', [invalidateDevice(DEVICE)[0] | (1n << 16n), 0n]],
    ['INVALIDATE_DEVTAB_ENTRY with an operand', [invalidateDevice(DEVICE)[0], 1n]],
    ['INVALIDATE_IOMMU_PAGES with a PASID', [invalidatePages(DOMAIN, 0)[0] | 1n, 0n]],
    ['INVALIDATE_IOMMU_PAGES with GN', invalidatePages(DOMAIN, 0, 4)],
    ['INVALIDATE_IOMMU_PAGES with bit 11', invalidatePages(DOMAIN, 0, 0x800)],
    ['INVALIDATE_INTERRUPT_TABLE with bit 59', [invalidateInterrupts(DEVICE)[0] | (1n << 59n), 0n]],
    ['PREFETCH_IOMMU_PAGES with GN', [(6n << 60n) | BigInt(DEVICE), 4n]],
    ['INVALIDATE_IOMMU_ALL with an operand', [INVALIDATE_ALL[0], 1n]],
    ['INVALIDATE_IOMMU_ALL with bit 0', [INVALIDATE_ALL[0] | 1n, 0n]],
  ])('%s: ILLEGAL_COMMAND_ERROR with the address of the command; nothing after it is executed', (_, command) => {
    const bench = new IommuBench().enable();
    bench.command(completionWait(STORE, 1n), command, completionWait(STORE, 2n));
    expect(bench.takeEvents()).toEqual([[ILLEGAL_COMMAND_ERROR, BigInt(COMMANDS + 16)]]);
    expect(bench.memory.read64(STORE)).toBe(1n);
    expect(bench.status & COMMAND_RUN).toBe(0);
    // The head is the next command to be fetched.
    expect(bench.get(0x2000)).toBe(0x20n);
    expect(bench.faults).toMatchObject([{ code: 5, requester: 0x0002 }]);
    // Neither a new tail nor another control bit starts it again, CmdBufEn from 0 to 1 does.
    bench.command(completionWait(STORE + 8, 3n));
    bench.set(0x18, bench.get(0x18) | 0x400n);
    expect(bench.memory.read64(STORE)).toBe(1n);
    bench.set(0x18, bench.get(0x18) & ~0x1000n);
    bench.set(0x18, bench.get(0x18) | 0x1000n);
    expect([bench.memory.read64(STORE), bench.memory.read64(STORE + 8), bench.status & COMMAND_RUN]).toEqual([2n, 3n, COMMAND_RUN]);
  });
});

describe('PREFETCH_IOMMU_PAGES', () => {
  const prefetch = (count: number, address: number, flags = 0): [bigint, bigint] => [
    (6n << 60n) | (BigInt(count) << 24n) | BigInt(DEVICE),
    BigInt(address) | BigInt(flags),
  ];
  const mapped = (): IommuBench => {
    const bench = new IommuBench().enable();
    bench.setDte(dte());
    for (let n = 0; n < 8; n++) bench.memory.write64(ROOT + 8 * n, pte(0x5_0000 + 0x1000 * n));
    return bench;
  };
  /** What the pages translate to after the tables say 9_0000h: the old place where it was cached. */
  const kept = (bench: IommuBench): boolean[] => {
    for (let n = 0; n < 8; n++) bench.memory.write64(ROOT + 8 * n, pte(0x9_0000));
    return Array.from({ length: 8 }, (_, n) => bench.read(0x1000 * n) !== 0x9_0000);
  };

  it('caches as many translations as it says', () => {
    const bench = mapped();
    bench.command(prefetch(3, 0x2000));
    expect(kept(bench)).toEqual([false, false, true, true, true, false, false, false]);
  });

  it('INVAL throws out what is cached first', () => {
    const bench = mapped();
    bench.read(0x2000);
    bench.memory.write64(ROOT + 8 * 2, pte(0x7_0000));
    bench.command(prefetch(1, 0x2000));
    expect(bench.read(0x2000)).toBe(0x5_2000);
    bench.command(prefetch(1, 0x2000, 0x10));
    expect(bench.read(0x2000)).toBe(0x7_0000);
  });

  it('reports nothing where there is nothing', () => {
    const bench = mapped();
    bench.command(prefetch(200, 0x7000), prefetch(1, 0x10_0000_0000), completionWait(STORE, 1n));
    expect([bench.takeEvents(), bench.faults, bench.memory.read64(STORE)]).toEqual([[], [], 1n]);
  });
});

it('an invalidation of everything by a range of 2^52 pages', () => {
  const bench = new IommuBench().enable();
  bench.setDte(dte());
  bench.memory.write64(ROOT, pte(0x5000));
  bench.read(0);
  bench.memory.write64(ROOT, pte(0x6000));
  bench.command(invalidatePages(DOMAIN, ALL_PAGES | (1n << 63n), 1));
  expect(bench.read(0)).toBe(0x6000);
});
