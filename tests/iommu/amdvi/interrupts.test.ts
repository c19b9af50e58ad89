/** AMD IOMMU specification, "Interrupt Remapping Tables", with 32- and 128-bit entries; field positions as in Linux's union irte and struct irte_ga. */
import type { InterruptMessage } from '../../../devices/interrupt-message';
import { DEVICE, HOLE, IommuBench, codeOf, flagsOf } from './bench';

const TABLE = 0x35_0000;
const BACKING_PAGE = 0x36_0000;
const GA_LOG = 0x40_0000;
const GA_TAIL = 0x41_0000;
const INTERRUPT = 0x008;
const PR = 0x010;
const RZ = 0x080;
const ILLEGAL_DEV_TABLE_ENTRY = 1;
const IO_PAGE_FAULT = 2;
const INVALID_DEVICE_REQUEST = 8;
const GA_EN = 1n << 17n;
const XT_EN = 1n << 50n;
const GAM = 1n << 25n;
const GA_LOG_EN = 1n << 28n;
const GA_INT_EN = 1n << 29n;
const SUP_IOPF = 0x2;

/** Third quadword of a device table entry: IV, 512 entries, IntCtl 2. */
const remapped = (more = 0n, intCtl = 2n, intTabLen = 9n): bigint[] => [0n, 0n, 1n | (intTabLen << 1n) | BigInt(TABLE) | (intCtl << 60n) | more, 0n];
/** Edge-triggered, to APIC 0. */
const message = (index: number, more: Partial<InterruptMessage> = {}): InterruptMessage => ({ address: 0xfee0_0000, data: index, source: DEVICE, ...more });

const bench32 = (words = remapped()): IommuBench => {
  const bench = new IommuBench().enable();
  bench.setDte(words);
  return bench;
};
const bench128 = (control = GA_EN): IommuBench => {
  const bench = new IommuBench().enable(control);
  bench.setDte(remapped());
  return bench;
};
const setIrte = (bench: IommuBench, index: number, low: bigint, high: bigint): void => {
  bench.memory.write64(TABLE + 16 * index, low);
  bench.memory.write64(TABLE + 16 * index + 8, high);
};

describe('32-bit entries', () => {
  it('give vector, destination, destination mode and type; trigger mode stays', () => {
    const bench = bench32();
    // RemapEn, IntType 1, DM, destination 5Ah, vector 31h.
    bench.memory.write32(TABLE + 4 * 3, 0x0031_5a00 | 0x40 | (1 << 2) | 1);
    expect(bench.iommu.remapInterrupt(message(3))).toEqual({ address: 0xfee5_a004, data: 0x0131, source: DEVICE, extendedDestination: undefined });
    expect(bench.iommu.remapInterrupt(message(3, { data: 0xc003 }))?.data).toBe(0xc131);
    expect(bench.iommu.counts).toMatchObject({ interrupts: 2, blockedInterrupts: 0 });
  });

  it('are selected by data bits 10:0, of which bit 8 is the delivery mode: 512 of them', () => {
    const bench = bench32();
    bench.memory.write32(TABLE + 4 * 0x1ff, 0x0077_0001);
    expect(bench.iommu.remapInterrupt(message(0x1ff))?.data).toBe(0x77);
  });

  it('beyond IntTabLen: IO_PAGE_FAULT, not present', () => {
    const bench = bench32(remapped(0n, 2n, 3n));
    bench.memory.write32(TABLE + 4 * 8, 0x0031_0001);
    expect(bench.iommu.remapInterrupt(message(8))).toBeUndefined();
    expect(bench.takeEvents()).toEqual([[(2n << 60n) | (BigInt(INTERRUPT) << 48n) | BigInt(DEVICE), 0xfee0_0000n]]);
    expect(bench.faults[0]).toMatchObject({ request: 'interrupt', requester: DEVICE, address: 8, code: IO_PAGE_FAULT });
    expect(bench.iommu.counts.blockedInterrupts).toBe(1);
  });

  it('RemapEn = 0: IO_PAGE_FAULT unless SupIOPF', () => {
    const bench = bench32();
    bench.memory.write32(TABLE, 0x0031_0000);
    bench.memory.write32(TABLE + 4, 0x0031_0000 | SUP_IOPF);
    expect([bench.iommu.remapInterrupt(message(0)), bench.iommu.remapInterrupt(message(1))]).toEqual([undefined, undefined]);
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[IO_PAGE_FAULT, INTERRUPT]]);
    expect(bench.faults.map((f) => f.recorded)).toEqual([true, false]);
  });

  it('IG of the device table entry keeps page faults of interrupts out of the log', () => {
    const bench = bench32(remapped(1n << 5n));
    expect(bench.iommu.remapInterrupt(message(0))).toBeUndefined();
    expect([bench.takeEvents(), bench.faults[0].recorded]).toEqual([[], false]);
  });

  it.each([
    ['IntType 2', 0x1 | (2 << 2)],
    ['IntType 7', 0x1 | (7 << 2)],
    ['GuestMode', 0x81],
    ['bit 24', 0x0100_0001],
    ['bit 31', 0x8000_0001],
  ])('%s is reserved: IO_PAGE_FAULT, present, RZ', (_, entry) => {
    const bench = bench32();
    bench.memory.write32(TABLE, entry);
    expect(bench.iommu.remapInterrupt(message(0))).toBeUndefined();
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[IO_PAGE_FAULT, INTERRUPT | PR | RZ]]);
  });

  it('that cannot be read: PAGE_TAB_HARDWARE_ERROR', () => {
    const words = remapped();
    words[2] = 1n | (9n << 1n) | BigInt(HOLE) | (2n << 60n);
    const bench = bench32(words);
    expect(bench.iommu.remapInterrupt(message(2))).toBeUndefined();
    expect(bench.takeEvents()).toEqual([[(4n << 60n) | (1n << 57n) | (BigInt(INTERRUPT) << 48n) | BigInt(DEVICE), BigInt(HOLE + 8)]]);
  });
});

describe('the device table entry', () => {
  it('IV = 0: messages pass as they are', () => {
    const bench = bench32([0n, 0n, 0xffff_ffff_ffff_fffen, 0n]);
    const sent = message(3);
    expect(bench.iommu.remapInterrupt(sent)).toBe(sent);
    expect(bench.iommu.counts.interrupts).toBe(0);
  });

  it('IntCtl 0 aborts, 1 forwards, 3 is reserved', () => {
    const abort = bench32(remapped(0n, 0n));
    expect(abort.iommu.remapInterrupt(message(0))).toBeUndefined();
    // "INVALID_DEVICE_REQUEST … flags=0x0a00" in Linux's log: a posted write to the interrupt range while IntCtl is 0.
    expect(abort.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[INVALID_DEVICE_REQUEST, 0xa00]]);
    const sent = message(0x31);
    expect(bench32(remapped(0n, 1n)).iommu.remapInterrupt(sent)).toBe(sent);
    const reserved = bench32(remapped(0n, 3n));
    expect(reserved.iommu.remapInterrupt(message(0))).toBeUndefined();
    expect(reserved.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[ILLEGAL_DEV_TABLE_ENTRY, INTERRUPT | RZ]]);
  });

  it('IntTabLen above 11 is reserved', () => {
    const bench = bench32(remapped(0n, 2n, 12n));
    expect(bench.iommu.remapInterrupt(message(0))).toBeUndefined();
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[ILLEGAL_DEV_TABLE_ENTRY, INTERRUPT]]);
  });

  it.each([180, 183, 187, 192, 245])('bit %i is reserved', (bit) => {
    const words = remapped();
    words[bit >> 6] |= 1n << BigInt(bit & 63);
    const bench = bench32(words);
    expect(bench.iommu.remapInterrupt(message(0))).toBeUndefined();
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[ILLEGAL_DEV_TABLE_ENTRY, INTERRUPT | RZ]]);
  });

  it.each([
    ['INIT', 5, 184],
    ['ExtINT', 7, 185],
    ['NMI', 4, 186],
  ])('lets %s pass by its bit', (_, mode, bit) => {
    const sent = message(mode << 8);
    expect(bench32(remapped(1n << BigInt(bit - 128))).iommu.remapInterrupt(sent)).toBe(sent);
    const bench = bench32();
    expect(bench.iommu.remapInterrupt(sent)).toBeUndefined();
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[IO_PAGE_FAULT, INTERRUPT]]);
  });

  it('lets SMIs pass; delivery modes 3 and 6 are nothing', () => {
    const bench = bench32();
    const smi = message(2 << 8);
    expect(bench.iommu.remapInterrupt(smi)).toBe(smi);
    expect([bench.iommu.remapInterrupt(message(3 << 8)), bench.iommu.remapInterrupt(message(6 << 8))]).toEqual([undefined, undefined]);
    expect(bench.takeEvents().map(codeOf)).toEqual([INVALID_DEVICE_REQUEST, INVALID_DEVICE_REQUEST]);
  });

  it('of one device does not serve another: a forged index meets the table of its sender', () => {
    const bench = bench32();
    bench.memory.write32(TABLE, 0x0031_0001);
    bench.setDte([0n, 0n, 1n | (9n << 1n) | BigInt(TABLE + 0x1000) | (2n << 60n), 0n], 0x28);
    expect(bench.iommu.remapInterrupt(message(0, { source: 0x28 }))).toBeUndefined();
  });

  it("does not concern the unit's own messages", () => {
    const bench = bench32();
    bench.setDte(remapped(0n, 0n), 2);
    const own = message(0x31, { source: 2 });
    expect(bench.iommu.remapInterrupt(own)).toBe(own);
  });
});

describe('128-bit entries (GAEn)', () => {
  it('have the vector in the upper half, and eight bits of destination without XTEn', () => {
    const bench = bench128();
    setIrte(bench, 5, 1n | (0x12_345an << 8n), 0x42n | (0x77n << 56n));
    expect(bench.iommu.remapInterrupt(message(5))).toEqual({ address: 0xfee5_a000, data: 0x42, source: DEVICE, extendedDestination: undefined });
  });

  it('have 32 bits of destination with XTEn', () => {
    const bench = bench128(GA_EN | XT_EN);
    setIrte(bench, 5, 1n | 0x40n | (0x12_345an << 8n), 0x42n | (0x77n << 56n));
    expect(bench.iommu.remapInterrupt(message(5))).toMatchObject({ address: 0xfee5_a004, extendedDestination: 0x7712_345a });
  });

  it.each<[string, bigint, bigint]>([
    ['bit 32', 1n | (1n << 32n), 0n],
    ['bit 72', 1n, 1n << 8n],
    ['bit 119', 1n, 1n << 55n],
    ['IntType 3', 1n | (3n << 2n), 0n],
    ['GuestMode without GAMEn', 0x81n, 0n],
  ])('%s is reserved', (_, low, high) => {
    const bench = bench128();
    setIrte(bench, 0, low, high);
    expect(bench.iommu.remapInterrupt(message(0))).toBeUndefined();
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[IO_PAGE_FAULT, INTERRUPT | PR | RZ]]);
  });
});

describe('guest virtual APIC mode', () => {
  const LOGS = 1n << 2n;
  const IS_RUN = 1n << 6n;
  const guest = (vector: number, flags: bigint, tag = 0xcafe_0001n, page = BACKING_PAGE): [bigint, bigint] => [
    1n | (1n << 7n) | flags | (3n << 8n) | (tag << 32n),
    BigInt(vector) | BigInt(page),
  ];
  const bench = (): IommuBench => {
    const b = bench128(GA_EN | GAM);
    b.set(0xe0, BigInt(GA_LOG) | (8n << 56n));
    b.set(0xe8, BigInt(GA_TAIL));
    b.set(0x18, b.get(0x18) | GA_LOG_EN | GA_INT_EN);
    return b;
  };

  it('sets the vector in the IRR of the backing page, and rings for a guest that runs', () => {
    const b = bench();
    setIrte(b, 1, ...guest(0x51, IS_RUN | LOGS));
    expect(b.iommu.remapInterrupt(message(1))).toBeUndefined();
    // IRR register 2 (vectors 40h to 5Fh) is at 220h.
    expect(b.memory.read32(BACKING_PAGE + 0x220)).toBe(1 << 0x11);
    expect([b.doorbells, b.get(0x2048), b.signals]).toEqual([[3], 0n, []]);
    expect(b.iommu.counts).toMatchObject({ interrupts: 0, posted: 1, blockedInterrupts: 0 });
    setIrte(b, 2, ...guest(0xff, IS_RUN));
    b.iommu.remapInterrupt(message(2));
    expect(b.memory.read32(BACKING_PAGE + 0x270)).toBe(0x8000_0000);
  });

  it('writes to the GA log for a guest that does not run, with its tag; the tail is in memory too', () => {
    const b = bench();
    setIrte(b, 1, ...guest(0x51, LOGS));
    b.iommu.remapInterrupt(message(1));
    // GA_REQ_TYPE 1, GA_DEVID, GA_TAG.
    expect(b.memory.read64(GA_LOG)).toBe((1n << 60n) | (BigInt(DEVICE) << 32n) | 0xcafe_0001n);
    expect([b.get(0x2048), b.memory.read64(GA_TAIL), b.doorbells]).toEqual([8n, 8n, []]);
    expect([b.status & 0x700, b.signals]).toEqual([0x500, ['guest virtual APIC log']]);
    b.iommu.writeMmio(0x2020, 4, 0x400);
    setIrte(b, 2, ...guest(0x52, 0n));
    b.iommu.remapInterrupt(message(2));
    expect([b.get(0x2048), b.memory.read32(BACKING_PAGE + 0x220)]).toEqual([8n, (1 << 0x11) | (1 << 0x12)]);
  });

  it('the log overflows like the event log', () => {
    const b = bench();
    setIrte(b, 1, ...guest(0x51, LOGS));
    for (let n = 0; n < 255; n++) b.iommu.remapInterrupt(message(1));
    expect(b.status & 0x300).toBe(0x100);
    b.iommu.remapInterrupt(message(1));
    expect(b.status & 0x300).toBe(0x200);
    expect(b.signals).toHaveLength(2);
  });

  it('a backing page that cannot be written: PAGE_TAB_HARDWARE_ERROR', () => {
    const b = bench();
    setIrte(b, 1, ...guest(0x51, IS_RUN, 0n, HOLE));
    expect(b.iommu.remapInterrupt(message(1))).toBeUndefined();
    expect(b.takeEvents().map(([low, address]) => [low >> 60n, address])).toEqual([[4n, BigInt(HOLE + 0x220)]]);
    expect([b.doorbells, b.iommu.counts.posted]).toEqual([[], 0]);
  });

  it.each<[string, [bigint, bigint]]>([
    ['bit 3', [guest(0x51, 1n << 3n)[0], guest(0x51, 0n)[1]]],
    ['bit 75', [guest(0x51, 0n)[0], guest(0x51, 0n)[1] | (1n << 11n)]],
    ['bit 119', [guest(0x51, 0n)[0], guest(0x51, 0n)[1] | (1n << 55n)]],
  ])('%s is reserved', (_, words) => {
    const b = bench();
    setIrte(b, 1, ...words);
    expect(b.iommu.remapInterrupt(message(1))).toBeUndefined();
    expect(b.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[IO_PAGE_FAULT, INTERRUPT | PR | RZ]]);
  });

  it('interrupts of the unit go where the x2APIC registers say while IntCapXTEn is set', () => {
    const b = bench();
    b.set(0x170, (0x12n << 56n) | (0x61n << 32n) | (0x34_5678n << 8n));
    b.set(0x180, (0x62n << 32n) | (2n << 8n) | 4n);
    b.set(0x18, b.get(0x18) | (1n << 51n) | 8n);
    setIrte(b, 1, ...guest(0x51, LOGS));
    b.iommu.remapInterrupt(message(1));
    b.iommu.remapInterrupt(message(0));
    expect(b.signals).toEqual([]);
    expect(b.messages).toEqual([
      { address: 0xfee0_2004, data: 0x4062, source: 2, extendedDestination: 2 },
      { address: 0xfee7_8000, data: 0x4061, source: 2, extendedDestination: 0x1234_5678 },
    ]);
  });
});
