/** VT-d specification, "Caching Translation Information": what stays until it is invalidated, by which invalidation it goes, and what is said of it. */
import { explainFault, explainStale } from '../../../iommu/explain';
import { Bench, CONTEXT, DEVICE, DOMAIN, TABLE } from './bench';

const OTHER_TABLE = 0x2_8000;
/** Queued: context-cache and IOTLB invalidation. */
const cc = (granularity: number, domain = 0, source = 0, mask = 0): [bigint, bigint] => [
  1n | (BigInt(granularity) << 4n) | (BigInt(domain) << 16n) | (BigInt(source) << 32n) | (BigInt(mask) << 48n),
  0n,
];
const iotlb = (granularity: number, domain = 0, address = 0, mask = 0, hint = 0): [bigint, bigint] => [
  2n | (BigInt(granularity) << 4n) | (BigInt(domain) << 16n),
  BigInt(address) | BigInt(mask) | (BigInt(hint) << 6n),
];

/** A device with 1000h -> 5000h in the caches, whose SL-PTE then says 6000h. */
function changed(): Bench {
  const b = new Bench();
  b.attach(DEVICE, 3);
  const entry = b.map(0x1000, 0x5000);
  b.now = 111;
  b.enableTranslation().enableQueue();
  expect(b.target(0x1000)).toBe('to 5000');
  b.memory.write64(entry, 0x6003n);
  b.now = 222;
  return b;
}

describe('IOTLB', () => {
  test('a translation is used although its entry has changed, and that is reported', () => {
    const b = changed();
    expect(b.target(0x1234)).toBe('to 5234');
    expect(b.stale).toEqual([
      {
        unit: 'VT-d',
        cache: 'IOTLB',
        requester: DEVICE,
        address: 0x1234,
        refused: false,
        filledBy: DEVICE,
        filledAt: 111,
        cached: { table: 'SL-PTE', address: 0x2_2008, value: [0x5003n], read: { by: DEVICE, at: 111 } },
        now: [0x6003n],
        usedAt: 222,
        missing: 'IOTLB invalidation, page-selective: domain 7, address 0x1000, mask 0',
      },
    ]);
    expect(explainStale(b.stale[0])).toBe(
      'VT-d: 00:04.0 used a stale translation of 0x1234 from the IOTLB, filled by 00:04.0 at tick 111: SL-PTE at 0x22008 = 0x5003 then, 0x6003 now; ' +
        'it changed between tick 111 and this use at tick 222. ' +
        'Missing: IOTLB invalidation, page-selective: domain 7, address 0x1000, mask 0',
    );
  });
  test('what has been unmapped can still be reached, until it is invalidated', () => {
    const b = changed();
    b.memory.write64(0x2_2008, 0n);
    expect(b.target(0x1000, true)).toBe('to 5000');
    b.submit(iotlb(3, DOMAIN, 0x1000));
    expect(b.target(0x1000, true)).toBe('fault 5');
    expect(explainFault(b.faults[0])).toBe(
      'VT-d: write of 0x1000 by 00:04.0 was blocked (0x5): a paging entry does not permit writing: SL-PTE 0x0 is not present. ' +
        'Walk: root entry at 0x10000 = 0x0:0x11001; context entry at 0x11200 = 0x701:0x20001; SL-PDPE at 0x20000 = 0x21003; SL-PDE at 0x21000 = 0x22003; ' +
        'SL-PTE at 0x22008 = 0x0 <- refused. See Intel VT-d specification, DMA Remapping: "Second-level Translation"',
    );
  });

  const GONE = 'to 6000';
  const STAYS = 'to 5000';
  test.each([
    ['global', iotlb(1), GONE],
    ['its domain', iotlb(2, DOMAIN), GONE],
    ['another domain', iotlb(2, DOMAIN + 1), STAYS],
    ['its page', iotlb(3, DOMAIN, 0x1000), GONE],
    ['the page before', iotlb(3, DOMAIN, 0), STAYS],
    ['two pages with it', iotlb(3, DOMAIN, 0, 1), GONE],
    ['two pages without it', iotlb(3, DOMAIN, 0x2000, 1), STAYS],
    ['its page in another domain', iotlb(3, DOMAIN + 1, 0x1000), STAYS],
    ['2^18 pages', iotlb(3, DOMAIN, 0, 18), GONE],
    ['the context cache', cc(1), STAYS],
  ])('queued invalidation of %s', (_name, descriptor, expected) => {
    const b = changed();
    b.submit(descriptor);
    expect(b.target(0x1000)).toBe(expected);
    expect(b.stale).toHaveLength(expected === STAYS ? 1 : 0);
  });

  test.each([
    ['global', 1, 0, 0n, GONE, 1],
    ['its domain', 2, DOMAIN, 0n, GONE, 2],
    ['another domain', 2, DOMAIN + 1, 0n, STAYS, 2],
    ['its page', 3, DOMAIN, 0x1000n, GONE, 3],
    ['another page', 3, DOMAIN, 0x3000n, STAYS, 3],
    ['more pages than MAMV says, which is refused', 3, DOMAIN, 0x13n, STAYS, 0],
    ['a reserved granularity, which is refused', 0, DOMAIN, 0n, STAYS, 0],
  ])('register-based invalidation of %s', (_name, granularity, domain, iva, expected, actual) => {
    const b = changed();
    b.write64(0xf0, iva);
    b.write64(0xf8, (1n << 63n) | (BigInt(granularity) << 60n) | (BigInt(domain) << 32n));
    // IVT is clear, IAIG (58:57) tells what was done.
    expect(b.read(0xfc) >>> 31).toBe(0);
    expect((b.read(0xfc) >>> 25) & 3).toBe(actual);
    expect(b.target(0x1000)).toBe(expected);
  });

  test('a page of 2 MiB goes with any page in it', () => {
    const b = new Bench();
    b.attach(DEVICE, 3);
    const entry = b.map(0x20_0000, 0x40_0000, 3, 3n, 2);
    b.enableTranslation().enableQueue();
    b.dma(0x20_0000);
    b.memory.write64(entry, 0x60_0083n);
    expect(b.target(0x3f_f000)).toBe('to 5ff000');
    b.submit(iotlb(3, DOMAIN, 0x31_0000));
    expect(b.target(0x20_0000)).toBe('to 600000');
  });

  test('what a walk finds replaces what was cached for the address, though the page has another size', () => {
    const b = new Bench();
    b.attach(DEVICE, 3);
    b.map(0x1000, 0x5000, 3, 1n);
    b.enableTranslation().enableQueue();
    b.dma(0x1000);
    // A page of 2 MiB in place of the table; the paging-structure caches are empty, the IOTLB is not.
    b.memory.write64(TABLE + 0x1000, 0x40_0083n);
    b.submit(iotlb(3, DOMAIN, 0x2000));
    expect(b.target(0x1000)).toBe('to 5000');
    expect([b.target(0x1000, true), b.target(0x1000)]).toEqual(['to 401000', 'to 401000']);
  });

  test('translations belong to a domain: devices share them, domains do not', () => {
    const b = changed();
    b.context(0x28, BigInt(TABLE) | 1n, 1n | (BigInt(DOMAIN) << 8n));
    b.context(0x30, BigInt(TABLE) | 1n, 1n | (BigInt(DOMAIN + 1) << 8n));
    expect([b.target(0x1000, false, 0x28), b.target(0x1000, false, 0x30)]).toEqual(['to 5000', 'to 6000']);
    expect(b.stale.map((s) => [s.requester, s.filledBy])).toEqual([[0x28, DEVICE]]);
  });

  test('it has room for 512 pages of a domain; then the oldest goes', () => {
    const b = new Bench();
    b.attach(DEVICE, 3);
    for (let page = 0; page < 513; page++) b.map(page * 4096, 0x5000);
    b.memory.write64(TABLE + 0x1008, BigInt(TABLE + 0x2000) | 3n);
    b.enableTranslation();
    b.dma(0);
    b.memory.write64(TABLE + 0x2000, 0x6003n);
    for (let page = 1; page < 512; page++) b.dma(page * 4096);
    expect(b.target(0)).toBe('to 5000');
    b.dma(512 * 4096);
    expect(b.target(0)).toBe('to 6000');
  });
});

describe('paging-structure caches', () => {
  /** The SL-PDE references another table now, in which 2000h is mapped elsewhere. 2000h itself was never translated. */
  function moved(): Bench {
    const b = new Bench();
    b.attach(DEVICE, 3);
    b.map(0x2000, 0x7000);
    b.map(0x1000, 0x5000);
    b.enableTranslation().enableQueue();
    b.dma(0x1000);
    b.memory.write64(OTHER_TABLE + 8 * 2, 0x9003n);
    b.memory.write64(TABLE + 0x1000, BigInt(OTHER_TABLE) | 3n);
    return b;
  }
  test('an entry that references a table is remembered', () => {
    const b = moved();
    expect(b.target(0x2000)).toBe('to 7000');
    expect(b.stale).toMatchObject([{ cache: 'paging-structure cache', cached: { table: 'SL-PDE', address: 0x2_1000 }, now: [0x2_8003n] }]);
  });
  test('page-selective invalidation takes it away', () => {
    const b = moved();
    b.submit(iotlb(3, DOMAIN, 0x1000));
    expect(b.target(0x2000)).toBe('to 9000');
  });
  test('but not with the invalidation hint, by which software says that it changed leaves only', () => {
    const b = moved();
    b.submit(iotlb(3, DOMAIN, 0x1000, 0, 1));
    expect(b.target(0x2000)).toBe('to 7000');
  });
  test.each([
    ['with IH', 0x1040n, 'to 7000'],
    ['without', 0x1000n, 'to 9000'],
  ])('the same by register: %s', (_name, iva, expected) => {
    const b = moved();
    b.write64(0xf0, iva);
    b.write64(0xf8, (0xbn << 60n) | (BigInt(DOMAIN) << 32n));
    expect(b.target(0x2000)).toBe(expected);
  });
});

describe('context cache', () => {
  /** The context entry references another table now; the IOTLB is empty. */
  function moved(devfn = DEVICE): Bench {
    const b = new Bench();
    b.attach(devfn, 3);
    b.map(0x1000, 0x5000);
    b.enableTranslation().enableQueue();
    b.dma(0x1000, false, 4, devfn);
    b.memory.write64(OTHER_TABLE, BigInt(TABLE + 0x1000) | 1n);
    b.context(devfn, BigInt(OTHER_TABLE) | 1n, 1n | (BigInt(DOMAIN) << 8n));
    return b;
  }
  test('a context is used although its entry has changed', () => {
    const b = moved();
    b.submit(iotlb(1));
    expect(b.target(0x1000, true)).toBe('to 5000');
    expect(b.stale).toMatchObject([{ cache: 'context cache', cached: { table: 'context entry', address: CONTEXT + 16 * DEVICE } }]);
    expect(b.stale[0].missing).toBe('context-cache invalidation, device-selective: domain 7, source 0x20; then IOTLB invalidation of the domain');
  });
  test('after context-cache invalidation the IOTLB still answers', () => {
    const b = moved();
    b.submit(cc(3, DOMAIN, DEVICE));
    expect(b.target(0x1000, true)).toBe('to 5000');
    expect(b.stale).toMatchObject([{ cache: 'IOTLB' }]);
    b.submit(iotlb(2, DOMAIN));
    expect(b.target(0x1000, true)).toBe('fault 5');
  });

  const GONE = 'fault 5';
  const STAYS = 'to 5000';
  test.each([
    ['global', 1, 0, 0, 0, GONE],
    ['its domain', 2, DOMAIN, 0, 0, GONE],
    ['another domain', 2, DOMAIN + 1, 0, 0, STAYS],
    ['the device', 3, DOMAIN, DEVICE, 0, GONE],
    ['the device in another domain', 3, DOMAIN + 1, DEVICE, 0, STAYS],
    ['another function', 3, DOMAIN, DEVICE + 4, 0, STAYS],
    ['another function, FM 1: bit 2 does not count', 3, DOMAIN, DEVICE + 4, 1, GONE],
    ['another function, FM 1: bit 1 counts', 3, DOMAIN, DEVICE + 2, 1, STAYS],
    ['another function, FM 2: bits 2:1 do not count', 3, DOMAIN, DEVICE + 6, 2, GONE],
    ['another function, FM 2: bit 0 counts', 3, DOMAIN, DEVICE + 1, 2, STAYS],
    ['another function, FM 3: none counts', 3, DOMAIN, DEVICE + 7, 3, GONE],
    ['another device, FM 3', 3, DOMAIN, DEVICE + 8, 3, STAYS],
  ])('invalidation of %s', (_name, granularity, domain, source, mask, expected) => {
    for (const queued of [true, false]) {
      const b = moved();
      if (queued) b.submit(cc(granularity, domain, source, mask));
      else {
        b.write64(0x28, (1n << 63n) | (BigInt(granularity) << 61n) | (BigInt(mask) << 32n) | (BigInt(source) << 16n) | BigInt(domain));
        // ICC is clear, CAIG (60:59) is the granularity.
        expect(b.read(0x2c) >>> 27).toBe((granularity << 2) | granularity);
      }
      b.submit(iotlb(1));
      expect(b.target(0x1000, true)).toBe(expected);
    }
  });

  test('another root table without invalidation is a stale use, too', () => {
    const b = moved();
    b.write64(0x20, 0x5_0000n);
    b.command(0x4000_0000);
    expect(b.target(0x1000)).toBe('to 5000');
    expect(b.stale[0]).toMatchObject({ cache: 'context cache', cached: { table: 'root entry' }, now: [0n, 0n] });
    b.submit(cc(1));
    expect(b.target(0x1000)).toBe('fault 1');
  });
});
