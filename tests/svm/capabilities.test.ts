import { parseProfile } from '../../cpu/profiles/profile';
import { EXECUTED_FEATURES, svmCapabilities } from '../../svm/capabilities';
import { SvmFeature } from '../../svm/features';

const LEAF = 0x8000_000a;

it('CPUID Fn8000_000A of amd-svm has every feature that executes, and no other', () => {
  const [eax, ebx, ecx, edx] = parseProfile('amd-svm').cpuid(LEAF, 0);
  expect([eax, ebx, ecx]).toEqual([1, 0x8000, 0]);
  expect(edx).toBe(EXECUTED_FEATURES);
});
it.each(['AVIC', 'X2AVIC', 'PMC_VIRT', 'IBS_VIRT', 'GMET', 'BUS_LOCK_THRESHOLD', 'IDLE_HLT_INTERCEPT'] as const)(
  '%s does not execute and is not advertised',
  (name) => {
    expect(EXECUTED_FEATURES & SvmFeature[name]).toBe(0);
  },
);
it('the leaf is absent without SVM', () => expect(parseProfile('amd').cpuid(LEAF, 0)).toEqual([0, 0, 0, 0]));
it('an identity that does not list SVM, on a processor that has it: everything that executes', () => {
  const profile = { ...parseProfile('amd'), cpuid: () => [0, 0, 0, 0] as const, has: () => true };
  expect(svmCapabilities(profile)).toEqual({ revision: 1, asids: 0x8000, features: EXECUTED_FEATURES });
});
it('the leaf has no subleaves: it is read at 0', () => {
  const profile = {
    ...parseProfile('amd'),
    cpuid: (_leaf: number, subleaf: number) => (subleaf === 0 ? ([2, 8, 0, 1] as const) : ([0, 0, 0, 0] as const)),
    has: () => true,
  };
  expect(svmCapabilities(profile)).toEqual({ revision: 2, asids: 8, features: SvmFeature.NP });
});
it('a profile may have fewer features, but none that does not execute', () => {
  const profile = { ...parseProfile('amd-svm'), cpuid: () => [1, 8, 0, 0xffff_ffff] as const, has: () => true };
  expect(svmCapabilities(profile)).toEqual({ revision: 1, asids: 8, features: EXECUTED_FEATURES });
  expect(svmCapabilities({ ...profile, cpuid: () => [1, 8, 0, 1] as const }).features).toBe(SvmFeature.NP);
});
