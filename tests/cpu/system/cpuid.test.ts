import { Cr4, GP0, R, RAX, RBX, RCX, RDX, execute, longMode } from './processor';
import type { Cpu } from '../../../cpu/cpu';

const cpuid = (cpu: Cpu, leaf: number, subleaf = 0): number[] => {
  cpu.setGpr(RAX, BigInt(leaf) | (0xffn << 32n));
  cpu.setGpr(RCX, BigInt(subleaf));
  expect(execute(cpu, '0fa2')).toBeUndefined();
  expect(cpu.gpr(RAX) >> 32n).toBe(0n);
  return [RAX, RBX, RCX, RDX].map((r) => cpu.gpr32(r));
};
const withApic = (cpu: Cpu, enabled: boolean): Cpu => {
  cpu.interrupts = {
    pending: () => false,
    acknowledge: () => 0,
    readCr8: () => 0,
    writeCr8: () => {},
    readMsr: (i) => (i === 0x1b ? 0xfee0_0100n | (enabled ? 0x800n : 0n) : undefined),
    writeMsr: () => false,
  };
  return cpu;
};

test('OSXSAVE follows CR4', () => {
  const cpu = longMode();
  expect((cpuid(cpu, 1)[2] >>> 27) & 1).toBe(1);
  cpu.set32(R.CR4, cpu.cr4 & ~Cr4.OSXSAVE);
  expect((cpuid(cpu, 1)[2] >>> 27) & 1).toBe(0);
});

test('the APIC bit follows IA32_APIC_BASE', () => {
  expect((cpuid(withApic(longMode(), true), 1)[3] >>> 9) & 1).toBe(1);
  expect((cpuid(withApic(longMode(), false), 1)[3] >>> 9) & 1).toBe(0);
  expect((cpuid(withApic(longMode('amd'), false), 0x8000_0001)[3] >>> 9) & 1).toBe(0);
});

test('leaf 0Dh: x87 and SSE need 512 + 64 bytes', () => {
  const cpu = longMode();
  cpu.set32(R.XCR0, 3);
  expect(cpuid(cpu, 0xd)).toEqual([3, 576, 576, 0]);
  expect(cpuid(cpu, 0xd, 1)[0]).toBe(7);
  expect(cpuid(cpu, 0xd, 2)).toEqual([0, 0, 0, 0]);
  expect(cpuid(longMode('intel,-xsave,-xsaveopt,-xsavec,-xgetbv1'), 0xd)).toEqual([0, 0, 0, 0]);
});

test('IA32_MISC_ENABLE limits leaves, hides MONITOR and NX', () => {
  const cpu = longMode('intel,+monitor');
  expect((cpuid(cpu, 1)[2] >>> 3) & 1).toBe(1);
  cpu.setGpr32(RCX, 0x1a0);
  cpu.setGpr32(RAX, 1 << 22);
  cpu.setGpr32(RDX, 1 << 2);
  expect(execute(cpu, '0f30')).toBeUndefined();
  expect(cpuid(cpu, 0)[0]).toBe(2);
  expect(cpuid(cpu, 7)).toEqual(cpuid(cpu, 2));
  expect((cpuid(cpu, 1)[2] >>> 3) & 1).toBe(0);
  expect((cpuid(cpu, 0x8000_0001)[3] >>> 20) & 1).toBe(0);
});

test('CPUID faulting: #GP(0) outside CPL 0', () => {
  const cpu = longMode('intel', 3);
  expect(execute(cpu, '0fa2')).toBeUndefined();
  cpu.set64(R.MISC_FEATURES_ENABLES, 1n);
  expect(execute(cpu, '0fa2')).toEqual(GP0);
});
