/** Nested paging: #NPF error codes, permissions, flags and the cache, by the APM's sections on nested paging. */
import { NestedAccess } from '../../cpu/interfaces';
import { Npt, type NptFault } from '../../ept/npt';
import type { NestedPagingMode } from '../../ept/npt-format';
import { PhysicalMemory } from '../../memory/physical-memory';

const WIDTH = 40;
const TABLES = 0x1000;
const FRAME = 0x5_0000n;
const { Read, Write, Fetch, Table, LinearValid } = NestedAccess;
const LONG: NestedPagingMode = { levels: 4, nxe: true, pse: true };
const NX = 1n << 63n;
const P = 1n;
const W = 2n;
const U = 4n;
const A = 0x20n;
const D = 0x40n;
const RSVD_ADDRESS = 1n << 45n;

class Refused extends Error {
  constructor(readonly fault: NptFault) {
    super('#NPF');
  }
}

interface Machine {
  readonly memory: PhysicalMemory;
  readonly npt: Npt;
}

const fresh = (pages1G = true): Machine => {
  const memory = new PhysicalMemory(1 << 20);
  return {
    memory,
    npt: new Npt(memory, WIDTH, { pages1G }, (fault) => {
      throw new Refused(fault);
    }),
  };
};

/** Four levels in consecutive pages, entry 0 of each; the last maps guest page 0 to FRAME with `flags`. */
const mapped = (flags: bigint, mode = LONG): Machine => {
  const machine = fresh();
  for (let level = 0; level < 3; level++) machine.memory.write64(TABLES + level * 0x1000, BigInt(TABLES + (level + 1) * 0x1000) | P | W | U);
  machine.memory.write64(TABLES + 0x3000, FRAME | flags);
  machine.npt.enable(TABLES, mode);
  return machine;
};
const leaf = ({ memory }: Machine): bigint => memory.read64(TABLES + 0x3000);

const refusal = ({ npt }: Machine, gpa: number, access: number): NptFault => {
  try {
    npt.translate(gpa, access, 0x1234n);
  } catch (e) {
    if (e instanceof Refused) return e.fault;
    throw e;
  }
  throw new Error('translated');
};

describe('EXITINFO1 of #NPF', () => {
  it.each([
    ['read of a page that is not present', 0n, Read, 0b00100],
    ['write of a page that is not present', 0n, Write, 0b00110],
    ['fetch from a page that is not present', 0n, Fetch, 0b10100],
    ['write of a read-only page', P | U, Write, 0b00111],
    ['fetch from a no-execute page', P | W | U | NX, Fetch, 0b10101],
    ['read of a supervisor page: nested accesses are user accesses', P | W, Read, 0b00101],
    ['read through a reserved address bit', P | W | U | RSVD_ADDRESS, Read, 0b01101],
    ['write through a reserved address bit', P | W | U | RSVD_ADDRESS, Write, 0b01111],
  ])('%s', (_, flags, access, errorLow) => {
    expect(refusal(mapped(flags), 0x123, access | LinearValid)).toEqual({ gpa: 0x123, linear: 0x1234n, errorLow, errorHigh: 0b01 });
  });

  it('of a read of guest page tables is a user write: 2_0000_0007h', () => {
    expect(refusal(mapped(P | U), 0x18, Read | Table | LinearValid)).toMatchObject({ errorLow: 7, errorHigh: 0b10 });
    expect(refusal(mapped(0n), 0x18, Read | Table | LinearValid)).toMatchObject({ errorLow: 6, errorHigh: 0b10 });
  });
  it('has bit 63 of an entry as reserved while hEFER.NXE is 0', () => {
    const off = { ...LONG, nxe: false };
    expect(refusal(mapped(P | W | U | NX, off), 0, Read)).toMatchObject({ errorLow: 0b1101 });
    expect(mapped(P | W | U, off).npt.translate(0, Fetch, 0n)).toBe(Number(FRAME));
  });
  it('says not present for guest-physical addresses beyond the format', () => {
    expect(refusal(mapped(P | W | U), 2 ** 48, Read)).toMatchObject({ gpa: 2 ** 48, errorLow: 0b00100 });
  });
});

describe('accessed and dirty flags of nested tables', () => {
  const upper = ({ memory }: Machine): bigint => memory.read64(TABLES) & (A | D);

  it('a read sets A in every entry; the first write after it sets D in the leaf only', () => {
    const machine = mapped(P | W | U);
    machine.npt.translate(0, Read, 0n);
    expect([leaf(machine) & (A | D), upper(machine)]).toEqual([A, A]);
    expect(machine.npt.permissions).toBe(Read | Fetch);
    machine.npt.translate(0, Write, 0n);
    expect([leaf(machine) & (A | D), upper(machine)]).toEqual([A | D, A]);
    expect(machine.npt.permissions).toBe(Read | Write | Fetch);
  });
  it('a read of guest page tables sets D: it is a write', () => {
    const machine = mapped(P | W | U);
    machine.npt.translate(0, Read | Table, 0n);
    expect(leaf(machine) & (A | D)).toBe(A | D);
  });
  it('a dirty but read-only page does not grant writing', () => {
    const machine = mapped(P | U | D);
    machine.npt.translate(0, Read, 0n);
    expect(machine.npt.permissions).toBe(Read | Fetch);
  });
  it('a refused access sets nothing', () => {
    const machine = mapped(P | U);
    refusal(machine, 0, Write);
    expect([leaf(machine) & (A | D), upper(machine)]).toEqual([0n, 0n]);
  });
  it('lookup sets nothing and asks no one', () => {
    const machine = mapped(P | U);
    expect(machine.npt.lookup(0x123)).toEqual({ physical: Number(FRAME) + 0x123, permissions: Read | Fetch });
    expect(machine.npt.lookup(0x1000)).toBeUndefined();
    expect(leaf(machine)).toBe(FRAME | P | U);
  });
});

describe('the cache of guest-physical mappings', () => {
  const remap = ({ memory }: Machine, frame: bigint): void => memory.write64(TABLES + 0x3000, frame | P | W | U | A | D);

  it('keeps a mapping until it is flushed', () => {
    const machine = mapped(P | W | U);
    const { npt } = machine;
    npt.translate(0, Read, 0n);
    remap(machine, 0x6_0000n);
    expect(npt.translate(0, Read, 0n)).toBe(Number(FRAME));
    npt.flush(0x9000);
    expect(npt.translate(0, Read, 0n)).toBe(Number(FRAME));
    npt.flush(TABLES);
    expect(npt.translate(0, Read, 0n)).toBe(0x6_0000);
  });
  it('does not show one guest the mappings of another, as hypervisors that flush by taking a new ASID rely on', () => {
    const machine = mapped(P | W | U);
    const { npt } = machine;
    npt.enable(TABLES, LONG, 1);
    npt.translate(0, Read, 0n);
    remap(machine, 0x6_0000n);
    npt.enable(TABLES, LONG, 2);
    expect(npt.translate(0, Read, 0n)).toBe(0x6_0000);
  });
  it('flushes one ASID', () => {
    const machine = mapped(P | W | U);
    const { npt } = machine;
    npt.enable(TABLES, LONG, 1);
    npt.translate(0, Read, 0n);
    remap(machine, 0x6_0000n);
    npt.flushAsid(2);
    expect(npt.translate(0, Read, 0n)).toBe(Number(FRAME));
    npt.flushAsid(1);
    expect(npt.translate(0, Read, 0n)).toBe(0x6_0000);
  });
  it('tells modes of the host apart, for the TLB too', () => {
    const { npt } = mapped(P | W | U | NX);
    npt.translate(0, Read, 0n);
    const { root } = npt;
    npt.enable(TABLES, { ...LONG, nxe: false });
    expect(npt.root).not.toBe(root);
    expect(() => npt.translate(0, Read, 0n)).toThrow(Refused);
  });
  it('goes into a snapshot, stale mappings included', () => {
    const machine = mapped(P | W | U);
    machine.npt.enable(TABLES, LONG, 3);
    machine.npt.translate(0, Write, 0n);
    const state = structuredClone(machine.npt.saveState());
    remap(machine, 0x6_0000n);
    const other = new Npt(machine.memory, WIDTH, { pages1G: true }, () => {});
    other.restoreState(state);
    expect(other.active).toBe(true);
    expect(other.root).toBe(machine.npt.root);
    expect(other.translate(8, Write, 0n)).toBe(Number(FRAME) + 8);
    expect(other.permissions).toBe(Read | Write | Fetch);
  });
});
