import { R } from '../../cpu/layout';
import { readMsr, writeMsr } from '../../cpu/system/msr';
import { UNWIND } from '../../cpu/registers';
import { parseProfile } from '../../cpu/profiles/profile';
import { svmBench, type SvmBench } from './bench';

const EFER = 0xc000_0080,
  TSC_RATIO = 0xc000_0104,
  VM_CR = 0xc001_0114,
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
  it('bits 63:5 are MBZ', () => expect(wrmsr(svmBench(), VM_CR, 0x20n)).toBe('#GP'));
  it('as firmware left it', () => expect(rdmsr(svmBench({ vmCr: 0x18 }), VM_CR)).toBe(LOCK | SVMDIS));
});

describe('SVM_KEY', () => {
  it('unlocks with the key that was set before LOCK, and reads as 0', () => {
    const b = svmBench();
    wrmsr(b, SVM_KEY, 0x1234n);
    wrmsr(b, VM_CR, LOCK);
    wrmsr(b, SVM_KEY, 0x1235n);
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
