/** Intel 82093AA I/O APIC datasheet; ICH9 datasheet, "APIC Registers". */
import { decodeMessage, type InterruptMessage } from '../../devices/interrupt-message';
import { IoApic } from '../../devices/ioapic';

const MASKED = 0x1_0000;
const LEVEL = 0x8000;
const REMOTE_IRR = 0x4000;

function setup() {
  const sent: InterruptMessage[] = [];
  const ioapic = new IoApic((m) => sent.push(m));
  const read = (index: number): number => {
    ioapic.writeMmio(0, 4, index);
    return ioapic.readMmio(0x10, 4) >>> 0;
  };
  const write = (index: number, value: number): void => {
    ioapic.writeMmio(0, 4, index);
    ioapic.writeMmio(0x10, 4, value);
  };
  const entry = (pin: number, low: number, high = 0): void => {
    write(0x11 + 2 * pin, high);
    write(0x10 + 2 * pin, low);
  };
  const vectors = (): number[] => sent.splice(0).map((m) => decodeMessage(m)!.vector);
  return { ioapic, sent, read, write, entry, vectors };
}

test('after reset: version 20h with 24 entries, all masked', () => {
  const { read } = setup();
  expect(read(1)).toBe(0x0017_0020);
  for (let pin = 0; pin < 24; pin++) expect([read(0x10 + 2 * pin), read(0x11 + 2 * pin)]).toEqual([MASKED, 0]);
  expect(read(0x40)).toBe(0);
});

test('id: four bits, repeated by the arbitration register', () => {
  const { read, write } = setup();
  write(0, 0xffff_ffff);
  expect(read(0)).toBe(0x0f00_0000);
  write(0, 0x0200_0000);
  expect([read(0), read(2)]).toEqual([0x0200_0000, 0x0200_0000]);
});

test('entries keep their writable bits; status bits are read-only', () => {
  const { read, entry } = setup();
  entry(3, 0xffff_ffff, 0xffff_ffff);
  expect([read(0x16), read(0x17)]).toEqual([0x1_afff, 0xffff_0000]);
});

describe('edge', () => {
  test('one message for each rising edge', () => {
    const { ioapic, entry, vectors } = setup();
    entry(4, 0x34);
    for (const level of [true, true, false, false, true]) ioapic.inputs[4].set(level);
    expect(vectors()).toEqual([0x34, 0x34]);
  });

  test('an edge at a masked pin is neither delivered nor held pending', () => {
    const { ioapic, entry, vectors } = setup();
    entry(4, MASKED | 0x34);
    ioapic.inputs[4].set(true);
    entry(4, 0x34);
    expect(vectors()).toEqual([]);
  });
});

describe('level', () => {
  test('remote IRR from acceptance to EOI; asserted still, it is sent again', () => {
    const { ioapic, read, entry, vectors } = setup();
    entry(9, LEVEL | 0x39);
    ioapic.inputs[9].set(true);
    expect([vectors(), read(0x22)]).toEqual([[0x39], LEVEL | REMOTE_IRR | 0x39]);
    ioapic.inputs[9].set(false);
    ioapic.inputs[9].set(true);
    expect(vectors()).toEqual([]);
    ioapic.endOfInterrupt(0x39);
    expect(vectors()).toEqual([0x39]);
    ioapic.inputs[9].set(false);
    ioapic.endOfInterrupt(0x39);
    expect([vectors(), read(0x22)]).toEqual([[], LEVEL | 0x39]);
  });

  test('unmasking an asserted pin sends; masking during service does not lose the EOI', () => {
    const { ioapic, read, entry, vectors } = setup();
    entry(9, MASKED | LEVEL | 0x39);
    ioapic.inputs[9].set(true);
    expect(vectors()).toEqual([]);
    entry(9, LEVEL | 0x39);
    expect(vectors()).toEqual([0x39]);
    entry(9, MASKED | LEVEL | 0x39);
    ioapic.endOfInterrupt(0x39);
    expect([vectors(), read(0x22)]).toEqual([[], MASKED | LEVEL | 0x39]);
    entry(9, LEVEL | 0x39);
    expect(vectors()).toEqual([0x39]);
  });

  test('the EOI register (version 20h) ends by vector, and only that vector', () => {
    const { ioapic, read, entry } = setup();
    entry(9, LEVEL | 0x39);
    entry(10, LEVEL | 0x3a);
    ioapic.inputs[9].set(true);
    ioapic.inputs[10].set(true);
    ioapic.inputs[9].set(false);
    ioapic.writeMmio(0x40, 4, 0x39);
    expect([read(0x22), read(0x24)]).toEqual([LEVEL | 0x39, LEVEL | REMOTE_IRR | 0x3a]);
  });

  test('turning an entry to edge and back clears remote IRR, as kernels do for old versions', () => {
    const { ioapic, read, entry } = setup();
    entry(9, LEVEL | 0x39);
    ioapic.inputs[9].set(true);
    ioapic.inputs[9].set(false);
    entry(9, MASKED | 0x39);
    entry(9, LEVEL | 0x39);
    expect(read(0x22)).toBe(LEVEL | 0x39);
  });
});

test.each([
  ['fixed physical', 0x0031, 0x0300_0000, 0xfee0_3000, { vector: 0x31, deliveryMode: 0, level: false, logical: false, destination: 3 }],
  ['lowest priority logical', 0x0931, 0xff00_0000, 0xfeef_f004, { vector: 0x31, deliveryMode: 1, level: false, logical: true, destination: 0xff }],
  ['NMI, level ignored', 0x8402, 0, 0xfee0_0000, { vector: 2, deliveryMode: 4, level: false, logical: false, destination: 0 }],
  ['ExtINT', 0x0700, 0, 0xfee0_0000, { vector: 0, deliveryMode: 7, level: false, logical: false, destination: 0 }],
  // SDM and VT-d, "I/OxAPIC Programming": handle 14:0 in bits 63:49, format in bit 48, handle 15 in bit 11.
  ['remappable', 0x0000, 0x2469_0000, 0xfee2_4690, undefined],
])('message: %s', (_name, low, high, address, request) => {
  const { ioapic, sent, entry } = setup();
  entry(5, low, high);
  ioapic.inputs[5].set(true);
  expect(sent[0].address).toBe(address);
  if (request !== undefined) expect(decodeMessage(sent[0])).toEqual({ ...request, wide: false });
});

test('an address outside the interrupt range is no interrupt', () => {
  expect(decodeMessage({ address: 0xfec0_0000, data: 0x31, source: 0 })).toBeUndefined();
  expect(decodeMessage({ address: 0xfef0_0000, data: 0x31, source: 0 })).toBeUndefined();
});

test('registers that do not exist read 0 and take anything', () => {
  const { ioapic } = setup();
  for (let offset = 0; offset < 0x1000; offset++) {
    for (const size of [1, 2, 4] as const) {
      ioapic.writeMmio(offset, size, 0xdead_beef);
      expect(ioapic.readMmio(offset, size) >>> 0).toBeLessThan(2 ** (8 * size));
    }
  }
});

test('snapshot: a service in progress goes on', () => {
  const { ioapic, entry } = setup();
  entry(9, LEVEL | 0x39);
  ioapic.inputs[9].set(true);
  const copy = setup();
  copy.ioapic.restoreState(JSON.parse(JSON.stringify(ioapic.saveState())) as ReturnType<IoApic['saveState']>);
  copy.ioapic.inputs[9].set(true);
  expect(copy.vectors()).toEqual([]);
  copy.ioapic.endOfInterrupt(0x39);
  expect(copy.vectors()).toEqual([0x39]);
});
