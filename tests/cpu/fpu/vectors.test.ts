import { replayed, replaySse, replayX87 } from './vectors/replay';
import { notComparable } from './vectors/skip';
import { Vectors } from './vectors/vectors';

describe('instructions recorded on a processor', () => {
  test('x87: results, status word, tags, stack, memory, RFLAGS', () => {
    replayed.count = 0;
    const mismatches = replayX87(new Vectors('x87.bin.gz'), notComparable);
    expect(mismatches.map((m) => m.text)).toEqual([]);
    expect(replayed.count).toBeGreaterThan(25_000);
  });

  test('SSE: results, MXCSR, #XM, general registers, MMX state', () => {
    replayed.count = 0;
    const mismatches = replaySse(new Vectors('sse.bin.gz'));
    expect(mismatches.map((m) => m.text)).toEqual([]);
    expect(replayed.count).toBeGreaterThan(20_000);
  });
});
