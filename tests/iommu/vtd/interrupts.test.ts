/** VT-d specification, "Interrupt Remapping" and "Interrupt Posting". */
import fc from 'fast-check';
import { Bench, DEVICE, IRT } from './bench';

/** IRTE halves. Low: P, vector 23:16, destination 47:40 (xAPIC) or 63:32. High: SID 15:0, SQ 17:16, SVT 19:18. */
const remapped = (vector: number, destination: number, extra = 0n): bigint => 1n | (BigInt(vector) << 16n) | (BigInt(destination) << 40n) | extra;
const source = (sid: number, qualifier = 0, validation = 1): bigint => BigInt(sid) | (BigInt(qualifier) << 16n) | (BigInt(validation) << 18n);
const xapic = (): Bench => new Bench().enableInterrupts(false);
const reason = (b: Bench): number | undefined => b.faults.at(-1)?.code;

test('without IRE messages pass as they are', () => {
  const message = { address: 0xfee0_1000, data: 0x31, source: DEVICE };
  expect(new Bench().unit.remapInterrupt(message)).toBe(message);
});

describe('remapped format', () => {
  test('vector, destination, modes and trigger come from the entry', () => {
    const b = xapic();
    b.irte(5, remapped(0x41, 3), 0n);
    // DM logical, RH, TM level, DLM 1 lowest priority.
    b.irte(6, remapped(0x42, 0x0f, (1n << 2n) | (1n << 3n) | (1n << 4n) | (1n << 5n)), 0n);
    expect(b.interrupt(5, 0xff)).toMatchObject({ address: 0xfee0_3000, data: 0x4041, source: DEVICE });
    expect(b.interrupt(6)).toMatchObject({ address: 0xfee0_f00c, data: 0xc142 });
    expect(b.unit.counts).toMatchObject({ interrupts: 2, blockedInterrupts: 0 });
  });
  test('in extended interrupt mode the destination has 32 bits', () => {
    const b = new Bench().enableInterrupts(true);
    b.irte(0, 1n | (0x41n << 16n) | (0x0001_0203n << 32n), 0n);
    expect(b.interrupt(0)).toMatchObject({ extendedDestination: 0x0001_0203, data: 0x4041 });
  });
  test('the index is the handle, 16 bits in two pieces, plus the subhandle if that is valid', () => {
    const b = new Bench().enableInterrupts(false, 15);
    b.irte(0x8003, remapped(0x43, 0), 0n);
    expect(b.interrupt(0x8003)?.data).toBe(0x4043);
    expect(b.interrupt(0x8001, 2, true)?.data).toBe(0x4043);
    expect(b.interrupt(0x8003, 2)?.data).toBe(0x4043);
  });
});

describe('compatibility format', () => {
  const legacy = { address: 0xfee0_1000, data: 0x31, source: DEVICE };
  test('is blocked (25h), for the fault address is undefined, until software allows it', () => {
    const b = xapic();
    expect(b.unit.remapInterrupt(legacy)).toBeUndefined();
    expect(b.record(0)).toEqual({ address: 0, source: DEVICE, reason: 0x25, read: false, pending: true });
    b.command(0x0080_0000);
    expect(b.read(0x1c) & 0x0080_0000).not.toBe(0);
    expect(b.unit.remapInterrupt(legacy)).toBe(legacy);
  });
  test('is blocked in extended interrupt mode whatever CFIS says', () => {
    const b = new Bench().enableInterrupts(true);
    b.command(0x0080_0000);
    expect(b.unit.remapInterrupt(legacy)).toBeUndefined();
    expect(reason(b)).toBe(0x25);
  });
});

describe('faults', () => {
  const REAL = remapped(0x41, 0);
  const cases: readonly [string, number, (b: Bench) => void, [handle: number, data?: number, shv?: boolean]][] = [
    ['request: data 31:16 with a subhandle', 0x20, (b) => b.irte(0, REAL, 0n), [0, 0x1_0000, true]],
    ['index beyond the table of 256', 0x21, () => {}, [256]],
    ['index beyond the table by the subhandle', 0x21, () => {}, [255, 1, true]],
    ['entry not present', 0x22, (b) => b.irte(9, REAL & ~1n, 0n), [9]],
    ['reserved bit 12', 0x24, (b) => b.irte(9, REAL | (1n << 12n), 0n), [9]],
    ['reserved bit 24', 0x24, (b) => b.irte(9, REAL | (1n << 24n), 0n), [9]],
    ['destination bits 63:48 without extended mode', 0x24, (b) => b.irte(9, REAL | (1n << 48n), 0n), [9]],
    ['destination bits 39:32 without extended mode', 0x24, (b) => b.irte(9, REAL | (1n << 32n), 0n), [9]],
    ['reserved bit 84', 0x24, (b) => b.irte(9, REAL, 1n << 20n), [9]],
    ['delivery mode 3', 0x24, (b) => b.irte(9, REAL | (3n << 5n), 0n), [9]],
    ['delivery mode 6', 0x24, (b) => b.irte(9, REAL | (6n << 5n), 0n), [9]],
    ['source validation type 3', 0x24, (b) => b.irte(9, REAL, source(DEVICE, 0, 3)), [9]],
    ['another source id', 0x26, (b) => b.irte(9, REAL, source(DEVICE + 1)), [9]],
  ];
  test.each(cases)('%s', (_name, code, prepare, [handle, data, shv]) => {
    const b = xapic();
    prepare(b);
    expect(b.interrupt(handle, data, shv)).toBeUndefined();
    const index = handle + (shv ? data! & 0xffff : 0);
    expect(b.faults).toMatchObject([{ request: 'interrupt', code, requester: DEVICE, address: index }]);
    // The interrupt index is in bits 63:48 of the fault information.
    expect([b.read(0x224) >>> 16, b.read(0x220), b.record(0).reason, b.record(0).source]).toEqual([index, 0, code, DEVICE]);
    expect(b.unit.counts).toMatchObject({ interrupts: 0, blockedInterrupts: 1 });
  });
  test('the table outside memory: 23h', () => {
    const b = new Bench();
    b.write64(0xb8, 0x1000_0007n);
    b.command(0x0100_0000);
    b.command(0x0200_0000);
    expect(b.interrupt(0)).toBeUndefined();
    expect(reason(b)).toBe(0x23);
  });
  test('the posted format without CAP.PI: 24h', () => {
    const b = new Bench({ postedInterrupts: false }).enableInterrupts(false);
    b.irte(0, 0x8001n, 0n);
    expect([b.interrupt(0), reason(b)]).toEqual([undefined, 0x24]);
  });
  test('FPD keeps 22h, 24h and 26h out of the log, but not 21h', () => {
    const b = xapic();
    b.irte(0, 2n, 0n);
    b.irte(1, REAL | 2n | (1n << 12n), 0n);
    b.irte(2, REAL | 2n, source(1));
    for (const index of [0, 1, 2]) expect(b.interrupt(index)).toBeUndefined();
    expect(b.faults.map((f) => [f.code, f.recorded])).toEqual([
      [0x22, false],
      [0x24, false],
      [0x26, false],
    ]);
    expect(b.read(0x34)).toBe(0);
    b.interrupt(300);
    expect(b.record(0).reason).toBe(0x21);
  });
});

describe('source validation', () => {
  test('SVT 1: SQ says which bits of the function do not count', () => {
    const ignored = [0, 0x4, 0x6, 0x7];
    fc.assert(
      fc.property(fc.nat(0xffff), fc.nat(3), fc.nat(0xffff), fc.boolean(), (sid, qualifier, other, near) => {
        const requester = near ? (sid & ~7) | (other & 7) : other;
        const b = xapic();
        b.irte(0, remapped(0x41, 0), source(sid, qualifier));
        const allowed = (requester & ~ignored[qualifier]) === (sid & ~ignored[qualifier]);
        expect(b.interrupt(0, 0, false, requester) !== undefined).toBe(allowed);
      }),
    );
  });
  test('SVT 2: the bus is in the range that SID names', () => {
    const b = xapic();
    b.irte(0, remapped(0x41, 0), source(0x1014, 0, 2));
    expect([0x0f, 0x10, 0x14, 0x15].map((bus) => b.interrupt(0, 0, false, bus << 8) !== undefined)).toEqual([false, true, true, false]);
  });
});

describe('interrupt entry cache', () => {
  const iec = (selective: boolean, index = 0, mask = 0): [bigint, bigint] => [4n | (selective ? 16n : 0n) | (BigInt(mask) << 27n) | (BigInt(index) << 32n), 0n];
  function changed(): Bench {
    const b = xapic().enableQueue();
    b.irte(5, remapped(0x41, 0), 0n);
    b.now = 33;
    b.interrupt(5);
    b.irte(5, remapped(0x51, 0), 0n);
    return b;
  }
  test('an entry is used although it has changed, and that is reported', () => {
    const b = changed();
    expect(b.interrupt(5)?.data).toBe(0x4041);
    expect(b.stale).toMatchObject([
      {
        cache: 'interrupt entry cache',
        address: 5,
        filledBy: DEVICE,
        filledAt: 33,
        cached: { address: IRT + 80, value: [0x41_0001n, 0n] },
        now: [0x51_0001n, 0n],
      },
    ]);
    expect(b.stale[0].missing).toBe('interrupt entry cache invalidation, index-selective: index 5');
  });
  test.each([
    ['global', iec(false), 0x51],
    ['its index', iec(true, 5), 0x51],
    ['the index before', iec(true, 4), 0x41],
    ['two indexes with it', iec(true, 4, 1), 0x51],
    ['two indexes without it', iec(true, 6, 1), 0x41],
    ['the IOTLB', [0x12n, 0n] as [bigint, bigint], 0x41],
  ])('invalidation of %s', (_name, descriptor, vector) => {
    const b = changed();
    b.submit(descriptor);
    expect(b.interrupt(5)?.data).toBe(0x4000 | vector);
  });
  test('the source is checked at every use', () => {
    const b = xapic();
    b.irte(0, remapped(0x41, 0), source(DEVICE));
    expect(b.interrupt(0)).toBeDefined();
    expect(b.interrupt(0, 0, false, DEVICE + 8)).toBeUndefined();
  });
  test('an entry that was not present is not cached', () => {
    const b = xapic();
    b.interrupt(3);
    b.irte(3, remapped(0x61, 0), 0n);
    expect(b.interrupt(3)?.data).toBe(0x4061);
  });
});

describe('posted format', () => {
  const PID = 0x6_0040;
  /** P, IM, vector; PDA low in 63:38 is address bits 31:6. */
  const posted = (vector: number, urgent = false): bigint => 0x8001n | (urgent ? 0x4000n : 0n) | (BigInt(vector) << 16n) | (BigInt(PID >>> 6) << 38n);
  const NV = 0xf2;
  function ready(extended = false, urgent = false): Bench {
    const b = new Bench().enableInterrupts(extended);
    b.irte(0, posted(0x47, urgent), source(DEVICE));
    b.memory.write32(PID + 32, NV << 16);
    b.memory.write32(PID + 36, extended ? 0x0001_0203 : 0x0300);
    return b;
  }
  test('sets the bit in PIR and ON, and sends the notification vector to NDST', () => {
    const b = ready();
    expect(b.interrupt(0)).toMatchObject({ address: 0xfee0_3000, data: 0x4000 | NV });
    expect([b.memory.read32(PID + 8), b.memory.read32(PID + 32)]).toEqual([1 << 7, (NV << 16) | 1]);
    expect(b.unit.counts).toMatchObject({ posted: 1, interrupts: 0 });
  });
  test('with ON there is no second notification', () => {
    const b = ready();
    b.interrupt(0);
    expect(b.interrupt(0)).toBeUndefined();
    expect(b.faults).toEqual([]);
  });
  test('SN suppresses it, and leaves ON alone; an urgent interrupt does not mind', () => {
    const b = ready();
    b.memory.write32(PID + 32, (NV << 16) | 2);
    expect(b.interrupt(0)).toBeUndefined();
    expect([b.memory.read32(PID + 8), b.memory.read32(PID + 32)]).toEqual([1 << 7, (NV << 16) | 2]);
    const urgent = ready(false, true);
    urgent.memory.write32(PID + 32, (NV << 16) | 2);
    expect(urgent.interrupt(0)).toMatchObject({ data: 0x4000 | NV });
    expect(urgent.memory.read32(PID + 32)).toBe((NV << 16) | 3);
  });
  test('NDST has 32 bits in extended interrupt mode', () => {
    expect(ready(true).interrupt(0)).toMatchObject({ extendedDestination: 0x0001_0203 });
  });
  test('every vector has its bit', () => {
    const b = ready();
    for (let vector = 0; vector < 256; vector++) {
      b.irte(1 + (vector & 127), posted(vector), 0n);
      if (vector === 128) b.enableQueue().submit([4n, 0n]);
      b.interrupt(1 + (vector & 127));
    }
    expect(Array.from({ length: 8 }, (_, i) => b.memory.read32(PID + 4 * i))).toEqual(new Array(8).fill(0xffff_ffff));
  });
  test.each([
    ['a descriptor outside memory', 0x27, (b: Bench) => b.irte(0, 0x8001n | (0x40_0000n << 38n), 0n)],
    ['reserved bits 15:2 of the control dword', 0x28, (b: Bench) => b.memory.write32(PID + 32, 4)],
    ['reserved bits 31:24 of the control dword', 0x28, (b: Bench) => b.memory.write32(PID + 32, 0x100_0000)],
    ['reserved bits behind NDST', 0x28, (b: Bench) => b.memory.write32(PID + 60, 1)],
    ['another source', 0x26, (b: Bench) => b.irte(0, posted(0x47), source(DEVICE + 1))],
    ['reserved bit 2 of the entry', 0x24, (b: Bench) => b.irte(0, posted(0x47) | 4n, 0n)],
    ['reserved bit 32 of the entry', 0x24, (b: Bench) => b.irte(0, posted(0x47) | (1n << 32n), 0n)],
    ['reserved bit 84 of the entry', 0x24, (b: Bench) => b.irte(0, posted(0x47), 1n << 20n)],
  ] as const)('%s', (_name, code, spoil) => {
    const b = ready();
    spoil(b);
    expect(b.interrupt(0)).toBeUndefined();
    expect(reason(b)).toBe(code);
    expect(b.memory.read32(PID + 8)).toBe(0);
  });
  test('the upper half of the descriptor address is in bits 127:96', () => {
    const b = ready();
    b.irte(0, posted(0x47), 1n << 32n);
    b.interrupt(0);
    expect(b.faults.at(-1)).toMatchObject({ code: 0x27, reason: expect.stringContaining('0x100060040') });
  });
});
