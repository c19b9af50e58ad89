/**
 * Priority of #UD, #GP and the intercept for each SVM instruction. APM volume 3, "System Instruction Reference": #UD where EFER.SVME is 0
 * and outside protected mode, #GP(0) where CPL is not 0; volume 2, "Instruction Intercepts": "checked after simple exceptions (such as #GP,
 * when CPL is incorrect, or #UD) have been checked". VMMCALL: any mode and CPL, "#UD ... VMMCALL was not intercepted".
 */
import { Activity } from '../../cpu/cpu';
import { Segment } from '../../cpu/decoder/insn';
import { R } from '../../cpu/layout';
import type { Patch } from './entry/vmcb-image';
import { GUEST_CODE, HOST_CODE, HOST_SAVE_AREA, USER, VMCB_A, svmBench, type SvmBench } from './bench';

const UD = 6,
  GP = 13;
interface Instruction {
  readonly name: string;
  readonly opcode: number;
  readonly exit: number;
  readonly intercept: Patch;
  /** In the host at CPL 0 with EFER.SVME; undefined: it executes. */
  readonly host: number | undefined;
  /** In a guest that does not intercept it; undefined: it executes. VMRUN is always intercepted. */
  readonly guest: number | undefined;
}
const SHUTDOWN = 0x8000_0000;
// prettier-ignore
const PRIVILEGED: readonly Instruction[] = [
  { name: 'VMRUN',   opcode: 0xd8, exit: 0x80, intercept: { INTERCEPTS_4: 0x3 },  host: undefined, guest: undefined },
  { name: 'VMLOAD',  opcode: 0xda, exit: 0x82, intercept: { INTERCEPTS_4: 0x7 },  host: undefined, guest: undefined },
  { name: 'VMSAVE',  opcode: 0xdb, exit: 0x83, intercept: { INTERCEPTS_4: 0xb },  host: undefined, guest: undefined },
  { name: 'STGI',    opcode: 0xdc, exit: 0x84, intercept: { INTERCEPTS_4: 0x13 }, host: undefined, guest: undefined },
  { name: 'CLGI',    opcode: 0xdd, exit: 0x85, intercept: { INTERCEPTS_4: 0x23 }, host: undefined, guest: undefined },
  // "The SKINIT and STGI instructions can be used when either EFER.SVME is set to 1 or CPUID Fn8000_0001_ECX[SKINIT] is set to 1": in a guest,
  // where SVME is 1, the intercept comes first. What is not there (CPUID has no SKINIT) is #UD when it would execute.
  { name: 'SKINIT',  opcode: 0xde, exit: 0x86, intercept: { INTERCEPTS_4: 0x43 }, host: UD, guest: UD },
  { name: 'INVLPGA', opcode: 0xdf, exit: 0x7a, intercept: { INTERCEPTS_3: SHUTDOWN + 0x400_0000 }, host: undefined, guest: undefined },
];
const VMMCALL: Instruction = { name: 'VMMCALL', opcode: 0xd9, exit: 0x81, intercept: { INTERCEPTS_4: 0x3 }, host: UD, guest: UD };
const ALL = [...PRIVILEGED, VMMCALL];
const named = (instructions: readonly Instruction[]): [string, Instruction][] => instructions.map((i) => [i.name, i]);

const REAL_MODE: Patch = { EFER: 0x1000, CR0: 0x10, CR4: 0, CS_ATTRIB: 0x9b, CS_SELECTOR: 0, CS_BASE: GUEST_CODE, RIP: 0, CS_LIMIT: 0xffff };
const VIRTUAL_8086: Patch = { ...REAL_MODE, CR0: 0x11, RFLAGS: 0x2_0002, CPL: 3, CS_ATTRIB: 0xfb };

describe('in the host', () => {
  /** One instruction at HOST_CODE; the vector of its fault. */
  function execute(b: SvmBench, opcode: number): number | undefined {
    b.create();
    b.memory.writeBytes(HOST_CODE, Uint8Array.from([0x0f, 0x01, opcode]));
    b.cpu.setGpr(0, BigInt(VMCB_A));
    b.cpu.rip = BigInt(HOST_CODE);
    let vector: number | undefined;
    b.engine.onFault = (event) => {
      if (b.svm.guestMode) return false;
      vector = event.vector;
      b.engine.stop();
      return true;
    };
    b.engine.run(b.cpu.now() + (opcode === 0xd8 ? 100 : 1));
    b.engine.onFault = undefined;
    return vector;
  }
  const atCpl3 = (b: SvmBench): void => {
    b.cpu.set32(R.CPL, 3);
    b.cpu.setSegment(Segment.CS, 0x1b, 0xa0fb, 0xffff_ffff, 0n);
    b.cpu.modeChanged();
  };

  it.each(named(ALL))('%s at CPL 0', (_name, { opcode, host }) => expect(execute(svmBench(), opcode)).toBe(host));
  it.each(named(PRIVILEGED))('%s at CPL 3: #GP', (_name, { opcode }) => {
    const b = svmBench();
    atCpl3(b);
    expect(execute(b, opcode)).toBe(GP);
  });
  it('VMMCALL at CPL 3: #UD', () => {
    const b = svmBench();
    atCpl3(b);
    expect(execute(b, VMMCALL.opcode)).toBe(UD);
  });
  it.each(named(ALL))('%s with EFER.SVME 0: #UD, at CPL 3 too', (_name, { opcode }) => {
    const b = svmBench();
    b.cpu.set64(R.EFER, 0xd01n);
    expect(execute(b, opcode)).toBe(UD);
    atCpl3(b);
    expect(execute(b, opcode)).toBe(UD);
  });
  it.each(named(ALL))('%s in real mode: #UD', (_name, { opcode }) => {
    const b = svmBench();
    b.cpu.set64(R.EFER, 0x1000n);
    b.cpu.set64(R.CR0, 0x10n);
    b.cpu.setSegment(Segment.CS, 0, 0x9b, 0xffff_ffff, 0n);
    b.cpu.modeChanged();
    expect(execute(b, opcode)).toBe(UD);
  });
});

describe('in a guest', () => {
  const run = (instruction: Instruction, intercepted: boolean, patch: Patch): bigint => {
    const b = svmBench();
    const none: Patch = { INTERCEPTS_3: SHUTDOWN, INTERCEPTS_4: instruction === VMMCALL ? 1 : 3 };
    b.create([0x0f, 0x01, instruction.opcode], {
      EXCEPTION_INTERCEPTS: 0xffff_ffff,
      RAX: VMCB_A,
      ...none,
      ...(intercepted ? instruction.intercept : {}),
      ...patch,
    });
    b.enter(100);
    return b.exitCode;
  };
  const exception = (vector: number): bigint => BigInt(0x40 + vector);

  it.each(named(ALL))('%s at CPL 0: the intercept', (_name, i) => expect(run(i, true, {})).toBe(BigInt(i.exit)));
  it.each(named(ALL.filter(({ name }) => name !== 'VMRUN')))('%s at CPL 0 without its intercept', (_name, i) =>
    expect(run(i, false, {})).toBe(i.guest === undefined ? 0x81n : exception(i.guest)),
  );
  it.each(named(PRIVILEGED))('%s at CPL 3: #GP, intercepted or not', (_name, i) => {
    expect(run(i, true, USER)).toBe(exception(GP));
    expect(run(i, false, USER)).toBe(exception(GP));
  });
  it.each(named(PRIVILEGED))('%s in real and in virtual-8086 mode: #UD, intercepted or not', (_name, i) => {
    for (const mode of [REAL_MODE, VIRTUAL_8086]) for (const intercepted of [true, false]) expect(run(i, intercepted, mode)).toBe(exception(UD));
  });
  it.each([
    ['CPL 3', USER],
    ['real mode', REAL_MODE],
    ['virtual-8086 mode', VIRTUAL_8086],
  ])('VMMCALL in %s: the intercept, else #UD', (_mode, patch) => {
    expect(run(VMMCALL, true, patch)).toBe(0x81n);
    expect(run(VMMCALL, false, patch)).toBe(exception(UD));
  });
});

describe('the operand', () => {
  const at = (opcode: number, rax: bigint): bigint => svmBench().run([0x0f, 0x01, opcode], { EXCEPTION_INTERCEPTS: 1 << GP, RAX: rax });
  it.each([
    ['VMLOAD', 0xda],
    ['VMSAVE', 0xdb],
  ])('%s: #GP when rAX is not aligned to 4 Kbytes or beyond the maximum physical address', (_name, opcode) => {
    expect(at(opcode, 0x60_0000n)).toBe(0x81n);
    expect(at(opcode, 0x60_0008n)).toBe(0x4dn);
    expect(at(opcode, 0x60_0800n)).toBe(0x4dn);
    expect(at(opcode, 1n << 52n)).toBe(0x4dn);
  });
  it('INVLPGA: EXITINFO1 is all of rAX with its address size, and 0 for the others', () => {
    const info = (code: readonly number[], patch: Patch, rax: bigint): bigint => {
      const b = svmBench();
      b.run(code, { ...patch, RAX: rax });
      return b.read('EXITINFO1');
    };
    const invlpga: Patch = { INTERCEPTS_3: SHUTDOWN + 0x400_0000 };
    expect(info([0x0f, 0x01, 0xdf], invlpga, 0xffff_8765_4321_0fffn)).toBe(0xffff_8765_4321_0fffn);
    expect(info([0x67, 0x0f, 0x01, 0xdf], invlpga, 0xffff_8765_4321_0fffn)).toBe(0x4321_0fffn);
    expect(info([0x0f, 0x01, 0xda], { INTERCEPTS_4: 7 }, 0x60_0000n)).toBe(0n);
  });
  it('an intercepted VMLOAD does not look at rAX', () => {
    expect(svmBench().run([0x0f, 0x01, 0xda], { INTERCEPTS_4: 7, EXCEPTION_INTERCEPTS: 1 << GP, RAX: 8 })).toBe(0x82n);
  });
});

describe('what #VMEXIT leaves alone', () => {
  it('bits of V_INTR and of the interrupt shadow that the processor does not implement', () => {
    const b = svmBench();
    // Bits 10, 15:13, 23:21 and 29:27 are reserved, bits 31:30 are of AVIC, which CPUID does not have; GUEST_INTERRUPT_MASK is of SEV-ES.
    const reserved = 0xf8e0_e400n;
    b.run([], { V_INTR: reserved | 0x5n, INTERRUPT_SHADOW: 0xabcd_0002n });
    expect(b.read('V_INTR')).toBe(reserved | 0x5n);
    expect(b.read('INTERRUPT_SHADOW')).toBe(0xabcd_0002n);
  });
});

describe('#VMEXIT without a host to go back to', () => {
  const lost = (change: (b: SvmBench) => void): [unknown, string[], Activity] => {
    const b = svmBench();
    const causes: string[] = [];
    b.create();
    b.svm.observer = { entry: () => change(b), shutdown: (_svm, because) => void causes.push(because) };
    return [b.enter(), causes, b.cpu.activity];
  };
  const msr = (value: number) => (b: SvmBench) => void b.svm.writeMsr(0xc001_0117, BigInt(value));
  it('VM_HSAVE_PA that is no RAM: shutdown, which says so', () =>
    expect(lost(msr(0x4000_0000))).toEqual(['shutdown', ['no host save area'], Activity.Shutdown]));
  it('VM_HSAVE_PA 0, as after RESET: shutdown, whatever page 0 holds', () =>
    expect(
      lost((b) => {
        b.memory.writeBytes(0, b.memory.readBytes(HOST_SAVE_AREA, 0x1000));
        msr(0)(b);
      }),
    ).toEqual(['shutdown', ['no host save area'], Activity.Shutdown]));
  it('an area with illegal state: shutdown', () =>
    expect(lost((b) => b.memory.writeBytes(HOST_SAVE_AREA, new Uint8Array(4096)))).toEqual(['shutdown', ['illegal host state'], Activity.Shutdown]));
  it('the guest can do it by itself when WRMSR is not intercepted', () => {
    const b = svmBench();
    // WRMSR VM_HSAVE_PA, then VMMCALL.
    b.create([0x0f, 0x30], { RAX: 0x4000_0000 });
    b.cpu.setGpr(1, 0xc001_0117n);
    b.cpu.setGpr(2, 0n);
    expect(b.enter()).toBe('shutdown');
    expect([b.exitCode, b.svm.guestMode]).toEqual([0x81n, false]);
  });
});
