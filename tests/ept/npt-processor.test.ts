/** Nested paging under a processor's own page walk. */
import { Cr0, Cr4 } from '../../cpu/cpu';
import { Access } from '../../cpu/mmu';
import { writeCr3 } from '../../cpu/system/control-state';
import { Npt, type NptFault } from '../../ept/npt';
import type { NestedPagingMode } from '../../ept/npt-format';
import { R, longMode, protectedMode } from '../cpu/system/processor';

const LONG: NestedPagingMode = { levels: 4, nxe: true, pse: true };
const NESTED = 0x10_0000;
const OFFSET = 0x40_0000;

/** Nested tables at 1 MiB that map 2 MiB pages: guest-physical 0 to host 4 MiB, with `flags`. */
function nested(cpu: ReturnType<typeof longMode>, flags: bigint): NptFault[] {
  const { memory } = cpu;
  memory.write64(NESTED, BigInt(NESTED + 0x1000) | 7n);
  memory.write64(NESTED + 0x1000, BigInt(NESTED + 0x2000) | 7n);
  memory.write64(NESTED + 0x2000, BigInt(OFFSET) | 0x80n | flags);
  const faults: NptFault[] = [];
  const npt = new Npt(memory, 46, { pages1G: true }, (fault) => {
    faults.push(fault);
  });
  cpu.nested = npt;
  npt.enable(NESTED, LONG, 1);
  return faults;
}
const faultOf = (cpu: ReturnType<typeof longMode>, linear: number, access: number): typeof cpu.fault => {
  cpu.fault = undefined;
  try {
    cpu.mmu.translate(linear, 0, access);
  } catch {
    return cpu.fault;
  }
  return undefined;
};

describe('a guest in PAE mode', () => {
  const pae = (): ReturnType<typeof longMode> => {
    const cpu = protectedMode('amd');
    cpu.set32(R.CR4, Cr4.PAE);
    cpu.set32(R.CR0, (Cr0.PE | Cr0.ET | Cr0.PG | Cr0.WP) >>> 0);
    nested(cpu, 7n);
    // Guest-physical 3000h: a page directory that maps the first 2 MiB one to one.
    cpu.memory.write64(OFFSET + 0x3000, 0x83n);
    return cpu;
  };
  it('has its PDPEs read on each walk, not with CR3', () => {
    const cpu = pae();
    writeCr3(cpu, 0x2020, 0);
    cpu.memory.write64(OFFSET + 0x2020, 0x3001n);
    expect(cpu.mmu.translate(0x1234, 0, Access.Read)).toBe(OFFSET + 0x1234);
  });
  it('finds an illegal PDPE by a page fault with the reserved bit, not by #GP at MOV to CR3', () => {
    const cpu = pae();
    cpu.memory.write64(OFFSET + 0x2020, 0x3007n);
    writeCr3(cpu, 0x2020, 0);
    expect(faultOf(cpu, 0x1234, Access.Read)).toMatchObject({ vector: 14, errorCode: 9 });
    cpu.memory.write64(OFFSET + 0x2020, 0n);
    expect(faultOf(cpu, 0x1234, Access.Write)).toMatchObject({ vector: 14, errorCode: 2 });
  });
});

describe('#NPF of a 64-bit guest', () => {
  const guest = (flags: bigint): { cpu: ReturnType<typeof longMode>; faults: NptFault[] } => {
    const cpu = longMode('amd');
    for (const [at, value] of [
      [0x1000, 0x2007n],
      [0x2000, 0x3007n],
      [0x3000, 0x87n],
    ] as const)
      cpu.memory.write64(OFFSET + at, value);
    return { cpu, faults: nested(cpu, flags) };
  };
  it('comes for the first table entry, in guest-physical terms, when tables are read-only: a user write', () => {
    const { cpu, faults } = guest(5n);
    cpu.mmu.onFetchFlush();
    expect(faultOf(cpu, 0x5678, Access.Read)).toBeUndefined();
    expect(faults).toEqual([{ gpa: 0x1000, linear: 0x5678n, errorLow: 7, errorHigh: 2 }]);
  });
  it('does not come when all is allowed, whatever CR0.WP says', () => {
    const { cpu, faults } = guest(7n);
    cpu.set32(R.CR0, (Cr0.PE | Cr0.ET | Cr0.PG) >>> 0);
    expect(cpu.mmu.translate(0x5678, 0, Access.Write)).toBe(OFFSET + 0x5678);
    expect(faults).toEqual([]);
  });
});
