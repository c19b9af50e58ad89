import { FEATURES } from '../../../cpu/profiles/features';
import { CPU_PRESETS, createProfile, parseProfile } from '../../../cpu/profiles/profile';

const text = (...words: number[]): string => Buffer.from(new Uint32Array(words).buffer).toString('latin1').replace(/\0+$/, '');
const bit = (value: number, n: number): number => (value >>> n) & 1;

describe('identity', () => {
  test.each([
    ['intel', 'GenuineIntel', 6, 0x55],
    ['amd', 'AuthenticAMD', 0x19, 0x11],
  ])('%s: vendor string, family and model by the SDM formula', (preset, vendor, family, model) => {
    const p = createProfile(preset);
    const [, b, c, d] = p.cpuid(0, 0);
    expect(text(b, d, c)).toBe(vendor);
    const signature = p.cpuid(1, 0)[0];
    const base = (signature >>> 8) & 15;
    expect(base === 15 ? base + ((signature >>> 20) & 0xff) : base).toBe(family);
    expect(((signature >>> 4) & 15) | (((signature >>> 16) & 15) << 4)).toBe(model);
    const brand = [0x8000_0002, 0x8000_0003, 0x8000_0004].flatMap((leaf) => [...p.cpuid(leaf, 0)]);
    expect(text(...brand)).toMatch(/^vmexit /);
  });

  test.each(Object.keys(CPU_PRESETS))('%s: the hypervisor bit is clear, and nothing that does not execute is advertised', (preset) => {
    const p = createProfile(preset);
    const [, ebx, ecx, edx] = p.cpuid(1, 0);
    expect(bit(ecx, 31)).toBe(0);
    // AVX, F16C, FMA, AES, PCLMULQDQ, PDCM, SSE3, VME, DS, HTT.
    for (const n of [28, 29, 12, 25, 1, 15, 0]) expect(bit(ecx, n)).toBe(0);
    for (const n of [1, 21, 28]) expect(bit(edx, n)).toBe(0);
    expect(ebx >>> 24).toBe(0);
    const [, b7, c7] = p.cpuid(7, 0);
    // BMI1, HLE, AVX2, BMI2, RTM, AVX512F, SHA; PKU, LA57.
    for (const n of [3, 4, 5, 8, 11, 16, 29]) expect(bit(b7, n)).toBe(0);
    for (const n of [3, 16]) expect(bit(c7, n)).toBe(0);
    expect(p.cpuid(0xa, 0)).toEqual([0, 0, 0, 0]);
  });

  test('the TSC runs at exactly 1 GHz: leaf 15h', () => {
    const [denominator, numerator, crystal] = createProfile('intel').cpuid(0x15, 0);
    expect((crystal * numerator) / denominator).toBe(1e9);
    expect(createProfile('intel').cpuid(0x16, 0)[0]).toBe(1000);
  });

  test('caches have the size that ways, line and sets give', () => {
    for (const [preset, leaf, sizes] of [
      ['intel', 4, [32, 32, 1024, 11264]],
      ['amd', 0x8000_001d, [32, 32, 1024, 32768]],
    ] as const) {
      sizes.forEach((kib, n) => {
        const [, ebx, ecx] = createProfile(preset).cpuid(leaf, n);
        expect((((ebx >>> 22) + 1) * ((ebx & 0xfff) + 1) * (ecx + 1)) / 1024).toBe(kib);
      });
      expect(createProfile(preset).cpuid(leaf, 4)[0] & 31).toBe(0);
    }
  });

  test('topology: one logical processor', () => {
    const p = createProfile('intel');
    expect(p.cpuid(0xb, 0)).toEqual([0, 1, 0x100, 0]);
    expect(p.cpuid(0xb, 1)).toEqual([0, 1, 0x201, 0]);
    expect(p.cpuid(0xb, 2)).toEqual([0, 0, 2, 0]);
  });

  test('beyond the highest leaf Intel repeats the highest basic leaf, AMD answers 0', () => {
    const intel = createProfile('intel');
    expect(intel.cpuid(0x4000_0000, 0)).toEqual(intel.cpuid(0x16, 0));
    expect(intel.cpuid(0x9000_0000, 0)).toEqual(intel.cpuid(0x16, 0));
    expect(createProfile('amd').cpuid(0x4000_0000, 0)).toEqual([0, 0, 0, 0]);
  });

  test('leaves without subleaves ignore ECX', () => {
    const p = createProfile('intel');
    expect(p.cpuid(1, 77)).toEqual(p.cpuid(1, 0));
    expect(p.cpuid(7, 1)).toEqual([0, 0, 0, 0]);
  });
});

describe('features', () => {
  test('has() and CPUID agree for every feature, on and off', () => {
    for (const f of FEATURES) {
      const preset = f.vendor ?? 'intel';
      const dependants = (name: string): string[] => FEATURES.filter((g) => g.requires?.includes(name)).flatMap((g) => [g.name, ...dependants(g.name)]);
      const on = createProfile(preset, {
        features: { [f.name]: true, ...Object.fromEntries((f.requires ?? []).map((r) => [r, true])), sse3: true, ssse3: true, 'sse4.1': true },
      });
      const off = createProfile(preset, {
        features: Object.fromEntries(
          [f.name, ...dependants(f.name)].filter((n) => !FEATURES.find((g) => g.name === n && g.vendor && g.vendor !== preset)).map((n) => [n, false]),
        ),
      });
      const register = ['eax', 'ebx', 'ecx', 'edx'].indexOf(f.register);
      expect([f.name, on.has(f.name), bit(on.cpuid(f.leaf, f.subleaf)[register], f.bit)]).toEqual([f.name, true, 1]);
      expect([f.name, off.has(f.name), bit(off.cpuid(f.leaf, f.subleaf)[register], f.bit)]).toEqual([f.name, false, 0]);
    }
  });

  test('VMX and SVM are there when asked for', () => {
    expect(bit(createProfile('intel').cpuid(1, 0)[2], 5)).toBe(0);
    expect(bit(createProfile('intel-vmx').cpuid(1, 0)[2], 5)).toBe(1);
    expect(bit(parseProfile('intel,+vmx').cpuid(1, 0)[2], 5)).toBe(1);
    expect(parseProfile('amd').cpuid(0x8000_000a, 0)).toEqual([0, 0, 0, 0]);
    expect(parseProfile('amd-svm').cpuid(0x8000_000a, 0)[1]).toBeGreaterThan(1);
  });

  test('AMD repeats leaf 1 EDX in 8000_0001h', () => {
    const p = createProfile('amd');
    expect(p.cpuid(0x8000_0001, 0)[3] & 0x0183_f3ff).toBe(p.cpuid(1, 0)[3] & 0x0183_f3ff);
  });
});

describe('descriptions', () => {
  test('options, aliases and address width', () => {
    const p = parseProfile('intel, +VMX, -pcid, +tsc_deadline, phys-bits=40');
    expect([p.has('vmx'), p.has('pcid'), p.has('tsc-deadline'), p.has('tsc_deadline')]).toEqual([true, false, true, true]);
    expect(p.physicalAddressWidth).toBe(40);
    expect(p.cpuid(0x8000_0008, 0)[0]).toBe(0x3028);
  });

  test.each([
    ['pentium', /no CPU "pentium"; there are intel/],
    ['intel,+avx', /cannot have a feature "avx"; known features: .*smep/],
    ['amd,+vmx', /cannot have a feature "vmx"/],
    ['intel,vmx', /"vmx" is neither \+feature/],
    ['intel,phys-bits=60', /60 is not an integer from 36 to 52/],
    ['intel,-sse', /sse2 requires sse/],
    ['intel,+ssse3', /ssse3 requires sse3/],
  ])('%s is refused with a reason', (text, message) => expect(() => parseProfile(text)).toThrow(message));
});
