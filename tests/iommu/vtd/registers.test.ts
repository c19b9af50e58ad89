/** VT-d specification, "Register Descriptions": what software finds and what it can change. */
import { Bench, CONTEXT, DEVICE, TABLE } from './bench';

const field = (value: bigint, high: number, low: number): number => Number((value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n));

describe('capabilities', () => {
  test('CAP', () => {
    const cap = new Bench().read64(0x08);
    const names = {
      ND: [2, 0], AFL: [3, 3], RWBF: [4, 4], PLMR: [5, 5], PHMR: [6, 6], CM: [7, 7], SAGAW: [12, 8], MGAW: [21, 16], ZLR: [22, 22], FRO: [33, 24],
      SLLPS: [37, 34], PSI: [39, 39], NFR: [47, 40], MAMV: [53, 48], DWD: [54, 54], DRD: [55, 55], PI: [59, 59], FL1GP: [56, 56], FL5LP: [60, 60],
    } as const; // prettier-ignore
    expect(Object.fromEntries(Object.entries(names).map(([name, [high, low]]) => [name, field(cap, high, low)]))).toEqual({
      ...{ ND: 6, AFL: 0, RWBF: 0, PLMR: 1, PHMR: 1, CM: 0, SAGAW: 0b01110, MGAW: 51, ZLR: 1, FRO: 0x22 },
      ...{ SLLPS: 0b0011, PSI: 1, NFR: 7, MAMV: 18, DWD: 1, DRD: 1, PI: 1, FL1GP: 0, FL5LP: 0 },
    });
  });
  test('ECAP: no device-TLBs, no scalable mode', () => {
    const ecap = new Bench().read64(0x10);
    const names = { C: [0, 0], QI: [1, 1], DT: [2, 2], IR: [3, 3], EIM: [4, 4], PT: [6, 6], SC: [7, 7], IRO: [17, 8], MHMV: [23, 20], rest: [63, 24] } as const;
    expect(Object.fromEntries(Object.entries(names).map(([name, [high, low]]) => [name, field(ecap, high, low)]))).toEqual({
      ...{ C: 1, QI: 1, DT: 0, IR: 1, EIM: 1, PT: 1, SC: 1, IRO: 0xf, MHMV: 15, rest: 0 },
    });
  });
  test('what is left out reads as absent', () => {
    const b = new Bench({ levels: [3], largePages: false, interruptRemapping: false });
    const [cap, ecap] = [b.read64(0x08), b.read64(0x10)];
    expect([field(cap, 12, 8), field(cap, 21, 16), field(cap, 37, 34), field(cap, 59, 59), field(ecap, 4, 3), field(ecap, 23, 20)]).toEqual([
      2, 38, 0, 0, 0, 0,
    ]);
    b.write64(0xb8, 0x4_0007n);
    b.command(0x0300_0000);
    expect([b.read64(0xb8), b.read(0x1c)]).toEqual([0n, 0]);
  });
  test('impossible hardware is refused in words', () => {
    expect(() => new Bench({ levels: [] })).toThrow(/at least one depth/);
    expect(() => new Bench({ hostAddressWidth: 53 })).toThrow('a host address width of 53 is not 36 to 52');
    expect(() => new Bench({ faultRecords: 0 })).toThrow(/0 fault recording registers: give 1 to 64/);
  });
});

describe('GCMD and GSTS', () => {
  test('version 1.0; everything off', () => {
    const b = new Bench();
    expect([b.read(0x00), b.read(0x1c)]).toEqual([0x10, 0]);
  });
  test('each command shows in the status', () => {
    const b = new Bench();
    for (const bit of [0x4000_0000, 0x8000_0000, 0x0400_0000, 0x0100_0000, 0x0200_0000, 0x0080_0000]) {
      b.command(bit);
      expect(b.read(0x1c) & bit).not.toBe(0);
    }
    expect(b.read(0x1c)).toBe(0xc780_0000);
    // GCMD is write-only.
    expect(b.read(0x18)).toBe(0);
    // Status bits of one-shot commands stay; what is not written as 1 is switched off.
    b.write(0x18, 0x0400_0000);
    expect(b.read(0x1c)).toBe(0x4500_0000);
  });
  test('what the capabilities do not offer changes nothing: write-buffer flush, advanced fault log', () => {
    const b = new Bench();
    b.write(0x18, 0x3800_0000);
    expect(b.read(0x1c)).toBe(0);
  });
});

test('address registers keep what the host address width has, and no reserved bits', () => {
  const b = new Bench({ hostAddressWidth: 39 });
  for (const [offset, expected] of [[0x20, 0x7f_ffff_fc00n], [0x90, 0x7f_ffff_f007n], [0xb8, 0x7f_ffff_f80fn], [0x70, 0x7f_fff0_0000n], [0x78, 0x7f_fff0_0000n]] as const) {
    b.write64(offset, 0xffff_ffff_ffff_ffffn);
    expect([offset, b.read64(offset)]).toEqual([offset, expected]);
  } // prettier-ignore
});

test('read-only registers are', () => {
  const b = new Bench();
  const offsets = [0x00, 0x08, 0x0c, 0x10, 0x14, 0x1c, 0x58, 0x5c, 0x80, 0x84, 0xb0, 0xb4, 0xf00];
  const before = offsets.map((o) => b.read(o));
  for (const o of offsets) b.write(o, 0xffff_ffff);
  expect(offsets.map((o) => b.read(o))).toEqual(before);
});

test('narrow and misaligned writes are dropped; narrow reads see their part', () => {
  const b = new Bench();
  b.write(0x68, 0x1230_0000);
  b.unit.writeMmio(0x6b, 1, 0xff);
  b.unit.writeMmio(0x6a, 2, 0xffff);
  b.unit.writeMmio(0x69, 4, 0xffff_ffff);
  expect([b.read(0x68), b.unit.readMmio(0x6b, 1), b.unit.readMmio(0x6a, 2)]).toEqual([0x1230_0000, 0x12, 0x1230]);
});

test('a restored unit goes on as the saved one', () => {
  const build = (): Bench => new Bench({ faultRecords: 2 });
  const a = build();
  a.attach(DEVICE, 4);
  const entry = a.map(0x1000, 0x5000, 4);
  a.enableTranslation().enableQueue().enableInterrupts(true);
  a.irte(3, 0x41_0001n, 0n);
  a.dma(0x1000);
  a.interrupt(3);
  a.dma(0x9000);
  a.write(0x3c, 0x21);
  const saved = structuredClone(a.unit.saveState());
  const b = build();
  b.memory.writeBytes(0, a.memory.readBytes(0, 1 << 20));
  b.unit.restoreState(saved);
  for (const bench of [a, b]) {
    // Behind their backs: only what is cached still answers.
    bench.memory.write64(entry, 0n);
    bench.irte(3, 0n, 0n);
    bench.memory.write64(CONTEXT + 16 * DEVICE, 0n);
    bench.memory.write64(TABLE, 0n);
    expect(bench.target(0x1fff)).toBe('to 5fff');
    expect(bench.target(0x2000)).toBe('fault 6');
    expect(bench.interrupt(3)?.data).toBe(0x4041);
    bench.dma(0xa000);
    bench.write(0x38, 0);
  }
  expect(b.unit.saveState()).toEqual(a.unit.saveState());
  expect(b.delivered).toEqual(a.delivered);
  // What was saved is a copy.
  expect(saved.counts.interrupts).toBe(1);
});
