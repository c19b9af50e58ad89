/** VT-d specification, "Fault Reason Encodings": every reason of legacy mode, as the unit reports and records it. */
import { Bench, CONTEXT, DEVICE, DOMAIN, TABLE } from './bench';

const BEYOND_HOST = 1n << 46n;
const NOWHERE = 0x1000_0000n;

/** Entry of the address 1000h in a three-level table, by level. */
const entryAt = (level: number): number => ({ 3: TABLE, 2: TABLE + 0x1000, 1: TABLE + 0x2008 })[level]!;

interface Case {
  readonly reason: number;
  readonly name: string;
  readonly write?: boolean;
  readonly address?: number;
  readonly prepare: (b: Bench) => void;
  readonly refusedBy: string | undefined;
}

const sl = (level: number, value: bigint) => (b: Bench) => b.memory.write64(entryAt(level), value);
const CASES: readonly Case[] = [
  { reason: 0x01, name: 'root entry not present', prepare: (b) => b.root(0, BigInt(CONTEXT)), refusedBy: 'root entry' },
  { reason: 0x02, name: 'context entry not present', prepare: (b) => b.context(DEVICE, BigInt(TABLE), 1n), refusedBy: 'context entry' },
  { reason: 0x03, name: 'AW 0', prepare: (b) => b.context(DEVICE, BigInt(TABLE) | 1n, 0n), refusedBy: 'context entry' },
  { reason: 0x03, name: 'AW 4 (64 bits)', prepare: (b) => b.context(DEVICE, BigInt(TABLE) | 1n, 4n), refusedBy: 'context entry' },
  { reason: 0x03, name: 'TT 1 without device-TLBs', prepare: (b) => b.context(DEVICE, BigInt(TABLE) | 5n, 1n), refusedBy: 'context entry' },
  { reason: 0x03, name: 'TT 3', prepare: (b) => b.context(DEVICE, BigInt(TABLE) | 13n, 1n), refusedBy: 'context entry' },
  { reason: 0x03, name: 'pass-through with AW 1, not the largest', prepare: (b) => b.context(DEVICE, 9n, 1n), refusedBy: 'context entry' },
  { reason: 0x04, name: 'bit 39 with three levels', address: 0x80_0000_1000, prepare: () => {}, refusedBy: 'context entry' },
  { reason: 0x05, name: 'write to a read-only page', write: true, prepare: sl(1, 0x5001n), refusedBy: 'SL-PTE' },
  { reason: 0x05, name: 'write below a read-only SL-PDE', write: true, prepare: sl(2, BigInt(TABLE + 0x2000) | 1n), refusedBy: 'SL-PDE' },
  { reason: 0x05, name: 'write to a page that is not present', write: true, prepare: sl(1, 0n), refusedBy: 'SL-PTE' },
  { reason: 0x06, name: 'read of a write-only page', prepare: sl(1, 0x5002n), refusedBy: 'SL-PTE' },
  { reason: 0x06, name: 'read of what is not present, reserved bits or not', prepare: sl(3, BEYOND_HOST), refusedBy: 'SL-PDPE' },
  { reason: 0x07, name: 'a table outside memory', prepare: sl(2, NOWHERE | 3n), refusedBy: 'SL-PDE' },
  { reason: 0x07, name: 'the first table outside memory', prepare: (b) => b.context(DEVICE, NOWHERE | 1n, 1n), refusedBy: 'context entry' },
  { reason: 0x09, name: 'context table outside memory', prepare: (b) => b.root(0, NOWHERE | 1n), refusedBy: 'root entry' },
  { reason: 0x0a, name: 'root entry bit 1', prepare: (b) => b.root(0, BigInt(CONTEXT) | 3n), refusedBy: 'root entry' },
  { reason: 0x0a, name: 'root entry beyond the host address width', prepare: (b) => b.root(0, BEYOND_HOST | 1n), refusedBy: 'root entry' },
  { reason: 0x0a, name: 'root entry, upper half', prepare: (b) => b.root(0, BigInt(CONTEXT) | 1n, 1n), refusedBy: 'root entry' },
  { reason: 0x0b, name: 'context entry bit 4', prepare: (b) => b.context(DEVICE, BigInt(TABLE) | 0x11n, 1n), refusedBy: 'context entry' },
  { reason: 0x0b, name: 'context entry bit 71', prepare: (b) => b.context(DEVICE, BigInt(TABLE) | 1n, 0x81n), refusedBy: 'context entry' },
  { reason: 0x0b, name: 'context entry bit 88', prepare: (b) => b.context(DEVICE, BigInt(TABLE) | 1n, 1n | (1n << 24n)), refusedBy: 'context entry' },
  { reason: 0x0b, name: 'context entry beyond the host address width', prepare: (b) => b.context(DEVICE, BEYOND_HOST | 1n, 1n), refusedBy: 'context entry' },
  { reason: 0x0c, name: 'SL-PTE beyond the host address width', prepare: sl(1, BEYOND_HOST | 3n), refusedBy: 'SL-PTE' },
  { reason: 0x0c, name: 'SL-PTE with TM, without device-TLBs', prepare: sl(1, (1n << 62n) | 0x5003n), refusedBy: 'SL-PTE' },
  { reason: 0x0c, name: 'SNP in an SL-PDE that references a table', prepare: sl(2, BigInt(TABLE + 0x2000) | 0x803n), refusedBy: 'SL-PDE' },
  { reason: 0x0c, name: '2 MiB page with address bit 12', prepare: sl(2, 0x1083n), refusedBy: 'SL-PDE' },
  { reason: 0x0c, name: '1 GiB page with address bit 29', prepare: sl(3, 0x2000_0083n), refusedBy: 'SL-PDPE' },
  { reason: 0x0e, name: 'output in the interrupt range', write: true, prepare: sl(1, 0xfee0_0003n), refusedBy: 'SL-PTE' },
];

const setup = (c: Case): Bench => {
  const b = new Bench();
  b.attach(DEVICE, 3);
  b.map(0x1000, 0x5000);
  c.prepare(b);
  return b.enableTranslation();
};

describe.each(CASES)('fault $reason: $name', (c) => {
  const { reason, write = false, address = 0x1abc, refusedBy } = c;

  test('is reported and recorded', () => {
    const b = setup(c);
    const result = b.dma(address, write);
    expect(result).toMatchObject({ kind: 'blocked', fault: { code: reason, requester: DEVICE, address, request: write ? 'write' : 'read', recorded: true } });
    expect(b.faults).toHaveLength(1);
    expect(b.faults[0].refusedBy?.table).toBe(refusedBy);
    expect(b.record(0)).toEqual({ address: address - (address % 4096), source: DEVICE, reason, read: !write, pending: true });
    // PPF, FRI 0.
    expect(b.read(0x34)).toBe(2);
  });

  test('nothing is cached: the request is translated as soon as the tables are right', () => {
    const b = setup(c);
    b.dma(address, write);
    b.attach(DEVICE, 3);
    b.map(0x1000, 0x5000);
    if (reason === 0x04 || reason === 0x0c || reason === 0x05 || reason === 0x06 || reason === 0x07 || reason === 0x0e) {
      // What was read on the way and refused nothing may be cached.
      b.write64(0x28, 0xa000_0000_0000_0000n);
      b.write64(0xf8, 0x9000_0000_0000_0000n);
    }
    expect(b.target(0x1abc, write)).toBe('to 5abc');
  });
});

test('fault 8: root table outside memory', () => {
  const b = new Bench();
  b.write64(0x20, NOWHERE);
  b.command(0x4000_0000);
  b.command(0x8000_0000);
  expect(b.target(0x1000)).toBe('fault 8');
  expect(b.record(0)).toMatchObject({ reason: 8, address: 0x1000 });
});

test('fault 30h: a translation table mode that needs scalable mode', () => {
  const b = new Bench();
  b.write64(0x20, BigInt(CONTEXT) | 0x400n);
  b.command(0x4000_0000);
  b.command(0x8000_0000);
  expect(b.target(0x1000)).toBe('fault 30');
});

test('a PML4E or PML5E cannot map a page: PS is reserved there', () => {
  for (const levels of [4, 5] as const) {
    const b = new Bench();
    b.attach(DEVICE, levels);
    b.memory.write64(TABLE, 0x83n);
    expect(b.enableTranslation().target(0x1000)).toBe('fault c');
    expect(b.faults[0].refusedBy?.table).toBe(levels === 4 ? 'SL-PML4E' : 'SL-PML5E');
  }
});

test('without large pages PS is reserved in SL-PDEs', () => {
  const b = new Bench({ largePages: false });
  b.attach(DEVICE, 3);
  b.map(0, 0x20_0000, 3, 3n, 2);
  expect(b.enableTranslation().target(0x1000)).toBe('fault c');
});

test('AW must be in SAGAW', () => {
  const b = new Bench({ levels: [4] });
  b.attach(DEVICE, 3);
  expect(b.enableTranslation().target(0)).toBe('fault 3');
});

describe('FPD', () => {
  const withFpd = (prepare: (b: Bench) => void): Bench => {
    const b = new Bench();
    b.attach(DEVICE, 3);
    b.map(0x1000, 0x5000);
    b.context(DEVICE, BigInt(TABLE) | 3n, 1n | (BigInt(DOMAIN) << 8n));
    prepare(b);
    return b.enableTranslation();
  };
  test.each([
    ['2: it counts in an entry that is not present', (b: Bench) => b.context(DEVICE, 2n, 1n), 0x02],
    ['6', (b: Bench) => b.memory.write64(entryAt(1), 0n), 0x06],
    ['c', (b: Bench) => b.memory.write64(entryAt(1), BEYOND_HOST | 3n), 0x0c],
  ] as const)('qualified fault %s is blocked and not recorded', (_name, prepare, reason) => {
    const b = withFpd(prepare);
    expect(b.dma(0x1000)).toMatchObject({ kind: 'blocked', fault: { code: reason, recorded: false } });
    expect(b.read(0x34)).toBe(0);
    expect(b.record(0).pending).toBe(false);
  });
});
