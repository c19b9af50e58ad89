/** IA32_APIC_BASE and x2APIC mode: SDM "x2APIC State Transitions", "Local APIC Register Address Map Supported by x2APIC". */
import { ApicBench, FIXED, MASKED, PAGE } from './apic-bench';

const BASE = 0x1b;
const XAPIC = 0xfee0_0900n;
const X2APIC = 0xfee0_0d00n;
const DISABLED = 0xfee0_0100n;

function x2apic(id = 0): ApicBench {
  const b = ApicBench.enabled({ id });
  expect(b.apic.writeMsr(BASE, X2APIC)).toBe(true);
  return b;
}

describe('IA32_APIC_BASE', () => {
  test.each([
    ['xapic', 'xapic', true],
    ['xapic', 'x2apic', true],
    ['xapic', 'disabled', true],
    ['xapic', 'invalid', false],
    ['x2apic', 'x2apic', true],
    ['x2apic', 'xapic', false],
    ['x2apic', 'disabled', true],
    ['x2apic', 'invalid', false],
    ['disabled', 'disabled', true],
    ['disabled', 'xapic', true],
    ['disabled', 'x2apic', false],
    ['disabled', 'invalid', false],
  ])('%s -> %s: %p', (from, to, legal) => {
    const value: Record<string, bigint> = { xapic: XAPIC, x2apic: X2APIC, disabled: DISABLED, invalid: 0xfee0_0500n };
    const b = new ApicBench();
    b.apic.writeMsr(BASE, value[from]);
    expect(b.apic.writeMsr(BASE, value[to])).toBe(legal);
    expect(b.apic.readMsr(BASE)).toBe(value[legal ? to : from]);
  });

  test('reserved bits: 7:0, 9, and those beyond the physical address width', () => {
    const b = new ApicBench({ physicalAddressWidth: 40 });
    for (const bit of [0, 7, 9, 40, 63]) expect(b.apic.writeMsr(BASE, XAPIC | (1n << BigInt(bit)))).toBe(false);
    expect(b.apic.writeMsr(BASE, XAPIC | (1n << 39n))).toBe(true);
    expect(b.moves).toEqual([0x80_fee0_0000]);
  });

  test('without x2APIC, EXTD is reserved', () => {
    expect(new ApicBench({ x2apic: false }).apic.writeMsr(BASE, X2APIC)).toBe(false);
  });

  test('disabled: the pins are INTR and NMI, the registers are lost; enabled again it works', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.LVT_TIMER, 0x40);
    b.apic.accept(0x50, FIXED, false);
    b.apic.writeMsr(BASE, DISABLED);
    expect(b.moves).toEqual([undefined]);
    expect(b.apic.pending()).toBe(false);
    expect(b.apic.accept(0x50, FIXED, false)).toBe(false);
    b.externalVectors = [0x21];
    b.apic.lint0.set(true);
    expect(b.apic.pending()).toBe(true);
    expect(b.apic.acknowledge()).toBe(0x21);
    b.apic.lint0.set(false);
    b.apic.lint1.set(true);
    expect(b.nmis).toBe(1);

    b.apic.writeMsr(BASE, XAPIC);
    expect(b.moves).toEqual([undefined, 0xfee0_0000]);
    expect([b.get(PAGE.SVR), b.get(PAGE.LVT_TIMER), b.get(PAGE.ID)]).toEqual([0xff, MASKED, 0]);
    b.set(PAGE.SVR, 0x1ff);
    b.apic.accept(0x50, FIXED, false);
    expect(b.takeAll()).toEqual([0x50]);
  });
});

describe('x2APIC mode', () => {
  test('MSRs 800h-8FFh do not exist before', () => {
    const b = ApicBench.enabled();
    for (let msr = 0x800; msr < 0x900; msr++) expect([b.apic.readMsr(msr), b.apic.writeMsr(msr, 0n)]).toEqual([undefined, false]);
  });

  const range = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const READ_ONLY = [0x802, 0x803, 0x80a, 0x80d, ...range(0x810, 0x827), 0x839];
  const READ_WRITE = [0x808, 0x80f, 0x828, 0x830, ...range(0x832, 0x838), 0x83e];
  const WRITE_ONLY = [0x80b, 0x83f];

  test('exactly the registers of the manual can be read', () => {
    const b = x2apic();
    expect(range(0x800, 0x8ff).filter((msr) => b.apic.readMsr(msr) !== undefined)).toEqual([...READ_ONLY, ...READ_WRITE].sort((x, y) => x - y));
  });

  test('exactly the registers of the manual can be written', () => {
    // 830h and 83Fh with vector 0 are legal writes that report an error through ESR.
    const b = x2apic();
    expect(range(0x800, 0x8ff).filter((msr) => b.apic.writeMsr(msr, 0n))).toEqual([...READ_WRITE, ...WRITE_ONLY].sort((x, y) => x - y));
  });

  test.each([
    [0x808, 0xffn, 0x100n],
    [0x80b, 0n, 1n],
    [0x80f, 0x11ffn, 0x400n],
    [0x828, 0n, 1n],
    [0x832, 0x7_10ffn & ~0x6_0000n, 0x8_0000n],
    [0x833, 0x1_17ffn, 0x2000n],
    [0x835, 0x1_f7ffn, 0x800n],
    [0x837, 0x1_10ffn, 0x100n],
    [0x838, 0xffff_ffffn, 0x1_0000_0000n],
    [0x83e, 0xbn, 4n],
    [0x83f, 0xffn, 0x100n],
    [0x830, 0xc_cfffn, 0x1000n],
    [0x830, 0xc_cfffn, 0x2000n],
    [0x830, 0xc_cfffn, 0x10_0000n],
  ])('MSR %p accepts %p and refuses reserved bits %p', (msr, legal, reserved) => {
    const b = x2apic();
    expect(b.apic.writeMsr(msr, legal)).toBe(true);
    expect(b.apic.writeMsr(msr, legal | reserved)).toBe(false);
    if (msr !== 0x830) expect(b.apic.writeMsr(msr, legal | (1n << 63n))).toBe(false);
  });

  test('id and logical id: cluster in the upper half, one bit in the lower', () => {
    const b = x2apic(0x25);
    expect([b.apic.readMsr(0x802), b.apic.readMsr(0x80d)]).toEqual([0x25n, 0x2_0020n]);
  });

  test('what xAPIC mode has set stays, except id, LDR and the high half of the ICR', () => {
    const b = ApicBench.enabled({ id: 1 });
    b.set(PAGE.ID, 0x0700_0000);
    b.set(PAGE.LDR, 0x8000_0000);
    b.set(PAGE.ICR2, 0x0500_0000);
    b.set(PAGE.TPR, 0x20);
    b.set(PAGE.LINT0, 0x700);
    b.apic.accept(0x66, FIXED, false);
    b.apic.writeMsr(BASE, X2APIC);
    expect([0x802, 0x80d, 0x830, 0x808, 0x835, 0x80f].map((m) => b.apic.readMsr(m))).toEqual([1n, 2n, 0n, 0x20n, 0x700n, 0x1ffn]);
    expect(b.moves).toEqual([undefined]);
    expect(b.takeAll()).toEqual([0x66]);
  });

  test('self IPI, EOI and the timer through MSRs', () => {
    const b = x2apic();
    b.apic.writeMsr(0x83f, 0x51n);
    expect(b.takeAll()).toEqual([0x51]);
    b.apic.writeMsr(0x80b, 0n);
    expect(b.apic.readMsr(0x812)).toBe(0n);
    b.apic.writeMsr(0x83f, 0x05n);
    b.apic.writeMsr(0x828, 0n);
    expect(b.apic.readMsr(0x828)).toBe(0x20n);
    b.apic.writeMsr(0x83e, 0xbn);
    b.apic.writeMsr(0x832, 0x60n);
    b.apic.writeMsr(0x838, 10n);
    b.bench.advance(400);
    expect(b.takeAll()).toEqual([0x60]);
  });

  test.each([
    ['physical id', 0x12_0000_0000n, 0x71n, true],
    ['physical, other', 0x13_0000_0000n, 0x71n, false],
    ['broadcast', 0xffff_ffff_0000_0000n, 0x71n, true],
    ['FFh is an id, no broadcast', 0xff_0000_0000n, 0x71n, false],
    ['logical, cluster 1', 0x1_0004_0000_0000n, 0x871n, true],
    ['logical, cluster 2', 0x2_0004_0000_0000n, 0x871n, false],
  ])('ICR in one write: %s', (_name, destination, low, arrives) => {
    const b = x2apic(0x12);
    b.apic.writeMsr(0x830, destination | low);
    expect(b.takeAll()).toEqual(arrives ? [0x71] : []);
    expect(b.apic.readMsr(0x830)).toBe(destination | low);
  });
});
