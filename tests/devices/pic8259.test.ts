import { PicPair } from '../../devices/pic8259';
import { TestBench, Wire } from './test-bench';

/** Initialised as Linux does (init_8259A): vectors 30h/38h, everything unmasked. */
function setup({ icw4 = 0x01 } = {}) {
  const bench = new TestBench();
  const int = new Wire();
  const pic = new PicPair(int);
  pic.attach(bench.ports);
  const { out } = { out: (p: number, v: number): void => bench.out(p, v) };
  out(0x20, 0x11);
  out(0x21, 0x30);
  out(0x21, 0x04);
  out(0x21, icw4);
  out(0xa0, 0x11);
  out(0xa1, 0x38);
  out(0xa1, 0x02);
  out(0xa1, 0x01);
  out(0x21, 0);
  out(0xa1, 0);
  const raise = (irq: number): void => pic.inputs[irq].set(true);
  const lower = (irq: number): void => pic.inputs[irq].set(false);
  const pulse = (irq: number): void => (lower(irq), raise(irq));
  return { bench, int, pic, out, inp: (p: number): number => bench.in(p), raise, lower, pulse };
}

const EOI = 0x20;

test('IRQ -> INT, acknowledge -> vector and in service, EOI -> free', () => {
  const { int, pic, out, inp, raise } = setup();
  raise(4);
  expect(int.level).toBe(true);
  expect(inp(0x20)).toBe(0x10); // IRR
  expect(pic.acknowledge()).toBe(0x34);
  expect(int.level).toBe(false);
  expect(inp(0x20)).toBe(0);
  out(0x20, 0x0b);
  expect(inp(0x20)).toBe(0x10); // ISR
  out(0x20, EOI);
  expect(inp(0x20)).toBe(0);
  expect(int.level).toBe(false); // still high, but that was one edge
});

test('fully nested: higher levels interrupt lower ones, not the other way round', () => {
  const { int, pic, out, raise } = setup();
  raise(4);
  expect(pic.acknowledge()).toBe(0x34);
  raise(5);
  expect(int.level).toBe(false);
  raise(1);
  expect(int.level).toBe(true);
  expect(pic.acknowledge()).toBe(0x31);
  out(0x20, EOI); // ends level 1
  expect(int.level).toBe(false);
  out(0x20, EOI); // ends level 4
  expect(pic.acknowledge()).toBe(0x35);
});

test('slave through the cascade needs an EOI at both chips', () => {
  const { int, pic, out, raise } = setup();
  raise(8);
  raise(12);
  expect(pic.acknowledge()).toBe(0x38);
  expect(int.level).toBe(false);
  out(0xa0, EOI);
  expect(int.level).toBe(false); // the master still has IR2 in service
  out(0x20, 0x62);
  expect(int.level).toBe(true);
  expect(pic.acknowledge()).toBe(0x3c);
});

test('special fully nested mode lets a higher slave level through', () => {
  for (const [icw4, expected] of [
    [0x01, false],
    [0x11, true],
  ] as const) {
    const { int, pic, raise } = setup({ icw4 });
    raise(12);
    expect(pic.acknowledge()).toBe(0x3c);
    raise(8);
    expect(int.level).toBe(expected);
  }
});

test('IMR masks, and reads back on the odd port', () => {
  const { int, out, inp, raise } = setup();
  out(0x21, 0xfb);
  raise(3);
  expect(int.level).toBe(false);
  expect(inp(0x21)).toBe(0xfb);
  out(0x21, 0xf3);
  expect(int.level).toBe(true);
});

test('a request that goes before the acknowledge gives IR7 with no ISR bit', () => {
  const { int, pic, out, inp, raise, lower } = setup();
  raise(3);
  lower(3);
  expect(int.level).toBe(false);
  expect(pic.acknowledge()).toBe(0x37);
  out(0x20, 0x0b);
  expect(inp(0x20)).toBe(0);
});

test('automatic EOI leaves nothing in service', () => {
  const { int, pic, out, inp, raise } = setup({ icw4: 0x03 });
  raise(6);
  expect(pic.acknowledge()).toBe(0x36);
  out(0x20, 0x0b);
  expect(inp(0x20)).toBe(0);
  raise(7);
  expect(int.level).toBe(true);
});

test('rotate on non-specific EOI: the level served becomes the lowest', () => {
  const { pic, out, raise, pulse } = setup();
  raise(3);
  expect(pic.acknowledge()).toBe(0x33);
  out(0x20, 0xa0);
  pulse(3);
  raise(4);
  expect(pic.acknowledge()).toBe(0x34);
});

test('set priority: IR5 lowest makes IR6 highest', () => {
  const { pic, out, raise } = setup();
  out(0x20, 0xc5);
  raise(0);
  raise(6);
  expect(pic.acknowledge()).toBe(0x36);
});

test('special mask mode: masking the level in service enables lower levels, non-specific EOI passes it by', () => {
  const { int, pic, out, inp, raise } = setup();
  raise(3);
  expect(pic.acknowledge()).toBe(0x33);
  raise(5);
  out(0x21, 0x08);
  expect(int.level).toBe(false);
  out(0x20, 0x68);
  expect(int.level).toBe(true);
  expect(pic.acknowledge()).toBe(0x35);
  out(0x20, EOI);
  out(0x20, 0x0b);
  expect(inp(0x20)).toBe(0x08);
  out(0x20, 0x63);
  expect(inp(0x20)).toBe(0);
});

test('poll: the next read acknowledges', () => {
  const { int, out, inp, raise } = setup();
  out(0x20, 0x0c);
  expect(inp(0x20) & 0x80).toBe(0);
  raise(6);
  out(0x20, 0x0c);
  expect(inp(0x20)).toBe(0x86);
  expect(int.level).toBe(false);
});

describe('ELCR', () => {
  test('system lines stay edge-triggered', () => {
    const { out, inp } = setup();
    out(0x4d0, 0xff);
    out(0x4d1, 0xff);
    expect([inp(0x4d0), inp(0x4d1)]).toEqual([0xf8, 0xde]);
  });

  test('a level input asks again after the EOI', () => {
    const { int, pic, out, raise, lower } = setup();
    out(0x4d1, 0x08);
    raise(11);
    expect(pic.acknowledge()).toBe(0x3b);
    out(0xa0, EOI);
    out(0x20, EOI);
    expect(int.level).toBe(true);
    lower(11);
    expect(int.level).toBe(false);
  });
});

test('ICW1 clears IMR and in-service, and forgets edges', () => {
  const { int, pic, out, inp, raise, pulse } = setup();
  raise(4);
  pic.acknowledge();
  raise(5);
  out(0x21, 0xff);
  out(0x20, 0x11);
  out(0x21, 0x40);
  out(0x21, 0x04);
  out(0x21, 0x01);
  expect(inp(0x21)).toBe(0);
  expect(int.level).toBe(false);
  pulse(5);
  expect(pic.acknowledge()).toBe(0x45);
});

test('Linux probe_8259A: the mask register reads back', () => {
  const { out, inp } = setup();
  out(0xa1, 0xff);
  out(0x21, 0xfb);
  expect(inp(0x21)).toBe(0xfb);
});

test('IRQ2 has no input', () => {
  const { int, raise } = setup();
  raise(2);
  expect(int.level).toBe(false);
});
