import { setDr7 } from '../../cpu/debug';
import { R } from '../../cpu/layout';
import { ExitCode } from '../../svm/exit/code';
import { HOST_CODE, VMRUN, svmBench, type SvmBench } from './bench';

const TF = 0x100,
  RF = 0x1_0000;
const DB = 1;
const NOP = 0x90;
const BEHIND_VMRUN = HOST_CODE + VMRUN.length;

/** A host with the IDT of the guests and NOPs behind its VMRUN, at which it does not stop. */
function ready(code: readonly number[] = [], patch = {}): SvmBench {
  const b = svmBench();
  b.create(code, patch);
  b.memory.writeBytes(BEHIND_VMRUN, Uint8Array.from([NOP, NOP, NOP, NOP]));
  b.cpu.set64(R.IDTR_BASE, b.read('IDTR_BASE'));
  b.cpu.set64(R.GDTR_BASE, b.read('GDTR_BASE'));
  b.cpu.set32(R.IDTR_LIMIT, 0xfff);
  b.cpu.set32(R.GDTR_LIMIT, 0x17);
  b.cpu.setGpr(4, 0x9_0000n);
  b.cpu.setGpr(0, BigInt(b.vmcb));
  b.cpu.rip = BigInt(HOST_CODE);
  b.engine.clearGates();
  return b;
}

/** Runs until the first event of the host, or to the end: vector, pushed RIP and RFLAGS, DR6. */
function firstHostEvent(b: SvmBench): readonly [number, number, number, number] | undefined {
  let event: readonly [number, number, number, number] | undefined;
  b.cpu.observer = {
    deliver: (cpu, { vector }) => {
      if (cpu.guestMode) return;
      const rsp = Number(cpu.gpr(4));
      event ??= [vector, Number(b.memory.read64(rsp)), Number(b.memory.read64(rsp + 16)), cpu.get32(R.DR6)];
      b.engine.stop();
    },
  };
  b.engine.run(b.cpu.now() + 50);
  b.cpu.observer = {};
  b.engine.addGate(BEHIND_VMRUN);
  return event;
}

// APM "VMRUN and TF/RF Bits in EFLAGS": for the host VMRUN is one instruction; TF "causes a #DB trap after the VMRUN completes on the host side".
test('VMRUN with TF: the trap is taken after #VMEXIT, before the next instruction of the host', () => {
  const b = ready([NOP, NOP]);
  b.cpu.setRflags(2 | TF);
  const event = firstHostEvent(b);
  expect(b.read('EXITCODE')).toBe(BigInt(ExitCode.VMMCALL));
  expect(event).toEqual([DB, BEHIND_VMRUN, 2 | TF, 0xffff_4ff0]);
});

test('a VMRUN that fails its checks completes too', () => {
  const b = ready([], { EFER: 0n });
  b.cpu.setRflags(2 | TF);
  expect(firstHostEvent(b)).toEqual([DB, BEHIND_VMRUN, 2 | TF, 0xffff_4ff0]);
});

test('the guest is stepped by its own TF only', () => {
  const b = ready([NOP, NOP]);
  b.cpu.setRflags(2 | TF);
  let guestTraps = 0;
  const { exception } = b.svm;
  b.svm.exception = (event, delivering): boolean => {
    guestTraps++;
    return exception.call(b.svm, event, delivering);
  };
  firstHostEvent(b);
  expect(guestTraps).toBe(0);
});

// "As with any normal instruction, completion of the VMRUN instruction clears the host EFLAGS.RF bit."
test('RF of the host lasts for VMRUN', () => {
  const b = ready();
  b.cpu.set64(R.DR0, BigInt(HOST_CODE));
  b.cpu.setRflags(2 | RF);
  setDr7(b.cpu, 2);
  expect(firstHostEvent(b)).toBeUndefined();
  expect(b.cpu.rflags() & RF).toBe(0);
});

// APM "Global Interrupt Flag, STGI and CLGI Instructions", effect of GIF = 0: breakpoint matches are ignored and discarded, trace traps are not.
test.each([
  ['an instruction breakpoint', true],
  ['an instruction breakpoint', false],
])('%s with GIF = %p', (_, gif) => {
  const b = ready();
  b.cpu.rip = BigInt(BEHIND_VMRUN);
  b.cpu.set64(R.DR0, BigInt(BEHIND_VMRUN + 1));
  setDr7(b.cpu, 2);
  if (!gif) b.svm.clgi();
  expect(firstHostEvent(b)?.[0]).toBe(gif ? DB : undefined);
});

test('a single-step trap with GIF = 0', () => {
  const b = ready();
  b.cpu.rip = BigInt(BEHIND_VMRUN);
  b.cpu.setRflags(2 | TF);
  b.svm.clgi();
  expect(firstHostEvent(b)?.[1]).toBe(BEHIND_VMRUN + 1);
});

/** VMEXIT_CR0_WRITE_TRAP of "SVM Intercept Exit Codes". */
const CR0_WRITE_TRAP = 0x90n;

describe('a CR0 write trap of an instruction that is single-stepped', () => {
  // mov rax,cr0; mov cr0,rax; nop
  const code = [0x0f, 0x20, 0xc0, 0x0f, 0x22, 0xc0, NOP];
  test('comes first; the #DB goes along in EXITINTINFO, and DR6 tells its cause', () => {
    const b = svmBench();
    b.create(code, { INTERCEPTS_4: 3 | (1 << 16) });
    b.enter();
    expect(b.read('EXITCODE')).toBe(CR0_WRITE_TRAP);
    expect(b.read('EXITINTINFO')).toBe(0n);
    b.create(code.slice(3), { INTERCEPTS_4: 3 | (1 << 16), RFLAGS: 2 | TF, RAX: 0x8001_0033 });
    b.enter();
    expect(b.read('EXITCODE')).toBe(CR0_WRITE_TRAP);
    expect(b.read('EXITINTINFO') & 0xffff_ffffn).toBe(0x8000_0301n);
    expect(b.read('DR6')).toBe(0xffff_4ff0n);
  });
});
