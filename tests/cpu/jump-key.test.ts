import fc from 'fast-check';
import { jumpKeyHigh, jumpKeyLow, linearHighOfJump, linearLowOfJump, modeOfJump } from '../../cpu/jump-key';
import { jumpIndex } from '../../cpu/stage/jump-hash';
import { runs } from '../runs';

interface Place {
  readonly la57: boolean;
  readonly context: number;
  readonly mode: number;
  /** Bits of the address that count. */
  readonly low: number;
  readonly high: number;
}

const place: fc.Arbitrary<Place> = fc
  .record({
    la57: fc.boolean(),
    context: fc.oneof(fc.integer({ min: 1, max: 4095 }), fc.constantFrom(1, 2, 0x100, 0x200, 0x800)),
    mode: fc.constantFrom(0, 1, 2),
    low: fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constantFrom(0, 0x1000, 0x10_0000, 0x8000_0000)),
    high: fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constantFrom(0, 1, 0x8000, 0x1_0000, 0x100_0000)),
  })
  // What code can be at: canonical in 64-bit mode, 32 bits elsewhere.
  .map((p) => ({ ...p, high: p.mode !== 2 ? 0 : p.la57 ? ((p.high << 7) >> 7) >>> 0 : ((p.high << 16) >> 16) >>> 0 }));

const tag = (p: Place): readonly [low: number, high: number] => [
  (p.low ^ jumpKeyLow(p.context, p.la57)) >>> 0,
  (p.high ^ jumpKeyHigh(p.context, p.mode, p.la57)) >>> 0,
];
const same = (a: Place, b: Place): boolean => a.la57 === b.la57 && a.context === b.context && a.mode === b.mode && a.low === b.low && a.high === b.high;

describe('jump-cache tags', () => {
  it('tell what they are of', () => {
    fc.assert(
      fc.property(place, (p) => {
        const [low, high] = tag(p);
        const linearLow = linearLowOfJump(jumpIndex(p.low), low);
        expect([linearLow, linearHighOfJump(linearLow, low, high) >>> 0, modeOfJump(high)]).toEqual([p.low, p.high, p.mode]);
      }),
      { numRuns: 2000 },
    );
  });

  it('differ for two places in one slot, whatever the widths of their addresses', () => {
    fc.assert(
      fc.property(place, place, (a, b) => {
        // The place of b's mode and context whose tag would be that of a, if there is one.
        const [low, high] = tag(a);
        const twin: Place = { ...b, low: (low ^ jumpKeyLow(b.context, b.la57)) >>> 0, high: (high ^ jumpKeyHigh(b.context, b.mode, b.la57)) >>> 0 };
        const width = b.la57 ? 7 : 16;
        const possible = b.mode === 2 ? (twin.high << width) >> width === (twin.high | 0) : twin.high === 0;
        expect(possible && !same(a, twin) && jumpIndex(twin.low) === jumpIndex(a.low)).toBe(false);
      }),
      { numRuns: runs(1500) },
    );
  });
});
