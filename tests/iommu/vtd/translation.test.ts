/** VT-d specification, "DMA Remapping": what is translated where. */
import fc from 'fast-check';
import { Bench, CONTEXT, DEVICE, DOMAIN, TABLE } from './bench';
import { runs } from '../../runs';

test('before translation is enabled, addresses are physical', () => {
  const b = new Bench();
  expect(b.dma(0x12_3456, true, 100)).toEqual({ kind: 'mapped', physical: 0x12_3456, length: 100 });
});

test.each([3, 4, 5] as const)('%d levels: an address is found through all of them, and the run ends with the page', (levels) => {
  const b = new Bench();
  const address = { 3: 0x7f_ffff_f000, 4: 0xffff_ffff_f000, 5: 0xf_ffff_ffff_f000 }[levels];
  b.attach(DEVICE, levels);
  b.map(address, 0x9000, levels);
  b.enableTranslation();
  expect(b.dma(address + 0xff0, true, 0x100)).toEqual({ kind: 'mapped', physical: 0x9ff0, length: 0x10 });
});

test.each([
  [2, 0x20_0000],
  [3, 0x4000_0000],
])('a leaf of level %d maps %d bytes', (leafLevel, size) => {
  const b = new Bench();
  b.attach(DEVICE, 4);
  b.map(5 * size, 3 * size, 4, 3n, leafLevel);
  b.enableTranslation();
  expect(b.dma(5 * size + 0x1234, false, 2 * size)).toEqual({ kind: 'mapped', physical: 3 * size + 0x1234, length: size - 0x1234 });
});

test('permissions of all levels count together', () => {
  const b = new Bench();
  b.attach(DEVICE, 3);
  b.map(0x1000, 0x5000, 3, 1n);
  b.enableTranslation();
  expect([b.target(0x1000), b.target(0x1000, true)]).toEqual(['to 5000', 'fault 5']);
  // The refused write has not spoilt what is cached for reads.
  expect(b.target(0x1000)).toBe('to 5000');
});

test('more permission takes effect without invalidation, less does not', () => {
  const b = new Bench();
  b.attach(DEVICE, 3);
  const entry = b.map(0x1000, 0x5000, 3, 1n);
  b.enableTranslation();
  b.dma(0x1000);
  b.memory.write64(entry, 0x5003n);
  expect(b.target(0x1000, true)).toBe('to 5000');
  b.memory.write64(entry, 0x5001n);
  expect(b.target(0x1000, true)).toBe('to 5000');
});

test('bits that the specification ignores are ignored', () => {
  const b = new Bench();
  b.attach(DEVICE, 3);
  // 63, 61:52, 10:8, 6:2 and, in a leaf, SNP.
  b.map(0x1000, 0x5000, 3, 0xbff0_0000_0000_0f7fn);
  expect(b.enableTranslation().target(0x1000, true)).toBe('to 5000');
});

describe('pass-through', () => {
  const passing = (): Bench => {
    const b = new Bench();
    b.root(0, BigInt(CONTEXT) | 1n);
    // TT 2, the largest AW: 57 bits.
    b.context(DEVICE, 9n, 3n | (BigInt(DOMAIN) << 8n));
    return b.enableTranslation();
  };
  test('addresses are physical, and count', () => {
    const b = passing();
    expect(b.dma(0x12_3000, true, 0x5000)).toEqual({ kind: 'mapped', physical: 0x12_3000, length: 0x5000 });
    expect(b.unit.counts).toMatchObject({ translations: 1, blocked: 0 });
  });
  test('beyond MGAW there is nothing', () => {
    expect(passing().target(2 ** 52)).toBe('fault 4');
  });
});

test('SRTP latches RTADDR: a new address counts only after the command', () => {
  const b = new Bench();
  b.attach(DEVICE, 3);
  b.map(0x1000, 0x5000);
  b.enableTranslation();
  b.write64(0x20, 0n);
  expect(b.target(0x1000)).toBe('to 5000');
});

test('reads of the interrupt range, and writes that are no messages, are refused', () => {
  const b = new Bench();
  b.attach(DEVICE, 4);
  b.map(0xfee0_0000, 0x5000, 4);
  b.enableTranslation();
  expect(b.dma(0xfee0_0000)).toMatchObject({ kind: 'blocked', fault: { recorded: false } });
});

describe('protected memory regions', () => {
  const guarded = (): Bench => {
    const b = new Bench();
    b.write(0x68, 0x10_0000);
    b.write(0x6c, 0x10_0000);
    b.write64(0x70, 0x1_0000_0000n);
    b.write64(0x78, 0x1_0010_0000n);
    b.write(0x64, 0x8000_0000);
    return b;
  };
  test('PRS says that they are on', () => {
    const b = guarded();
    expect(b.read(0x64)).toBe(0x8000_0001);
    b.write(0x64, 0);
    expect(b.read(0x64)).toBe(0);
    expect(b.target(0x10_0000)).toBe('to 100000');
  });
  test('untranslated DMA stops at them, without a fault record', () => {
    const b = guarded();
    expect(b.dma(0xf_ff00, true, 0x200)).toEqual({ kind: 'mapped', physical: 0xf_ff00, length: 0x100 });
    expect(b.dma(0x10_0000)).toMatchObject({ kind: 'blocked', fault: { recorded: false } });
    expect(b.target(0x1f_ffff)).toBe('fault 0');
    expect(b.target(0x20_0000)).toBe('to 200000');
    expect(b.target(0x1_0000_0000)).toBe('fault 0');
    expect(b.target(0x1_001f_ffff)).toBe('fault 0');
    expect(b.target(0x1_0020_0000)).toBe('to 100200000');
    expect(b.read(0x34)).toBe(0);
  });
  test('translated DMA does not', () => {
    const b = guarded();
    b.attach(DEVICE, 3);
    b.map(0x1000, 0x10_0000);
    expect(b.enableTranslation().target(0x1000)).toBe('to 100000');
  });
});

// ---- the walk against a straightforward one ----

/** Straight from the words: one level after the other, all in BigInt. */
function naive(b: Bench, levels: number, address: bigint, write: boolean): string {
  const read = (at: bigint): bigint => b.memory.read64(Number(at));
  let table = BigInt(TABLE);
  for (let level = levels; level >= 1; level--) {
    const shift = 12n + 9n * BigInt(level - 1);
    const entry = read(table + 8n * ((address >> shift) & 0x1ffn));
    if ((entry & 3n) === 0n) return write ? 'fault 5' : 'fault 6';
    const large = level > 1 && ((entry >> 7n) & 1n) === 1n;
    const leaf = level === 1 || (large && level <= 3);
    let reserved = (1n << 62n) | (((1n << 52n) - 1n) & ~((1n << 46n) - 1n));
    if (leaf) reserved |= ((1n << shift) - 1n) & ~0xfffn;
    else reserved |= 0x880n;
    if ((entry & reserved) !== 0n) return 'fault c';
    if ((entry & (write ? 2n : 1n)) === 0n) return write ? 'fault 5' : 'fault 6';
    const target = entry & 0x000f_ffff_ffff_f000n;
    if (leaf) return `to ${(target + (address & ((1n << shift) - 1n))).toString(16)}`;
    table = target;
  }
  throw new Error('unreachable');
}

test('random tables: the unit and the naive walk agree, first from memory and then from the caches', () => {
  const TABLES = 6;
  const entry = fc.record({
    kind: fc.constantFrom('table', 'table', 'table', 'page', 'large', 'none', 'odd'),
    to: fc.nat(TABLES - 1),
    permissions: fc.constantFrom(1n, 2n, 3n, 3n, 3n),
    bit: fc.nat(63),
  });
  const request = fc.record({ digits: fc.array(fc.nat(2), { minLength: 5, maxLength: 5 }), offset: fc.nat(0xfff), write: fc.boolean() });
  fc.assert(
    fc.property(
      fc.constantFrom(3 as const, 4 as const, 5 as const),
      fc.array(entry, { minLength: TABLES * 3, maxLength: TABLES * 3 }),
      fc.array(request, { minLength: 1, maxLength: 12 }),
      (levels, entries, requests) => {
        const b = new Bench({ faultRecords: 1 });
        b.attach(DEVICE, levels);
        entries.forEach(({ kind, to, permissions, bit }, i) => {
          const address = kind === 'large' ? BigInt(to) << 30n : BigInt(TABLE + 0x1000 * to);
          let value = kind === 'none' ? 0n : address | permissions;
          if (kind === 'large') value |= 0x80n;
          if (kind === 'odd') value ^= 1n << BigInt(bit);
          b.memory.write64(TABLE + 0x1000 * Math.floor(i / 3) + 8 * (i % 3), value);
        });
        b.enableTranslation();
        for (const round of ['walked', 'cached'])
          for (const { digits, offset, write } of requests) {
            const used = digits.slice(5 - levels);
            const address = used.reduce((a, d) => a * 512 + d, 0) * 4096 + offset;
            // A table outside memory is fault 7, which the naive walk does not know.
            const expected = naiveOrNothing(b, levels, BigInt(address), write);
            if (expected !== undefined) expect([round, b.target(address, write)]).toEqual([round, expected]);
          }
      },
    ),
    { numRuns: runs(60) },
  );
});

function naiveOrNothing(b: Bench, levels: number, address: bigint, write: boolean): string | undefined {
  const outside = b.memory.read64.bind(b.memory);
  let left = false;
  b.memory.read64 = (at) => {
    if (b.memory.host(at) === 0) left = true;
    return outside(at);
  };
  try {
    const result = naive(b, levels, address, write);
    return left || /^to fee[0-9a-f]{5}$/.test(result) ? undefined : result;
  } finally {
    b.memory.read64 = outside;
  }
}
