/** VT-d specification, "Queued Invalidation Interface". */
import { Bench, QUEUE } from './bench';

const STATUS = 0x5_0000;
const IQE = 0x10;
const wait = (flags: bigint, data = 0n): [bigint, bigint] => [5n | flags | (data << 32n), BigInt(STATUS)];
const IF = 0x10n;
const SW = 0x20n;
const FN = 0x40n;

test('without QIE the queue stands still; switched on it goes to the tail', () => {
  const b = new Bench();
  b.write64(0x90, BigInt(QUEUE));
  b.submit(wait(SW, 0x1234_5678n));
  expect([b.read(0x80), b.memory.read32(STATUS)]).toEqual([0, 0]);
  b.command(0x0400_0000);
  expect([b.read(0x1c), b.read(0x80), b.memory.read32(STATUS)]).toEqual([0x0400_0000, 0x10, 0x1234_5678]);
});

test('a wait descriptor writes its status dword, fence or not', () => {
  const b = new Bench().enableQueue();
  b.memory.write32(STATUS + 4, 0xdead_beef);
  b.submit(wait(SW | FN, 2n));
  expect([b.memory.read32(STATUS), b.memory.read32(STATUS + 4)]).toEqual([2, 0xdead_beef]);
  // A status address without memory behind it is no error.
  b.submit([5n | SW, 0x1000_0000n]);
  expect([b.read(0x80), b.read(0x34)]).toEqual([0x20, 0]);
});

test('the queue wraps around at its end', () => {
  const b = new Bench().enableQueue();
  for (let i = 1; i <= 300; i++) b.submit(wait(SW, BigInt(i)));
  expect([b.read(0x80), b.memory.read32(STATUS)]).toEqual([(300 % 256) * 16, 300]);
});

test('QS: a queue of eight pages', () => {
  const b = new Bench();
  b.write64(0x90, BigInt(QUEUE) | 3n);
  b.command(0x0400_0000);
  for (let at = 0; at < 0x7ff0; at += 16) b.memory.write64(QUEUE + at, 5n);
  b.write(0x88, 0x7ff0);
  expect([b.read(0x80), b.read(0x34)]).toEqual([0x7ff0, 0]);
});

test('switched off, the head goes back to the beginning', () => {
  const b = new Bench().enableQueue();
  b.submit(wait(0n));
  b.write(0x18, 0);
  expect([b.read(0x1c), b.read(0x80)]).toEqual([0, 0]);
});

describe('invalidation completion event', () => {
  function unmasked(): Bench {
    const b = new Bench().enableQueue();
    b.write(0xa4, 0x41);
    b.write(0xa8, 0xfee0_3000);
    b.write(0xa0, 0);
    return b;
  }
  test('IWC is set and the message is sent, once until software clears IWC', () => {
    const b = unmasked();
    b.submit(wait(IF), wait(IF));
    expect(b.read(0x9c)).toBe(1);
    expect(b.delivered).toMatchObject([{ address: 0xfee0_3000, data: 0x41 }]);
    b.write(0x9c, 1);
    expect(b.read(0x9c)).toBe(0);
    b.submit(wait(IF));
    expect(b.delivered).toHaveLength(2);
  });
  test('in extended interrupt mode the upper address holds destination bits 31:8', () => {
    const b = unmasked().enableInterrupts(true);
    b.write(0xac, 0x0001_23ff);
    b.submit(wait(IF));
    expect(b.delivered).toMatchObject([{ address: 0xfee0_3000, data: 0x41, extendedDestination: 0x0001_2303 }]);
  });
  test('masked, it is pending, and sent when it is unmasked', () => {
    const b = unmasked();
    b.write(0xa0, 0x8000_0000);
    b.submit(wait(IF));
    expect([b.read(0xa0), b.delivered.length]).toEqual([0xc000_0000, 0]);
    b.write(0xa0, 0);
    expect([b.read(0xa0), b.delivered.length]).toEqual([0, 1]);
  });
  test('masked and served in the meantime, it is gone', () => {
    const b = unmasked();
    b.write(0xa0, 0x8000_0000);
    b.submit(wait(IF));
    b.write(0x9c, 1);
    expect(b.read(0xa0)).toBe(0x8000_0000);
    b.write(0xa0, 0);
    expect(b.delivered).toHaveLength(0);
  });
});

describe('errors', () => {
  const cases: readonly [name: string, info: number, descriptor: [bigint, bigint]][] = [
    ['type 0', 3, [0n, 0n]],
    ['type 3: device-TLB, which ECAP.DT does not offer', 3, [3n, 0n]],
    ['type 6: needs scalable mode', 3, [6n, 0n]],
    ['type bits 11:9', 3, [0x205n, 0n]],
    ['context-cache: granularity 0', 4, [0x01n, 0n]],
    ['context-cache: bit 6', 4, [0x51n, 0n]],
    ['context-cache: bit 50', 4, [0x11n | (1n << 50n), 0n]],
    ['context-cache: upper half', 4, [0x11n, 1n]],
    ['IOTLB: granularity 0', 4, [0x02n, 0n]],
    ['IOTLB: bit 8', 4, [0x112n, 0n]],
    ['IOTLB: bit 32', 4, [0x12n | (1n << 32n), 0n]],
    ['IOTLB: upper half bit 7', 4, [0x32n, 0x80n]],
    ['IOTLB: more pages than MAMV', 4, [0x32n, 19n]],
    ['interrupt entry cache: bit 5', 4, [0x24n, 0n]],
    ['interrupt entry cache: bit 48', 4, [0x04n | (1n << 48n), 0n]],
    ['wait: bit 12', 4, [0x1005n, 0n]],
    ['wait: status address bit 1', 4, [0x05n, 2n]],
  ];
  test.each(cases)('%s', (_name, info, descriptor) => {
    const b = new Bench().enableQueue();
    b.submit(wait(SW, 1n), descriptor, wait(SW, 2n));
    // The head stays at the descriptor; what came before it is done, what follows is not.
    expect([b.read(0x80), b.memory.read32(STATUS), b.read(0x34), b.read(0xb0)]).toEqual([0x10, 1, IQE, info]);
    // No more are fetched while IQE is set.
    b.submit(wait(SW, 3n));
    expect(b.memory.read32(STATUS)).toBe(1);
    // Linux puts a harmless descriptor in its place and clears IQE.
    b.memory.write64(QUEUE + 0x10, 5n);
    b.memory.write64(QUEUE + 0x18, 0n);
    b.write(0x34, IQE);
    expect([b.read(0x80), b.memory.read32(STATUS), b.read(0x34), b.read(0xb0)]).toEqual([0x40, 3, 0, 0]);
  });
  test('a descriptor outside memory: fetch error', () => {
    const b = new Bench();
    b.write64(0x90, 0x1000_0000n);
    b.command(0x0400_0000);
    b.write(0x88, 0x10);
    expect([b.read(0x80), b.read(0x34), b.read(0xb0)]).toEqual([0, IQE, 2]);
  });
  test('a tail beyond the queue: invalid tail pointer', () => {
    const b = new Bench().enableQueue();
    b.write(0x88, 0x1000);
    expect([b.read(0x80), b.read(0x34), b.read(0xb0)]).toEqual([0, IQE, 1]);
  });
  test('an error is a fault event', () => {
    const b = new Bench().enableQueue();
    b.write(0x3c, 0x21);
    b.write(0x40, 0xfee0_1004);
    b.write(0x38, 0);
    b.submit([0n, 0n]);
    expect(b.delivered).toMatchObject([{ address: 0xfee0_1004, data: 0x21 }]);
  });
  test('without interrupt remapping there is no interrupt entry cache to invalidate', () => {
    const b = new Bench({ interruptRemapping: false }).enableQueue();
    b.submit([4n, 0n]);
    expect(b.read(0xb0)).toBe(3);
  });
});
