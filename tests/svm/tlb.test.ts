import type { Patch } from './entry/vmcb-image';
import { GUEST_CODE, NPT, svmBench, type SvmBench } from './bench';

/** Guest page table for 4-Kbyte pages from linear 0xe0_0000; the host's map leads to it. */
const PAGE_TABLE = 0x58_0000;
const LINEAR = 0xe0_0000;
/** MOV EAX, [LINEAR] */
const LOAD = [0x8b, 0x04, 0x25, 0x00, 0x00, 0xe0, 0x00];
/** MOV [LINEAR], EAX */
const STORE = [0x89, 0x04, 0x25, 0x00, 0x00, 0xe0, 0x00];
const GUEST_TABLES = 0x50_0000;

/** Without nested paging the guest's tables are ours. Two pages with 1 and 2; the guest has loaded from the first. */
function warm(patch: Patch = {}): SvmBench {
  const b = svmBench();
  const { memory } = b;
  memory.write64(GUEST_TABLES, BigInt(GUEST_TABLES + 0x1000) | 7n);
  memory.write64(GUEST_TABLES + 0x1000, BigInt(GUEST_TABLES + 0x2000) | 7n);
  for (let i = 0; i < 7; i++) memory.write64(GUEST_TABLES + 0x2000 + 8 * i, BigInt(i * 0x20_0000) | 0x87n);
  memory.write64(GUEST_TABLES + 0x2000 + 8 * 7, BigInt(PAGE_TABLE) | 7n);
  memory.write64(PAGE_TABLE, 0x60_0007n);
  memory.write32(0x60_0000, 1);
  memory.write32(0x60_1000, 2);
  b.run(LOAD, { CR3: GUEST_TABLES, NESTED_CONTROL: 0, ...patch });
  expect(b.read('RAX')).toBe(1n);
  memory.write64(PAGE_TABLE, 0x60_1007n);
  return b;
}
function reload(b: SvmBench, patch: Patch = {}): bigint {
  b.write({ RIP: GUEST_CODE, RAX: 0, TLB_CONTROL: 0, ...patch });
  b.enter();
  return b.read('RAX');
}

describe('TLB_CONTROL', () => {
  it.each([
    ['0: a stale translation stays', 0, 1n],
    ['1: all', 1, 2n],
    ['3: this ASID', 3, 2n],
    ['7: this ASID, not global', 7, 2n],
    ['2: reserved, does nothing', 2, 1n],
  ])('%s', (_name, command, value) => expect(reload(warm(), { TLB_CONTROL: command })).toBe(value));

  it('3 leaves other ASIDs alone, 1 does not', () => {
    for (const [command, value] of [
      [3, 1n],
      [1, 2n],
    ] as const) {
      const b = warm();
      b.write({ RIP: GUEST_CODE, GUEST_ASID: 2, TLB_CONTROL: command });
      b.enter();
      expect(b.read('RAX')).toBe(2n);
      expect(reload(b, { GUEST_ASID: 1 })).toBe(value);
    }
  });
});

describe('ASIDs', () => {
  it('another ASID does not see the translations of the first, which come back with it', () => {
    const b = warm();
    expect(reload(b, { GUEST_ASID: 2 })).toBe(2n);
    expect(reload(b, { GUEST_ASID: 1 })).toBe(1n);
  });
  it('INVLPGA drops one address of one ASID', () => {
    const b = warm();
    b.svm.invlpga(BigInt(LINEAR), 1);
    expect(reload(b)).toBe(2n);
  });
  it('the host is ASID 0: its own flush leaves the guest alone', () => {
    const b = warm();
    b.cpu.mmu.flushAsid(0);
    expect(reload(b)).toBe(1n);
  });
});

describe('nested translations', () => {
  const nested = (): SvmBench => {
    const b = svmBench();
    b.memory.write64(NPT + 0x2000 + 8 * 7, 0x60_0087n);
    b.memory.write32(0x60_0000, 1);
    b.memory.write32(0x40_0000, 2);
    b.run(LOAD);
    expect(b.read('RAX')).toBe(1n);
    b.memory.write64(NPT + 0x2000 + 8 * 7, 0x40_0087n);
    return b;
  };
  it.each([
    ['without a flush', {}, 1n],
    ['TLB_CONTROL 1', { TLB_CONTROL: 1 }, 2n],
    ['TLB_CONTROL 3', { TLB_CONTROL: 3 }, 2n],
    ['another ASID', { GUEST_ASID: 2 }, 2n],
  ])('%s', (_name, patch, value) => expect(reload(nested(), patch)).toBe(value));
  it('accessed and dirty bits of the nested tables', () => {
    const b = svmBench();
    const entry = NPT + 0x2000 + 8 * 7;
    b.run(LOAD, {});
    expect(b.memory.read32(entry) & 0x60).toBe(0x20);
    b.run(STORE);
    expect(b.memory.read32(entry) & 0x60).toBe(0x60);
  });
});

describe('what the hypervisor changes in the VMCB counts without a flush, as it does on hardware', () => {
  it('CR0.WP', () => {
    const b = svmBench();
    b.memory.write64(0x10_2000 + 8 * 7, 0xe0_0085n);
    b.run(STORE, { CR0: 0x8000_0033 });
    expect(b.exitCode).toBe(0x81n);
    b.write({ RIP: GUEST_CODE, CR0: 0x8001_0033, EXCEPTION_INTERCEPTS: 1 << 14 });
    b.enter();
    expect([b.exitCode, b.read('EXITINFO1')]).toEqual([0x4en, 3n]);
  });
  it('CR4.SMAP', () => {
    const b = svmBench();
    b.run(LOAD);
    b.write({ RIP: GUEST_CODE, CR4: 0x20_06a0, EXCEPTION_INTERCEPTS: 1 << 14 });
    b.enter();
    expect(b.exitCode).toBe(0x4en);
  });
});
