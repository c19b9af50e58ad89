/** xAPIC mode. Expected values: SDM volume 3, "Advanced Programmable Interrupt Controller (APIC)". */
import { ApicBench, FIXED, MASKED, PAGE } from './apic-bench';

describe('state after power-up', () => {
  test('registers as "Local APIC State After Power-Up or Reset" lists them', () => {
    const b = new ApicBench({ id: 3 });
    expect(b.get(PAGE.ID)).toBe(0x0300_0000);
    for (const zero of [PAGE.TPR, PAGE.PPR, PAGE.LDR, PAGE.ESR, PAGE.ICR, PAGE.ICR2, PAGE.INITIAL, PAGE.CURRENT, PAGE.DIVIDE]) expect(b.get(zero)).toBe(0);
    for (let i = 0; i < 0x80; i += 0x10) for (const set of [PAGE.ISR, PAGE.TMR, PAGE.IRR]) expect(b.get(set + i)).toBe(0);
    expect(b.get(PAGE.DFR)).toBe(0xffff_ffff);
    expect(b.get(PAGE.SVR)).toBe(0xff);
    for (const lvt of [PAGE.LVT_TIMER, PAGE.LVT_THERMAL, PAGE.LVT_PERF, PAGE.LINT0, PAGE.LINT1, PAGE.LVT_ERROR]) expect(b.get(lvt)).toBe(MASKED);
    expect(b.apic.readMsr(0x1b)).toBe(0xfee0_0900n);
  });

  test('version: integrated, six LVT entries, EOI broadcast suppression', () => {
    const version = new ApicBench().get(PAGE.VERSION);
    expect(version & 0xff).toBeGreaterThanOrEqual(0x10);
    expect(version & 0xff).toBeLessThanOrEqual(0x15);
    expect(((version >>> 16) & 0xff) + 1).toBe(6);
    expect((version >>> 24) & 1).toBe(1);
  });
});

describe('software enable', () => {
  test('disabled: fixed interrupts are not accepted, NMI and INIT are', () => {
    const b = new ApicBench();
    expect(b.apic.accept(0x40, FIXED, false)).toBe(false);
    b.apic.accept(0, 4, false);
    b.apic.accept(0, 5, false);
    expect([b.apic.pending(), b.nmis, b.inits]).toEqual([false, 1, ['init']]);
  });

  test('disabling sets every mask, and they cannot be cleared until it is enabled', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.LVT_TIMER, 0x40);
    b.set(PAGE.SVR, 0xff);
    expect(b.get(PAGE.LVT_TIMER)).toBe(MASKED | 0x40);
    b.set(PAGE.LVT_TIMER, 0x41);
    expect(b.get(PAGE.LVT_TIMER)).toBe(MASKED | 0x41);
    b.set(PAGE.SVR, 0x1ff);
    expect(b.get(PAGE.LVT_TIMER)).toBe(MASKED | 0x41);
  });

  test('interrupts that are in IRR when it is disabled stay', () => {
    const b = ApicBench.enabled();
    b.apic.accept(0x40, FIXED, false);
    b.set(PAGE.SVR, 0xff);
    expect(b.takeAll()).toEqual([0x40]);
  });
});

describe('priority', () => {
  test('highest class first; equal and lower classes wait for the EOI', () => {
    const b = ApicBench.enabled();
    for (const v of [0x31, 0x52, 0x58, 0x41]) b.apic.accept(v, FIXED, false);
    expect(b.apic.acknowledge()).toBe(0x58);
    expect(b.get(PAGE.PPR)).toBe(0x50);
    expect(b.apic.pending()).toBe(false);
    b.apic.accept(0x60, FIXED, false);
    expect(b.apic.acknowledge()).toBe(0x60);
    b.set(PAGE.EOI, 0);
    expect(b.apic.pending()).toBe(false);
    b.set(PAGE.EOI, 0);
    expect(b.takeAll()).toEqual([0x52]);
    b.set(PAGE.EOI, 0);
    expect(b.takeAll()).toEqual([0x41]);
    b.set(PAGE.EOI, 0);
    expect(b.takeAll()).toEqual([0x31]);
  });

  test('IRR and ISR hold one bit a vector: a second request while the first waits merges, one in service is kept', () => {
    const b = ApicBench.enabled();
    b.apic.accept(0x45, FIXED, false);
    b.apic.accept(0x45, FIXED, false);
    expect(b.get(PAGE.IRR + 0x20)).toBe(1 << 5);
    expect(b.takeAll()).toEqual([0x45]);
    expect([b.get(PAGE.IRR + 0x20), b.get(PAGE.ISR + 0x20)]).toEqual([0, 1 << 5]);
    b.apic.accept(0x45, FIXED, false);
    b.set(PAGE.EOI, 0);
    expect(b.takeAll()).toEqual([0x45]);
  });

  test.each([
    [0x00, 0x00, 0x00],
    [0x35, 0x00, 0x35],
    [0x55, 0x41, 0x55],
    [0x41, 0x52, 0x50],
  ])('TPR %p, in service %p -> PPR %p', (tpr, inService, ppr) => {
    const b = ApicBench.enabled();
    if (inService !== 0) {
      b.apic.accept(inService, FIXED, false);
      b.apic.acknowledge();
    }
    b.set(PAGE.TPR, tpr);
    expect(b.get(PAGE.PPR)).toBe(ppr);
  });

  test('TPR blocks its class and below; CR8 is its upper half; lowering it is told', () => {
    const b = ApicBench.enabled();
    b.apic.writeCr8(4);
    expect(b.get(PAGE.TPR)).toBe(0x40);
    b.apic.accept(0x4f, FIXED, false);
    expect(b.apic.pending()).toBe(false);
    b.apic.accept(0x50, FIXED, false);
    expect(b.takeAll()).toEqual([0x50]);
    b.set(PAGE.EOI, 0);
    const before = b.changes;
    b.set(PAGE.TPR, 0x3f);
    expect(b.apic.readCr8()).toBe(3);
    expect(b.changes).toBeGreaterThan(before);
    expect(b.takeAll()).toEqual([0x4f]);
  });

  test('an acknowledge with nothing to deliver yields the spurious vector and sets no ISR bit', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.SVR, 0x1ef);
    expect(b.apic.acknowledge()).toBe(0xef);
    expect(b.get(PAGE.ISR + 0x70)).toBe(0);
  });

  test('an EOI with nothing in service does nothing', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.EOI, 0);
    expect(b.eois).toEqual([]);
  });
});

describe('level-triggered interrupts', () => {
  test('TMR follows the last acceptance; the EOI is broadcast for level only', () => {
    const b = ApicBench.enabled();
    b.apic.accept(0x61, FIXED, true);
    expect(b.get(PAGE.TMR + 0x30)).toBe(2);
    b.apic.acknowledge();
    b.set(PAGE.EOI, 0);
    expect(b.eois).toEqual([0x61]);
    b.apic.accept(0x61, FIXED, false);
    expect(b.get(PAGE.TMR + 0x30)).toBe(0);
    b.apic.acknowledge();
    b.set(PAGE.EOI, 0);
    expect(b.eois).toEqual([0x61]);
  });

  test('SVR bit 12 suppresses the broadcast', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.SVR, 0x11ff);
    b.apic.accept(0x61, FIXED, true);
    b.apic.acknowledge();
    b.set(PAGE.EOI, 0);
    expect(b.eois).toEqual([]);
  });
});

describe('local pins', () => {
  test('virtual wire: LINT0 as ExtINT asks for an INTA cycle above everything else, and ignores TPR', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.LINT0, 0x700);
    b.apic.writeCr8(15);
    b.externalVectors = [0x20];
    b.apic.lint0.set(true);
    expect(b.apic.pending()).toBe(true);
    expect(b.apic.acknowledge()).toBe(0x20);
    expect(b.get(PAGE.ISR + 0x10)).toBe(0);
    b.apic.lint0.set(false);
    expect(b.apic.pending()).toBe(false);
  });

  test('a masked LINT0 keeps the 8259 quiet; unmasking while it asks delivers', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.LINT0, MASKED | 0x700);
    b.apic.lint0.set(true);
    expect(b.apic.pending()).toBe(false);
    const before = b.changes;
    b.set(PAGE.LINT0, 0x700);
    expect([b.apic.pending(), b.changes > before]).toEqual([true, true]);
  });

  test('LINT1 as NMI: on the rising edge, unless masked', () => {
    const b = ApicBench.enabled();
    b.apic.lint1.set(true);
    expect(b.nmis).toBe(0);
    b.apic.lint1.set(false);
    b.set(PAGE.LINT1, 0x400);
    b.apic.lint1.set(true);
    b.apic.lint1.set(true);
    expect(b.nmis).toBe(1);
  });

  test('a fixed level pin: remote IRR until the EOI, then again while asserted', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.LINT0, 0x8044);
    b.apic.lint0.set(true);
    expect(b.get(PAGE.LINT0)).toBe(0xc044);
    expect(b.takeAll()).toEqual([0x44]);
    b.set(PAGE.EOI, 0);
    expect(b.takeAll()).toEqual([0x44]);
    b.apic.lint0.set(false);
    b.set(PAGE.EOI, 0);
    expect([b.takeAll(), b.get(PAGE.LINT0)]).toEqual([[], 0x8044]);
  });

  test('a fixed edge pin: once', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.LINT1, 0x44);
    b.apic.lint1.set(true);
    expect(b.takeAll()).toEqual([0x44]);
    b.set(PAGE.EOI, 0);
    expect(b.takeAll()).toEqual([]);
  });

  test('an ExtINT message of an I/O APIC waits for one acknowledge', () => {
    const b = ApicBench.enabled();
    b.externalVectors = [0x30];
    b.apic.accept(0, 7, false);
    expect(b.takeAll()).toEqual([0x30]);
  });
});

describe('errors', () => {
  test('vectors 0 to 15: received -> ESR bit 6, sent -> bit 5, and never in IRR', () => {
    const b = ApicBench.enabled();
    b.apic.accept(0x0f, FIXED, false);
    expect(b.get(PAGE.ESR)).toBe(0);
    expect(b.errors()).toBe(0x40);
    b.set(PAGE.ICR, 0x4_0005);
    expect(b.errors()).toBe(0x20);
    expect(b.errors()).toBe(0);
    expect(b.get(PAGE.IRR)).toBe(0);
  });

  test('a reserved register: ESR bit 7, and the LVT error interrupt once until ESR is written', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.LVT_ERROR, 0xfe);
    expect(b.get(0x40)).toBe(0);
    b.set(0x3f0, 0x40);
    expect(b.takeAll()).toEqual([0xfe]);
    b.set(PAGE.EOI, 0);
    expect(b.takeAll()).toEqual([]);
    expect(b.errors()).toBe(0x80);
    b.get(0x2f0);
    expect(b.takeAll()).toEqual([0xfe]);
  });

  test('an error entry with an illegal vector does not recurse', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.LVT_ERROR, 0x03);
    b.get(0x40);
    expect(b.errors()).toBe(0xc0);
  });
});

describe('inter-processor interrupts', () => {
  test.each([
    ['self', 0x4_0000, [0x71]],
    ['all including self', 0x8_0000, [0x71]],
    ['all excluding self', 0xc_0000, []],
  ])('shorthand %s', (_name, shorthand, taken) => {
    const b = ApicBench.enabled();
    b.set(PAGE.ICR, shorthand | 0x71);
    expect(b.takeAll()).toEqual(taken);
    expect(b.get(PAGE.ICR) & 0x1000).toBe(0);
  });

  test.each([
    ['physical, own id', 0, 0x0200_0000, 0, 0xffff_ffff, true],
    ['physical, other id', 0, 0x0300_0000, 0, 0xffff_ffff, false],
    ['physical broadcast', 0, 0xff00_0000, 0, 0xffff_ffff, true],
    ['flat, one bit in common', 0x800, 0x0600_0000, 0x0400_0000, 0xffff_ffff, true],
    ['flat, none in common', 0x800, 0x0300_0000, 0x0400_0000, 0xffff_ffff, false],
    ['cluster, same cluster and member', 0x800, 0x1200_0000, 0x1200_0000, 0x0fff_ffff, true],
    ['cluster, other cluster', 0x800, 0x2200_0000, 0x1200_0000, 0x0fff_ffff, false],
    ['cluster, other member', 0x800, 0x1400_0000, 0x1200_0000, 0x0fff_ffff, false],
  ])('destination: %s', (_name, mode, destination, ldr, dfr, arrives) => {
    const b = ApicBench.enabled({ id: 2 });
    b.set(PAGE.LDR, ldr);
    b.set(PAGE.DFR, dfr);
    b.set(PAGE.ICR2, destination);
    b.set(PAGE.ICR, mode | 0x4000 | 0x71);
    expect(b.takeAll()).toEqual(arrives ? [0x71] : []);
  });

  test('NMI, INIT and SIPI to one processor that is alone', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.ICR, 0x4400);
    expect(b.nmis).toBe(1);
    for (const icr of [0xc_4500, 0xc_8500, 0xc_4608]) b.set(PAGE.ICR, icr);
    expect([b.inits, b.nmis]).toEqual([[], 1]);
    expect(b.ipis.map((i) => i.deliveryMode)).toEqual([4, 5, 6]); // the de-assert is no message
    // By shorthand only fixed interrupts may be sent to oneself.
    b.set(PAGE.ICR, 0x4_4400);
    expect(b.nmis).toBe(1);
  });
});

describe('the register page', () => {
  test('reserved bits of writes are ignored, read-only registers keep their value', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.LVT_TIMER, 0xffff_ffff);
    expect(b.get(PAGE.LVT_TIMER)).toBe(0x7_00ff);
    b.set(PAGE.LINT0, 0xffff_ffff);
    expect(b.get(PAGE.LINT0)).toBe(0x1_a7ff);
    b.set(PAGE.DIVIDE, 0xffff_ffff);
    expect(b.get(PAGE.DIVIDE)).toBe(0xb);
    b.set(PAGE.DFR, 0);
    expect(b.get(PAGE.DFR)).toBe(0x0fff_ffff);
    const version = b.get(PAGE.VERSION);
    b.set(PAGE.VERSION, 0);
    expect(b.get(PAGE.VERSION)).toBe(version);
    expect(b.errors()).toBe(0);
  });

  test('bytes and words read out of a register; narrow and unaligned writes are dropped', () => {
    const b = ApicBench.enabled();
    b.set(PAGE.LVT_TIMER, 0x1_0042);
    expect(b.apic.readMmio(PAGE.LVT_TIMER, 1)).toBe(0x42);
    expect(b.apic.readMmio(PAGE.LVT_TIMER + 2, 2)).toBe(1);
    b.apic.writeMmio(PAGE.LVT_TIMER, 1, 0x99);
    b.apic.writeMmio(PAGE.LVT_TIMER + 4, 4, 0x99);
    expect(b.get(PAGE.LVT_TIMER)).toBe(0x1_0042);
  });
});
