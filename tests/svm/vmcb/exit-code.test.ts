/** Names and widths of exit codes: APM Appendix C. */
import fc from 'fast-check';
import { EXIT_CODES, ExitCodeBase, exitCodeHigh, exitCodeLow, exitCodeName, exitCodeOf, explainExitCode } from '../../../svm/exit/code';

describe('exit codes', () => {
  it.each([
    [0x000, 'VMEXIT_CR0_READ'],
    [0x010, 'VMEXIT_CR0_WRITE'],
    [0x013, 'VMEXIT_CR3_WRITE'],
    [0x018, 'VMEXIT_CR8_WRITE'],
    [0x020, 'VMEXIT_DR0_READ'],
    [0x027, 'VMEXIT_DR7_READ'],
    [0x030, 'VMEXIT_DR0_WRITE'],
    [0x036, 'VMEXIT_DR6_WRITE'],
    [0x040, 'VMEXIT_EXCP0'],
    [0x04e, 'VMEXIT_EXCP14'],
    [0x05f, 'VMEXIT_EXCP31'],
    [0x060, 'VMEXIT_INTR'],
    [0x061, 'VMEXIT_NMI'],
    [0x064, 'VMEXIT_VINTR'],
    [0x065, 'VMEXIT_CR0_SEL_WRITE'],
    [0x06e, 'VMEXIT_RDTSC'],
    [0x072, 'VMEXIT_CPUID'],
    [0x078, 'VMEXIT_HLT'],
    [0x07b, 'VMEXIT_IOIO'],
    [0x07c, 'VMEXIT_MSR'],
    [0x07f, 'VMEXIT_SHUTDOWN'],
    [0x080, 'VMEXIT_VMRUN'],
    [0x081, 'VMEXIT_VMMCALL'],
    [0x08d, 'VMEXIT_XSETBV'],
    [0x08f, 'VMEXIT_EFER_WRITE_TRAP'],
    [0x094, 'VMEXIT_CR4_WRITE_TRAP'],
    [0x0a2, 'VMEXIT_INVPCID'],
    [0x400, 'VMEXIT_NPF'],
    [0x403, 'VMEXIT_VMGEXIT'],
    [-1, 'VMEXIT_INVALID'],
    [-2, 'VMEXIT_BUSY'],
    [-3, 'VMEXIT_IDLE_REQUIRED'],
    [-4, 'VMEXIT_INVALID_PMC'],
  ])('%i is %s', (code, name) => expect(exitCodeName(code)).toBe(name));

  it('begin at 60h, 80h and A0h for the bits of the intercept words at 00Ch, 010h and 014h', () =>
    expect([ExitCodeBase.INTERCEPTS_3, ExitCodeBase.INTERCEPTS_4, ExitCodeBase.INTERCEPTS_5]).toEqual([0x60, 0x80, 0xa0]));

  it('without a name are shown as numbers', () => {
    expect(exitCodeName(0xa7)).toBe('exit code 0xa7');
    expect(exitCodeName(0x500)).toBe('exit code 0x500');
    expect(exitCodeName(-5)).toBe('exit code -0x5');
    expect(exitCodeName(0xffff_ffff)).toBe('exit code 0xffffffff');
  });

  it('have no gap from 000h to 0A6h, then 400h to 403h, and four negative ones', () =>
    expect(EXIT_CODES).toEqual([-4, -3, -2, -1, ...Array.from({ length: 0xa7 }, (_, i) => i), 0x400, 0x401, 0x402, 0x403]));

  it('that are negative fill all 64 bits: VMEXIT_INVALID is FFFF_FFFF_FFFF_FFFFh', () => {
    expect([exitCodeLow(-1), exitCodeHigh(-1)]).toEqual([0xffff_ffff, 0xffff_ffff]);
    expect([exitCodeLow(0x400), exitCodeHigh(0x400)]).toEqual([0x400, 0]);
    expect(exitCodeOf(0xffff_ffff, 0xffff_ffff)).toBe(-1);
    expect(exitCodeOf(0xffff_ffff, 0)).not.toBe(-1);
  });

  it('are a signed 64-bit field', () =>
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 53n) + 1n, max: 2n ** 53n - 1n }), (code) => {
        const bits = BigInt.asUintN(64, code);
        const [low, high] = [Number(bits & 0xffff_ffffn), Number(bits >> 32n)];
        expect(exitCodeOf(low, high)).toBe(Number(code));
        expect([exitCodeLow(Number(code)), exitCodeHigh(Number(code))]).toEqual([low, high]);
      }),
    ));

  it('are explained with the place in the manual', () =>
    expect(explainExitCode(0x400)).toBe('VMEXIT_NPF (AMD64 APM volume 2, Appendix C: "SVM Intercept Exit Codes")'));
});
