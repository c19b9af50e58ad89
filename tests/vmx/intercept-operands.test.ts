/** What intercepts make of operands, and what never exits. SDM "Instructions That Cause VM Exits" and "Information for VM Exits Due to Instruction Execution". */
import { Segment, type Insn } from '../../cpu/decoder/insn';
import { EventType, Sensitive, type CpuEvent, type CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import { parseProfile } from '../../cpu/profiles/profile';
import { FULL_VMX_PROFILE } from '../../vmx/capabilities';
import { EntryControl, PinBased, Primary, Secondary } from '../../vmx/controls';
import { exceptionExits } from '../../vmx/exit/exception';
import { ENTRY, IO_BITMAP_A, IO_BITMAP_B, MSR_BITMAP, PIN, PRIMARY, guest, insn, type Bench } from './bench';

type Fields = Parameters<Bench['write']>[0];
const primary = (bits: number): Fields => ({ PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | bits) >>> 0 });
const secondary = (bits: number): Fields => ({ SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_EPT | Secondary.ENABLE_VPID | bits });
const LEGACY: Fields = { VM_ENTRY_CONTROLS: ENTRY & ~EntryControl.IA32E_MODE_GUEST, GUEST_CS_ACCESS_RIGHTS: 0xc09b, GUEST_CR4: 0x2000 };
const PROFILE = parseProfile('intel-vmx,+rdrand,+rdseed');
const RICH: CpuProfile = {
  name: PROFILE.name,
  vendor: PROFILE.vendor,
  physicalAddressWidth: PROFILE.physicalAddressWidth,
  cpuid: (leaf, subleaf) => PROFILE.cpuid(leaf, subleaf),
  has: (feature) => feature === 'xsaves' || PROFILE.has(feature),
};
const exits = (b: Bench, what: Sensitive, operand = 0, value = 0n, fields: Partial<Insn> = {}): boolean => {
  b.cpu.insn = insn(fields);
  return b.vmx.instruction(what, operand, value);
};
const seen = (b: Bench): [reason: bigint, qualification: bigint, information: bigint] => [
  b.read('EXIT_REASON'),
  b.read('EXIT_QUALIFICATION'),
  b.read('EXIT_INSTRUCTION_INFORMATION'),
];

describe('no exit of its own, whatever the controls', () => {
  const EVERY_CONTROL: Fields = {
    PIN_BASED_CONTROLS: 0x3f,
    PRIMARY_PROCESSOR_BASED_CONTROLS: (FULL_VMX_PROFILE.primary | 0x0401_e172) & ~(Primary.USE_TPR_SHADOW | Primary.USE_IO_BITMAPS | Primary.USE_MSR_BITMAPS),
    ...secondary(Secondary.DESCRIPTOR_TABLE_EXITING | Secondary.WBINVD_EXITING),
    CR0_GUEST_HOST_MASK: (1n << 64n) - 1n,
    EXCEPTION_BITMAP: 0xffff_ffff,
  };
  const b = guest(Object.fromEntries(Object.entries(EVERY_CONTROL).map(([f, v]) => [f, typeof v === 'number' ? v >>> 0 : v])));
  it.each([
    // They raise exceptions, or are VMX instructions with exits of their own, or AMD's, or RSM outside SMM.
    ...['SMSW', 'SOFTWARE_INTERRUPT', 'ICEBP', 'IRET', 'PUSHF', 'POPF', 'RSM'],
    ...['VMCALL', 'VMCLEAR', 'VMLAUNCH', 'VMPTRLD', 'VMPTRST', 'VMREAD', 'VMRESUME', 'VMWRITE', 'VMXOFF', 'VMXON', 'VMFUNC', 'INVEPT', 'INVVPID'],
    ...['VMRUN', 'VMLOAD', 'VMSAVE', 'STGI', 'CLGI', 'INVLPGA', 'VMMCALL', 'SKINIT'],
  ] as (keyof typeof Sensitive)[])('%s', (name) => expect(exits(b, Sensitive[name])).toBe(false));
  it('MOV to and from CR2', () => expect([exits(b, Sensitive.MOV_TO_CR, 2, 5n), exits(b, Sensitive.MOV_FROM_CR, 2)]).toEqual([false, false]));
});

describe('control registers', () => {
  it('each CR3-target value counts, up to the CR3-target count', () => {
    const targets = { CR3_TARGET_VALUE_0: 0x1000, CR3_TARGET_VALUE_1: 0x2000, CR3_TARGET_VALUE_2: 0x3000, CR3_TARGET_VALUE_3: 0x4000 };
    for (const count of [0, 1, 2, 3, 4]) {
      const hits = [0x1000n, 0x2000n, 0x3000n, 0x4000n].map(
        (v) => !exits(guest({ ...primary(Primary.CR3_LOAD_EXITING), ...targets, CR3_TARGET_COUNT: count }), Sensitive.MOV_TO_CR, 3, v),
      );
      expect(hits).toEqual([0, 1, 2, 3].map((n) => n < count));
    }
  });
  // "LMSW exits if bits 3:1 of the source would change an owned bit, or if it would set an owned PE."
  it.each([
    [0b0001, 0b0000, 0b0001, true],
    [0b0001, 0b0001, 0b0000, false],
    [0b0001, 0b0001, 0b0001, false],
    [0b0010, 0b0000, 0b0010, true],
    [0b0010, 0b0010, 0b0000, true],
    [0b0100, 0b0000, 0b0100, true],
    [0b0100, 0b0100, 0b0000, true],
    [0b1000, 0b0000, 0b1000, true],
    [0b1000, 0b1000, 0b0000, true],
    [0b0000, 0b0000, 0b1111, false],
    [0b1111, 0b1110, 0b1110, false],
    [0xfff0, 0x0000, 0xfff0, false],
  ])('LMSW: mask %i, shadow %i, source %i', (mask, shadow, source, expected) => {
    expect(exits(guest({ CR0_GUEST_HOST_MASK: mask, CR0_READ_SHADOW: shadow }), Sensitive.LMSW, 0, BigInt(source))).toBe(expected);
  });
  it('LMSW reads two bytes of memory and writes none', () => {
    // Read-only data, of which two bytes are left.
    const b = guest({
      ...LEGACY,
      GUEST_DS_ACCESS_RIGHTS: 0x4091,
      GUEST_DS_LIMIT: 0x1fff,
      GUEST_DS_BASE: 0x5_0000,
      CR0_GUEST_HOST_MASK: 0xf,
      CR0_READ_SHADOW: 1,
    });
    expect(exits(b, Sensitive.LMSW, 0, 2n, { hasMemory: true, form: 'm', disp: 0x1ffe, addressSize: 32 })).toBe(true);
    expect(b.read('GUEST_LINEAR_ADDRESS')).toBe(0x5_1ffen);
  });
  it('MWAIT without armed monitoring has qualification 0', () => {
    const b = guest(primary(Primary.MWAIT_EXITING));
    exits(b, Sensitive.MWAIT);
    expect(seen(b)).toEqual([36n, 0n, 0n]);
  });
});

describe('INS and OUTS report the linear address', () => {
  const RSI = 6,
    RDI = 7;
  const address = (fields: Fields, what: Sensitive, registers: readonly [number, bigint], i: Partial<Insn>, bases: Partial<Record<number, bigint>>): bigint => {
    const b = guest({ ...primary(Primary.UNCONDITIONAL_IO_EXITING), ...fields });
    b.cpu.setGpr(...registers);
    for (const [s, base] of Object.entries(bases)) b.cpu.setSegment(Number(s), 0x10, 0xc093, 0xffff_ffff, base!);
    expect(exits(b, what, 0x80, 0n, { size: 8, ...i })).toBe(true);
    return b.read('GUEST_LINEAR_ADDRESS');
  };
  it('in 64-bit mode without the bases of ES and DS, with those of FS and GS', () => {
    expect(address({}, Sensitive.INS, [RDI, 0x1234n], { segment: Segment.FS }, { [Segment.ES]: 0x1_0000n, [Segment.FS]: 0x2_0000n })).toBe(0x1234n);
    expect(address({}, Sensitive.OUTS, [RSI, 0x1234n], { segment: Segment.DS }, { [Segment.DS]: 0x1_0000n })).toBe(0x1234n);
    expect(address({}, Sensitive.OUTS, [RSI, 0x1234n], { segment: Segment.FS }, { [Segment.FS]: 0x1_0000n })).toBe(0x1_1234n);
    expect(address({}, Sensitive.OUTS, [RSI, 0xffff_ffffn], { segment: Segment.GS }, { [Segment.GS]: 0xffff_8000_0000_0001n })).toBe(0xffff_8001_0000_0000n);
    expect(address({}, Sensitive.OUTS, [RSI, (1n << 64n) - 1n], { segment: Segment.GS }, { [Segment.GS]: 3n })).toBe(2n);
  });
  it('in 32-bit mode with every base, within 4 GBytes; INS always through ES', () => {
    expect(address(LEGACY, Sensitive.INS, [RDI, 0x1234n], { segment: Segment.DS, addressSize: 32 }, { [Segment.ES]: 0x1_0000n, [Segment.DS]: 0x2_0000n })).toBe(
      0x1_1234n,
    );
    expect(address(LEGACY, Sensitive.OUTS, [RSI, 0x1234n], { segment: Segment.DS, addressSize: 32 }, { [Segment.DS]: 0x2_0000n })).toBe(0x2_1234n);
    expect(address(LEGACY, Sensitive.OUTS, [RSI, 0xffff_ffffn], { segment: Segment.DS, addressSize: 32 }, { [Segment.DS]: 2n })).toBe(1n);
    expect(address(LEGACY, Sensitive.OUTS, [RSI, 0x8000_0000n], { segment: Segment.DS, addressSize: 32 }, { [Segment.DS]: 0x4000_0000n })).toBe(0xc000_0000n);
  });
});

describe('bitmaps', () => {
  it('I/O: port 7FFFH is the last of bitmap A, 8000H the first of B', () => {
    const hit = (port: number, at: number, bits: number): boolean => {
      const b = guest({ ...primary(Primary.USE_IO_BITMAPS), IO_BITMAP_A_ADDRESS: IO_BITMAP_A, IO_BITMAP_B_ADDRESS: IO_BITMAP_B });
      b.cpu.memory.write8(at, bits);
      return exits(b, Sensitive.IN, port, 0n, { size: 8 });
    };
    expect([hit(0x8000, IO_BITMAP_B, 1), hit(0x8000, IO_BITMAP_B, 0xfe), hit(0x8000, IO_BITMAP_A, 1)]).toEqual([true, false, false]);
    expect([hit(0x7fff, IO_BITMAP_A + 0xfff, 0x80), hit(0x7fff, IO_BITMAP_B + 0xfff, 0x80)]).toEqual([true, false]);
    expect([hit(0x8001, IO_BITMAP_B, 2), hit(0xffff, IO_BITMAP_B + 0xfff, 0x80), hit(1, IO_BITMAP_A, 2), hit(1, IO_BITMAP_A, 1)]).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });
  it('MSRs outside the two ranges exit without a look at the bitmap', () => {
    for (const index of [0x2000, 0x8000_0000, 0xbfff_ffff, 0xc000_2000, 0xffff_ffff]) {
      const b = guest({ ...primary(Primary.USE_MSR_BITMAPS), MSR_BITMAP_ADDRESS: MSR_BITMAP });
      const read = jest.spyOn(b.cpu.memory, 'read8').mockReturnValue(0);
      expect([index, exits(b, Sensitive.RDMSR, index)]).toEqual([index, true]);
      expect(read).not.toHaveBeenCalled();
    }
  });
});

describe('descriptor tables, random numbers, XSAVES', () => {
  const RCX = 1,
    OPERAND: Partial<Insn> = { hasMemory: true, form: 'm', base: RCX, disp: 0x77, operandSize: 64 };
  const INFORMATION = (1n << 22n) | (2n << 7n) | (3n << 15n) | (1n << 23n);
  it.each([
    ['SGDT', 46n, 0n],
    ['SIDT', 46n, 1n],
    ['LGDT', 46n, 2n],
    ['LIDT', 46n, 3n],
    ['SLDT', 47n, 0n],
    ['STR', 47n, 1n],
    ['LLDT', 47n, 2n],
    ['LTR', 47n, 3n],
  ] as const)('%s', (op, reason, identity) => {
    expect(exits(guest(), Sensitive[op], 0, 0n, { op, ...OPERAND })).toBe(false);
    const b = guest(secondary(Secondary.DESCRIPTOR_TABLE_EXITING));
    expect(exits(b, Sensitive[op], 0, 0n, { op, ...OPERAND })).toBe(true);
    const size = reason === 46n ? 1n << 11n : 0n;
    expect(seen(b)).toEqual([reason, 0x77n, INFORMATION | size | (identity << 28n)]);
  });
  it('with a register operand there is no displacement', () => {
    const b = guest(secondary(Secondary.DESCRIPTOR_TABLE_EXITING));
    exits(b, Sensitive.LTR, 0, 0n, { op: 'LTR', dst: 2, disp: 0x77 });
    expect(seen(b)).toEqual([47n, 0n, 0x3000_0410n]);
  });
  it.each([
    ['RDRAND', Secondary.RDRAND_EXITING, 57n],
    ['RDSEED', Secondary.RDSEED_EXITING, 61n],
  ] as const)('%s', (op, control, reason) => {
    const b = guest(secondary(control), {}, RICH);
    exits(b, Sensitive[op], 0, 0n, { op, dst: 5, operandSize: 64 });
    expect(seen(b)).toEqual([reason, 0n, 0x1028n]);
  });
  it.each([
    ['XSAVES', 63n],
    ['XRSTORS', 64n],
  ] as const)('%s exits for a component that is requested, enabled in IA32_XSS and in the bitmap', (op, reason) => {
    const with_ = (requested: bigint, xss: bigint, bitmap: bigint): Bench | undefined => {
      const b = guest({ ...secondary(Secondary.ENABLE_XSAVES_XRSTORS), XSS_EXITING_BITMAP: bitmap }, {}, RICH);
      b.cpu.setGpr(0, requested & 0xffff_ffffn);
      b.cpu.setGpr(2, requested >> 32n);
      b.cpu.set64(R.XSS, xss);
      return exits(b, Sensitive[op], 0, 0n, { op, ...OPERAND }) ? b : undefined;
    };
    for (const component of [1n << 8n, 1n << 32n, 1n << 63n]) {
      const all = (1n << 64n) - 1n;
      expect(seen(with_(component, component, component)!)).toEqual([reason, 0x77n, INFORMATION]);
      expect([with_(all & ~component, all, component), with_(all, all & ~component, component), with_(all, all, 0n)]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
    }
  });
});

it('a task switch through a task gate: the interrupted event stands in the IDT-vectoring information', () => {
  const b = guest();
  const event: CpuEvent = { vector: 0x30, type: EventType.ExternalInterrupt, errorCode: undefined, payload: 0n, length: 0 };
  b.cpu.delivering = event;
  expect(exits(b, Sensitive.TASK_SWITCH, 0x2b, 3n, { length: 7 })).toBe(true);
  expect([b.read('EXIT_REASON'), b.read('EXIT_QUALIFICATION'), b.read('IDT_VECTORING_INFORMATION'), b.read('EXIT_INTERRUPTION_INFORMATION')]).toEqual([
    9n,
    0xc000_002bn,
    0x8000_0030n,
    0n,
  ]);
  // No instruction was executed.
  expect(b.read('EXIT_INSTRUCTION_LENGTH')).toBe(0n);
});

describe('events that exit', () => {
  const event = (type: EventType, vector: number, errorCode?: number): CpuEvent => ({ type, vector, errorCode, payload: 0n, length: 0 });
  it('NMIs by their control', () => {
    const { NMI_EXITING, VIRTUAL_NMIS } = PinBased;
    expect(
      [0, NMI_EXITING, NMI_EXITING | VIRTUAL_NMIS].map((c) => exceptionExits(guest({ PIN_BASED_CONTROLS: PIN | c }).vmx, event(EventType.Nmi, 2))),
    ).toEqual([false, true, true]);
  });
  it('exceptions of every kind by the bitmap; interrupts not at all', () => {
    const { vmx } = guest({ EXCEPTION_BITMAP: 0x8000_000a });
    const kinds = [EventType.HardwareException, EventType.PrivilegedSoftwareException, EventType.SoftwareException];
    for (const type of kinds) expect([1, 2, 3, 4, 31].map((v) => exceptionExits(vmx, event(type, v)))).toEqual([true, false, true, false, true]);
    for (const type of [EventType.ExternalInterrupt, EventType.SoftwareInterrupt])
      expect([1, 3, 33].map((v) => exceptionExits(vmx, event(type, v)))).toEqual([false, false, false]);
  });
  it('page faults by mask and match, too', () => {
    const exit = (mask: number, match: number, errorCode?: number): boolean =>
      exceptionExits(
        guest({ EXCEPTION_BITMAP: 1 << 14, PAGE_FAULT_ERROR_CODE_MASK: mask, PAGE_FAULT_ERROR_CODE_MATCH: match }).vmx,
        event(EventType.HardwareException, 14, errorCode),
      );
    expect([exit(1, 0), exit(1, 1), exit(0x8000_0000, 0x8000_0000, 0x8000_0000)]).toEqual([true, false, true]);
  });
});
