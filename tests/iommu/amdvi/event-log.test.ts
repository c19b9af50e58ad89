/** AMD IOMMU specification, "Event Logging"; the words of EventOverflow as Linux's driver quotes them. */
import { DEVICE, EVENTS, HOLE, IommuBench, dte } from './bench';

const OVERFLOW = 0x1;
const LOG_INT = 0x2;
const RUN = 0x8;
const EVENT_INT_EN = 0x8n;

/** A device that may do nothing: every read is an event. */
const blocked = (control = 0n): IommuBench => {
  const bench = new IommuBench().enable(control);
  bench.setDte(dte({ mode: 0, permissions: 0n }));
  return bench;
};
const addresses = (bench: IommuBench): number[] => bench.takeEvents().map(([, address]) => Number(address));

describe('event log', () => {
  it('takes events in order, and wraps', () => {
    const bench = blocked();
    for (let n = 0; n < 700; n++) {
      bench.read(0x1000 * n);
      if (n % 100 === 99) expect(addresses(bench)).toEqual(Array.from({ length: 100 }, (_, i) => 0x1000 * (n - 99 + i)));
    }
    expect(bench.get(0x2018)).toBe((700n * 16n) % 8192n);
    expect(bench.status & OVERFLOW).toBe(0);
  });

  it('overflows when there is "no usable entry": one less than its length', () => {
    const bench = blocked();
    for (let n = 0; n < 511; n++) bench.read(n);
    expect(bench.status & (OVERFLOW | RUN)).toBe(RUN);
    bench.read(511);
    expect(bench.status & (OVERFLOW | RUN)).toBe(OVERFLOW);
    expect(addresses(bench)).toHaveLength(511);
    // "No new event log entries are written while this bit is set."
    bench.read(512);
    expect(addresses(bench)).toEqual([]);
    // "To resume logging, clear EventOverflow (W1C), and write a 1 to EventLogEn", which hardware must see rise.
    bench.set(0x2020, BigInt(OVERFLOW));
    bench.read(513);
    expect(addresses(bench)).toEqual([]);
    bench.set(0x18, bench.get(0x18) & ~4n);
    bench.set(0x18, bench.get(0x18) | 4n);
    bench.read(514);
    expect([addresses(bench), bench.status & (OVERFLOW | RUN)]).toEqual([[514], RUN]);
  });

  it('does not resume while the overflow stands', () => {
    const bench = blocked();
    for (let n = 0; n < 512; n++) bench.read(n);
    bench.set(0x18, bench.get(0x18) & ~4n);
    bench.set(0x18, bench.get(0x18) | 4n);
    expect(bench.status & (OVERFLOW | RUN)).toBe(OVERFLOW);
  });

  it('sends one interrupt for events until software clears EventLogInt', () => {
    const bench = blocked(EVENT_INT_EN);
    bench.read(0x1000);
    bench.read(0x2000);
    expect([bench.status & LOG_INT, bench.signals]).toEqual([LOG_INT, ['general']]);
    bench.set(0x2020, BigInt(LOG_INT));
    expect([bench.status & LOG_INT, bench.signals.length]).toEqual([0, 1]);
    bench.read(0x3000);
    expect(bench.signals).toHaveLength(2);
  });

  it('sends one for the overflow', () => {
    const bench = blocked(EVENT_INT_EN);
    for (let n = 0; n < 511; n++) bench.read(n);
    expect(bench.signals).toHaveLength(1);
    bench.read(511);
    expect(bench.signals).toHaveLength(2);
  });

  it('sends one for what is pending when software enables it', () => {
    const bench = blocked();
    bench.read(0x1000);
    expect(bench.signals).toEqual([]);
    bench.set(0x18, bench.get(0x18) | EVENT_INT_EN);
    expect(bench.signals).toEqual(['general']);
  });

  it('is silent while it is off: requests are blocked all the same', () => {
    const bench = blocked();
    bench.set(0x18, bench.get(0x18) & ~4n);
    expect([bench.read(0x1000), bench.status & LOG_INT, bench.get(0x2018)]).toEqual([undefined, 0, 0n]);
    expect(bench.memory.read64(EVENTS)).toBe(0n);
  });

  it('outside RAM loses what is written, and goes on', () => {
    const bench = blocked();
    bench.set(0x10, BigInt(HOLE) | (9n << 56n));
    bench.read(0x1000);
    expect([bench.get(0x2018), bench.status & LOG_INT]).toEqual([0x10n, LOG_INT]);
  });

  it('tells an observer what the log tells software, with the walk', () => {
    const bench = blocked();
    bench.read(0x1234);
    expect(bench.faults).toEqual([
      {
        unit: 'AMD-Vi',
        request: 'read',
        requester: DEVICE,
        address: 0x1234,
        code: 2,
        reason: 'IO_PAGE_FAULT: the device table entry does not permit to read',
        walk: [{ table: 'device table entry', address: 0x10_0000 + 32 * DEVICE, value: dte({ mode: 0, permissions: 0n }) }],
        refusedBy: expect.anything(),
        recorded: true,
      },
    ]);
    expect(bench.iommu.counts).toMatchObject({ translations: 0, blocked: 1 });
  });
});
