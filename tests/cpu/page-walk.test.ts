/** 4-level and 5-level paging against a walker written straight from SDM "4-Level Paging and 5-Level Paging", on random tables. */
import fc from 'fast-check';
import { Cr0, Cr4, Efer, Flag, UNWIND, type Cpu } from '../../cpu/cpu';
import { R } from '../../cpu/layout';
import { Access } from '../../cpu/mmu';
import { longMode } from './system/processor';
import { runs } from '../runs';

const WIDTH = 46;
const TABLES = 0x10_0000;
const TABLE_COUNT = 10;
/** Entries of each table that walks come by. */
const SLOTS = [0, 1, 511];

const settings = fc.record({
  levels: fc.constantFrom(4 as const, 5 as const),
  vendor: fc.constantFrom('intel' as const, 'amd' as const),
  access: fc.constantFrom<number>(Access.Read, Access.Write, Access.Fetch),
  user: fc.boolean(),
  wp: fc.boolean(),
  nxe: fc.boolean(),
  smep: fc.boolean(),
  smap: fc.boolean(),
  ac: fc.boolean(),
});
type Settings = typeof settings extends fc.Arbitrary<infer T> ? T : never;
type Outcome = { kind: 'mapped'; physical: bigint; bits: Map<number, bigint> } | { kind: 'fault'; errorCode: number };

const field = (value: bigint, high: number, low: number): bigint => (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
const bit = (value: bigint, n: number): boolean => field(value, n, n) === 1n;

function reservedBits(entry: bigint, level: number, page: boolean, s: Settings): boolean {
  if (field(entry, 51, WIDTH) !== 0n || (bit(entry, 63) && !s.nxe)) return true;
  if (level >= 4 && bit(entry, 7)) return true;
  // AMD64 APM, figures of PML5E, PML4E and PDPE: bit 8 must be zero.
  if (level >= 3 && !page && s.vendor === 'amd' && bit(entry, 8)) return true;
  return page && level > 1 && field(entry, 12 + 9 * (level - 1) - 1, 13) !== 0n;
}

function reference(read: (address: number) => bigint, linear: bigint, s: Settings): Outcome {
  const write = s.access === Access.Write;
  const fetch = s.access === Access.Fetch;
  const code = (write ? 2 : 0) | (s.user ? 4 : 0) | (fetch && (s.nxe || s.smep) ? 16 : 0);
  const used: number[] = [];
  let table = BigInt(TABLES);
  let [writable, user, executable] = [true, true, true];
  for (let level: number = s.levels; ; level--) {
    const shift = 12 + 9 * (level - 1);
    const address = Number(table + 8n * field(linear, shift + 8, shift));
    const entry = read(address);
    if (!bit(entry, 0)) return { kind: 'fault', errorCode: code };
    const page = level === 1 || (level <= 3 && bit(entry, 7));
    if (reservedBits(entry, level, page, s)) return { kind: 'fault', errorCode: code | 9 };
    used.push(address);
    writable &&= bit(entry, 1);
    user &&= bit(entry, 2);
    executable &&= !bit(entry, 63);
    table = field(entry, 51, 12) << 12n;
    if (!page) continue;
    const refused = s.user
      ? !user || (write && !writable) || (fetch && !executable)
      : fetch
        ? !executable || (user && s.smep)
        : (user && s.smap && !s.ac) || (write && !writable && s.wp);
    if (refused) return { kind: 'fault', errorCode: code | 1 };
    const bits = new Map<number, bigint>();
    used.forEach((at, i) => bits.set(at, (bits.get(at) ?? 0n) | 0x20n | (write && i === used.length - 1 ? 0x40n : 0n)));
    return { kind: 'mapped', physical: (field(entry, 51, shift) << BigInt(shift)) + field(linear, shift - 1, 0), bits };
  }
}

const entry = fc.record({
  flags: fc.constantFrom(7n, 7n, 7n, 7n, 7n, 0x27n, 0x67n, 3n, 5n, 1n, 0x107n, 6n),
  large: fc.constantFrom(false, false, false, true),
  high: fc.constantFrom(0n, 0n, 0n, 0n, 0n, 0n, 1n << 63n, 1n << 62n, 1n << 46n, 1n << 51n),
  table: fc.integer({ min: 0, max: TABLE_COUNT - 1 }),
  low: fc.constantFrom(0n, 0n, 0n, 0x1000n, 0x2000n, 0x1000_0000n),
});

const cpus = new Map(['intel', 'amd'].map((vendor) => [vendor, longMode(`${vendor},+la57`)]));
function prepare(s: Settings): Cpu {
  const cpu = cpus.get(s.vendor)!;
  cpu.set32(R.CR0, (Cr0.PE | Cr0.PG | Cr0.ET | (s.wp ? Cr0.WP : 0)) >>> 0);
  cpu.set32(R.CR4, Cr4.PAE | (s.smep ? Cr4.SMEP : 0) | (s.smap ? Cr4.SMAP : 0) | (s.levels === 5 ? Cr4.LA57 : 0));
  cpu.set32(R.EFER, Efer.LME | Efer.LMA | (s.nxe ? Efer.NXE : 0));
  cpu.set32(R.CR3, TABLES);
  cpu.set32(R.CPL, s.user ? 3 : 0);
  cpu.setRflags(2 | (s.ac ? Flag.AC : 0));
  cpu.mmu.flushAll();
  return cpu;
}

function translate(cpu: Cpu, linear: bigint, access: number): Outcome {
  try {
    const physical = cpu.mmu.translate(Number(linear & 0xffff_ffffn) | 0, Number(linear >> 32n) | 0, access);
    return { kind: 'mapped', physical: BigInt(physical), bits: new Map() };
  } catch (e) {
    if (e !== UNWIND) throw e;
    expect(cpu.fault).toMatchObject({ vector: 14, payload: linear });
    return { kind: 'fault', errorCode: cpu.fault!.errorCode! };
  }
}

describe('4-level and 5-level paging', () => {
  it('agree with the reference on every table, mode and access', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        settings,
        fc.array(entry, { minLength: SLOTS.length * TABLE_COUNT, maxLength: SLOTS.length * TABLE_COUNT }),
        fc.array(fc.constantFrom(...SLOTS), { minLength: 5, maxLength: 5 }),
        fc.integer({ min: 0, max: 0xfff }),
        (s, entries, indexes, offset) => {
          const cpu = prepare(s);
          const { memory } = cpu;
          entries.forEach((e, i) => {
            const value = e.flags | e.high | (e.large ? 0x80n | e.low : BigInt(TABLES + e.table * 0x1000));
            memory.write64(TABLES + Math.floor(i / SLOTS.length) * 0x1000 + SLOTS[i % SLOTS.length] * 8, value);
          });
          const bits = indexes.slice(0, s.levels).reduce((a, i) => (a << 9n) | BigInt(i), 0n) * 4096n + BigInt(offset);
          const linear = BigInt.asUintN(64, BigInt.asIntN(12 + 9 * s.levels, bits));
          const before = new Map<number, bigint>();
          for (let t = 0; t < TABLE_COUNT; t++) for (const n of SLOTS) before.set(TABLES + t * 0x1000 + n * 8, memory.read64(TABLES + t * 0x1000 + n * 8));
          const expected = reference((address) => memory.read64(address), linear, s);
          const got = translate(cpu, linear, s.access);
          seen.add(`${s.levels} ${expected.kind}${expected.kind === 'fault' ? expected.errorCode & 9 : ''}`);
          if (expected.kind === 'fault') {
            expect(got).toEqual(expected);
            for (const [address, value] of before) expect(memory.read64(address)).toBe(value);
            return;
          }
          expect(got).toMatchObject({ kind: 'mapped', physical: expected.physical });
          for (const [address, value] of before) expect(memory.read64(address)).toBe(value | (expected.bits.get(address) ?? 0n));
        },
      ),
      { numRuns: runs(600) },
    );
    for (const levels of [4, 5]) for (const outcome of ['mapped', 'fault0', 'fault1', 'fault9']) expect(seen).toContain(`${levels} ${outcome}`);
  });
});
