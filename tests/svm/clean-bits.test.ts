import type { Patch } from './entry/vmcb-image';
import { GUEST_CODE, GUEST_STACK, IOPM, NPT, VMCB_A, VMCB_B, svmBench, type SvmBench } from './bench';
import type { StaleField } from '../../svm/vmcb/access';
import { CleanBit, type VmcbField } from '../../svm/vmcb/layout';
import { fieldsOfCleanBit } from '../../svm/vmcb/fields';

const CPUID = [0x0f, 0xa2];

/** Runs once, changes a field behind the processor's back, runs again with `clean`. */
function again(code: readonly number[], first: Patch, second: Patch, clean: number, b: SvmBench = svmBench()): SvmBench {
  b.run(code, first);
  b.write({ RIP: GUEST_CODE, RSP: GUEST_STACK, ...second, VMCB_CLEAN: clean });
  b.enter();
  return b;
}

describe('a field whose clean bit is set is taken from the cache; one whose bit is clear is read', () => {
  /** What shows in the second run whether the change was seen. */
  const CASES: readonly (readonly [
    name: string,
    bit: number,
    code: readonly number[],
    change: Patch,
    shows: (b: SvmBench) => bigint,
    cached: bigint,
    read: bigint,
  ])[] = [
    ['intercepts', CleanBit.INTERCEPTS, CPUID, { INTERCEPTS_3: 0x8004_0000 }, (b) => b.exitCode, 0x81n, 0x72n],
    ['TSC_OFFSET', CleanBit.INTERCEPTS, [0x0f, 0x31], { TSC_OFFSET: 1n << 40n }, (b) => b.cpu.gpr(2), 0n, 0x100n],
    ['exception intercepts', CleanBit.INTERCEPTS, [0xcc], { EXCEPTION_INTERCEPTS: 8 }, (b) => b.exitCode, 0x81n, 0x43n],
    ['permission maps', CleanBit.IOPM, [0xe4, 0x80], { IOPM_BASE_PA: 0x60_0000 }, (b) => b.exitCode, 0x81n, 0x7bn],
    ['V_TPR and V_IRQ', CleanBit.TPR, [0x90], { V_INTR: 0x102_0100, V_INTR_VECTOR: 0x25, RFLAGS: 0x202 }, (b) => BigInt(b.delivered), -1n, 0x25n],
    ['N_CR3', CleanBit.NP, [0x90], { N_CR3: 0x60_0000 }, (b) => b.exitCode, 0x81n, 0x400n],
    ['CR0', CleanBit.CRX, [0x0f, 0x20, 0xc0], { CR0: 0x8001_003b }, (b) => b.read('RAX'), 0x8001_0033n, 0x8001_003bn],
    ['EFER', CleanBit.CRX, [0x90], { EFER: 0x1d00 }, (b) => b.read('EFER'), 0x1d01n, 0x1d00n],
    ['DR7', CleanBit.DRX, [0x90], { DR7: 0x455 }, (b) => b.read('DR7'), 0x400n, 0x455n],
    ['IDTR', CleanBit.DT, [0x0f, 0x0b], { IDTR_LIMIT: 0 }, (b) => b.exitCode, 0x81n, 0x7fn],
    ['DS', CleanBit.SEG, [0x8c, 0xd8], { DS_SELECTOR: 0x33 }, (b) => b.read('DS_SELECTOR'), 0x10n, 0x33n],
    ['CR2', CleanBit.CR2, [0x0f, 0x20, 0xd0], { CR2: 0x1234 }, (b) => b.read('RAX'), 0n, 0x1234n],
    // The bit that enables their virtualization is not one of the LBR fields: it is read in any case.
    ['BR_FROM', CleanBit.LBR, [0x90], { BR_FROM: 0x1234, VIRTUALIZATION_ENABLE: 1 }, (b) => b.read('BR_FROM'), 0n, 0x1234n],
    ['DBGCTL', CleanBit.LBR, [0xeb, 0x00], { DBGCTL: 1, VIRTUALIZATION_ENABLE: 1 }, (b) => b.read('BR_FROM'), 0n, BigInt(GUEST_CODE)],
  ];
  it.each(CASES)('%s', (_name, bit, code, change, shows, cached, read) => {
    const all = 0x1fff;
    const first: Patch = { INTERCEPTS_3: 0x8800_0000 };
    const setUp = (): SvmBench => {
      const b = svmBench();
      b.memory.write8(0x60_0010, 1);
      return b;
    };
    const change2: Patch = 'INTERCEPTS_3' in change ? change : { ...first, ...change };
    expect(shows(again(code, first, change2, all, setUp()))).toBe(cached);
    expect(shows(again(code, first, change2, all & ~(1 << bit), setUp()))).toBe(read);
    expect(shows(again(code, first, change2, 0, setUp()))).toBe(read);
  });

  it('RIP, RSP, RAX, RFLAGS, the interrupt shadow and EVENTINJ are always read', () => {
    const b = again([0x90, 0x90], {}, { RAX: 5, RIP: GUEST_CODE + 1, RSP: 0x41_2000, RFLAGS: 0x3, EVENTINJ: 0x8000_0306 }, 0x1fff);
    expect([b.delivered, b.pushed(0), b.pushed(2) & 1n, b.pushed(3), b.read('RAX')]).toEqual([6, BigInt(GUEST_CODE + 1), 1n, 0x41_2000n, 5n]);
  });
  it('the cache holds what #VMEXIT saved', () => {
    const b = svmBench();
    // MOV CR2, RAX
    b.run([0x0f, 0x22, 0xd0], { RAX: 0x77 });
    b.write({ RIP: GUEST_CODE + 3, CR2: 0, VMCB_CLEAN: 0x1fff });
    b.enter();
    expect(b.read('CR2')).toBe(0x77n);
  });
  it('consistency checks look at the merged state', () => {
    expect(again([0x90], {}, { GUEST_ASID: 0, CR0: 0x2001_0033 }, 0x1fff).exitCode).toBe(0x81n);
    expect(again([0x90], {}, { GUEST_ASID: 0 }, 0x1fff & ~4).exitCode).toBe(0xffff_ffff_ffff_ffffn);
  });
});

describe('clean bits are void', () => {
  it('at the first VMRUN of a VMCB', () => {
    const b = svmBench();
    b.run(CPUID, { INTERCEPTS_3: 0x8004_0000, VMCB_CLEAN: 0x1fff });
    expect(b.exitCode).toBe(0x72n);
  });
  it('for another VMCB', () => {
    const b = svmBench();
    b.run(CPUID);
    b.vmcb = VMCB_B;
    b.run(CPUID, { INTERCEPTS_3: 0x8004_0000, VMCB_CLEAN: 0x1fff });
    expect(b.exitCode).toBe(0x72n);
    b.vmcb = VMCB_A;
    b.write({ RIP: GUEST_CODE, INTERCEPTS_3: 0x8004_0000, VMCB_CLEAN: 0x1fff });
    b.enter();
    // The first one is still cached.
    expect(b.exitCode).toBe(0x81n);
  });
  it('after VMEXIT_INVALID', () => {
    const b = again(CPUID, {}, { GUEST_ASID: 0 }, 0);
    b.write({ GUEST_ASID: 1, INTERCEPTS_3: 0x8004_0000, VMCB_CLEAN: 0x1fff });
    b.enter();
    expect(b.exitCode).toBe(0x72n);
  });
});

describe('checkVmcb', () => {
  const stale = (change: Patch, clean: number): StaleField[] => {
    const b = svmBench({ checkVmcb: true });
    const heard: StaleField[] = [];
    b.svm.observer = { staleVmcb: (_svm, field) => void heard.push(field) };
    again([0x90], {}, change, clean, b);
    return heard;
  };
  it('reports a field that changed although its clean bit said that it did not', () => {
    expect(stale({ CR4: 0x6b0 }, 0x1fff)).toEqual([{ field: 'CR4', cleanBit: CleanBit.CRX, memory: 0x6b0n, cached: 0x6a0n }]);
  });
  it('is silent about a hypervisor that tells the truth', () => {
    expect(stale({ CR4: 0x6b0 }, 0x1fff & ~(1 << CleanBit.CRX))).toEqual([]);
    expect(stale({}, 0x1fff)).toEqual([]);
  });
  it.each(Object.entries(CleanBit))('knows the fields of %s', (_name, bit) => {
    const fields = fieldsOfCleanBit(bit).map((f) => f.name);
    for (const field of fields as VmcbField[]) {
      const b = svmBench({ checkVmcb: true });
      const heard: string[] = [];
      b.svm.observer = { staleVmcb: (_svm, s) => void heard.push(s.field) };
      b.run([0x90]);
      b.write({ RIP: GUEST_CODE, [field]: b.read(field) ^ 1n, VMCB_CLEAN: 1 << bit });
      b.svm.observer.exit = () => {};
      b.enter();
      expect(heard).toEqual([field]);
    }
  });
  it('is not asked for unless wanted', () => {
    const b = svmBench();
    let heard = false;
    b.svm.observer = { staleVmcb: () => (heard = true) };
    again([0x90], {}, { CR4: 0x6b0, IOPM_BASE_PA: IOPM, N_CR3: NPT }, 0x1fff, b);
    expect(heard).toBe(false);
  });
});
