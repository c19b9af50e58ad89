/** A device's way to memory: runs, pages, refusals, interrupt messages. */
import fc from 'fast-check';
import type { InterruptMessage } from '../../devices/interrupt-message';
import { RequesterDma } from '../../iommu/dma';
import type { DmaTranslation } from '../../iommu/remapping';
import { PhysicalMemory } from '../../memory/physical-memory';
import { Bench, DEVICE } from './vtd/bench';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

test('without an IOMMU addresses are physical, and outside RAM nothing answers', () => {
  const memory = new PhysicalMemory(1 << 20);
  const dma = new RequesterDma(8, memory);
  expect(dma.write(0xf_fffe, bytes(1, 2))).toBe(true);
  expect(dma.read(0xf_fffe, 2)).toEqual(bytes(1, 2));
  expect([dma.read(0xf_ffff, 2), dma.write(0xf_ffff, bytes(1, 2))]).toEqual([undefined, false]);
  expect(dma.read(0, 0)).toEqual(bytes());
});

test('a transfer over pages that lie apart is put together; it stops at the first page that is refused', () => {
  const b = new Bench();
  b.attach(DEVICE, 3);
  b.map(0x1000, 0x9000);
  b.map(0x2000, 0x7000);
  b.map(0x3000, 0xa000, 3, 1n);
  b.enableTranslation();
  const dma = new RequesterDma(DEVICE, b.memory, b.unit);
  expect(dma.write(0x1ffe, bytes(1, 2, 3, 4))).toBe(true);
  expect([b.memory.read16(0x9ffe), b.memory.read16(0x7000)]).toEqual([0x0201, 0x0403]);
  expect(dma.read(0x1ffe, 4)).toEqual(bytes(1, 2, 3, 4));
  expect(dma.write(0x2ffe, bytes(5, 6, 7, 8))).toBe(false);
  expect([b.memory.read16(0x7ffe), b.memory.read16(0xa000)]).toEqual([0x0605, 0]);
  expect(b.faults).toMatchObject([{ code: 5, address: 0x3000, requester: DEVICE }]);
});

test('a dword to FEEx_xxxxh is an interrupt message with the requester as its source', () => {
  const sent: InterruptMessage[] = [];
  const memory = new PhysicalMemory(1 << 20);
  const dma = new RequesterDma(DEVICE, memory, undefined, (m) => void sent.push(m));
  expect(dma.write(0xfee0_1000, bytes(0x31, 0x40, 0, 0))).toBe(true);
  expect(sent).toEqual([{ address: 0xfee0_1000, data: 0x4031, source: DEVICE }]);
  expect([dma.write(0xfee0_1002, bytes(1, 2, 3, 4)), dma.write(0xfee0_1000, bytes(1)), dma.write(0xfef0_0000, bytes(1, 2, 3, 4))]).toEqual([
    false,
    false,
    false,
  ]);
  expect(sent).toHaveLength(1);
});

test('any mapping and any transfer: as byte by byte', () => {
  fc.assert(
    fc.property(
      fc.array(fc.option(fc.nat(15)), { minLength: 8, maxLength: 8 }),
      fc.nat(0x7fff),
      fc.integer({ min: 1, max: 0x3000 }),
      (pages, start, length) => {
        const memory = new PhysicalMemory(1 << 20);
        const translate = (_: number, address: number, want: number): DmaTranslation => {
          const page = pages[address >>> 12] ?? undefined;
          if (page === undefined) return { kind: 'blocked', fault: undefined as never };
          return { kind: 'mapped', physical: 0x1000 * page + (address & 0xfff), length: Math.min(want, 0x1000 - (address & 0xfff)) };
        };
        const dma = new RequesterDma(0, memory, { translate });
        for (let i = 0; i < 0x1_0000; i += 4) memory.write32(i, i * 2654435761);
        const byte = (a: number): number | undefined =>
          pages[a >>> 12] === null || pages[a >>> 12] === undefined ? undefined : memory.read8(0x1000 * pages[a >>> 12]! + (a & 0xfff));
        const expected = Array.from({ length }, (_, i) => byte(start + i));
        const result = dma.read(start, length);
        if (expected.includes(undefined)) expect(result).toBeUndefined();
        else expect(Buffer.compare(result!, Uint8Array.from(expected as number[]))).toBe(0);
      },
    ),
    { numRuns: 30 },
  );
});
