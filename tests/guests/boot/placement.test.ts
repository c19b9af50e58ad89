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

describe('placement', () => {
  const request = fc.record({ size: fc.integer({ min: 1, max: 0x40_0000 }), alignment: fc.constantFrom(1, 16, 4096, 0x20_0000), high: fc.boolean() });

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
          expect(usableRanges(plainMemoryMap(ram)).some(([start, end]) => address >= start && address + size <= end)).toBe(true);
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
