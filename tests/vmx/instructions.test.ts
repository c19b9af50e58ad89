/** VMX instructions as decoded code executes them: faults, VMfail numbers, operands, exits. SDM "VMX Instruction Reference". */
import { UNWIND, Vector } from '../../cpu/cpu';
import type { Insn } from '../../cpu/decoder/insn';
import { Segment } from '../../cpu/decoder/insn';
import { R } from '../../cpu/layout';
import { FIRST_GENERATION_VMX_PROFILE, FULL_VMX_PROFILE } from '../../vmx/capabilities';
import { ExitReason } from '../../vmx/exit/reason';
import { VMCS } from '../../vmx/vmcs/fields';
import { EPT_PML4, VMCS_A, VMCS_B, VMXON_REGION, guest, insn, machine, rootWithVmcs, type Bench } from './bench';

const POINTER = 0x5_0000;
const CF = 1,
  ZF = 0x40,
  ARITHMETIC = 0x8d5;

/** Runs one instruction; 'done' or the fault or VM exit that ended it. */
function run({ cpu, vmx }: Bench, fields: Partial<Insn>): { fault?: number; errorCode?: number; exit?: number; flags?: number } {
  cpu.insn = insn({ codeSize: cpu.codeSize, ...fields });
  cpu.fault = undefined;
  cpu.setArithmetic(ARITHMETIC);
  try {
    vmx.execute(cpu.insn);
    return { flags: cpu.rflags() & ARITHMETIC };
  } catch (e) {
    if (e !== UNWIND) throw e;
    const fault = cpu.fault as { vector: number; errorCode?: number } | undefined;
    return fault ? { fault: fault.vector, errorCode: fault.errorCode } : { exit: vmx.vmread32(VMCS.EXIT_REASON) };
  }
}
const memory64 = (bench: Bench, op: string, value: bigint): Partial<Insn> => {
  bench.cpu.memory.write64(POINTER, value);
  return { op, form: 'm', size: 64, disp: POINTER, hasMemory: true };
};

describe('VMXON', () => {
  it('enters VMX operation with all flags clear', () => {
    const b = machine();
    expect(run(b, memory64(b, 'VMXON', BigInt(VMXON_REGION)))).toEqual({ flags: 0 });
    expect(b.vmx.active).toBe(true);
  });
  it.each([
    ['not 4-KByte aligned', 0x1800n],
    ['beyond the physical-address width', 1n << 46n],
    ['beyond every number', (1n << 64n) - 4096n],
    ['with a wrong revision', 0x9000n],
  ])('fails invalid with a region %s', (_what, pointer) => {
    const b = machine();
    expect(run(b, memory64(b, 'VMXON', pointer))).toEqual({ flags: CF });
    expect(b.vmx.active).toBe(false);
  });
  it('fails with bit 31 of the revision word set', () => {
    const b = machine();
    b.cpu.memory.write32(VMXON_REGION, (b.cpu.memory.read32(VMXON_REGION) | 0x8000_0000) >>> 0);
    expect(run(b, memory64(b, 'VMXON', BigInt(VMXON_REGION)))).toEqual({ flags: CF });
  });
  it.each<[string, (b: Bench) => void, object]>([
    ['CR4.VMXE = 0', (b) => b.cpu.set32(R.CR4, 0x620), { fault: Vector.UD }],
    [
      'virtual-8086 mode',
      (b) => {
        b.cpu.setRflags(0x2_0002);
      },
      { fault: Vector.UD },
    ],
    [
      'compatibility mode',
      (b) => {
        b.cpu.setSegment(Segment.CS, 8, 0xc09b, 0xffff_ffff, 0n);
        b.cpu.modeChanged();
      },
      { fault: Vector.UD },
    ],
    ['CPL 3', (b) => b.cpu.set32(R.CPL, 3), { fault: Vector.GP, errorCode: 0 }],
    ['CR0.NE = 0', (b) => b.cpu.set32(R.CR0, 0x8001_0013), { fault: Vector.GP, errorCode: 0 }],
    ['IA32_FEATURE_CONTROL unlocked', (b) => b.cpu.set64(R.FEATURE_CONTROL, 4n), { fault: Vector.GP, errorCode: 0 }],
    ['VMX outside SMX disabled', (b) => b.cpu.set64(R.FEATURE_CONTROL, 1n), { fault: Vector.GP, errorCode: 0 }],
  ])('faults: %s', (_name, prepare, expected) => {
    const b = machine();
    const fields = memory64(b, 'VMXON', BigInt(VMXON_REGION));
    prepare(b);
    expect(run(b, fields)).toMatchObject(expected);
  });
  it('fails in root operation: 15 with a current VMCS, invalid without', () => {
    const b = rootWithVmcs();
    expect(run(b, memory64(b, 'VMXON', BigInt(VMXON_REGION)))).toEqual({ flags: ZF });
    expect(b.read('VM_INSTRUCTION_ERROR')).toBe(15n);
    b.vmx.vmclear(VMCS_A);
    expect(run(b, memory64(b, 'VMXON', BigInt(VMXON_REGION)))).toEqual({ flags: CF });
  });
});

describe('VMCLEAR, VMPTRLD, VMPTRST', () => {
  it.each<[string, bigint, number]>([
    ['VMCLEAR', 0x1004n, 2],
    ['VMCLEAR', BigInt(VMXON_REGION), 3],
    ['VMPTRLD', 1n << 50n, 9],
    ['VMPTRLD', BigInt(VMXON_REGION), 10],
    ['VMPTRLD', 0x9000n, 11],
  ])('%s of %s fails with error %s', (op, pointer, error) => {
    const b = rootWithVmcs();
    expect(run(b, memory64(b, op, pointer))).toEqual({ flags: ZF });
    expect(b.read('VM_INSTRUCTION_ERROR')).toBe(BigInt(error));
  });
  it('VMfail without a current VMCS is VMfailInvalid', () => {
    const b = machine();
    b.vmx.vmxon(VMXON_REGION);
    expect(run(b, memory64(b, 'VMPTRLD', 0x9000n))).toEqual({ flags: CF });
  });
  it('VMPTRLD refuses a shadow VMCS', () => {
    const b = rootWithVmcs();
    b.cpu.memory.write32(VMCS_B, (b.cpu.memory.read32(VMCS_B) | 0x8000_0000) >>> 0);
    expect(run(b, memory64(b, 'VMPTRLD', BigInt(VMCS_B)))).toEqual({ flags: ZF });
    expect(b.read('VM_INSTRUCTION_ERROR')).toBe(11n);
  });
  it('VMPTRST stores the pointer, or all ones', () => {
    const b = rootWithVmcs();
    expect(run(b, memory64(b, 'VMPTRST', 0n))).toEqual({ flags: 0 });
    expect(b.cpu.memory.read64(POINTER)).toBe(BigInt(VMCS_A));
    b.vmx.vmclear(VMCS_A);
    run(b, memory64(b, 'VMPTRST', 0n));
    expect(b.cpu.memory.read64(POINTER)).toBe(0xffff_ffff_ffff_ffffn);
  });
});

describe('VMREAD and VMWRITE', () => {
  const vmread = (b: Bench, encoding: bigint): ReturnType<typeof run> => {
    b.cpu.setGpr(0, encoding);
    return run(b, { op: 'VMREAD', form: 'rr', size: 64, dst: 3, src: 0 });
  };
  const vmwrite = (b: Bench, encoding: bigint, value: bigint): ReturnType<typeof run> => {
    b.cpu.setGpr(0, encoding);
    b.cpu.setGpr(3, value);
    return run(b, { op: 'VMWRITE', form: 'rr', size: 64, dst: 0, src: 3 });
  };
  const field = BigInt(0x1_2345_6789);

  it.each<[string, bigint, bigint]>([
    ['16-bit field', 0x0802n, 0x6789n],
    ['32-bit field', 0x4004n, 0x2345_6789n],
    ['natural-width field', 0x681en, field],
    ['64-bit field', 0x2010n, field],
  ])('a %s holds as many bits as it has', (_name, encoding, expected) => {
    const b = rootWithVmcs();
    expect(vmwrite(b, encoding, field)).toEqual({ flags: 0 });
    expect(vmread(b, encoding)).toEqual({ flags: 0 });
    expect(b.cpu.gpr(3)).toBe(expected);
  });
  it('the high access of a 64-bit field reaches bits 63:32', () => {
    const b = rootWithVmcs();
    vmwrite(b, 0x2010n, 0x1111_2222_3333_4444n);
    vmwrite(b, 0x2011n, 0x5555_6666_7777_8888n);
    vmread(b, 0x2010n);
    expect(b.cpu.gpr(3)).toBe(0x7777_8888_3333_4444n);
    vmread(b, 0x2011n);
    expect(b.cpu.gpr(3)).toBe(0x7777_8888n);
  });
  it.each([
    ['unassigned', 0x482cn],
    ['with bit 12', 0x1802n],
    ['high access of a 32-bit field', 0x4005n],
    ['beyond 15 bits', 0x1_0000n],
    ['beyond 32 bits', 0x1_0000_0802n],
    ['of an absent feature', 0x0004n],
  ])('component %s: error 12', (_name, encoding) => {
    const b = rootWithVmcs();
    b.cpu.setGpr(3, 77n);
    expect(vmread(b, encoding)).toEqual({ flags: ZF });
    expect(b.read('VM_INSTRUCTION_ERROR')).toBe(12n);
    expect(b.cpu.gpr(3)).toBe(77n);
    expect(vmwrite(b, encoding, 0n)).toEqual({ flags: ZF });
  });
  it('VMWRITE to a read-only component: error 13, unless IA32_VMX_MISC[29] is 1', () => {
    const b = rootWithVmcs();
    expect(vmwrite(b, 0x4402n, 1n)).toEqual({ flags: ZF });
    expect(b.read('VM_INSTRUCTION_ERROR')).toBe(13n);
    const any = rootWithVmcs({ profile: { ...FULL_VMX_PROFILE, vmwriteAnyField: true } });
    expect(vmwrite(any, 0x4402n, 5n)).toEqual({ flags: 0 });
    expect(any.read('EXIT_REASON')).toBe(5n);
  });
  it('without a current VMCS both fail invalid', () => {
    const b = machine();
    b.vmx.vmxon(VMXON_REGION);
    expect(vmread(b, 0x681en)).toEqual({ flags: CF });
    expect(vmwrite(b, 0x681en, 0n)).toEqual({ flags: CF });
  });
  it('a VMREAD whose destination faults leaves the flags alone', () => {
    const b = rootWithVmcs();
    b.cpu.setGpr(0, 0x681en);
    expect(run(b, { op: 'VMREAD', form: 'mr', size: 64, src: 0, disp: 0x4000_0000, hasMemory: true })).toEqual({ fault: Vector.PF, errorCode: 2 });
    expect(b.cpu.rflags() & ARITHMETIC).toBe(ARITHMETIC);
  });
});

describe('VMCALL, VMXOFF, VMFUNC and the invalidations', () => {
  it('VMCALL in root operation: error 1', () => {
    const b = rootWithVmcs();
    expect(run(b, { op: 'VMCALL' })).toEqual({ flags: ZF });
    expect(b.read('VM_INSTRUCTION_ERROR')).toBe(1n);
  });
  it('VMXOFF leaves VMX operation; then VMX instructions are undefined', () => {
    const b = rootWithVmcs();
    expect(run(b, { op: 'VMXOFF' })).toEqual({ flags: 0 });
    expect(b.vmx.active).toBe(false);
    for (const op of ['VMXOFF', 'VMCALL', 'VMREAD', 'VMLAUNCH', 'VMPTRST', 'INVEPT']) expect(run(b, { op })).toMatchObject({ fault: Vector.UD });
  });
  it('VMFUNC is undefined: the control is not offered', () => {
    expect(run(rootWithVmcs(), { op: 'VMFUNC' })).toMatchObject({ fault: Vector.UD });
    expect(run(guest(), { op: 'VMFUNC' })).toMatchObject({ fault: Vector.UD });
  });
  const invalidate = (b: Bench, op: string, type: bigint, low: bigint, high: bigint): ReturnType<typeof run> => {
    b.cpu.memory.write64(POINTER, low);
    b.cpu.memory.write64(POINTER + 8, high);
    b.cpu.setGpr(0, type);
    return run(b, { op, form: 'rm', size: 64, ssize: 128, dst: 0, disp: POINTER, hasMemory: true });
  };
  const EPTP = BigInt(EPT_PML4 | 0x1e);
  it.each<[string, bigint, bigint, bigint, number]>([
    ['INVEPT', 1n, EPTP, 0n, 0],
    ['INVEPT', 2n, 0xffffn, 0n, 0],
    ['INVEPT', 0n, EPTP, 0n, ZF],
    ['INVEPT', 3n, EPTP, 0n, ZF],
    ['INVEPT', 1n, 0x4026n, 0n, ZF],
    ['INVEPT', 2n, EPTP, 1n, ZF],
    ['INVVPID', 0n, 1n, 0x1000n, 0],
    ['INVVPID', 0n, 1n, 1n << 47n, ZF],
    ['INVVPID', 1n, 0n, 0n, ZF],
    ['INVVPID', 2n, 0n, 0n, 0],
    ['INVVPID', 3n, 5n, 0n, 0],
    ['INVVPID', 4n, 1n, 0n, ZF],
    ['INVVPID', 1n, 0x1_0001n, 0n, ZF],
  ])('%s type %s, descriptor %s %s', (op, type, low, high, flags) => {
    const b = rootWithVmcs();
    expect(invalidate(b, op, type, low, high)).toEqual({ flags });
    if (flags === ZF) expect(b.read('VM_INSTRUCTION_ERROR')).toBe(28n);
  });
  it('are undefined on a processor without EPT and VPID', () => {
    const b = machine({ profile: FIRST_GENERATION_VMX_PROFILE });
    b.vmx.vmxon(VMXON_REGION);
    expect(invalidate(b, 'INVEPT', 2n, 0n, 0n)).toMatchObject({ fault: Vector.UD });
    expect(invalidate(b, 'INVVPID', 2n, 0n, 0n)).toMatchObject({ fault: Vector.UD });
  });
});

describe('VMLAUNCH and VMRESUME', () => {
  it('blocked by MOV SS: error 26, before the launch state is looked at', () => {
    const b = rootWithVmcs();
    b.cpu.shadowAt = b.cpu.retired();
    b.cpu.shadowByMovSs = true;
    expect(run(b, { op: 'VMRESUME' })).toEqual({ flags: ZF });
    expect(b.read('VM_INSTRUCTION_ERROR')).toBe(26n);
  });
  it('CPL 3: #GP(0) in root operation', () => {
    const b = rootWithVmcs();
    b.cpu.set32(R.CPL, 3);
    expect(run(b, { op: 'VMLAUNCH' })).toEqual({ fault: Vector.GP, errorCode: 0 });
  });
});

describe('in non-root operation', () => {
  it.each([
    ['VMCALL', ExitReason.Vmcall],
    ['VMCLEAR', ExitReason.Vmclear],
    ['VMLAUNCH', ExitReason.Vmlaunch],
    ['VMPTRLD', ExitReason.Vmptrld],
    ['VMPTRST', ExitReason.Vmptrst],
    ['VMREAD', ExitReason.Vmread],
    ['VMRESUME', ExitReason.Vmresume],
    ['VMWRITE', ExitReason.Vmwrite],
    ['VMXOFF', ExitReason.Vmxoff],
    ['VMXON', ExitReason.Vmxon],
    ['INVEPT', ExitReason.Invept],
    ['INVVPID', ExitReason.Invvpid],
  ])('%s exits, at any CPL', (op, reason) => {
    for (const cpl of [0, 3]) {
      const b = guest();
      b.cpu.set32(R.CPL, cpl);
      expect(run(b, { op, form: 'm', hasMemory: true, disp: 0x1234, base: 3, index: 5, scale: 2, dst: 1, src: 9, length: 5 })).toEqual({ exit: reason });
      expect(b.read('EXIT_INSTRUCTION_LENGTH')).toBe(5n);
    }
  });
  it('the instruction information describes the operands', () => {
    const b = guest();
    run(b, { op: 'VMPTRLD', form: 'm', hasMemory: true, disp: -8, base: 3, index: 5, scale: 2, segment: Segment.SS, addressSize: 64 });
    // Scaling 4, 64-bit addresses, SS, index RBP, base RBX.
    expect(b.read('EXIT_INSTRUCTION_INFORMATION')).toBe(BigInt(2 | (2 << 7) | (2 << 15) | (5 << 18) | (3 << 23)));
    expect(b.read('EXIT_QUALIFICATION')).toBe(0xffff_ffff_ffff_fff8n);
  });
  it('VMREAD between registers: 6:3 destination with bit 10, 31:28 encoding register', () => {
    const b = guest();
    run(b, { op: 'VMREAD', form: 'rr', dst: 3, src: 9 });
    expect(b.read('EXIT_INSTRUCTION_INFORMATION')).toBe(BigInt(((3 << 3) | (1 << 10) | (9 << 28)) >>> 0));
  });
  it('an undefined mode comes before the exit: compatibility mode raises #UD, except for VMCALL', () => {
    const compatibility = { GUEST_CS_ACCESS_RIGHTS: 0xc09b };
    expect(run(guest(compatibility), { op: 'VMXOFF' })).toMatchObject({ fault: Vector.UD });
    expect(run(guest(compatibility), { op: 'VMCALL' })).toEqual({ exit: ExitReason.Vmcall });
  });
});
