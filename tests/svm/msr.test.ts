import { R } from '../../cpu/layout';
import { readMsr, writeMsr } from '../../cpu/system/msr';
import { UNWIND } from '../../cpu/registers';
import { parseProfile } from '../../cpu/profiles/profile';
import { SvmMsr, VmCr } from '../../svm/msr';
import { svmBench, type SvmBench } from './bench';

const EFER = 0xc000_0080,
  TSC_RATIO = 0xc000_0104,
  VM_CR = 0xc001_0114,
  IGNNE = 0xc001_0115,
  SMM_CTL = 0xc001_0116,
  VM_HSAVE_PA = 0xc001_0117,
  SVM_KEY = 0xc001_0118;
const LOCK = 8n,
  SVMDIS = 0x10n;

const wrmsr = (b: SvmBench, index: number, value: bigint): 'ok' | '#GP' => {
  try {
    writeMsr(b.cpu, index, value);
    return 'ok';
  } catch (e) {
    if (e !== UNWIND) throw e;
    expect(b.cpu.fault).toMatchObject({ vector: 13, errorCode: 0 });
    b.cpu.fault = undefined;
    return '#GP';
  }
};
const rdmsr = (b: SvmBench, index: number): bigint | '#GP' => readMsr(b.cpu, index) ?? '#GP';

it('numbers and bits, those without a behaviour here too', () => {
  expect(SvmMsr).toEqual({ TSC_RATIO, VM_CR, IGNNE, SMM_CTL, VM_HSAVE_PA, SVM_KEY });
  expect(VmCr).toEqual({ DPD: 1, R_INIT: 2, DIS_A20M: 4, LOCK: 8, SVMDIS: 0x10 });
});

describe('VM_CR', () => {
  it('SVMDIS forbids EFER.SVME', () => {
    const b = svmBench();
    expect(wrmsr(b, VM_CR, SVMDIS)).toBe('#GP');
    expect(wrmsr(b, EFER, 0xd01n)).toBe('ok');
    expect(wrmsr(b, VM_CR, SVMDIS)).toBe('ok');
    expect(wrmsr(b, EFER, 0x1d01n)).toBe('#GP');
    expect(wrmsr(b, VM_CR, 0n)).toBe('ok');
    expect(wrmsr(b, EFER, 0x1d01n)).toBe('ok');
  });
  it('LOCK makes itself and SVMDIS read-only; the other bits stay writable', () => {
    const b = svmBench();
    expect(wrmsr(b, VM_CR, LOCK)).toBe('ok');
    expect(wrmsr(b, VM_CR, 7n)).toBe('ok');
    expect(rdmsr(b, VM_CR)).toBe(LOCK | 7n);
  });
  it('has a bit for each of DPD, R_INIT, DIS_A20M, LOCK and SVMDIS: bits 4:0', () => {
    const b = svmBench();
    wrmsr(b, EFER, 0xd01n);
    for (const bit of [0n, 1n, 2n, 4n]) {
      expect(wrmsr(b, VM_CR, 1n << bit)).toBe('ok');
      expect(rdmsr(b, VM_CR)).toBe(1n << bit);
    }
  });
  it('with LOCK a write that would change it is ignored, not refused', () => {
    const b = svmBench();
    wrmsr(b, VM_CR, LOCK);
    expect(wrmsr(b, VM_CR, 0n)).toBe('ok');
    expect(rdmsr(b, VM_CR)).toBe(LOCK);
  });
  it('without LOCK SVMDIS can be set and taken back', () => {
    const b = svmBench();
    wrmsr(b, EFER, 0xd01n);
    wrmsr(b, VM_CR, SVMDIS);
    expect(rdmsr(b, VM_CR)).toBe(SVMDIS);
    wrmsr(b, VM_CR, 0n);
    expect(rdmsr(b, VM_CR)).toBe(0n);
  });
  it('bits 63:5 are MBZ', () => expect(wrmsr(svmBench(), VM_CR, 0x20n)).toBe('#GP'));
  it('as firmware left it', () => expect(rdmsr(svmBench({ vmCr: 0x18 }), VM_CR)).toBe(LOCK | SVMDIS));
});

describe('SVM_KEY', () => {
  it('unlocks with the key that was set before LOCK, and reads as 0', () => {
    const b = svmBench();
    wrmsr(b, SVM_KEY, 0x1234n);
    wrmsr(b, VM_CR, LOCK);
    expect(wrmsr(b, SVM_KEY, 0x1235n)).toBe('ok');
    expect([rdmsr(b, VM_CR), rdmsr(b, SVM_KEY)]).toEqual([LOCK, 0n]);
    wrmsr(b, SVM_KEY, 0x1234n);
    expect(rdmsr(b, VM_CR)).toBe(0n);
  });
  it('a key of 0 unlocks nothing', () => {
    const b = svmBench();
    wrmsr(b, VM_CR, LOCK);
    wrmsr(b, SVM_KEY, 0n);
    expect(rdmsr(b, VM_CR)).toBe(LOCK);
  });
});

describe('IGNNE', () => {
  it('has one bit; the others are MBZ', () => {
    const b = svmBench();
    expect(rdmsr(b, IGNNE)).toBe(0n);
    expect(wrmsr(b, IGNNE, 1n)).toBe('ok');
    expect(rdmsr(b, IGNNE)).toBe(1n);
    expect(wrmsr(b, IGNNE, 2n)).toBe('#GP');
    expect(rdmsr(b, IGNNE)).toBe(1n);
    expect(wrmsr(b, IGNNE, 0n)).toBe('ok');
    expect(rdmsr(b, IGNNE)).toBe(0n);
  });
});

describe('features of CPUID Fn8000_000A that bring an MSR', () => {
  /** The same processor, with one feature less. */
  const without = (bit: number): SvmBench => {
    const b = svmBench();
    const { capabilities } = b.svm;
    Object.assign(b.svm, { capabilities: { ...capabilities, features: capabilities.features & ~(1 << bit) } });
    return b;
  };
  // EDX bit 2 SVML: SVM_KEY; bit 4 TscRateMsr: TSC_RATIO.
  it.each([
    ['SVM_KEY', SVM_KEY, 2],
    ['TSC_RATIO', TSC_RATIO, 4],
  ])('%s', (_name, index, bit) => {
    for (let other = 0; other < 32; other++) {
      const b = without(other);
      expect([other, rdmsr(b, index) === '#GP', wrmsr(b, index, 1n)]).toEqual([other, other === bit, other === bit ? '#GP' : 'ok']);
    }
  });
});

describe('VM_HSAVE_PA', () => {
  it.each([0x1008n, 1n, 1n << 46n, 1n << 63n])('#GP for %i', (value) => expect(wrmsr(svmBench(), VM_HSAVE_PA, value)).toBe('#GP'));
  it('reads what was written', () => {
    const b = svmBench();
    expect(wrmsr(b, VM_HSAVE_PA, 0x3fff_ffff_f000n)).toBe('ok');
    expect(rdmsr(b, VM_HSAVE_PA)).toBe(0x3fff_ffff_f000n);
  });
});

it('SMM_CTL: #GP, for SMM is locked', () => expect([rdmsr(svmBench(), SMM_CTL), wrmsr(svmBench(), SMM_CTL, 0n)]).toEqual(['#GP', '#GP']));

it('none of them exists without SVM', () => {
  const b = svmBench();
  const without = svmBench({}, parseProfile('amd'));
  without.cpu.interception = undefined;
  for (const index of [VM_CR, VM_HSAVE_PA, TSC_RATIO]) {
    expect(rdmsr(b, index)).not.toBe('#GP');
    expect(rdmsr(without, index)).toBe('#GP');
  }
});

describe('TSC', () => {
  const guestTsc = (b: SvmBench, offset: bigint): { readonly guest: bigint; readonly host: bigint } => {
    // RDTSC as the first instruction.
    b.create([0x0f, 0x31], { TSC_OFFSET: BigInt.asUintN(64, offset) });
    let host = 0n;
    b.svm.observer = { entry: () => (host = BigInt(b.cpu.now()) + b.cpu.get64(R.TSC_OFFSET)) };
    b.enter();
    return { guest: (b.cpu.gpr(2) << 32n) | (b.read('RAX') & 0xffff_ffffn), host };
  };
  it('TSC_OFFSET is added', () => {
    const { guest, host } = guestTsc(svmBench(), 1n << 40n);
    expect(guest - (1n << 40n) - host).toBeLessThanOrEqual(2n);
  });
  it.each([
    ['half speed', 0x8000_0000n],
    ['three times as fast', 0x3_0000_0000n],
    ['stopped', 0n],
  ])('the ratio multiplies before the offset is added: %s', (_name, ratio) => {
    const b = svmBench();
    b.cpu.set64(R.TSC_OFFSET, 1_000_000n);
    expect(wrmsr(b, TSC_RATIO, ratio)).toBe('ok');
    const { guest, host } = guestTsc(b, 5n);
    const expected = ((host * ratio) >> 32n) + 5n;
    expect(guest - expected >= 0n && guest - expected <= 6n).toBe(true);
    // The host has its own again.
    expect(b.cpu.guestTscRatio).toBe(undefined);
  });
  it('the ratio is 8.32 fixed point: bits 63:40 are MBZ, 1.0 after RESET', () => {
    const b = svmBench();
    expect(rdmsr(b, TSC_RATIO)).toBe(1n << 32n);
    expect(wrmsr(b, TSC_RATIO, 1n << 40n)).toBe('#GP');
    expect(wrmsr(b, TSC_RATIO, (1n << 40n) - 1n)).toBe('ok');
  });
});
