import { R } from '../../cpu/layout';
import type { Patch } from './entry/vmcb-image';
import { GUEST_CODE, HOST_CODE, svmBench, type SvmBench } from './bench';

const IF = 0x202;
const MASKING = 1 << 24;
const V_IRQ = 1 << 8;
const INTR = { INTERCEPTS_3: 0x8000_0001 };
const VINTR = { INTERCEPTS_3: 0x8000_0010 };
const NMI = { INTERCEPTS_3: 0x8000_0002 };
const prio = (n: number): number => n << 16;
const NOPS = [0x90, 0x90, 0x90];
const STI = 0xfb,
  HLT = 0xf4,
  NOP = 0x90;
const STGI = [0x0f, 0x01, 0xdc],
  CLGI = [0x0f, 0x01, 0xdd];

const run = (code: readonly number[], patch: Patch, prepare: (b: SvmBench) => void = () => {}): SvmBench => {
  const b = svmBench();
  b.create(code, patch);
  prepare(b);
  b.enter();
  return b;
};
const pending =
  (hostFlags = 2) =>
  (b: SvmBench): void => {
    b.interrupts.vector = 0x30;
    b.cpu.setRflags(hostFlags);
    // GIF holds the interrupt until VMRUN.
    b.svm.clgi();
  };

describe('GIF', () => {
  /** The host runs NOPs with IF = 1 and the IDT of the guests; answers the vectors that it took. */
  const host = (b: SvmBench, ticks: number): number[] => {
    const taken: number[] = [];
    b.cpu.observer = {
      deliver: (_cpu, event) => {
        taken.push(event.vector);
        b.engine.stop();
      },
    };
    b.engine.run(b.cpu.now() + ticks);
    b.cpu.observer = {};
    return taken;
  };
  const ready = (gif: boolean): SvmBench => {
    const b = svmBench();
    b.create();
    b.memory.writeBytes(HOST_CODE, Uint8Array.from([NOP, NOP, NOP]));
    b.cpu.set64(R.IDTR_BASE, b.read('IDTR_BASE'));
    b.cpu.set64(R.GDTR_BASE, b.read('GDTR_BASE'));
    b.cpu.set32(R.IDTR_LIMIT, 0xfff);
    b.cpu.set32(R.GDTR_LIMIT, 0x17);
    b.cpu.setGpr(4, 0x9_0000n);
    b.cpu.setRflags(IF);
    if (!gif) b.svm.clgi();
    b.cpu.rip = BigInt(HOST_CODE);
    return b;
  };
  it.each([
    ['interrupts', (b: SvmBench) => void (b.interrupts.vector = 0x30), 0x30],
    ['NMIs', (b: SvmBench) => void (b.cpu.nmiPending = true), 2],
  ])('holds %s while it is 0, and gives them when it is set', (_name, prepare, vector) => {
    const open = ready(true);
    prepare(open);
    expect(host(open, 2)).toEqual([vector]);
    const held = ready(false);
    prepare(held);
    expect(host(held, 2)).toEqual([]);
    expect(held.cpu.rip).toBe(BigInt(HOST_CODE + 2));
    held.svm.stgi();
    expect(host(held, 1)).toEqual([vector]);
  });
  it('VMRUN sets it, #VMEXIT clears it', () => {
    const b = svmBench();
    let inGuest: boolean | undefined;
    b.svm.observer = { entry: (svm) => (inGuest = svm.gif) };
    b.run();
    expect([inGuest, b.svm.gif]).toEqual([true, false]);
  });
  it('a guest that clears it holds interrupts from itself', () => {
    const b = run([...CLGI, STI, NOP, NOP, NOP], { INTERCEPTS_4: 3 }, pending());
    expect([b.exitCode, b.at]).toEqual([0x81n, 7]);
    const again = run([...CLGI, STI, NOP, NOP, ...STGI, NOP], { INTERCEPTS_4: 3 }, pending());
    expect([again.delivered, again.pushed(0)]).toEqual([0x30, BigInt(GUEST_CODE + 9)]);
  });
});

describe('physical interrupts: INTR intercept', () => {
  // With V_INTR_MASKING the host's rFLAGS.IF at VMRUN decides, without it the guest's.
  it.each([
    ['masking, host IF, guest IF = 0', MASKING, IF, 2, 0x60, 0],
    ['masking, host IF = 0, guest IF', MASKING, 2, IF, 0x81, 3],
    ['no masking, host IF, guest IF = 0', 0, IF, 2, 0x81, 3],
    ['no masking, host IF = 0, guest IF', 0, 2, IF, 0x60, 0],
  ])('%s', (_name, masking, hostFlags, guestFlags, exit, at) => {
    const b = run(NOPS, { ...INTR, V_INTR: masking, RFLAGS: guestFlags }, pending(hostFlags));
    expect([b.exitCode, b.at]).toEqual([BigInt(exit), at]);
    // The interrupt waits for the host.
    expect(b.interrupts.acknowledged).toEqual([]);
    expect(b.read('EXITINTINFO')).toBe(0n);
  });
  it('not in an interrupt shadow', () => {
    const b = run([STI, NOP, NOP], INTR, pending());
    expect([b.exitCode, b.at, b.read('INTERRUPT_SHADOW')]).toEqual([0x60n, 2, 0n]);
  });
  it('ends a HLT of the guest: rIP is behind it', () => {
    const b = svmBench();
    b.create([HLT, NOP], { ...INTR, RFLAGS: IF });
    expect(b.enter(50)).toBe('idle');
    b.interrupts.vector = 0x30;
    b.cpu.attention = true;
    b.engine.run(b.cpu.now() + 50);
    expect([b.exitCode, b.at]).toEqual([0x60n, 1]);
  });
  it('without the intercept the guest takes it', () => {
    const b = run(NOPS, { RFLAGS: IF }, pending());
    expect([b.delivered, b.interrupts.acknowledged]).toEqual([0x30, [0x30]]);
  });
});

describe('NMI', () => {
  const nmi = (b: SvmBench): void => {
    b.svm.clgi();
    b.cpu.nmiPending = true;
  };
  it('intercepted: it stays pending for the host', () => {
    const b = run(NOPS, NMI, nmi);
    expect([b.exitCode, b.at, b.cpu.nmiPending, b.cpu.nmiBlocked]).toEqual([0x61n, 0, true, false]);
  });
  it('not intercepted: the guest takes it, and blocks others', () => {
    const b = run(NOPS, {}, nmi);
    expect([b.delivered, b.cpu.nmiPending, b.cpu.nmiBlocked]).toEqual([2, false, true]);
  });
  it('a host that has NMIs blocked gets none from a guest', () => {
    const b = run(NOPS, NMI, (bench) => {
      nmi(bench);
      bench.cpu.nmiBlocked = true;
    });
    expect([b.exitCode, b.cpu.nmiBlocked]).toEqual([0x81n, true]);
  });
});

describe('virtual interrupts', () => {
  const v = (control: number, patch: Patch = {}, code: readonly number[] = NOPS): SvmBench =>
    run(code, { V_INTR: (control | MASKING) >>> 0, V_INTR_VECTOR: 0x25, RFLAGS: IF, ...patch });
  const irq = (b: SvmBench): boolean => (b.read('V_INTR') & BigInt(V_IRQ)) !== 0n;

  it('is taken through the IDT, and V_IRQ ends', () => {
    const b = v(V_IRQ | prio(2));
    expect([b.delivered, b.pushed(0), irq(b)]).toEqual([0x25, BigInt(GUEST_CODE), false]);
  });
  // The priority must be above V_TPR, unless V_IGN_TPR.
  it.each([
    ['priority 2, V_TPR 1', 2, 1, 0, true],
    ['priority 2, V_TPR 2', 2, 2, 0, false],
    ['priority 2, V_TPR 3', 2, 3, 0, false],
    ['priority 2, V_TPR 3, V_IGN_TPR', 2, 3, 1 << 20, true],
  ])('%s', (_name, priority, tpr, ignore, taken) => {
    const b = v(V_IRQ | prio(priority) | tpr | ignore);
    expect([b.delivered, irq(b)]).toEqual(taken ? [0x25, false] : [-1, true]);
  });
  it('waits for rFLAGS.IF', () => {
    expect(irq(v(V_IRQ | prio(2), { RFLAGS: 2 }))).toBe(true);
    const sti = v(V_IRQ | prio(2), { RFLAGS: 2 }, [STI, NOP, NOP]);
    expect([sti.delivered, sti.pushed(0)]).toEqual([0x25, BigInt(GUEST_CODE + 2)]);
  });
  it('waits for the end of an interrupt shadow', () => {
    const b = v(V_IRQ | prio(2), { INTERRUPT_SHADOW: 1 });
    expect([b.delivered, b.pushed(0)]).toEqual([0x25, BigInt(GUEST_CODE + 1)]);
  });
  it('waits for a lower CR8', () => {
    // XOR EAX, EAX; MOV CR8, RAX
    const b = v(V_IRQ | prio(2) | 3, {}, [0x31, 0xc0, 0x44, 0x0f, 0x22, 0xc0, NOP]);
    expect([b.delivered, b.pushed(0)]).toEqual([0x25, BigInt(GUEST_CODE + 6)]);
  });
  it('ends a HLT', () => {
    const b = v(V_IRQ | prio(2), { RFLAGS: 2 }, [STI, HLT, NOP]);
    expect([b.delivered, b.pushed(0)]).toEqual([0x25, BigInt(GUEST_CODE + 2)]);
  });
  it('comes after an injected event', () => {
    const b = v(V_IRQ | prio(2), { EVENTINJ: 0x8000_0306 });
    expect([b.delivered, irq(b)]).toEqual([6, true]);
  });
  it('comes after a physical interrupt that exits', () => {
    const b = run(NOPS, { ...INTR, V_INTR: V_IRQ | prio(2) | MASKING, RFLAGS: IF }, pending(IF));
    expect([b.exitCode, irq(b)]).toEqual([0x60n, true]);
  });
  it('VINTR intercept: before it is taken, V_IRQ stays', () => {
    const now = v(V_IRQ | prio(2), VINTR);
    expect([now.exitCode, now.at, irq(now)]).toEqual([0x64n, 0, true]);
    const window = v(V_IRQ | prio(2), { ...VINTR, RFLAGS: 2 }, [NOP, STI, NOP, NOP]);
    expect([window.exitCode, window.at]).toEqual([0x64n, 3]);
    expect(v(V_IRQ | prio(2) | 5, VINTR).exitCode).toBe(0x81n);
  });
  it('an interrupt whose delivery exits is in EXITINTINFO, and V_IRQ is over', () => {
    const b = v(V_IRQ | prio(2), { IDTR_BASE: 0x4000_0000, EXCEPTION_INTERCEPTS: 1 << 14 });
    expect([b.exitCode, b.read('EXITINTINFO'), irq(b)]).toEqual([0x4en, 0x8000_0025n, false]);
  });
});

describe('V_TPR', () => {
  const CR8 = [0x44, 0x0f, 0x20, 0xc3, 0xb8, 9, 0, 0, 0, 0x44, 0x0f, 0x22, 0xc0];
  it('with V_INTR_MASKING CR8 is V_TPR, and the APIC has its own', () => {
    const b = run(CR8, { V_INTR: MASKING | 5 }, (bench) => void (bench.interrupts.tpr = 2));
    expect([b.cpu.gpr(3), b.read('V_INTR') & 0xffn, b.interrupts.tpr]).toEqual([5n, 9n, 2]);
  });
  it('without it, reads are those of the APIC and writes go to both', () => {
    const b = run(CR8, { V_INTR: 5 }, (bench) => void (bench.interrupts.tpr = 2));
    expect([b.cpu.gpr(3), b.read('V_INTR') & 0xffn, b.interrupts.tpr]).toEqual([2n, 9n, 9]);
  });
});

describe('virtual GIF', () => {
  const V_GIF = 1 << 9;
  const ENABLE = 1 << 25;
  const v = (control: number, code: readonly number[], patch: Patch = {}): SvmBench =>
    run(code, { V_INTR: (control | ENABLE | MASKING) >>> 0, V_INTR_VECTOR: 0x25, RFLAGS: IF, ...patch });
  it('STGI and CLGI change V_GIF and not the processor', () => {
    const clear = v(V_GIF, [...CLGI, NOP]);
    expect(clear.read('V_INTR') & BigInt(V_GIF)).toBe(0n);
    expect(v(0, [...STGI, NOP]).read('V_INTR') & BigInt(V_GIF)).toBe(BigInt(V_GIF));
  });
  it('gates virtual interrupts', () => {
    expect(v(V_IRQ | prio(2), NOPS).delivered).toBe(-1);
    const b = v(V_IRQ | prio(2), [NOP, ...STGI, NOP, NOP]);
    expect([b.delivered, b.pushed(0)]).toEqual([0x25, BigInt(GUEST_CODE + 4)]);
  });
  it('does not gate physical ones', () => {
    expect(run(NOPS, { ...INTR, V_INTR: ENABLE | MASKING, RFLAGS: 2 }, pending(IF)).exitCode).toBe(0x60n);
  });
  it('the intercepts of STGI and CLGI come first', () => {
    expect(v(V_GIF, CLGI, { INTERCEPTS_4: 3 | 0x20 }).exitCode).toBe(0x85n);
  });
});

describe('virtual NMI', () => {
  const V_NMI = 1 << 11;
  const MASK = 1 << 12;
  const ENABLE = 1 << 26;
  const v = (control: number, code: readonly number[] = NOPS, patch: Patch = {}): SvmBench =>
    run(code, { ...NMI, V_INTR: (control | ENABLE | MASKING) >>> 0, ...patch });
  const bits = (b: SvmBench): number => Number(b.read('V_INTR')) & (V_NMI | MASK);
  it('is taken whatever rFLAGS.IF is; V_NMI ends and V_NMI_MASK begins', () => {
    const b = v(V_NMI);
    expect([b.delivered, bits(b), b.cpu.nmiBlocked]).toEqual([2, MASK, false]);
  });
  it('waits while V_NMI_MASK is set', () => {
    const b = v(V_NMI | MASK);
    expect([b.delivered, bits(b)]).toEqual([-1, V_NMI | MASK]);
  });
  it('IRET ends the mask', () => {
    // PUSH SS, RSP, RFLAGS, CS, RIP; IRETQ; NOP
    const iret = [0x6a, 0x10, 0x54, 0x6a, 0x02, 0x6a, 0x08, 0x48, 0x8d, 0x05, 0x03, 0, 0, 0, 0x50, 0x48, 0xcf, NOP, NOP];
    const b = v(V_NMI | MASK, iret);
    expect([b.delivered, b.pushed(0), bits(b)]).toEqual([2, BigInt(GUEST_CODE + iret.length - 2), MASK]);
  });
  it('an IRET that faults or exits leaves the mask: "on successful completion"', () => {
    // An image of CS that is null: #GP(0), which is intercepted.
    const faulting = [0x6a, 0x10, 0x54, 0x6a, 0x02, 0x6a, 0x00, 0x6a, 0x00, 0x48, 0xcf];
    const fault = v(V_NMI | MASK, faulting, { EXCEPTION_INTERCEPTS: 1 << 13 });
    expect([fault.exitCode, bits(fault)]).toEqual([0x4dn, V_NMI | MASK]);
    const exit = v(V_NMI | MASK, [0x48, 0xcf], { INTERCEPTS_3: 0x8010_0002 });
    expect([exit.exitCode, bits(exit)]).toEqual([0x74n, V_NMI | MASK]);
  });
  it('an injected NMI sets the mask', () => expect(bits(v(0, NOPS, { EVENTINJ: 0x8000_0202 }))).toBe(MASK));
  it('is not masked by a delivery that ends in a #VMEXIT: EXITINTINFO has it', () => {
    const b = v(V_NMI, NOPS, { IDTR_LIMIT: 0, EXCEPTION_INTERCEPTS: 1 << 13 });
    expect([b.exitCode, b.read('EXITINTINFO'), bits(b)]).toEqual([0x4dn, 0x8000_0202n, 0]);
  });
  it('is invalid without the NMI intercept', () => expect(v(V_NMI, NOPS, { INTERCEPTS_3: 0x8000_0000 }).exitCode).toBe(0xffff_ffff_ffff_ffffn));
});
