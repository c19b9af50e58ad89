/** 5-level paging of host and guest under AMD-V. APM volume 2, "Nested Paging" and "Canonicalization and Consistency Checks". */
import { Cr4 } from '../../cpu/cpu';
import { R } from '../../cpu/layout';
import { parseProfile } from '../../cpu/profiles/profile';
import { GUEST_CODE, HOST_TABLES, INVALID, NPT, svmBench, type SvmBench } from './bench';

// Guest-physical addresses beyond 48 bits need a processor with as many physical ones.
const PROFILE = parseProfile('amd-svm,+la57,phys-bits=52');
const HOST_PML5 = 0x13_0000;
const NPT_PML5 = 0x13_1000;
const BEYOND = 2 ** 48;
const VMMCALL_EXIT = 0x81n;
const NESTED_PAGE_FAULT = 0x400n;
/** MOV RAX, [RDI] is MOV RAX, moffs64: no register has to be set. */
const load = (linear: bigint): number[] => [0x48, 0xa1, ...new Uint8Array(new BigUint64Array([linear]).buffer)];

/** @param hostLevels what the host pages with, and so the nested walk. */
function bench(hostLevels: 4 | 5): SvmBench {
  const b = svmBench({}, PROFILE);
  b.memory.write64(HOST_PML5, BigInt(HOST_TABLES) | 7n);
  if (hostLevels === 5) {
    b.cpu.set64(R.CR4, 0x6a0n | BigInt(Cr4.LA57));
    b.cpu.set64(R.CR3, BigInt(HOST_PML5));
    b.cpu.modeChanged();
    b.cpu.mmu.flushAll();
  }
  return b;
}
/** Nested tables of five levels: 0 and 2^48 lead to the same 16 MBytes. */
function nestedPml5(b: SvmBench): { N_CR3: number } {
  b.memory.write64(NPT_PML5, BigInt(NPT) | 7n);
  b.memory.write64(NPT_PML5 + 8, BigInt(NPT) | 7n);
  return { N_CR3: NPT_PML5 };
}

describe('a host with CR4.LA57', () => {
  it('walks nested tables with five levels: guest-physical addresses beyond 48 bits', () => {
    const b = bench(5);
    // Linear 8 MiB is guest-physical 2^48 + 6 MiB.
    b.memory.write64(HOST_TABLES + 0x2000 + 4 * 8, BigInt(BEYOND + 0x60_0000) | 0x87n);
    b.memory.write64(0x60_0128, 0x1122_3344_5566_7788n);
    expect(b.run(load(0x80_0128n), nestedPml5(b))).toBe(VMMCALL_EXIT);
    expect(b.read('RAX')).toBe(0x1122_3344_5566_7788n);
    // Accessed flags at every level, in the PML5E of the page too.
    expect([b.memory.read64(NPT_PML5) & 0x20n, b.memory.read64(NPT_PML5 + 8) & 0x20n]).toEqual([0x20n, 0x20n]);
  });

  it('exits with the whole address where a PML5E is not present or has a reserved bit set', () => {
    for (const [pml5e, errorCode] of [
      [0n, 0x1_0000_0004n],
      [BigInt(NPT) | 0x87n, 0x1_0000_000dn],
      [BigInt(NPT) | 0x107n, 0x1_0000_000dn],
    ] as const) {
      const b = bench(5);
      b.memory.write64(HOST_TABLES + 0x2000 + 4 * 8, BigInt(BEYOND + 0x60_0000) | 0x87n);
      const patch = nestedPml5(b);
      b.memory.write64(NPT_PML5 + 8, pml5e);
      expect(b.run(load(0x80_0128n), patch)).toBe(NESTED_PAGE_FAULT);
      expect([b.read('EXITINFO1'), b.read('EXITINFO2')]).toEqual([errorCode, BigInt(BEYOND + 0x60_0128)]);
    }
  });

  it('and one without: four levels, which map nothing beyond 48 bits', () => {
    const b = bench(4);
    b.memory.write64(HOST_TABLES + 0x2000 + 4 * 8, BigInt(BEYOND + 0x60_0000) | 0x87n);
    expect(b.run(load(0x80_0128n))).toBe(NESTED_PAGE_FAULT);
    expect(b.read('EXITINFO2')).toBe(BigInt(BEYOND + 0x60_0128));
  });
});

describe('a guest with CR4.LA57', () => {
  const LA57 = 0x6a0 | Cr4.LA57;

  it.each([4, 5] as const)('under a host with %i levels: five of its own, and #VMEXIT restores the host', (hostLevels) => {
    const b = bench(hostLevels);
    const wide = 0xff12_0000_0060_0128n;
    // PML5E 112h of the upper half leads to the same tables as PML5E 0.
    b.memory.write64(HOST_PML5 + 0x112 * 8, BigInt(HOST_TABLES) | 7n);
    b.memory.write64(0x60_0128, 0x77n);
    const patch = { CR4: LA57, CR3: HOST_PML5, ...(hostLevels === 5 ? nestedPml5(b) : {}) };
    expect(b.run(load(wide), patch)).toBe(VMMCALL_EXIT);
    expect([b.read('RAX'), b.read('CR4')]).toEqual([0x77n, BigInt(LA57)]);
    expect(b.cpu.cr4).toBe(hostLevels === 5 ? LA57 : 0x6a0);
    expect(b.cpu.mmu.canonical(wide)).toBe(hostLevels === 5);
  });

  it('finds nothing in the TLB that was put there with 4-level paging under the same ASID', () => {
    const b = bench(4);
    // The same tables: page directory and page table with four levels, page-directory-pointer table and page directory with five.
    const tables = 0x14_0000;
    for (let n = 0; n < 3; n++) b.memory.write64(tables + n * 0x1000, BigInt(tables + (n + 1) * 0x1000) | 7n);
    b.memory.write64(tables + 0x2000 + 2 * 8, BigInt(tables + 0x4000) | 7n);
    for (let n = 0; n < 8; n++) b.memory.write64(tables + 0x3000 + n * 8, BigInt(n * 0x20_0000) | 0x87n);
    b.memory.write64(tables + 0x4000 + 8, BigInt(GUEST_CODE) | 7n);
    b.memory.write64(tables + 0x4000 + 5 * 8, 0x60_5007n);
    b.memory.write64(0x60_5000, 4n);
    b.memory.write64(0x40_5000, 5n);
    const read: bigint[] = [];
    for (const cr4 of [0x6a0, LA57, 0x6a0, LA57]) {
      expect(b.run(load(0x40_5000n), { CR3: tables, CR4: cr4 })).toBe(VMMCALL_EXIT);
      read.push(b.read('RAX'));
    }
    expect(read).toEqual([4n, 5n, 4n, 5n]);
  });

  it('is refused by a processor without it', () => {
    expect(svmBench().run([], { CR4: LA57 })).toBe(INVALID);
  });
});

it('VMRUN and VMLOAD extend the sign of bit 56', () => {
  const b = bench(4);
  b.run([], { GDTR_BASE: 0x8000_1234_5000n, IDTR_BASE: 0x1300_7fff_1234_5000n, KERNEL_GS_BASE: 0x7f00_0000_0000_0000n });
  expect([b.read('GDTR_BASE'), b.read('IDTR_BASE')]).toEqual([0x8000_1234_5000n, 0xff00_7fff_1234_5000n]);
  b.svm.vmload(b.vmcb);
  expect(b.cpu.get64(R.KERNEL_GS_BASE)).toBe(0xff00_0000_0000_0000n);
});
