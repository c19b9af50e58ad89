import type { Cpu } from '../../../cpu/cpu';
import type { CpuEvent, Interception } from '../../../cpu/interfaces';
import { MSRS } from '../../../cpu/system/msr-table';
import { readMsr } from '../../../cpu/system/msr';
import { Cr4, GP0, R, RAX, RCX, RDX, Segment, UD, execute, longMode } from './processor';

const rdmsr = (cpu: Cpu, index: number): bigint | CpuEvent => {
  cpu.setGpr(RCX, BigInt(index));
  const fault = execute(cpu, '0f32');
  return fault ?? (BigInt(cpu.gpr32(RDX)) << 32n) | BigInt(cpu.gpr32(RAX));
};
const wrmsr = (cpu: Cpu, index: number, value: bigint): CpuEvent | undefined => {
  cpu.setGpr(RCX, BigInt(index));
  cpu.setGpr(RAX, value & 0xffff_ffffn);
  cpu.setGpr(RDX, (value >> 32n) & 0xffff_ffffn);
  return execute(cpu, '0f30');
};
const at = (cpu: Cpu, now: number): Cpu => ((cpu.retired = () => now), cpu);
const NON_CANONICAL = 0x0000_8000_0000_0000n;

test('CPL 3 may not', () => {
  expect(rdmsr(longMode('intel', 3), 0x10)).toEqual(GP0);
  expect(wrmsr(longMode('intel', 3), 0x10, 0n)).toEqual(GP0);
});

describe('unknown MSRs', () => {
  // Performance monitoring, thermal status, power, MCG_CTL and banks, SMM, VMX, RAPL, LBR, PPIN.
  test.each([
    0xc1, 0x186, 0x38f, 0x345, 0x19c, 0x1b1, 0x1b0, 0x198, 0x17b, 0x400, 0x9b, 0x9e, 0x480, 0x3a, 0x606, 0x1c9, 0x4e, 0xe7, 0x122, 0xda0, 0xc001_0015,
    0x4000_0000,
  ])('%p is #GP(0) on the Intel profile', (index) => {
    expect(rdmsr(longMode(), index)).toEqual(GP0);
    expect(wrmsr(longMode(), index, 0n)).toEqual(GP0);
  });
  test.each([0xce, 0x1a0, 0x10a, 0x3b, 0x79, 0x140, 0x17, 0xc001_0114])('%p is #GP(0) on the AMD profile', (index) => {
    expect(rdmsr(longMode('amd'), index)).toEqual(GP0);
  });
});

test('every index has one row, and every readable row can be read', () => {
  for (const vendor of ['intel', 'amd'] as const) {
    const cpu = longMode(vendor);
    const rows = MSRS.filter((m) => m.when === undefined || m.when(cpu.profile));
    expect(new Set(rows.map((m) => m.index)).size).toBe(rows.length);
    for (const row of rows) expect([row.name, readMsr(cpu, row.index) !== undefined]).toEqual([row.name, row.read !== undefined]);
  }
});

describe('reset and fixed values', () => {
  test.each<[string, number, bigint]>([
    ['intel', 0x277, 0x0007_0406_0007_0406n],
    ['intel', 0xfe, 0x508n],
    ['intel', 0x2ff, 0n],
    ['intel', 0x179, 0n],
    ['intel', 0x34, 0n],
    ['intel', 0x1a0, 0x1801n],
    ['amd', 0xc001_0015, 0x0100_0001n],
  ])('%s %p reads %p', (profile, index, value) => expect(rdmsr(longMode(profile), index)).toBe(value));

  test('ARCH_CAPABILITIES has RDCL_NO, IBRS_ALL, MDS_NO, TAA_NO and no RSBA', () => {
    const value = rdmsr(longMode(), 0x10a) as bigint;
    for (const bit of [0n, 1n, 5n, 8n]) expect((value >> bit) & 1n).toBe(1n);
    expect((value >> 2n) & 1n).toBe(0n);
    expect(wrmsr(longMode(), 0x10a, 0n)).toEqual(GP0);
    expect(rdmsr(longMode('intel,-arch-capabilities'), 0x10a)).toEqual(GP0);
  });
});

describe('time-stamp counter', () => {
  test('RDTSC, RDTSCP and RDMSR agree, with offsets carried across 32 bits', () => {
    const cpu = at(longMode(), 0x1_8000_0000);
    cpu.set64(R.TSC_OFFSET, 0xffff_ffff_9000_0000n);
    cpu.set64(R.GUEST_TSC_OFFSET, 0x2_f000_0000n);
    cpu.set64(R.TSC_AUX, 5n);
    const expected = BigInt.asUintN(64, 0x1_8000_0000n + 0xffff_ffff_9000_0000n + 0x2_f000_0000n);
    expect(rdmsr(cpu, 0x10)).toBe(expected);
    for (const hex of ['0f31', '0f01f9']) {
      cpu.setGpr(RAX, ~0n);
      execute(cpu, hex);
      expect((cpu.gpr(RDX) << 32n) | cpu.gpr(RAX)).toBe(expected);
    }
    expect(cpu.gpr(RCX)).toBe(5n);
  });

  test('TSD keeps it for CPL 0', () => {
    const cpu = longMode('intel', 3);
    expect(execute(cpu, '0f31')).toBeUndefined();
    cpu.set32(R.CR4, cpu.cr4 | Cr4.TSD);
    expect(execute(cpu, '0f31')).toEqual(GP0);
    expect(execute(cpu, '0f01f9')).toEqual(GP0);
    expect(execute(longMode('intel,-rdtscp'), '0f01f9')).toEqual(UD);
  });

  test('TSC_ADJUST and the TSC move together', () => {
    const cpu = at(longMode(), 1000);
    cpu.set64(R.TSC_OFFSET, 0n);
    expect(wrmsr(cpu, 0x10, 5000n)).toBeUndefined();
    expect(rdmsr(cpu, 0x10)).toBe(5000n);
    expect(rdmsr(cpu, 0x3b)).toBe(4000n);
    expect(wrmsr(cpu, 0x3b, 0n)).toBeUndefined();
    expect(rdmsr(cpu, 0x10)).toBe(1000n);
  });
});

describe('validation', () => {
  test('PAT takes types 0, 1, 4-7', () => {
    for (const type of [0, 1, 4, 5, 6, 7]) expect(wrmsr(longMode(), 0x277, BigInt(type) << 56n)).toBeUndefined();
    for (const type of [2, 3, 8, 0x10, 0x80]) expect(wrmsr(longMode(), 0x277, BigInt(type) << 56n)).toEqual(GP0);
  });

  test('MTRRs refuse UC-, reserved bits and addresses beyond MAXPHYADDR', () => {
    const cpu = longMode();
    expect(wrmsr(cpu, 0x200, 0x8000_0006n)).toBeUndefined();
    expect(rdmsr(cpu, 0x200)).toBe(0x8000_0006n);
    expect(wrmsr(cpu, 0x20f, 0x3fff_8000_0800n)).toBeUndefined();
    for (const [index, value] of [
      [0x200, 7n],
      [0x200, 0x106n],
      [0x200, 1n << 46n],
      [0x201, 0x400n],
      [0x201, 1n << 46n],
      [0x2ff, 0x1000n],
      [0x2ff, 7n],
      [0x26f, 7n << 24n],
      [0xfe, 0n],
    ] as const) {
      expect(wrmsr(cpu, index, value)).toEqual(GP0);
    }
    expect(wrmsr(cpu, 0x2ff, 0xc06n)).toBeUndefined();
    expect(wrmsr(cpu, 0x26f, 0x0606_0606_0505_0505n)).toBeUndefined();
    expect(rdmsr(cpu, 0x210)).toEqual(GP0);
  });

  test.each([0x175, 0x176, 0xc000_0082, 0xc000_0083, 0xc000_0100, 0xc000_0101, 0xc000_0102])('%p wants a canonical address', (index) => {
    expect(wrmsr(longMode(), index, NON_CANONICAL)).toEqual(GP0);
    const cpu = longMode();
    expect(wrmsr(cpu, index, 0xffff_8000_1234_5678n)).toBeUndefined();
    expect(rdmsr(cpu, index)).toBe(0xffff_8000_1234_5678n);
  });

  test('TSC_AUX has 32 bits', () => {
    expect(wrmsr(longMode(), 0xc000_0103, 1n << 32n)).toEqual(GP0);
    expect(rdmsr(longMode('intel,-rdtscp'), 0xc000_0103)).toEqual(GP0);
  });

  test('PRED_CMD is write-only', () => {
    expect(wrmsr(longMode(), 0x49, 1n)).toBeUndefined();
    expect(wrmsr(longMode(), 0x49, 2n)).toEqual(GP0);
    expect(rdmsr(longMode(), 0x49)).toEqual(GP0);
    expect(wrmsr(longMode('intel,-spec-ctrl'), 0x49, 1n)).toEqual(GP0);
  });
});

test('the microcode revision appears in the upper half of 8Bh', () => {
  const cpu = longMode();
  expect(wrmsr(cpu, 0x8b, 0n)).toBeUndefined();
  execute(cpu, '0fa2');
  const value = rdmsr(cpu, 0x8b) as bigint;
  expect(value & 0xffff_ffffn).toBe(0n);
  expect(value >> 32n).not.toBe(0n);
});

test('FS and GS bases are the segment bases', () => {
  const cpu = longMode();
  wrmsr(cpu, 0xc000_0101, 0xffff_8880_0000_0000n);
  wrmsr(cpu, 0xc000_0102, 0x1234n);
  expect(cpu.segmentBase(Segment.GS)).toBe(0xffff_8880_0000_0000n);
  execute(cpu, '0f01f8');
  expect(cpu.segmentBase(Segment.GS)).toBe(0x1234n);
  expect(cpu.get64(R.KERNEL_GS_BASE)).toBe(0xffff_8880_0000_0000n);
  expect(execute(cpu, 'f3480faec8')).toEqual(UD);
  cpu.set32(R.CR4, cpu.cr4 | Cr4.FSGSBASE);
  execute(cpu, 'f3480faec8');
  expect(cpu.gpr(RAX)).toBe(0x1234n);
  cpu.setGpr(RAX, NON_CANONICAL);
  expect(execute(cpu, 'f3480faed0')).toEqual(GP0);
  expect(execute(cpu, 'f30faed0')).toBeUndefined();
  expect(cpu.segmentBase(Segment.FS)).toBe(0n);
});

describe('MSRs of others', () => {
  test('x2APIC, APIC base and TSC deadline go to the interrupt controller', () => {
    const cpu = longMode();
    const written: [number, bigint][] = [];
    cpu.interrupts = {
      pending: () => false,
      acknowledge: () => 0,
      readCr8: () => 0,
      writeCr8: () => {},
      readMsr: (i) => (i === 0x802 ? 7n : undefined),
      writeMsr: (i, v) => (i === 0x8ff ? false : (written.push([i, v]), true)),
    };
    expect(rdmsr(cpu, 0x802)).toBe(7n);
    expect(rdmsr(cpu, 0x803)).toEqual(GP0);
    expect(wrmsr(cpu, 0x6e0, 99n)).toBeUndefined();
    expect(wrmsr(cpu, 0x80b, 0n)).toBeUndefined();
    expect(wrmsr(cpu, 0x8ff, 0n)).toEqual(GP0);
    expect(written).toEqual([
      [0x6e0, 99n],
      [0x80b, 0n],
    ]);
    expect(cpu.attention).toBe(true);
  });

  test('VMX answers for its own', () => {
    const cpu = longMode('intel-vmx');
    cpu.interception = {
      guestMode: false,
      active: false,
      readMsr: (i: number) => (i === 0x3a ? 5n : undefined),
      writeMsr: () => false,
    } as unknown as Interception;
    expect(rdmsr(cpu, 0x3a)).toBe(5n);
    expect(wrmsr(cpu, 0x3a, 5n)).toEqual(GP0);
  });
});
