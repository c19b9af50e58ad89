/** What an AMD processor does differently from Intel's, and its own MSRs. Expected values: APM volumes 2 and 3. */
import { AccessBit } from '../../../cpu/segments';
import type { Cpu } from '../../../cpu/cpu';
import { Access } from '../../../cpu/mmu';
import { Efer, GP0, R, RAX, RBX, RCX, RDX, Segment, UD, execute, longMode, protectedMode } from './processor';

const rdmsr = (cpu: Cpu, index: number): bigint => {
  cpu.setGpr(RCX, BigInt(index));
  expect(execute(cpu, '0f32')).toBeUndefined();
  return (BigInt(cpu.gpr32(RDX)) << 32n) | BigInt(cpu.gpr32(RAX));
};
const wrmsr = (cpu: Cpu, index: number, value: bigint): ReturnType<typeof execute> => {
  cpu.setGpr(RCX, BigInt(index));
  cpu.setGpr(RAX, value & 0xffff_ffffn);
  cpu.setGpr(RDX, value >> 32n);
  return execute(cpu, '0f30');
};
const cpuid = (cpu: Cpu, leaf: number): readonly [eax: number, ebx: number, ecx: number, edx: number] => {
  cpu.setGpr(RAX, BigInt(leaf));
  cpu.setGpr(RCX, 0n);
  expect(execute(cpu, '0fa2')).toBeUndefined();
  return [cpu.gpr32(RAX), cpu.gpr32(RBX), cpu.gpr32(RCX), cpu.gpr32(RDX)];
};
const HWCR = 0xc001_0015;
const PERF_SELECT0 = 0xc001_0000;
const PERF_COUNTER0 = 0xc001_0004;
/** Enabled, USR and OS. */
const COUNT = (1n << 22n) | (3n << 16n);

describe('MSRs', () => {
  it('P-state 0 is enabled and CpuFid / CpuDfsId * 200 MHz is the frequency of the TSC; there is no other', () => {
    const cpu = longMode('amd');
    const definition = rdmsr(cpu, 0xc001_0064);
    expect(definition >> 63n).toBe(1n);
    expect((Number(definition & 0xffn) / Number((definition >> 8n) & 0x3fn)) * 200).toBe(1000);
    for (let n = 1; n < 8; n++) expect(rdmsr(cpu, 0xc001_0064 + n) >> 63n).toBe(0n);
    expect([rdmsr(cpu, 0xc001_0061), rdmsr(cpu, 0xc001_0063)]).toEqual([0n, 0n]);
    // Linux warns if it is 0: the TSC does not count with the P0 frequency.
    expect((rdmsr(cpu, HWCR) >> 24n) & 1n).toBe(1n);
  });
  it('SmmLock cannot be cleared, and SMM registers are read-only', () => {
    const cpu = longMode('amd');
    expect(wrmsr(cpu, HWCR, 1n << 30n)).toBeUndefined();
    expect(rdmsr(cpu, HWCR)).toBe((1n << 30n) | 1n);
    expect(wrmsr(cpu, 0xc001_0113, 1n)).toEqual(GP0);
  });
  it('CPUID features can be overridden', () => {
    const cpu = longMode('amd');
    const before = rdmsr(cpu, 0xc001_1004);
    const [, , ecx, edx] = cpuid(cpu, 1);
    // OSXSAVE and the APIC bit follow the processor's state.
    expect(Number(before & 0xffff_ffffn) & ~0x200).toBe(edx & ~0x200);
    expect(Number(before >> 32n)).toBe(ecx & ~(1 << 27));
    expect(wrmsr(cpu, 0xc001_1004, before & ~(1n << 26n) & ~(1n << (32n + 23n)))).toBeUndefined();
    expect(cpuid(cpu, 1).slice(2)).toEqual([(ecx & ~(1 << 23)) >>> 0, (edx & ~(1 << 26)) >>> 0]);

    const topoext = 1n << (32n + 22n);
    const extended = rdmsr(cpu, 0xc001_1005);
    expect(extended & topoext).toBe(topoext);
    wrmsr(cpu, 0xc001_1005, extended & ~topoext);
    expect(cpuid(cpu, 0x8000_0001)[2] & (1 << 22)).toBe(0);
    wrmsr(cpu, 0xc001_1002, 0n);
    expect(cpuid(cpu, 7)[1]).toBe(0);
  });
});

describe('performance counters', () => {
  const running = (): Cpu => {
    const cpu = longMode('amd');
    cpu.retired = () => 1000;
    return cpu;
  };
  const later = (cpu: Cpu, ticks: number): void => {
    const now = cpu.retired() + ticks;
    cpu.retired = () => now;
  };

  it('hold what is written while they do not count: Linux looks for machines that answer 0', () => {
    const cpu = running();
    const value = 0xffff_1234_5678n;
    wrmsr(cpu, PERF_COUNTER0 + 3, value);
    later(cpu, 50);
    expect(rdmsr(cpu, PERF_COUNTER0 + 3)).toBe(value);
  });
  it.each([0xc0n, 0x76n])('event %p counts from enabling to disabling, in 48 bits', (event) => {
    const cpu = running();
    wrmsr(cpu, PERF_COUNTER0, (1n << 48n) - 10n);
    wrmsr(cpu, PERF_SELECT0, COUNT | event);
    later(cpu, 15);
    expect(rdmsr(cpu, PERF_COUNTER0)).toBe(5n);
    wrmsr(cpu, PERF_SELECT0, event);
    later(cpu, 100);
    expect(rdmsr(cpu, PERF_COUNTER0)).toBe(5n);
    expect(rdmsr(cpu, PERF_SELECT0)).toBe(event);
  });
  it('RDPMC reads them: 0 to 3, at CPL 3 with CR4.PCE only', () => {
    const cpu = running();
    wrmsr(cpu, PERF_SELECT0 + 1, COUNT | 0xc0n);
    later(cpu, 7);
    cpu.setGpr(RCX, 1n);
    expect(execute(cpu, '0f33')).toBeUndefined();
    expect([cpu.gpr(RAX), cpu.gpr(RDX)]).toEqual([7n, 0n]);
    cpu.setGpr(RCX, 4n);
    expect(execute(cpu, '0f33')).toEqual(GP0);
    cpu.setGpr(RCX, 1n);
    cpu.set32(R.CPL, 3);
    expect(execute(cpu, '0f33')).toEqual(GP0);
    const intel = longMode();
    intel.setGpr(RCX, 0n);
    expect(execute(intel, '0f33')).toEqual(GP0);
  });
});

describe('instructions', () => {
  it('SYSENTER and SYSEXIT are #UD in long mode only', () => {
    for (const hex of ['0f34', '0f35']) {
      const long = longMode('amd');
      wrmsr(long, 0x174, 8n);
      expect(execute(long, hex)).toEqual(UD);
      const legacy = protectedMode('amd');
      legacy.set32(R.SYSENTER_CS, 8);
      expect(execute(legacy, hex)).toBeUndefined();
    }
  });
  it('SYSCALL works in legacy mode', () => {
    const cpu = protectedMode('amd', 3);
    cpu.set32(R.EFER, Efer.SCE);
    cpu.set64(R.STAR, 0x0010_1234_5678n);
    expect(execute(cpu, '0f05')).toBeUndefined();
    expect([cpu.rip, cpu.cpl, cpu.selector(Segment.CS), cpu.selector(Segment.SS)]).toEqual([0x1234_5678n, 0, 0x10, 0x18]);
    const intel = protectedMode('intel', 3);
    intel.set32(R.EFER, Efer.SCE);
    expect(execute(intel, '0f05')).toEqual(UD);
  });
  it('SYSRET changes the SS selector and leaves its attributes: Linux calls it sysret_ss_attrs', () => {
    for (const [vendor, access] of [
      ['amd', AccessBit.UNUSABLE],
      ['intel', 0xc0f3],
    ] as const) {
      const cpu = longMode(vendor);
      cpu.set64(R.STAR, 0x23n << 48n);
      cpu.setSegment(Segment.SS, 0, AccessBit.UNUSABLE, 0, 0n);
      cpu.setGpr(RCX, 0x5000n);
      expect(execute(cpu, '480f07')).toBeUndefined();
      expect([cpu.cpl, cpu.selector(Segment.CS), cpu.selector(Segment.SS), cpu.segmentAccess(Segment.SS)]).toEqual([3, 0x33, 0x2b, access]);
    }
  });
  it('SYSRET to a non-canonical address does not fault at CPL 0', () => {
    const cpu = longMode('amd');
    cpu.setGpr(RCX, 1n << 47n);
    expect(execute(cpu, '480f07')).toBeUndefined();
    expect(cpu.cpl).toBe(3);
    const intel = longMode();
    intel.setGpr(RCX, 1n << 47n);
    expect(execute(intel, '480f07')).toEqual(GP0);
  });
  it('a null selector clears the base with NullSelectorClearsBase, and keeps it without', () => {
    for (const [profile, base] of [
      ['amd', 0n],
      ['intel', 0n],
      ['amd,-null-sel-clr-base', 0x1234n],
    ] as const) {
      const cpu = longMode(profile);
      cpu.setSegment(Segment.FS, 0x2b, 0xc0f3, 0xffff_ffff, 0x1234n);
      cpu.setGpr(RAX, 0n);
      expect(execute(cpu, '8ee0')).toBeUndefined();
      expect([profile, cpu.selector(Segment.FS), cpu.segmentBase(Segment.FS)]).toEqual([profile, 0, base]);
      expect(cpu.segmentAccess(Segment.FS) & AccessBit.UNUSABLE).not.toBe(0);
    }
  });
  it('has no far pointers of 64 bits: REX.W LSS takes 32 bits of offset', () => {
    // With a selector behind 32 bits of offset, Intel reads part of it as offset.
    const memory = 0x0000_0000_5566_7788n | (0x1n << 48n);
    const amd = longMode('amd');
    const intel = longMode();
    for (const cpu of [amd, intel]) {
      cpu.setGpr(RBX, 0x6000n);
      cpu.memory.write64(0x6000, memory);
      expect(execute(cpu, '480fb403')).toBeUndefined();
    }
    expect(amd.gpr(RAX)).toBe(0x5566_7788n);
    expect(intel.gpr(RAX)).toBe(memory);
  });
});

describe('paging', () => {
  it('bit 8 of PML4 entries, and of PDP entries that refer to a table, must be zero', () => {
    for (const address of [0x1000, 0x2000]) {
      for (const [vendor, vector] of [
        ['amd', 14],
        ['intel', undefined],
      ] as const) {
        const cpu = longMode(vendor);
        cpu.memory.write64(address, cpu.memory.read64(address) | 0x100n);
        let fault: typeof cpu.fault;
        try {
          cpu.mmu.translate(0x5000, 0, Access.Read);
        } catch {
          fault = cpu.fault;
        }
        expect([vendor, fault?.vector]).toEqual([vendor, vector]);
        if (fault !== undefined) expect(fault.errorCode).toBe(9);
      }
    }
  });
});

describe('CPUID', () => {
  it('has no long-mode features beyond what executes: LA57, AltMovCr8 and branch sampling are absent', () => {
    const cpu = longMode('amd');
    expect(cpuid(cpu, 7)[2] & (1 << 16)).toBe(0);
    const [, , ecx] = cpuid(cpu, 0x8000_0001);
    // AltMovCr8 4, OSVW 9, IBS 10, PerfCtrExtCore 23, PerfTsc 27.
    expect(ecx & ((1 << 4) | (1 << 9) | (1 << 10) | (1 << 23) | (1 << 27))).toBe(0);
  });
  it('says of speculation what is true: nothing speculates', () => {
    const cpu = longMode('amd');
    expect((cpuid(cpu, 0x8000_0008)[1] >>> 26) & 1).toBe(1);
    const [eax, , ecx] = cpuid(cpu, 0x8000_0021);
    expect([(eax >>> 29) & 1, ecx & 6]).toEqual([1, 6]);
  });
  it('has the TLBs of its generation: 8000_0006h as Linux reads it', () => {
    const [eax, ebx] = cpuid(longMode('amd'), 0x8000_0006);
    expect([ebx & 0xfff, (ebx >>> 16) & 0xfff, eax & 0xfff, (eax >>> 16) & 0xfff]).toEqual([512, 3072, 512, 3072]);
  });
});
