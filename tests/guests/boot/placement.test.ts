import fc from 'fast-check';
import { BootError } from '../../../guests/boot/boot-error';
import { E820Type, plainMemoryMap, usableRanges } from '../../../guests/boot/e820';
import { Placement } from '../../../guests/boot/placement';

describe('memory map', () => {
  test('RAM beyond 3 GiB is seen from 4 GiB on', () => {
    const map = plainMemoryMap(3.5 * 2 ** 30);
    expect(map.filter((e) => e.type === E820Type.Usable)).toEqual([
      { address: 0, size: 0x9_fc00, type: 1 },
      { address: 0x10_0000, size: 0xbff0_0000, type: 1 },
      { address: 0x1_0000_0000, size: 0x2000_0000, type: 1 },
    ]);
  });

  test('usable ranges: joined, sorted, without what another entry takes away', () => {
    const map = [
      { address: 0x2000, size: 0x1000, type: 1 },
      { address: 0, size: 0x2000, type: 1 },
      { address: 0x1800, size: 0x200, type: 2 },
      { address: 0x8000, size: 0x1000, type: 1 },
    ];
    expect(usableRanges(map)).toEqual([[0, 0x1800], [0x1a00, 0x3000], [0x8000, 0x9000]]); // prettier-ignore
  });
});

/** Whether a machine with that RAM has room, and what it says if not. */
function refusal(mib: number, address: number, size: number): string | undefined {
  try {
    new Placement(plainMemoryMap(mib * 2 ** 20), mib * 2 ** 20).at(address, size, 'a segment');
    return undefined;
  } catch (error) {
    if (!(error instanceof BootError)) throw error;
    return error.message;
  }
}

describe('what to do about memory that is not there', () => {
  const LARGEST = 3072;
  test('more memory is advised where it helps, and only there', () => {
    const address = fc.oneof(fc.integer({ min: 0, max: 0x20_0000 }), fc.integer({ min: 0, max: 0x1_8000_0000 }));
    const size = fc.oneof(fc.integer({ min: 1, max: 0x20_0000 }), fc.integer({ min: 1, max: 0x1_0000_0000 }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: LARGEST }), address, size, (mib, from, bytes) => {
        const message = refusal(mib, from, bytes);
        if (message === undefined) return;
        const helps = refusal(LARGEST, from, bytes) === undefined;
        expect([message.includes('--memory'), message.includes('however much memory')]).toEqual([helps, !helps]);
      }),
    );
  });

  test.each([
    ['the hole below 1 MiB', 0xa_0000, 16, '0xa0000'],
    ['across the hole', 0x2_6000, 0x15_50fc, '0x9fc00'],
    ['devices', 0xfee0_0000, 16, '0xfee00000'],
    ['across the end of RAM into the devices', 0x10_0000, 0xe000_0000, '0xc0000000'],
  ])('%s', (_name, from, bytes, culprit) => {
    expect(refusal(64, from, bytes)).toContain(`${culprit} is not RAM on this machine, however much memory it has`);
  });
});

describe('placement', () => {
  const request = fc.record({ size: fc.integer({ min: 0, max: 0x40_0000 }), alignment: fc.constantFrom(1, 16, 4096, 0x20_0000), high: fc.boolean() });

  test('whatever is placed is in RAM, aligned, and overlaps nothing', () => {
    fc.assert(
      fc.property(fc.array(request, { maxLength: 20 }), (requests) => {
        const ram = 16 << 20;
        const placement = new Placement(plainMemoryMap(ram), ram);
        const placed: [number, number][] = [];
        for (const { size, alignment, high } of requests) {
          let address: number;
          try {
            address = placement.place(size, 'something', { alignment, high });
          } catch (error) {
            expect(error).toBeInstanceOf(BootError);
            continue;
          }
          expect(address % alignment).toBe(0);
          expect(usableRanges(plainMemoryMap(ram)).some(([start, end]) => address >= start && address < end && address + size <= end)).toBe(true);
          for (const [start, end] of placed) expect(address >= end || address + size <= start).toBe(true);
          placed.push([address, address + size]);
        }
      }),
      { seed: 1 },
    );
  });

  test('tables are in conventional memory, but not in page 0', () => {
    const placement = new Placement(plainMemoryMap(4 << 20), 4 << 20);
    expect(placement.table(new Uint8Array(64), 'a table')).toBe(0x1000);
  });

  test('tables go above 1 MiB when conventional memory is full', () => {
    const placement = new Placement(plainMemoryMap(4 << 20), 4 << 20);
    placement.at(0x1000, 0x9_ec00, 'an image');
    expect(placement.table(new Uint8Array(4096), 'a table', 4096)).toBe((4 << 20) - 4096);
  });
});
