/** Any sequence of accesses keeps the APIC alive; a restored snapshot goes on like the original; highest-vector caches are right. */
import fc from 'fast-check';
import { VectorSet } from '../../../cpu/apic/vector-set';
import { ApicBench } from './apic-bench';

interface Step {
  kind: number;
  offset: number;
  value: number;
  wait: number;
}
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.integer({ min: 0, max: 11 }),
  offset: fc.oneof(
    fc.integer({ min: 0, max: 0x3f }).map((n) => n * 16),
    fc.integer({ min: 0, max: 0xfff }),
  ),
  value: fc.oneof(fc.integer({ min: 0, max: 0x7_00ff }), fc.integer({ min: 0, max: 0xffff_ffff })),
  wait: fc.integer({ min: 0, max: 5000 }),
});
const BASES = [0xfee0_0900n, 0xfee0_0d00n, 0xfee0_0100n];

function run(b: ApicBench, { kind, offset, value, wait }: Step): unknown {
  b.bench.advance(wait);
  const { apic } = b;
  switch (kind) {
    case 0:
      return apic.accept(value & 0xff, (value >>> 8) & 7, (value & 0x800) !== 0);
    case 1:
      return apic.pending() ? apic.acknowledge() : -1;
    case 2:
      return apic.lint0.set((value & 1) !== 0);
    case 3:
      return apic.lint1.set((value & 1) !== 0);
    case 4:
      return value % 7 === 0 ? apic.writeMsr(0x1b, BASES[value % 3]) : apic.writeMsr(0x6e0, BigInt(b.bench.now + (value & 0xfff)));
    case 5:
      return apic.writeMsr(0x800 + (offset >>> 4), BigInt(value));
    case 6:
      return apic.readMsr(0x800 + (offset >>> 4));
    case 7:
      return apic.writeMmio(0xb0, 4, 0);
    case 8:
      return apic.writeMmio(0xf0, 4, 0x1ff);
    case 9:
      return apic.readMmio(offset, ([1, 2, 4] as const)[value % 3]) >>> 0;
    default:
      return apic.writeMmio(offset, value % 5 === 0 ? 1 : 4, value);
  }
}

const steps = fc.array(step, { minLength: 10, maxLength: 200 });

test('nothing throws, and a restored copy answers as the original', () => {
  fc.assert(
    fc.property(steps, steps, (before, after) => {
      const original = ApicBench.enabled();
      for (const s of before) run(original, s);
      const copy = new ApicBench();
      copy.bench.advanceTo(original.bench.now);
      copy.apic.restoreState(JSON.parse(JSON.stringify(original.apic.saveState())) as ReturnType<typeof copy.apic.saveState>);
      for (const s of after) expect(run(copy, s)).toEqual(run(original, s));
      expect(copy.apic.saveState()).toEqual(original.apic.saveState());
    }),
    { numRuns: 150, seed: 3 },
  );
});

test('VectorSet.highest is the maximum of the set', () => {
  const op = fc.tuple(fc.boolean(), fc.integer({ min: 16, max: 255 }));
  fc.assert(
    fc.property(fc.array(op, { maxLength: 300 }), (ops) => {
      const set = new VectorSet();
      const model = new Set<number>();
      for (const [add, v] of ops) {
        if (add) set.set(v);
        else set.clear(v);
        if (add) model.add(v);
        else model.delete(v);
        expect(set.highest).toBe(Math.max(0, ...model));
        expect(set.has(v)).toBe(add);
      }
    }),
    { seed: 4 },
  );
});
