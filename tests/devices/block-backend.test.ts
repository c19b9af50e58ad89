import fc from 'fast-check';
import { memoryDisk, OverlayDisk, requireUsable, restoreDisk, saveDisk } from '../../devices/block-backend';

const SIZE = 5 * 4096 + 512;
const base = () => {
  const bytes = Uint8Array.from({ length: SIZE }, (_, i) => (i * 13) & 0xff);
  return { bytes, size: SIZE, read: (offset: number, length: number) => bytes.subarray(offset, offset + length) };
};

test('property: an overlay reads as an array that was written the same way, and leaves what is under it alone', () => {
  const write = fc.tuple(fc.nat({ max: SIZE / 512 - 1 }), fc.integer({ min: 1, max: 20 }), fc.nat({ max: 255 }));
  fc.assert(
    fc.property(fc.array(write, { maxLength: 20 }), (writes) => {
      const under = base();
      const disk = new OverlayDisk(under);
      const expected = under.bytes.slice();
      for (const [sector, count, value] of writes) {
        const bytes = new Uint8Array(Math.min(count * 512, SIZE - sector * 512)).fill(value);
        disk.write(sector * 512, bytes);
        expected.set(bytes, sector * 512);
      }
      expect(Buffer.compare(disk.read(0, SIZE)!, expected)).toBe(0);
      for (const [sector] of writes) expect(disk.read(sector * 512, 512)).toEqual(expected.slice(sector * 512, sector * 512 + 512));
      expect(under.bytes).toEqual(base().bytes);
    }),
  );
});

test('a snapshot is not changed by later writes, nor by writes to what was read', () => {
  const disk = memoryDisk(8192);
  disk.write(0, new Uint8Array(512).fill(1));
  const state = disk.saveState();
  disk.write(0, new Uint8Array(512).fill(2));
  disk.read(0, 512)!.fill(3);
  expect(disk.read(0, 1)).toEqual(Uint8Array.of(2));
  const other = memoryDisk(8192);
  other.write(4096, new Uint8Array(512).fill(9));
  other.restoreState(structuredClone(state));
  expect([other.read(0, 1), other.read(4096, 1)]).toEqual([Uint8Array.of(1), Uint8Array.of(0)]);
});

test('bytes that the store under it hands out are never changed, not even those of a Node Buffer', () => {
  const bytes = Buffer.alloc(8192, 5);
  const disk = new OverlayDisk({ size: 8192, read: (offset, length) => bytes.subarray(offset, offset + length) });
  disk.read(0, 512)!.fill(1);
  disk.write(512, new Uint8Array(512).fill(2));
  disk.write(512, new Uint8Array(512).fill(3));
  expect(bytes.every((byte) => byte === 5)).toBe(true);
});

test('a store under it that cannot be read fails reads, and writes of a part of a block', () => {
  const disk = new OverlayDisk({ size: 8192, read: () => undefined });
  expect([disk.read(0, 512), disk.write(0, new Uint8Array(512)), disk.read(0, 8192)]).toEqual([undefined, false, undefined]);
});

test('sizes that are no disk', () => {
  const sized = (size: number) => ({ ...memoryDisk(512), size, readOnly: false, read: () => undefined, write: () => true, flush: () => true });
  for (const size of [0, 511, 513, NaN, Infinity, 2 ** 53]) expect(() => requireUsable(sized(size))).toThrow('whole number of 512-byte sectors');
  expect(() => requireUsable(sized(512))).not.toThrow();
});

test('what a snapshot keeps of a disk', () => {
  const fixed = { size: 512, readOnly: true, read: () => new Uint8Array(512), write: () => false, flush: () => true };
  expect(saveDisk(fixed)).toBeUndefined();
  expect(() => restoreDisk(fixed, undefined)).not.toThrow();
  expect(() => saveDisk({ ...fixed, readOnly: false })).toThrow('cannot be part of a snapshot');
});
