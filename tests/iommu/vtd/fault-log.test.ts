/** VT-d specification, "Primary Fault Logging" and "Fault Events". */
import { Bench } from './bench';

const PFO = 1;
const PPF = 2;
/** Every request faults (1: root entry not present); the bus number tells them apart. */
const faulty = (faultRecords: number): Bench => new Bench({ faultRecords }).enableTranslation();
const fault = (b: Bench, bus: number): void => void b.dma(0x1000 * bus, false, 4, bus << 8);
const clear = (b: Bench, index: number): void => b.write(0x22c + 16 * index, 0x8000_0000);
const firstIndex = (b: Bench): number => b.read(0x34) >>> 8;

test('CAP says where the records are and how many', () => {
  const cap = new Bench({ faultRecords: 5 }).read64(0x08);
  // FRO (33:24) in units of 16 bytes, NFR (47:40) less one.
  expect([((cap >> 24n) & 0x3ffn) * 16n, (cap >> 40n) & 0xffn]).toEqual([0x220n, 4n]);
});

test('records are filled in turn; FRI is the first that is pending', () => {
  const b = faulty(3);
  for (const bus of [1, 2]) fault(b, bus);
  expect([b.record(0), b.record(1)]).toMatchObject([
    { source: 0x100, address: 0x1000, pending: true },
    { source: 0x200, address: 0x2000, pending: true },
  ]);
  expect([b.read(0x34) & 0xff, firstIndex(b)]).toEqual([PPF, 0]);
  clear(b, 0);
  clear(b, 1);
  expect(b.read(0x34) & 0xff).toBe(0);
  fault(b, 3);
  expect([b.read(0x34) & 0xff, firstIndex(b)]).toEqual([PPF, 2]);
  clear(b, 2);
  fault(b, 4);
  expect([firstIndex(b), b.record(0).source]).toEqual([0, 0x400]);
});

test('a record that is pending is not overwritten: overflow, and no more records until software clears PFO', () => {
  const b = faulty(2);
  for (const bus of [1, 2, 3]) fault(b, bus);
  expect(b.read(0x34)).toBe(PFO | PPF);
  expect([b.record(0).source, b.record(1).source]).toEqual([0x100, 0x200]);
  expect(b.faults.map((f) => f.recorded)).toEqual([true, true, false]);
  clear(b, 0);
  clear(b, 1);
  fault(b, 4);
  expect(b.read(0x34) & 0xff).toBe(PFO);
  b.write(0x34, PFO);
  fault(b, 5);
  expect(b.record(0).source).toBe(0x500);
});

test('records are read-only but for F, and F is cleared by 1 only', () => {
  const b = faulty(1);
  fault(b, 1);
  const before = b.record(0);
  for (const offset of [0x220, 0x224, 0x228]) b.write(offset, 0xffff_ffff);
  b.write(0x22c, 0x7fff_ffff);
  expect(b.record(0)).toEqual(before);
  clear(b, 0);
  expect(b.record(0)).toEqual({ ...before, pending: false });
});

test('addresses of more than 32 bits use both halves', () => {
  const b = faulty(1);
  b.dma(0xf_1234_5678_9abc);
  expect([b.read(0x220), b.read(0x224)]).toEqual([0x5678_9000, 0xf_1234]);
});

describe('fault event', () => {
  const unmask = (b: Bench): Bench => {
    b.write(0x3c, 0x21);
    b.write(0x40, 0xfee0_1004);
    b.write(0x38, 0);
    return b;
  };
  test('masked after reset', () => {
    expect(new Bench().read(0x38)).toBe(0x8000_0000);
  });
  test('one message, until software has served everything', () => {
    const b = unmask(faulty(4));
    for (const bus of [1, 2]) fault(b, bus);
    expect(b.delivered).toMatchObject([{ address: 0xfee0_1004, data: 0x21 }]);
    clear(b, 0);
    fault(b, 3);
    expect(b.delivered).toHaveLength(1);
    clear(b, 1);
    clear(b, 2);
    fault(b, 4);
    expect(b.delivered).toHaveLength(2);
  });
  test('masked, it is pending; unmasking sends it; serving it withdraws it', () => {
    const b = unmask(faulty(4));
    b.write(0x38, 0x8000_0000);
    fault(b, 1);
    expect([b.read(0x38), b.delivered.length]).toEqual([0xc000_0000, 0]);
    b.write(0x38, 0);
    expect([b.read(0x38), b.delivered.length]).toEqual([0, 1]);
    b.write(0x38, 0x8000_0000);
    clear(b, 0);
    fault(b, 2);
    clear(b, 1);
    b.write(0x38, 0);
    expect(b.delivered).toHaveLength(1);
  });
  test('in extended interrupt mode the upper address holds destination bits 31:8', () => {
    const b = unmask(faulty(4));
    b.write(0x44, 0x0001_23ff);
    b.enableInterrupts(true);
    fault(b, 1);
    expect(b.delivered[0].extendedDestination).toBe(0x0001_2301);
  });
  test('without that mode in ECAP there is no upper address', () => {
    const b = new Bench({ extendedInterruptMode: false });
    b.write(0x44, 0x0001_2300);
    expect(b.read(0x44)).toBe(0);
  });
});
