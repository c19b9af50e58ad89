/**
 * CPUID feature bits by name: SDM volume 2, "CPUID—CPU Identification"; APM volume 3, "Obtaining Processor Information Via the CPUID
 * Instruction". The list is of what can execute: a feature that is not here cannot be advertised.
 */
export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

export interface Feature {
  readonly name: string;
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: CpuidRegister;
  readonly bit: number;
  /** Absent: both vendors define the bit. */
  readonly vendor?: 'intel' | 'amd';
  /** Features without which this one must not be advertised. */
  readonly requires?: readonly string[];
}

type Row = readonly [name: string, bit: number, options?: { readonly vendor?: 'intel' | 'amd'; readonly requires?: readonly string[] }];

const bits = (leaf: number, subleaf: number, register: CpuidRegister, rows: readonly Row[]): Feature[] =>
  rows.map(([name, bit, options]) => ({ name, leaf, subleaf, register, bit, ...options }));

export const FEATURES: readonly Feature[] = [
  ...bits(0x1, 0, 'edx', [
    ['fpu', 0],
    ['de', 2],
    ['pse', 3],
    ['tsc', 4],
    ['msr', 5],
    ['pae', 6],
    ['mce', 7],
    ['cx8', 8],
    ['apic', 9],
    ['sep', 11],
    ['mtrr', 12],
    ['pge', 13],
    ['mca', 14],
    ['cmov', 15],
    ['pat', 16],
    ['pse36', 17],
    ['clflush', 19],
    ['mmx', 23],
    ['fxsr', 24],
    ['sse', 25, { requires: ['fxsr'] }],
    ['sse2', 26, { requires: ['sse'] }],
    ['ss', 27],
  ]),
  ...bits(0x1, 0, 'ecx', [
    ['sse3', 0, { requires: ['sse2'] }],
    ['monitor', 3],
    ['vmx', 5, { vendor: 'intel' }],
    ['ssse3', 9, { requires: ['sse3'] }],
    ['cx16', 13],
    ['pcid', 17],
    ['sse4.1', 19, { requires: ['ssse3'] }],
    ['sse4.2', 20, { requires: ['sse4.1'] }],
    ['x2apic', 21, { requires: ['apic'] }],
    ['movbe', 22],
    ['popcnt', 23],
    ['tsc-deadline', 24, { vendor: 'intel', requires: ['apic', 'tsc'] }],
    ['xsave', 26, { requires: ['fxsr'] }],
    ['rdrand', 30],
  ]),
  ...bits(0x6, 0, 'eax', [['arat', 2]]),
  ...bits(0x7, 0, 'ebx', [
    ['fsgsbase', 0],
    ['tsc-adjust', 1, { vendor: 'intel' }],
    ['smep', 7],
    ['erms', 9],
    ['invpcid', 10],
    ['zero-fcs-fds', 13, { vendor: 'intel' }],
    ['rdseed', 18],
    ['smap', 20],
    ['clflushopt', 23],
    ['clwb', 24],
  ]),
  ...bits(0x7, 0, 'ecx', [
    ['umip', 2],
    ['la57', 16, { requires: ['lm'] }],
    ['rdpid', 22],
  ]),
  ...bits(0x7, 0, 'edx', [
    ['spec-ctrl', 26, { vendor: 'intel' }],
    ['arch-capabilities', 29, { vendor: 'intel' }],
  ]),
  ...bits(0xd, 1, 'eax', [
    ['xsaveopt', 0, { requires: ['xsave'] }],
    ['xsavec', 1, { requires: ['xsave'] }],
    ['xgetbv1', 2, { requires: ['xsave'] }],
  ]),
  ...bits(0x8000_0001, 0, 'ecx', [
    ['lahf-lm', 0],
    ['svm', 2, { vendor: 'amd' }],
    ['abm', 5],
    ['3dnowprefetch', 8],
    ['topoext', 22, { vendor: 'amd' }],
  ]),
  ...bits(0x8000_0001, 0, 'edx', [
    ['syscall', 11],
    ['nx', 20],
    ['pdpe1gb', 26],
    ['rdtscp', 27],
    ['lm', 29, { requires: ['pae', 'msr', 'sse2', 'fxsr', 'cx8', 'cmov'] }],
  ]),
  ...bits(0x8000_0007, 0, 'edx', [['invtsc', 8]]),
  ...bits(0x8000_0008, 0, 'ebx', [
    // Without it FXSAVE and its kin leave FOP, FIP and FDP alone while no x87 exception is pending.
    ['xsaveerptr', 2, { vendor: 'amd' }],
    ['wbnoinvd', 9],
    ['amd-ibpb', 12, { vendor: 'amd' }],
    ['amd-ibrs', 14, { vendor: 'amd' }],
    ['amd-ssb-no', 26, { vendor: 'amd' }],
  ]),
  ...bits(0x8000_0021, 0, 'eax', [
    ['no-nested-data-bp', 0, { vendor: 'amd' }],
    ['lfence-always-serializing', 2, { vendor: 'amd' }],
    ['null-sel-clr-base', 6, { vendor: 'amd' }],
    ['auto-ibrs', 8, { vendor: 'amd' }],
    ['srso-no', 29, { vendor: 'amd' }],
  ]),
  ...bits(0x8000_0021, 0, 'ecx', [
    ['tsa-sq-no', 1, { vendor: 'amd' }],
    ['tsa-l1-no', 2, { vendor: 'amd' }],
  ]),
];

/** Bits of 8000_0001h EDX that AMD repeats from leaf 1 EDX. */
export const AMD_REPEATED_EDX = 0x0183_f3ff;

/** A feature name as people write it: case and `_` against `-` do not matter, and some have a second name. */
export function canonicalFeatureName(name: string): string {
  const n = name.trim().toLowerCase().replace(/_/g, '-');
  return ALIASES[n] ?? n;
}

const ALIASES: Readonly<Record<string, string>> = {
  pni: 'sse3',
  'sse4-1': 'sse4.1',
  'sse4-2': 'sse4.2',
  lahf64: 'lahf-lm',
  'nonstop-tsc': 'invtsc',
  '1gb-pages': 'pdpe1gb',
  cmpxchg16b: 'cx16',
  cmpxchg8b: 'cx8',
  lzcnt: 'abm',
};

export function featureNames(vendor: 'intel' | 'amd'): string[] {
  return FEATURES.filter((f) => f.vendor === undefined || f.vendor === vendor).map((f) => f.name);
}
