/** What is said of cached entries that no longer stand in memory, and that the invalidation which is missing helps when it is done as said. */
import { explainFault, explainStale } from '../../../iommu/explain';
import { Bench, CONTEXT, DEVICE, DOMAIN, TABLE } from './bench';

const OTHER_DEVICE = 0x28;
const OTHER_TABLE = 0x2_8000;

/** Two devices of a domain. One has had page 0 translated; then the SL-PDE changed. Page 2 is only in the new table. */
function moved(): Bench {
  const b = new Bench();
  b.attach(DEVICE, 3);
  b.attach(OTHER_DEVICE, 3);
  b.map(0, 0x5000);
  b.map(0x1000, 0x6000);
  b.enableTranslation().enableQueue();
  b.now = 100;
  b.dma(0);
  for (let n = 0; n < 3; n++) b.memory.write64(OTHER_TABLE + 8 * n, BigInt(0x9000 + 0x1000 * n) | 3n);
  b.memory.write64(TABLE + 0x1000, BigInt(OTHER_TABLE) | 3n);
  b.now = 5000;
  return b;
}

describe('an SL-PDE that changed without an invalidation', () => {
  test('the report names who filled the paging-structure cache, and when', () => {
    const b = moved();
    expect(b.target(0x1000, false, OTHER_DEVICE)).toBe('to 6000');
    expect(b.stale.map(explainStale)).toEqual([
      'VT-d: 00:05.0 used a stale translation of 0x1000 from the paging-structure cache, filled by 00:04.0 at tick 100: SL-PDE at 0x21000 = 0x22003 then, 0x28003 now; ' +
        'it changed between tick 100 and this use at tick 5000. Missing: IOTLB invalidation, page-selective: domain 7, address 0x0, mask 9, IH 0',
    ]);
  });
  test('a translation that was made from it tells both readings', () => {
    const b = moved();
    b.dma(0x1000, false, 4, OTHER_DEVICE);
    b.dma(0x1000);
    expect(explainStale(b.stale[1])).toContain('from the IOTLB, filled by 00:05.0 at tick 5000 from the SL-PDE that 00:04.0 had read at tick 100: ');
  });
  test.each([
    ['as it is missing', 9n, 'to a000'],
    ['with IH', 0x49n, 'to 6000'],
  ])('page-selective invalidation %s', (_name, operand, expected) => {
    const b = moved();
    b.dma(0x1000);
    b.submit([0x32n | (BigInt(DOMAIN) << 16n), operand]);
    expect(b.target(0x1000)).toBe(expected);
  });
  test('what it refuses is explained with what memory holds', () => {
    const b = moved();
    expect(b.target(0x2000, false, OTHER_DEVICE)).toBe('fault 6');
    const text = explainFault(b.faults[0]);
    expect(text).toContain('SL-PDE at 0x21000 = 0x22003 <- cached; SL-PTE at 0x22010 = 0x0 <- refused. ');
    expect(text).toContain(
      'Refused through a cached SL-PDE 0x22003 (paging-structure cache, filled by 00:04.0 at tick 100), while memory holds 0x28003. ' +
        'Missing: IOTLB invalidation, page-selective: domain 7, address 0x0, mask 9, IH 0. See ',
    );
    expect(b.stale).toEqual(b.faults[0].stale);
    expect(explainStale(b.stale[0])).toContain('00:05.0 was refused 0x2000 by a stale entry of the paging-structure cache, filled by 00:04.0 at tick 100');
  });
});

test('what a stale context entry refuses is explained with what memory holds', () => {
  const b = new Bench();
  b.attach(DEVICE, 3);
  b.enableTranslation();
  b.now = 7;
  expect(b.target(0x1000)).toBe('fault 6');
  b.memory.write64(OTHER_TABLE, BigInt(TABLE + 0x1000) | 3n);
  b.context(DEVICE, BigInt(OTHER_TABLE) | 1n, 1n | (BigInt(DOMAIN) << 8n));
  expect(b.target(0x1000)).toBe('fault 6');
  expect(b.faults.map((fault) => fault.stale?.length)).toEqual([undefined, 1]);
  expect(b.stale).toMatchObject([{ cache: 'context cache', refused: true, filledBy: DEVICE, filledAt: 7, cached: { address: CONTEXT + 16 * DEVICE } }]);
  expect(explainFault(b.faults[1])).toContain(
    'Refused through a cached context entry 0x701:0x20001 (context cache, filled by 00:04.0 at tick 7), while memory holds',
  );
});

test('an entry above the largest mask asks for the domain', () => {
  const b = new Bench();
  b.attach(DEVICE, 4);
  b.map(0x1000, 0x5000, 4);
  b.enableTranslation();
  b.dma(0x1000);
  b.memory.write64(TABLE, 0n);
  b.dma(0x1000);
  expect(b.stale).toMatchObject([{ cached: { table: 'SL-PML4E' }, missing: 'IOTLB invalidation, domain-selective: domain 7' }]);
});

test('an interrupt that a stale entry refuses', () => {
  const b = new Bench();
  b.enableInterrupts(false);
  // Vector 41h for 00:05.0 only (SVT 1).
  b.irte(5, 0x41_0001n, (1n << 18n) | BigInt(OTHER_DEVICE));
  b.interrupt(5, 0, false, OTHER_DEVICE);
  b.irte(5, 0x41_0001n, (1n << 18n) | BigInt(DEVICE));
  expect(b.interrupt(5)).toBeUndefined();
  expect(b.faults[0]).toMatchObject({ code: 0x26, stale: [{ cache: 'interrupt entry cache', refused: true, filledBy: OTHER_DEVICE }] });
});
