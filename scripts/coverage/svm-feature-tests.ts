/** Which test shows that an advertised feature of SVM executes: tests/rules/advertised.test.ts wants one for each. */
import type { SvmFeatureName } from '../../svm/features';

/** Feature of CPUID Fn8000_000A_EDX: the file below tests/, and words of the test in it. */
export const SVM_FEATURE_TESTS: Readonly<Partial<Record<SvmFeatureName, readonly [file: string, words: string]>>> = {
  NP: ['ept/npt-processor.test.ts', 'describe('],
  LBR_VIRT: ['svm/branch-records.test.ts', 'VMRUN saves the five MSRs of the host'],
  SVML: ['svm/msr.test.ts', 'unlocks with the key that was set before LOCK'],
  NRIPS: ['svm/intercepts.test.ts', 'Next-RIP save'],
  TSC_RATE_MSR: ['svm/msr.test.ts', 'the ratio multiplies before the offset is added'],
  VMCB_CLEAN: ['svm/clean-bits.test.ts', 'describe('],
  FLUSH_BY_ASID: ['svm/tlb.test.ts', 'describe('],
  DECODE_ASSISTS: ['svm/intercepts.test.ts', "describe('decode assists'"],
  PAUSE_FILTER: ['svm/intercepts.test.ts', 'each PAUSE counts down'],
  PAUSE_FILTER_THRESHOLD: ['svm/intercepts.test.ts', 'PAUSEs farther apart than the threshold'],
  VMSAVE_VIRT: ['svm/vmload.test.ts', 'VIRTUALIZATION_ENABLE'],
  VGIF: ['svm/interrupts.test.ts', 'V_GIF'],
  VNMI: ['svm/interrupts.test.ts', 'V_NMI'],
};
