/** AMD IOMMU specification, "Device Table Entry Format", "Device Exclusion Ranges", "Event Logging". */
import { DEVICE, DOMAIN, HOLE, IR, IW, IommuBench, ROOT, codeOf, dte, flagsOf, invalidateDevice, pte } from './bench';

const ILLEGAL_DEV_TABLE_ENTRY = 1;
const IO_PAGE_FAULT = 2;
const DEV_TAB_HARDWARE_ERROR = 3;
const INVALID_DEVICE_REQUEST = 8;
/** Flags as Linux's driver prints them. */
const PR = 0x010;
const RW_FLAG = 0x020;
const PE = 0x040;
const RZ = 0x080;

const benchWith = (words: readonly bigint[]): IommuBench => {
  const bench = new IommuBench().enable();
  bench.setDte(words);
  return bench;
};

describe('device table entry', () => {
  it('V = 0: requests pass untranslated, whatever else it says', () => {
    const bench = benchWith([0xffff_ffff_ffff_fffen, ~0n & 0xffff_ffff_ffff_ffffn, 0n, 0n]);
    expect([bench.read(0x1234), bench.write(0x1234)]).toEqual([0x1234, 0x1234]);
    expect(bench.iommu.counts).toMatchObject({ translations: 2, blocked: 0 });
  });

  it('V = 1, TV = 0: a page fault, the page not present', () => {
    const bench = benchWith([1n | IR | IW, BigInt(DOMAIN), 0n, 0n]);
    expect(bench.write(0x1_2345)).toBeUndefined();
    const [event] = bench.takeEvents();
    expect(event).toEqual([(2n << 60n) | (BigInt(RW_FLAG) << 48n) | (BigInt(DOMAIN) << 32n) | BigInt(DEVICE), 0x1_2345n]);
  });

  it('Mode 0: untranslated, with the permissions of the entry', () => {
    const readOnly = benchWith(dte({ mode: 0, permissions: IR }));
    expect(readOnly.read(0x7_7777)).toBe(0x7_7777);
    expect(readOnly.write(0x7_7777)).toBeUndefined();
    expect(readOnly.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[IO_PAGE_FAULT, PR | RW_FLAG | PE]]);
    const writeOnly = benchWith(dte({ mode: 0, permissions: IW }));
    expect(writeOnly.write(0x7_7777)).toBe(0x7_7777);
    expect(writeOnly.read(0x7_7777)).toBeUndefined();
    expect(writeOnly.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[IO_PAGE_FAULT, PR | PE]]);
  });

  it('its permissions limit those of the tables', () => {
    const bench = benchWith(dte({ permissions: IR }));
    bench.memory.write64(ROOT + 8, pte(0x5000));
    expect([bench.read(0x1000), bench.write(0x1000)]).toEqual([0x5000, undefined]);
  });

  it('Mode 7 is an invalid level encoding: ILLEGAL_DEV_TABLE_ENTRY, RZ = 0', () => {
    const bench = benchWith(dte({ mode: 7 }));
    expect(bench.write(0x1003)).toBeUndefined();
    // Address bits 1:0 are reserved in this event.
    expect(bench.takeEvents()).toEqual([[(1n << 60n) | (BigInt(RW_FLAG) << 48n) | BigInt(DEVICE), 0x1000n]]);
    expect(bench.faults[0]).toMatchObject({ unit: 'AMD-Vi', request: 'write', requester: DEVICE, address: 0x1003, code: ILLEGAL_DEV_TABLE_ENTRY });
    expect(bench.faults[0].reason).toContain('Mode 7');
    expect(bench.faults[0].refusedBy).toBe(bench.faults[0].walk[0]);
  });

  it.each([2, 3, 4, 5, 6, 7, 8, 52, 53, 54, 55, 56, 57, 58, 59, 60, 63])('bit %i is reserved: RZ = 1', (bit) => {
    const bench = benchWith(dte({ more: [1n << BigInt(bit), 0n, 0n, 0n] }));
    expect(bench.read(0x1000)).toBeUndefined();
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[ILLEGAL_DEV_TABLE_ENTRY, RZ]]);
  });

  it.each([80, 95, 106, 107, 127])('bit %i is reserved too', (bit) => {
    const bench = benchWith(dte({ more: [0n, 1n << BigInt(bit - 64), 0n, 0n] }));
    expect(bench.read(0x1000)).toBeUndefined();
    expect(bench.takeEvents().map((e) => [codeOf(e), flagsOf(e)])).toEqual([[ILLEGAL_DEV_TABLE_ENTRY, RZ]]);
  });

  it('bits of interrupts do not matter to memory requests', () => {
    const bench = benchWith(dte({ mode: 0, more: [0n, 0n, 0xffff_ffff_ffff_fffen, 0xffff_ffff_ffff_ffffn] }));
    expect(bench.read(0x1000)).toBe(0x1000);
  });

  it('a device beyond the table: IO_PAGE_FAULT', () => {
    const bench = new IommuBench().enable();
    // Size 1: 8 KiB, 256 entries.
    expect([bench.read(0x1000, 4, 0x00ff), bench.read(0x1000, 4, 0x0100)]).toEqual([0x1000, undefined]);
    expect(bench.takeEvents()).toEqual([[(2n << 60n) | 0x100n, 0x1000n]]);
    expect(bench.faults[0]).toMatchObject({ walk: [], refusedBy: undefined, recorded: true });
  });

  it('a table that cannot be read: DEV_TAB_HARDWARE_ERROR with the address of the entry, also in the hardware event registers', () => {
    const bench = new IommuBench().enable();
    bench.set(0x00, BigInt(HOLE) | 1n);
    expect(bench.write(0x1000)).toBeUndefined();
    const at = BigInt(HOLE + 32 * DEVICE);
    // Type 1: master abort.
    const low = (3n << 60n) | (1n << 57n) | (BigInt(RW_FLAG) << 48n) | BigInt(DEVICE);
    expect(bench.takeEvents()).toEqual([[low, at]]);
    expect([bench.get(0x40), bench.get(0x48), bench.get(0x50)]).toEqual([low, at, 1n]);
    expect(bench.faults[0]).toMatchObject({ code: DEV_TAB_HARDWARE_ERROR, refusedBy: { address: Number(at), value: undefined } });
    // A second one is lost: overflow. Both bits are cleared by writing 1.
    expect(bench.read(0x2000)).toBeUndefined();
    expect([bench.get(0x40), bench.get(0x50)]).toEqual([low, 3n]);
    bench.set(0x50, 3n);
    expect(bench.get(0x50)).toBe(0n);
  });

  it('SA: no page fault is logged; SE: only the first until the entry is invalidated', () => {
    const all = benchWith(dte({ more: [0n, 1n << 34n, 0n, 0n] }));
    expect(all.read(0x1000)).toBeUndefined();
    expect(all.takeEvents()).toEqual([]);
    expect(all.faults[0]).toMatchObject({ code: IO_PAGE_FAULT, recorded: false });
    const repeated = benchWith(dte({ more: [0n, 1n << 33n, 0n, 0n] }));
    repeated.read(0x1000);
    repeated.read(0x2000);
    expect(repeated.takeEvents().map(([, address]) => address)).toEqual([0x1000n]);
    repeated.command(invalidateDevice(DEVICE));
    repeated.read(0x3000);
    repeated.read(0x4000);
    expect(repeated.takeEvents().map(([, address]) => address)).toEqual([0x3000n]);
  });
});

describe('exclusion range', () => {
  const blocked = dte({ permissions: 0n });
  const allowed = dte({ permissions: 0n, more: [0n, 1n << 39n, 0n, 0n] });
  const bench = (words: readonly bigint[], flags: bigint): IommuBench => {
    const b = benchWith(words);
    b.set(0x28, 0x6000n);
    b.set(0x20, 0x4000n | flags);
    return b;
  };

  it('passes devices that EX allows, from the first byte of the base to the last of the limit', () => {
    const b = bench(allowed, 1n);
    expect([0x3fff, 0x4000, 0x6fff, 0x7000].map((address) => b.read(address, 1))).toEqual([undefined, 0x4000, 0x6fff, undefined]);
    expect(b.iommu.translate(DEVICE, 0x6ff0, 0x100, true)).toEqual({ kind: 'mapped', physical: 0x6ff0, length: 0x10 });
  });

  it('passes all devices with Allow, none without Enable', () => {
    expect(bench(blocked, 3n).write(0x5000)).toBe(0x5000);
    expect(bench(blocked, 1n).write(0x5000)).toBeUndefined();
    expect(bench(allowed, 0n).write(0x5000)).toBeUndefined();
  });
});

describe('the interrupt address range', () => {
  it('cannot be read or written as memory: INVALID_DEVICE_REQUEST', () => {
    const bench = benchWith([0n, 0n, 0n, 0n]);
    expect([bench.read(0xfee0_0000), bench.write(0xfeef_fff0, 8), bench.read(0xfedf_fff0), bench.read(0xfef0_0000)]).toEqual([
      undefined,
      undefined,
      0xfedf_fff0,
      0xfef0_0000,
    ]);
    expect(bench.takeEvents()).toEqual([
      [(8n << 60n) | BigInt(DEVICE), 0xfee0_0000n],
      [(8n << 60n) | (6n << 57n) | BigInt(DEVICE), 0xfeef_fff0n],
    ]);
    expect(bench.faults.map((f) => f.code)).toEqual([INVALID_DEVICE_REQUEST, INVALID_DEVICE_REQUEST]);
  });
});
