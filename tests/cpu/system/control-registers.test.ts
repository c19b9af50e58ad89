import { loadPdptes, setCr0, setEfer, writeCr0, writeCr4, writeEfer } from '../../../cpu/system/control-state';
import { UNWIND, type Cpu } from '../../../cpu/cpu';
import type { Interception } from '../../../cpu/interfaces';
import { Cr0, Cr4, Efer, Flag, GP0, R, RAX, Segment, UD, execute, longMode, protectedMode, realMode } from './processor';

const TO_CR0 = '0f22c0',
  TO_CR3 = '0f22d8',
  TO_CR4 = '0f22e0',
  FROM_CR0 = '0f20c0';

function faults(action: () => void): boolean {
  try {
    action();
    return false;
  } catch (e) {
    if (e !== UNWIND) throw e;
    return true;
  }
}

const load = (cpu: Cpu, value: number | bigint, hex: string) => {
  cpu.setGpr(RAX, BigInt(value));
  return execute(cpu, hex);
};

describe('MOV to CR0', () => {
  test.each([
    ['PG without PE', Cr0.PG],
    ['NW without CD', Cr0.PE | Cr0.NW],
    ['a bit of the upper half', 0x1_0000_0001n],
  ])('%s is #GP(0) and changes nothing', (_rule, value) => {
    const cpu = longMode();
    const before = cpu.cr0;
    expect(load(cpu, typeof value === 'bigint' ? value : value >>> 0, TO_CR0)).toEqual(GP0);
    expect(cpu.cr0).toBe(before);
  });

  test('ET reads as 1, reserved bits of the low half as 0', () => {
    const cpu = realMode();
    load(cpu, 0x0000_ffc0, TO_CR0);
    execute(cpu, FROM_CR0);
    expect(cpu.gpr32(RAX)).toBe(0x10);
  });

  test('entering protected mode keeps the segment caches and CPL 0', () => {
    const cpu = realMode();
    expect(load(cpu, 0x11, TO_CR0)).toBeUndefined();
    expect(cpu.protectedMode).toBe(true);
    expect(cpu.codeSize).toBe(16);
    expect(cpu.cpl).toBe(0);
  });

  test('PG with EFER.LME activates IA-32e mode; the code segment decides about 64-bit mode', () => {
    const cpu = protectedMode();
    cpu.set32(R.EFER, Efer.LME);
    cpu.set32(R.CR4, Cr4.PAE);
    expect(load(cpu, (Cr0.PE | Cr0.PG) >>> 0, TO_CR0)).toBeUndefined();
    expect(cpu.efer).toBe(Efer.LME | Efer.LMA);
    expect(cpu.longMode).toBe(true);
    expect(cpu.codeSize).toBe(32);
    expect(load(cpu, Cr0.PE, TO_CR0)).toBeUndefined();
    expect(cpu.efer).toBe(Efer.LME);
    expect(cpu.longMode).toBe(false);
  });

  test.each<[string, (cpu: Cpu) => void]>([
    ['CR4.PAE = 0', (cpu) => cpu.set32(R.CR4, 0)],
    ['CS.L = 1', (cpu) => cpu.setSegment(Segment.CS, 8, 0xa09b, 0xffff_ffff, 0n)],
    ['TR holds a 16-bit TSS', (cpu) => cpu.setSegment(Segment.TR, 0x18, 0x83, 0x67, 0n)],
  ])('activating IA-32e mode with %s is #GP(0)', (_rule, prepare) => {
    const cpu = protectedMode();
    cpu.set32(R.EFER, Efer.LME);
    cpu.set32(R.CR4, Cr4.PAE);
    prepare(cpu);
    expect(load(cpu, (Cr0.PE | Cr0.PG) >>> 0, TO_CR0)).toEqual(GP0);
    expect(cpu.efer).toBe(Efer.LME);
  });

  test('paging off in 64-bit mode, or with PCIDE, is #GP(0)', () => {
    const cpu = longMode();
    expect(load(cpu, Cr0.PE, TO_CR0)).toEqual(GP0);
    cpu.setSegment(Segment.CS, 8, 0xc09b, 0xffff_ffff, 0n);
    cpu.set32(R.CR4, cpu.cr4 | Cr4.PCIDE);
    cpu.modeChanged();
    expect(load(cpu, Cr0.PE, TO_CR0)).toEqual(GP0);
  });

  test('PAE paging loads the PDPTE registers, refusing reserved bits', () => {
    const cpu = protectedMode();
    cpu.set32(R.CR4, Cr4.PAE);
    cpu.set32(R.CR3, 0x5020);
    for (let n = 0; n < 4; n++) cpu.memory.write64(0x5020 + 8 * n, BigInt(0x6001 + n * 0x1000));
    expect(load(cpu, (Cr0.PE | Cr0.PG) >>> 0, TO_CR0)).toBeUndefined();
    expect([R.PDPTE0, R.PDPTE1, R.PDPTE2, R.PDPTE3].map((o) => cpu.get64(o))).toEqual([0x6001n, 0x7001n, 0x8001n, 0x9001n]);
    // Bits 2:1 and 8:5 and the address beyond MAXPHYADDR are reserved in a present entry only.
    for (const bad of [2n, 4n, 0x20n, 0x100n, 1n << 46n, 1n << 63n]) {
      cpu.memory.write64(0x5028, 0x7001n | bad);
      expect(load(cpu, 0x5020, TO_CR3)).toEqual(GP0);
      cpu.memory.write64(0x5028, 0x7000n | bad);
      expect(load(cpu, 0x5020, TO_CR3)).toBeUndefined();
    }
    expect(loadPdptes(cpu, 0x5020)).toBe(true);
  });
});

describe('MOV to CR3', () => {
  test('bits from MAXPHYADDR on are #GP(0), bit 63 counts only with PCIDE and is not kept', () => {
    const cpu = longMode();
    expect(load(cpu, 1n << 45n, TO_CR3)).toBeUndefined();
    expect(load(cpu, 1n << 46n, TO_CR3)).toEqual(GP0);
    expect(load(cpu, (1n << 63n) | 0x1000n, TO_CR3)).toEqual(GP0);
    cpu.set32(R.CR4, cpu.cr4 | Cr4.PCIDE);
    expect(load(cpu, (1n << 63n) | 0x1005n, TO_CR3)).toBeUndefined();
    expect(cpu.get64(R.CR3)).toBe(0x1005n);
    expect(load(cpu, 1n << 62n, TO_CR3)).toEqual(GP0);
  });
});

describe('MOV to CR4', () => {
  test.each([
    ['LA57', Cr4.LA57],
    ['SMXE', Cr4.SMXE],
    ['PKE', Cr4.PKE],
    ['CET', Cr4.CET],
    ['VMXE on a processor without VMX', Cr4.VMXE],
    ['bit 15', 0x8000],
    ['bit 31', 0x8000_0000],
  ])('%s is #GP(0)', (_name, bit) => {
    const cpu = longMode('intel');
    expect(load(cpu, (cpu.cr4 | bit) >>> 0, TO_CR4)).toEqual(GP0);
  });

  test('a feature taken away takes its bit away', () => {
    for (const [feature, bit] of [
      ['pcid', Cr4.PCIDE],
      ['smep', Cr4.SMEP],
      ['smap', Cr4.SMAP],
      ['umip', Cr4.UMIP],
      ['fsgsbase', Cr4.FSGSBASE],
      ['xsave', Cr4.OSXSAVE],
    ] as const) {
      const more = feature === 'xsave' ? ',-xsaveopt,-xsavec,-xgetbv1' : '';
      const without = longMode(`intel,-${feature}${more}`);
      without.set32(R.CR4, Cr4.PAE);
      expect(load(without, Cr4.PAE | bit, TO_CR4)).toEqual(GP0);
      expect(load(longMode(), Cr4.PAE | bit, TO_CR4)).toBeUndefined();
    }
  });

  test('VMXE exists with VMX', () => expect(load(longMode('intel,+vmx'), Cr4.PAE | Cr4.VMXE, TO_CR4)).toBeUndefined());

  test('PAE cannot be cleared in IA-32e mode', () => expect(load(longMode(), 0, TO_CR4)).toEqual(GP0));

  test('PCIDE needs IA-32e mode and a CR3 with PCID 0', () => {
    expect(load(protectedMode(), Cr4.PCIDE, TO_CR4)).toEqual(GP0);
    const cpu = longMode();
    cpu.set32(R.CR3, 0x1008);
    expect(load(cpu, Cr4.PAE | Cr4.PCIDE, TO_CR4)).toEqual(GP0);
    cpu.set32(R.CR3, 0x1000);
    expect(load(cpu, Cr4.PAE | Cr4.PCIDE, TO_CR4)).toBeUndefined();
  });
});

describe('other control registers', () => {
  test('CR1, CR5-CR7 and CR9-CR15 do not exist, at any privilege level', () => {
    for (const hex of ['0f20c8', '0f22e8', '0f20f0', '0f20f8', '440f22c8', '440f20f8']) {
      expect(execute(longMode(), hex)).toEqual(UD);
      expect(execute(longMode('intel', 3), hex)).toEqual(UD);
    }
  });

  test('CPL 3 may not', () => {
    for (const hex of [TO_CR0, FROM_CR0, '0f06', '0f01f0', '440f20c0']) expect(execute(longMode('intel', 3), hex)).toEqual(GP0);
  });

  test('CR2 holds 64 bits', () => {
    const cpu = longMode();
    load(cpu, 0xdead_beef_0123_4567n, '0f22d0');
    cpu.setGpr(RAX, 0n);
    execute(cpu, '0f20d0');
    expect(cpu.gpr(RAX)).toBe(0xdead_beef_0123_4567n);
  });

  test('CR8 reaches the local APIC and has four bits', () => {
    const cpu = longMode();
    let tpr = 0;
    cpu.interrupts = {
      pending: () => false,
      acknowledge: () => 0,
      readCr8: () => tpr,
      writeCr8: (v) => void (tpr = v),
      readMsr: () => undefined,
      writeMsr: () => false,
    };
    expect(load(cpu, 9, '440f22c0')).toBeUndefined();
    expect(tpr).toBe(9);
    expect(load(cpu, 16, '440f22c0')).toEqual(GP0);
    execute(cpu, '440f20c0');
    expect(cpu.gpr(RAX)).toBe(9n);
  });

  test('LMSW sets PE but does not clear it, and touches the low four bits only', () => {
    const cpu = protectedMode();
    cpu.set32(R.CR0, cpu.cr0 | Cr0.NE);
    load(cpu, 0xffee, '0f01f0');
    expect(cpu.cr0).toBe(Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS | Cr0.ET | Cr0.NE);
    load(cpu, 0, '0f01f0');
    expect(cpu.cr0).toBe(Cr0.PE | Cr0.ET | Cr0.NE);
  });

  test('CLTS clears TS', () => {
    const cpu = longMode();
    cpu.set32(R.CR0, cpu.cr0 | Cr0.TS);
    execute(cpu, '0f06');
    expect(cpu.cr0 & Cr0.TS).toBe(0);
  });

  test('SMSW by operand size; UMIP refuses it outside CPL 0', () => {
    const cpu = longMode('intel', 3);
    cpu.setGpr(RAX, ~0n & 0xffff_ffff_ffff_ffffn);
    execute(cpu, '660f01e0');
    expect(cpu.gpr(RAX)).toBe(0xffff_ffff_ffff_0000n | BigInt(cpu.cr0 & 0xffff));
    execute(cpu, '0f01e0');
    expect(cpu.gpr(RAX)).toBe(BigInt(cpu.cr0));
    cpu.set32(R.CR4, cpu.cr4 | Cr4.UMIP);
    expect(execute(cpu, '0f01e0')).toEqual(GP0);
    cpu.set32(R.CPL, 0);
    expect(execute(cpu, '0f01e0')).toBeUndefined();
  });
});

describe('EFER', () => {
  test.each([
    ['LME while paging', Efer.LMA | Efer.SCE | Efer.NXE],
    ['SVME without SVM', Efer.LME | Efer.SVME],
    ['LMSLE', Efer.LME | Efer.LMSLE],
    ['FFXSR', Efer.LME | Efer.FFXSR],
    ['bit 1', Efer.LME | 2],
  ])('%s is #GP(0)', (_rule, value) => {
    const cpu = longMode();
    expect(faults(() => writeEfer(cpu, BigInt(value)))).toBe(true);
  });

  test('LMA is read-only', () => {
    const cpu = longMode();
    writeEfer(cpu, BigInt(Efer.LME));
    expect(cpu.efer).toBe(Efer.LME | Efer.LMA);
    const legacy = protectedMode();
    writeEfer(legacy, BigInt(Efer.LME | Efer.LMA));
    expect(legacy.efer).toBe(Efer.LME);
  });

  test('SVME exists with SVM', () => expect(faults(() => writeEfer(longMode('amd-svm'), BigInt(Efer.LME | Efer.SVME)))).toBe(false));
});

describe('with a hypervisor', () => {
  /** Guest/host mask: TS and PE belong to the host; the shadow shows TS = 0, PE = 1. */
  const hypervisor = (over: Partial<Interception>): Interception =>
    ({
      guestMode: true,
      active: true,
      attention: false,
      deadline: Infinity,
      instruction: () => false,
      readControl: (_cr: number, real: bigint) => (real & ~9n) | 1n,
      writeControl: (_cr: number, value: bigint, real: bigint) => (value & ~9n) | (real & 9n),
      controlAllowed: () => true,
      readMsr: () => undefined,
      writeMsr: () => false,
      ...over,
    }) as unknown as Interception;

  test('masked bits keep their real value, reads show the shadow', () => {
    const cpu = longMode();
    cpu.set32(R.CR0, cpu.cr0 | Cr0.TS);
    cpu.interception = hypervisor({});
    expect(execute(cpu, '0f06')).toBeUndefined();
    expect(cpu.cr0 & Cr0.TS).toBe(Cr0.TS);
    execute(cpu, FROM_CR0);
    expect(cpu.gpr32(RAX) & Cr0.TS).toBe(0);
  });

  test('bits that VMX operation fixes are #GP(0), in root mode too', () => {
    const cpu = longMode();
    cpu.interception = hypervisor({ guestMode: false, controlAllowed: (cr, value) => cr !== 0 || (value & 0x20n) !== 0n });
    expect(load(cpu, cpu.cr0 & ~Cr0.NE, TO_CR0)).toEqual(GP0);
    expect(load(cpu, (cpu.cr0 | Cr0.NE) >>> 0, TO_CR0)).toBeUndefined();
  });

  test('an exit happens before the value is judged', () => {
    const cpu = longMode();
    const asked: unknown[] = [];
    cpu.interception = hypervisor({ instruction: (what, operand, value) => (asked.push([what, operand, value]), true) });
    expect(load(cpu, 1n << 40n, TO_CR0)).toMatchObject({ vector: -1 });
    expect(asked).toHaveLength(1);
    expect(asked[0]).toEqual([expect.any(Number), 0, 1n << 40n]);
  });
});

test('raw loads check nothing', () => {
  const cpu = longMode();
  setEfer(cpu, 0);
  setCr0(cpu, Cr0.NW);
  expect(cpu.longMode).toBe(false);
  expect(cpu.cr0).toBe((Cr0.NW | Cr0.ET) >>> 0);
  expect(faults(() => writeCr0(cpu, Cr0.NW))).toBe(true);
  expect(faults(() => writeCr4(cpu, Cr4.LA57))).toBe(true);
  expect(cpu.rflags() & Flag.VM).toBe(0);
});
