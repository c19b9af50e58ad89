/**
 * Nothing is advertised without a test: each bit that CPUID Fn8000_000A or a VMX capability MSR shows to software has a test that is named
 * here, or (VMX controls) a test of behaviour that sets the control by its name.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Cpu } from '../../cpu/cpu';
import { parseProfile } from '../../cpu/profiles/profile';
import { supportedCr4 } from '../../cpu/system/control-state';
import { PhysicalMemory } from '../../memory/physical-memory';
import { SVM_FEATURE_TESTS } from '../../scripts/coverage/svm-feature-tests';
import { SvmFeature, type SvmFeatureName } from '../../svm/features';
import { FULL_VMX_PROFILE, vmxCapabilities } from '../../vmx/capabilities';
import { EntryControl, ExitControl, PinBased, Primary, Secondary } from '../../vmx/controls';

const TESTS = join(__dirname, '..');
const read = (path: string): string => readFileSync(join(TESTS, path), 'utf8');

describe('CPUID Fn8000_000A_EDX', () => {
  const edx = parseProfile('amd-svm').cpuid(0x8000_000a, 0)[3];
  const advertised = Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => ((edx >>> bit) & 1) !== 0);
  it.each(advertised)('bit %i', (bit) => {
    const name = (Object.keys(SvmFeature) as SvmFeatureName[]).find((n) => SvmFeature[n] >>> 0 === 2 ** bit);
    expect(name).toBeDefined();
    const named = SVM_FEATURE_TESTS[name!];
    expect([name, named]).not.toEqual([name, undefined]);
    expect(read(named![0])).toContain(named![1]);
  });
  it('no test is kept for what is not advertised', () =>
    expect((Object.keys(SVM_FEATURE_TESTS) as SvmFeatureName[]).filter((name) => (edx & SvmFeature[name]) === 0)).toEqual([]));
});

describe('VMX capability MSRs', () => {
  const profile = parseProfile('intel-vmx');
  const capabilities = vmxCapabilities(profile, FULL_VMX_PROFILE, supportedCr4(new Cpu(new PhysicalMemory(1 << 20), profile)));
  /** Tables and rules speak of every control; behaviour is tested in the others. */
  const behaviour = readdirSync(join(TESTS, 'vmx'))
    .filter((file) => file.endsWith('.test.ts') && !/^(tables|capabilities)\./.test(file))
    .map((file) => read(`vmx/${file}`))
    .join('\n');
  const settable = [
    ['pin-based', PinBased, capabilities.pinBased],
    ['primary', Primary, capabilities.primary],
    ['secondary', Secondary, capabilities.secondary],
    ['exit', ExitControl, capabilities.exit],
    ['entry', EntryControl, capabilities.entry],
  ] as const;
  describe.each(settable)('%s controls', (_title, table: Readonly<Record<string, number>>, { allowed0, allowed1 }) => {
    // A control that must be 1 changes nothing.
    const choices = Object.keys(table).filter((name) => (allowed1 & ~allowed0 & table[name]) !== 0);
    it.each(choices)('%s', (name) => expect([name, new RegExp(`\\b${name}\\b`).test(behaviour)]).toEqual([name, true]));
    it('have a name for every bit that may be set', () => {
      const named = Object.values(table).reduce((all, mask) => all | mask, 0);
      expect((allowed1 & ~allowed0 & ~named) >>> 0).toBe(0);
    });
  });
});
