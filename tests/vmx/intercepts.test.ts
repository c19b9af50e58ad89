/** Instructions that cause VM exits: the control, the reason, the qualification. SDM "VMX Non-Root Operation" and Appendix C. */
import { UNWIND } from '../../cpu/cpu';
import { Segment, type Insn } from '../../cpu/decoder/insn';
import { Sensitive, type CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import { parseProfile } from '../../cpu/profiles/profile';
import { Primary, Secondary } from '../../vmx/controls';
import { FULL_VMX_PROFILE } from '../../vmx/capabilities';
import type { FieldName } from '../../vmx/vmcs/fields';
import { IO_BITMAP_A, IO_BITMAP_B, MSR_BITMAP, PRIMARY, VIRTUAL_APIC, guest, insn, type Bench } from './bench';

type Fields = Partial<Record<FieldName, bigint | number>>;
const primary = (bits: number): Fields => ({ PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | bits) >>> 0 });
const secondary = (bits: number): Fields => ({ SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_EPT | Secondary.ENABLE_VPID | bits });
/** A processor that has all the instructions in question. */
const PROFILE = parseProfile('intel-vmx,+rdrand,+rdseed');
const RICH: CpuProfile = {
  name: PROFILE.name,
  vendor: PROFILE.vendor,
  physicalAddressWidth: PROFILE.physicalAddressWidth,
  cpuid: (leaf, subleaf) => PROFILE.cpuid(leaf, subleaf),
  has: (feature) => feature === 'xsaves' || PROFILE.has(feature),
};

function intercept(b: Bench, what: Sensitive, operand = 0, value = 0n, fields: Partial<Insn> = {}): { reason: bigint; qualification: bigint } | undefined {
  b.cpu.insn = insn(fields);
  if (!b.vmx.instruction(what, operand, value)) return undefined;
  expect(b.vmx.guestMode).toBe(false);
  expect(b.read('EXIT_INSTRUCTION_LENGTH')).toBe(BigInt(b.cpu.insn.length));
  return { reason: b.read('EXIT_REASON'), qualification: b.read('EXIT_QUALIFICATION') };
}

describe('unconditionally', () => {
  it.each([
    [Sensitive.CPUID, 10n],
    [Sensitive.GETSEC, 11n],
    [Sensitive.INVD, 13n],
    [Sensitive.XSETBV, 55n],
  ])('%s exits with reason %s', (what, reason) => {
    expect(intercept(guest(), what)).toEqual({ reason, qualification: 0n });
  });
  it.each([
    [0n, 0x18n],
    [1n, 0x4000_0018n],
    [2n, 0x8000_0018n],
  ])('a task switch by source %s', (source, qualification) => {
    expect(intercept(guest(), Sensitive.TASK_SWITCH, 0x18, source)).toEqual({ reason: 9n, qualification });
  });
});

describe('with the control 1, and not with the control 0', () => {
  it.each<[Sensitive, Fields, bigint]>([
    [Sensitive.HLT, primary(Primary.HLT_EXITING), 12n],
    [Sensitive.RDPMC, primary(Primary.RDPMC_EXITING), 15n],
    [Sensitive.RDTSC, primary(Primary.RDTSC_EXITING), 16n],
    [Sensitive.MONITOR, primary(Primary.MONITOR_EXITING), 39n],
    [Sensitive.MWAIT, primary(Primary.MWAIT_EXITING), 36n],
    [Sensitive.PAUSE, primary(Primary.PAUSE_EXITING), 40n],
    [Sensitive.WBINVD, secondary(Secondary.WBINVD_EXITING), 54n],
    [Sensitive.RDRAND, secondary(Secondary.RDRAND_EXITING), 57n],
    [Sensitive.RDSEED, secondary(Secondary.RDSEED_EXITING), 61n],
    [Sensitive.LGDT, secondary(Secondary.DESCRIPTOR_TABLE_EXITING), 46n],
    [Sensitive.SIDT, secondary(Secondary.DESCRIPTOR_TABLE_EXITING), 46n],
    [Sensitive.LTR, secondary(Secondary.DESCRIPTOR_TABLE_EXITING), 47n],
    [Sensitive.SLDT, secondary(Secondary.DESCRIPTOR_TABLE_EXITING), 47n],
  ])('%s', (what, fields, reason) => {
    expect(intercept(guest({}, {}, RICH), what)).toBeUndefined();
    expect(intercept(guest(fields, {}, RICH), what)).toMatchObject({ reason });
  });
  it('INVLPG gives the linear address', () => {
    expect(intercept(guest(primary(Primary.INVLPG_EXITING)), Sensitive.INVLPG, 0, 0xffff_8000_1234_5678n)).toEqual({
      reason: 14n,
      qualification: 0xffff_8000_1234_5678n,
    });
  });
  it('MWAIT tells whether monitoring is armed', () => {
    const b = guest(primary(Primary.MWAIT_EXITING));
    b.cpu.set32(R.MONITOR_ARMED, 1);
    expect(intercept(b, Sensitive.MWAIT)).toEqual({ reason: 36n, qualification: 1n });
  });
});

describe('instructions that a control enables', () => {
  it.each<[Sensitive, number, number | undefined, bigint]>([
    [Sensitive.RDTSCP, Secondary.ENABLE_RDTSCP, Primary.RDTSC_EXITING, 51n],
    [Sensitive.INVPCID, Secondary.ENABLE_INVPCID, Primary.INVLPG_EXITING, 58n],
  ])('%s raises #UD without it, and exits with another', (what, enable, exiting, reason) => {
    const without = guest();
    expect(() => intercept(without, what)).toThrow(expect.anything());
    expect(without.cpu.fault).toMatchObject({ vector: 6 });
    expect(intercept(guest(secondary(enable)), what)).toBeUndefined();
    expect(intercept(guest({ ...secondary(enable), ...primary(exiting!) }), what)).toMatchObject({ reason });
  });
  it('XSAVES exits for state components in the XSS-exiting bitmap', () => {
    const fields = { ...secondary(Secondary.ENABLE_XSAVES_XRSTORS), XSS_EXITING_BITMAP: 0x100n };
    const b = guest(fields, { profile: FULL_VMX_PROFILE }, RICH);
    b.cpu.setGpr(0, 0x100n);
    expect(intercept(b, Sensitive.XSAVES)).toBeUndefined();
    b.cpu.set64(R.XSS, 0x100n);
    expect(intercept(b, Sensitive.XSAVES)).toMatchObject({ reason: 63n });
    const without = guest({}, {}, RICH);
    try {
      intercept(without, Sensitive.XSAVES);
    } catch (e) {
      expect(e).toBe(UNWIND);
    }
    expect(without.cpu.fault).toMatchObject({ vector: 6 });
  });
});

describe('control registers', () => {
  const move = { dst: 7, src: 9 };
  it.each<[string, Fields, number, bigint, bigint | undefined]>([
    ['CR0: owned bit differs from the shadow', { CR0_GUEST_HOST_MASK: 0x8, CR0_READ_SHADOW: 0 }, 0, 0x8n, 0x900n],
    ['CR0: owned bit equals the shadow', { CR0_GUEST_HOST_MASK: 0x8, CR0_READ_SHADOW: 8 }, 0, 0x8n, undefined],
    ['CR0: unowned bits are free', { CR0_GUEST_HOST_MASK: 0x8 }, 0, 0x6n, undefined],
    ['CR4: owned bit', { CR4_GUEST_HOST_MASK: 0x2000, CR4_READ_SHADOW: 0 }, 4, 0x2000n, 0x904n],
    ['CR3 without the control', {}, 3, 0x5000n, undefined],
    ['CR3 with the control', primary(Primary.CR3_LOAD_EXITING), 3, 0x5000n, 0x903n],
    ['CR3 target', { ...primary(Primary.CR3_LOAD_EXITING), CR3_TARGET_COUNT: 2, CR3_TARGET_VALUE_1: 0x5000 }, 3, 0x5000n, undefined],
    ['CR3 target beyond the count', { ...primary(Primary.CR3_LOAD_EXITING), CR3_TARGET_COUNT: 1, CR3_TARGET_VALUE_1: 0x5000 }, 3, 0x5000n, 0x903n],
    ['CR8', primary(Primary.CR8_LOAD_EXITING), 8, 5n, 0x908n],
  ])('MOV to %s', (_name, fields, cr, value, qualification) => {
    expect(intercept(guest(fields), Sensitive.MOV_TO_CR, cr, value, move)).toEqual(qualification === undefined ? undefined : { reason: 28n, qualification });
  });
  it('MOV from CR3 and CR8', () => {
    expect(intercept(guest(), Sensitive.MOV_FROM_CR, 3, 0n, move)).toBeUndefined();
    expect(intercept(guest(primary(Primary.CR3_STORE_EXITING)), Sensitive.MOV_FROM_CR, 3, 0n, move)).toEqual({ reason: 28n, qualification: 0x713n });
    expect(intercept(guest(primary(Primary.CR8_STORE_EXITING)), Sensitive.MOV_FROM_CR, 8, 0n, move)).toEqual({ reason: 28n, qualification: 0x718n });
  });
  it('CLTS exits only if TS is owned and its shadow is 1; otherwise an owned TS keeps its value', () => {
    const owned = { CR0_GUEST_HOST_MASK: 8 };
    expect(intercept(guest({ ...owned, CR0_READ_SHADOW: 8 }), Sensitive.CLTS)).toEqual({ reason: 28n, qualification: 0x20n });
    const b = guest({ ...owned, CR0_READ_SHADOW: 0, GUEST_CR0: 0x8001_003b });
    expect(intercept(b, Sensitive.CLTS)).toBeUndefined();
    expect(b.vmx.writeControl(0, 0x8001_0033n, 0x8001_003bn)).toBe(0x8001_003bn);
  });
  it('LMSW: qualification holds the source; PE cannot be cleared, so clearing it does not exit', () => {
    const owned = { CR0_GUEST_HOST_MASK: 0xf, CR0_READ_SHADOW: 1 };
    expect(intercept(guest(owned), Sensitive.LMSW, 0, 0x000bn)).toEqual({ reason: 28n, qualification: 0xb_0030n });
    expect(intercept(guest(owned), Sensitive.LMSW, 0, 0x0000n)).toBeUndefined();
    const b = guest(owned);
    expect(intercept(b, Sensitive.LMSW, 0, 2n, { hasMemory: true, form: 'm', disp: 0x1234 })).toEqual({ reason: 28n, qualification: 0x2_0070n });
    expect(b.read('GUEST_LINEAR_ADDRESS')).toBe(0x1234n);
  });
  it('reads mix the read shadow in', () => {
    const { vmx } = guest({ CR4_GUEST_HOST_MASK: 0x2000, CR4_READ_SHADOW: 0 });
    expect(vmx.readControl(4, 0x2620n)).toBe(0x620n);
  });
  it('CR0 and CR4 keep the bits that VMX operation fixes; an unrestricted guest may clear PE and PG', () => {
    const b = guest();
    expect([0x8001_0033n, 0x8001_0013n, 0x33n].map((v) => b.vmx.controlAllowed(0, v))).toEqual([true, false, false]);
    expect([0x2620n, 0x620n].map((v) => b.vmx.controlAllowed(4, v))).toEqual([true, false]);
    expect(guest(secondary(Secondary.UNRESTRICTED_GUEST)).vmx.controlAllowed(0, 0x30n)).toBe(true);
  });
});

describe('MOV DR', () => {
  it('tells register, direction and general register', () => {
    const fields = primary(Primary.MOV_DR_EXITING);
    expect(intercept(guest(), Sensitive.MOV_TO_DR, 7)).toBeUndefined();
    expect(intercept(guest(fields), Sensitive.MOV_TO_DR, 7, 0n, { dst: 7, src: 2 })).toEqual({ reason: 29n, qualification: 0x207n });
    expect(intercept(guest(fields), Sensitive.MOV_FROM_DR, 6, 0n, { dst: 11, src: 6 })).toEqual({ reason: 29n, qualification: 0xb16n });
  });
});

describe('I/O', () => {
  const unconditional = primary(Primary.UNCONDITIONAL_IO_EXITING);
  it.each<[string, Sensitive, number, Partial<Insn>, bigint]>([
    ['IN AL, imm8', Sensitive.IN, 0x60, { size: 8, form: 'i' }, 0x60_0048n],
    ['OUT DX, EAX', Sensitive.OUT, 0xcf8, { size: 32 }, 0xcf8_0003n],
    ['REP INSW', Sensitive.INS, 0x1f0, { size: 16, rep: 0xf3 }, 0x1f0_0039n],
    ['OUTSB', Sensitive.OUTS, 0xe9, { size: 8 }, 0xe9_0010n],
  ])('%s', (_name, what, port, fields, qualification) => {
    expect(intercept(guest(), what, port, 0n, fields)).toBeUndefined();
    expect(intercept(guest(unconditional), what, port, 0n, fields)).toEqual({ reason: 30n, qualification });
  });
  it('string instructions give linear address and instruction information', () => {
    const b = guest(unconditional);
    b.cpu.setGpr(6, 0x1234n);
    b.cpu.setSegment(Segment.GS, 0x10, 0xc093, 0xffff_ffff, 0x10_0000n);
    intercept(b, Sensitive.OUTS, 0x80, 0n, { size: 8, segment: Segment.GS, addressSize: 64 });
    expect(b.read('GUEST_LINEAR_ADDRESS')).toBe(0x10_1234n);
    expect(b.read('EXIT_INSTRUCTION_INFORMATION')).toBe(BigInt((2 << 7) | (5 << 15)));
  });
  it('the bitmaps replace the unconditional control; any port of the access counts, and wrapping exits', () => {
    const fields = {
      ...primary(Primary.UNCONDITIONAL_IO_EXITING | Primary.USE_IO_BITMAPS),
      IO_BITMAP_A_ADDRESS: IO_BITMAP_A,
      IO_BITMAP_B_ADDRESS: IO_BITMAP_B,
    };
    const run = (port: number, size: number): boolean => {
      const b = guest(fields);
      b.cpu.memory.write8(IO_BITMAP_A + 0xfff, 0x80);
      b.cpu.memory.write8(IO_BITMAP_B + 0x10, 0x04);
      return intercept(b, Sensitive.IN, port, 0n, { size }) !== undefined;
    };
    expect(
      [
        [0x7ffe, 8],
        [0x7ffe, 16],
        [0x7fff, 8],
        [0x8000, 32],
        [0x8081, 8],
        [0x8081, 16],
        [0x8082, 8],
        [0xffff, 8],
        [0xffff, 16],
      ].map(([p, s]) => run(p, s)),
    ).toEqual([false, true, true, false, false, true, true, false, true]);
  });
});

describe('RDMSR and WRMSR', () => {
  const fields = { ...primary(Primary.USE_MSR_BITMAPS), MSR_BITMAP_ADDRESS: MSR_BITMAP };
  it('exit always without bitmaps, and outside the two ranges with them', () => {
    expect(intercept(guest(), Sensitive.RDMSR, 0x10)).toEqual({ reason: 31n, qualification: 0n });
    expect(intercept(guest(fields), Sensitive.RDMSR, 0x10)).toBeUndefined();
    expect([0x1fff, 0x2000, 0xbfff_ffff, 0xc000_0000, 0xc000_1fff, 0xc000_2000].map((i) => intercept(guest(fields), Sensitive.WRMSR, i) !== undefined)).toEqual(
      [false, true, true, false, false, true],
    );
  });
  it.each([
    [0, Sensitive.RDMSR, 0x175],
    [1024, Sensitive.RDMSR, 0xc000_0175],
    [2048, Sensitive.WRMSR, 0x175],
    [3072, Sensitive.WRMSR, 0xc000_0175],
  ])('quarter at %s', (offset, what, index) => {
    const b = guest(fields);
    b.cpu.memory.write8(MSR_BITMAP + offset + 0x2e, 0x20);
    const other = what === Sensitive.RDMSR ? Sensitive.WRMSR : Sensitive.RDMSR;
    expect(intercept(b, other, index)).toBeUndefined();
    expect(intercept(b, what, index)).toMatchObject({ reason: what === Sensitive.RDMSR ? 31n : 32n });
  });
});

describe('TPR shadow', () => {
  it('MOV CR8 goes to the virtual APIC page; falling below the threshold exits after the instruction', () => {
    const b = guest({ ...primary(Primary.USE_TPR_SHADOW), VIRTUAL_APIC_ADDRESS: VIRTUAL_APIC, TPR_THRESHOLD: 0 });
    expect(b.vmx.writeCr8(9)).toBe(true);
    expect([b.cpu.memory.read32(VIRTUAL_APIC + 0x80), b.vmx.readCr8()]).toEqual([0x90, 9]);
    expect(b.vmx.boundary(false, false)).toBe(false);
    const low = guest({ ...primary(Primary.USE_TPR_SHADOW), VIRTUAL_APIC_ADDRESS: VIRTUAL_APIC });
    low.vmx.writeCr8(9);
    low.cpu.insn = insn({});
    low.vmx.exitOnInstruction(10);
    low.write({ TPR_THRESHOLD: 8 });
    expect(low.vmx.resume().kind).toBe('entered');
    low.vmx.boundary(false, false);
    low.vmx.writeCr8(7);
    expect(low.vmx.boundary(false, false)).toBe(true);
    expect(low.read('EXIT_REASON')).toBe(43n);
  });
});
