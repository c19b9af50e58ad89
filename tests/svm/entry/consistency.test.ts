/**
 * VMRUN's consistency checks, sentence by sentence: APM "Canonicalization and Consistency Checks", "Event Injection", "Nested Paging" and
 * "NMI Virtualization". Each sentence has states that it calls illegal and their legal neighbours.
 */
import { violations } from '../../../svm/entry/explain';
import { firstBroken } from '../../../svm/entry/first-broken';
import { ALL_CHECKS } from '../../../svm/entry/groups';
import type { ProcessorFacts } from '../../../svm/entry/check';
import { BASELINE, PAE_GUEST, REAL_MODE_GUEST, VmcbImage, type Patch } from './vmcb-image';

interface Case {
  readonly state: string;
  readonly patch: Patch;
  readonly processor?: Partial<ProcessorFacts>;
  /** Words of physical memory. */
  readonly memory?: readonly (readonly [address: number, value: number])[];
}
interface Sentence {
  readonly manual: string;
  readonly legal: readonly Case[];
  readonly illegal: readonly Case[];
}

const EFER = 0x1d01n;
const CR0 = 0x8001_0033;
const TOP = 1n << 48n;
const inject = (type: number, vector: number, more = 0): Patch => ({ EVENTINJ: (0x8000_0000 | (type << 8) | vector | more) >>> 0 });
const exception = (vector: number): Case => ({ state: `exception ${vector}`, patch: inject(3, vector) });
const PROTECTED_32: Patch = { EFER: 0x1000, CS_ATTRIB: 0xc9b };
const COMPATIBILITY: Patch = { CS_ATTRIB: 0xc9b };
const CET: Partial<ProcessorFacts> = { supportedCr4: 0x00f7_0fff & ~0x2000 };
const LEGACY_ONLY: Partial<ProcessorFacts> = { supportedEfer: 0x1800 };

const SENTENCES: Record<string, Sentence> = {
  'efer.svme': {
    manual: 'EFER.SVME is zero.',
    legal: [{ state: 'SVME set', patch: { EFER } }],
    illegal: [
      { state: 'SVME clear', patch: { EFER: EFER & ~0x1000n } },
      { state: 'EFER all zero in real mode', patch: { ...REAL_MODE_GUEST, EFER: 0 } },
      { state: 'LMSLE in its place', patch: { EFER: (EFER & ~0x1000n) | 0x2000n } },
    ],
  },
  'cr0.cd-nw': {
    manual: 'CR0.CD is zero and CR0.NW is set.',
    legal: [
      { state: 'CD = 1, NW = 1', patch: { CR0: CR0 + 0x6000_0000 } },
      { state: 'CD = 1, NW = 0', patch: { CR0: CR0 + 0x4000_0000 } },
      { state: 'CD = 0, NW = 0', patch: { CR0 } },
    ],
    illegal: [{ state: 'CD = 0, NW = 1', patch: { CR0: CR0 + 0x2000_0000 } }],
  },
  'cr0.high': {
    manual: 'CR0[63:32] are not zero.',
    // Bits 28:19, 17 and 15:6 are reserved, but no illegal state.
    legal: [{ state: 'a reserved bit of the lower half', patch: { CR0: CR0 + 0x10_0000 } }],
    illegal: [32n, 47n, 63n].map((bit) => ({ state: `bit ${bit}`, patch: { CR0: BigInt(CR0) | (1n << bit) } })),
  },
  'cr3.mbz': {
    manual: 'Any MBZ bit of CR3 is set.',
    legal: [
      { state: 'the highest page', patch: { CR3: TOP - 4096n } },
      { state: 'reserved bits 11:5 and 2:0, PCD and PWT', patch: { CR3: 0x10_0fff } },
    ],
    illegal: [48n, 51n, 52n, 63n].map((bit) => ({ state: `bit ${bit} with 48-bit addresses`, patch: { CR3: 1n << bit } })),
  },
  'cr4.mbz': {
    manual: 'Any MBZ bit of CR4 is set.',
    legal: [{ state: 'SMEP and SMAP', patch: { CR4: 0x30_06b0 } }],
    illegal: [
      { state: 'VMXE, which AMD does not have', patch: { CR4: 0x26b0 } },
      { state: 'LA57 on a processor without it', patch: { CR4: 0x16b0 } },
      { state: 'SMEP on a processor without it', patch: { CR4: 0x10_06b0 }, processor: { supportedCr4: 0x7ff } },
      { state: 'bit 32', patch: { CR4: 0x1_0000_06b0n } },
      { state: 'bit 63', patch: { CR4: 0x8000_0000_0000_06b0n } },
      { state: 'bit 31', patch: { CR4: 0x8000_06b0 } },
    ],
  },
  'dr6.high': {
    manual: 'DR6[63:32] are not zero.',
    legal: [{ state: 'any lower half', patch: { DR6: 0xffff_ffff } }],
    illegal: [32n, 63n].map((bit) => ({ state: `bit ${bit}`, patch: { DR6: 0xffff_0ff0n | (1n << bit) } })),
  },
  'dr7.high': {
    manual: 'DR7[63:32] are not zero.',
    legal: [{ state: 'any lower half', patch: { DR7: 0xffff_ffff } }],
    illegal: [32n, 63n].map((bit) => ({ state: `bit ${bit}`, patch: { DR7: 0x400n | (1n << bit) } })),
  },
  'efer.mbz': {
    manual: 'Any MBZ bit of EFER is set.',
    legal: [{ state: 'SCE and NXE clear', patch: { EFER: 0x1500 } }],
    illegal: [
      { state: 'bit 1', patch: { EFER: EFER | 2n } },
      { state: 'bit 9', patch: { EFER: EFER | 0x200n } },
      { state: 'NXE on a processor without it', patch: { EFER }, processor: { supportedEfer: 0x1501 } },
      { state: 'SVME on a processor without it', patch: { ...REAL_MODE_GUEST, EFER: 0x1000 }, processor: { supportedEfer: 0xd01 } },
      { state: 'bit 32', patch: { EFER: EFER | (1n << 32n) } },
      { state: 'bit 63', patch: { EFER: EFER | (1n << 63n) } },
    ],
  },
  'efer.long-mode': {
    manual: 'EFER.LMA or EFER.LME is non-zero and this processor does not support long mode.',
    legal: [
      { state: 'both zero', patch: { ...REAL_MODE_GUEST }, processor: LEGACY_ONLY },
      { state: 'LME says that there is long mode', patch: {}, processor: { supportedEfer: 0x1901 } },
    ],
    illegal: [
      { state: 'LME', patch: { ...REAL_MODE_GUEST, EFER: 0x1100 }, processor: LEGACY_ONLY },
      { state: 'LMA', patch: { ...REAL_MODE_GUEST, EFER: 0x1400 }, processor: LEGACY_ONLY },
    ],
  },
  'long-mode.pae': {
    manual: 'EFER.LME and CR0.PG are both set and CR4.PAE is zero.',
    legal: [
      { state: 'LME without PG', patch: { CR0: 0x1_0033, CR4: 0 } },
      { state: 'PG without LME', patch: { ...PROTECTED_32, CR4: 0 } },
      { state: 'PG with LMA, but without LME', patch: { ...PROTECTED_32, EFER: 0x1400, CR4: 0 } },
    ],
    illegal: [
      { state: 'LME, PG, no PAE', patch: { CR4: 0x690 } },
      { state: 'LME, PG, no PAE but MCE', patch: { CR4: 0x6d0 } },
    ],
  },
  'long-mode.pe': {
    manual: 'EFER.LME and CR0.PG are both non-zero and CR0.PE is zero.',
    legal: [
      { state: 'paged real mode: PG without PE and LME', patch: { ...REAL_MODE_GUEST, CR0: 0x8000_0010 } },
      { state: 'LME in real mode', patch: { ...REAL_MODE_GUEST, EFER: 0x1100 } },
    ],
    illegal: [
      { state: 'LME, PG, no PE', patch: { CR0: CR0 - 1 } },
      { state: 'LME without LMA, PG, no PE', patch: { CR0: CR0 - 1, EFER: 0x1901 } },
    ],
  },
  'long-mode.cs-l-d': {
    manual: 'EFER.LME, CR0.PG, CR4.PAE, CS.L, and CS.D are all non-zero.',
    legal: [
      { state: 'L without D', patch: { CS_ATTRIB: 0xa9b } },
      { state: 'D without L', patch: COMPATIBILITY },
      { state: 'L and D without LME', patch: { EFER: 0x1000, CS_ATTRIB: 0xe9b } },
      { state: 'L and D without PG', patch: { CR0: 0x1_0033, CS_ATTRIB: 0xe9b } },
    ],
    illegal: [{ state: 'all five', patch: { CS_ATTRIB: 0xe9b } }],
  },
  's-cet.reserved': {
    manual: 'Any reserved bit is set in S_CET.',
    legal: [
      { state: 'SH_STK_EN and WR_SHSTK_EN', patch: { S_CET: 3 }, processor: CET },
      { state: 'anything on a processor without CET', patch: { S_CET: 0xff } },
    ],
    illegal: [2n, 31n, 32n, 63n].map((bit) => ({ state: `bit ${bit}`, patch: { S_CET: 1n << bit }, processor: CET })),
  },
  'cr4.cet-needs-wp': {
    manual: 'CR4.CET=1 when CR0.WP=0.',
    legal: [
      { state: 'CET with WP', patch: { CR4: 0x80_06b0 }, processor: CET },
      { state: 'neither', patch: { CR0: CR0 - 0x1_0000 }, processor: CET },
    ],
    illegal: [{ state: 'CET without WP', patch: { CR4: 0x80_06b0, CR0: CR0 - 0x1_0000 }, processor: CET }],
  },
  'intercept.vmrun': {
    manual: 'The VMRUN intercept bit is clear.',
    legal: [{ state: 'all intercepts of the word', patch: { INTERCEPTS_4: 0xffff_ffff } }],
    illegal: [
      { state: 'no intercept', patch: { INTERCEPTS_4: 0 } },
      { state: 'all but VMRUN', patch: { INTERCEPTS_4: 0xffff_fffe } },
      { state: 'INVLPGB, the same bit of the next word', patch: { INTERCEPTS_4: 0, INTERCEPTS_5: 1 } },
    ],
  },
  'msrpm.range': {
    manual: 'The MSR intercept table extends to a physical address that is greater than or equal to the maximum supported physical address.',
    legal: [
      { state: 'the last two pages', patch: { MSRPM_BASE_PA: TOP - 0x2000n } },
      { state: 'the last two pages, with bits 11:0, which VMRUN ignores', patch: { MSRPM_BASE_PA: TOP - 0x2000n + 0xfffn } },
    ],
    illegal: [
      { state: 'the last page', patch: { MSRPM_BASE_PA: TOP - 0x1000n } },
      { state: 'the maximum', patch: { MSRPM_BASE_PA: TOP } },
      { state: 'without the MSR_PROT intercept too', patch: { MSRPM_BASE_PA: TOP, INTERCEPTS_3: 0 } },
      { state: 'the end of 64 bits', patch: { MSRPM_BASE_PA: 0xffff_ffff_ffff_f000n } },
    ],
  },
  'iopm.range': {
    manual: 'The IOIO intercept table extends to a physical address that is greater than or equal to the maximum supported physical address.',
    legal: [
      { state: 'the last three pages', patch: { IOPM_BASE_PA: TOP - 0x3000n } },
      { state: 'the last three pages, with bits 11:0, which VMRUN ignores', patch: { IOPM_BASE_PA: TOP - 0x2000n - 1n } },
    ],
    illegal: [
      { state: 'the last two pages', patch: { IOPM_BASE_PA: TOP - 0x2000n } },
      { state: 'the last page', patch: { IOPM_BASE_PA: TOP - 0x1000n } },
      { state: 'without the IOIO_PROT intercept too', patch: { IOPM_BASE_PA: TOP, INTERCEPTS_3: 0 } },
      { state: 'the end of 64 bits', patch: { IOPM_BASE_PA: 0xffff_ffff_ffff_f000n } },
    ],
  },
  'asid.not-zero': {
    manual: 'ASID is equal to zero.',
    legal: [{ state: 'ASID 7fffh', patch: { GUEST_ASID: 0x7fff } }],
    illegal: [{ state: 'ASID 0, with a TLB command in the next byte', patch: { GUEST_ASID: 0, TLB_CONTROL: 1 } }],
  },
  'vnmi.nmi-intercept': {
    manual: 'An attempt to run a guest with V_NMI_ENABLE without the NMI intercept bit set results in #VMEXIT(INVALID).',
    legal: [
      { state: 'both', patch: { V_INTR: 1 << 26, INTERCEPTS_3: 2 } },
      { state: 'on a processor without VNMI', patch: { V_INTR: 1 << 26, INTERCEPTS_3: 0 }, processor: { svmFeatures: 1 } },
    ],
    illegal: [
      { state: 'V_NMI_ENABLE alone', patch: { V_INTR: 1 << 26, INTERCEPTS_3: 0 } },
      { state: 'with the intercept of SMI', patch: { V_INTR: 1 << 26, INTERCEPTS_3: 4 } },
      { state: 'with the intercept of VMMCALL, the same bit of the next word', patch: { V_INTR: 1 << 26, INTERCEPTS_3: 0, INTERCEPTS_4: 3 } },
      {
        state: 'on a processor that has VNMI (bit 25) and nested paging only',
        patch: { V_INTR: 1 << 26, INTERCEPTS_3: 0 },
        processor: { svmFeatures: 0x200_0001 },
      },
    ],
  },
  'inject.type': {
    manual: 'VMRUN exits with VMEXIT_INVALID error code if reserved values of TYPE have been specified.',
    legal: [
      { state: 'INTR 20h', patch: inject(0, 0x20) },
      { state: 'NMI, whose vector is ignored', patch: inject(2, 0x77) },
      { state: 'software interrupt 80h', patch: inject(4, 0x80) },
      { state: 'a reserved type that is not valid', patch: { EVENTINJ: 0x100 } },
    ],
    illegal: [1, 5, 6, 7].flatMap((type) => [13, 0].map((vector) => ({ state: `type ${type}, vector ${vector}`, patch: inject(type, vector) }))),
  },
  'inject.vector': {
    manual: 'TYPE = 3 (exception) has been specified with a vector that does not correspond to an exception (this includes vector 2).',
    legal: [
      ...[0, 1, 3, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 30].map(exception),
      { state: '#CP with CET', patch: inject(3, 21), processor: CET },
      { state: 'interrupt with vector 2', patch: inject(0, 2) },
      { state: 'software interrupt with vector 9', patch: inject(4, 9) },
    ],
    illegal: [2, 9, 15, 20, 21, 22, 27, 31, 32, 0x80, 255].map(exception),
  },
  'inject.mode': {
    manual: 'An event that is impossible for the guest mode (e.g., a #BR exception when the guest is in 64-bit mode).',
    legal: [
      { state: '#BR in compatibility mode', patch: { ...inject(3, 5), ...COMPATIBILITY } },
      { state: '#OF in 32-bit protected mode', patch: { ...inject(3, 4), ...PROTECTED_32 } },
      { state: '#BR in real mode', patch: { ...inject(3, 5), ...REAL_MODE_GUEST } },
      { state: 'interrupt with vector 5 in 64-bit mode', patch: inject(0, 5) },
      { state: '#BR with CS.L, but LMA without LME', patch: { ...inject(3, 5), EFER: 0x1400 } },
      { state: '#BR with CS.L and LME, but without paging', patch: { ...inject(3, 5), CR0: 0x1_0033 } },
    ],
    illegal: [
      { state: '#BR in 64-bit mode', patch: inject(3, 5) },
      { state: '#OF in 64-bit mode', patch: inject(3, 4) },
    ],
  },
  'np.host-paging': {
    manual: 'If VMRUN is executed with hCR0.PG cleared to zero and NP_ENABLE set to 1, VMRUN terminates with #VMEXIT(VMEXIT_INVALID).',
    legal: [{ state: 'neither', patch: { NESTED_CONTROL: 0 }, processor: { hostPaging: false } }],
    illegal: [{ state: 'NP_ENABLE without host paging', patch: {}, processor: { hostPaging: false } }],
  },
  'np.ncr3.mbz': {
    manual: 'With nested paging: any MBZ bit of nCR3 is set.',
    legal: [
      { state: 'the highest page', patch: { N_CR3: TOP - 4096n } },
      { state: 'anything without NP_ENABLE', patch: { NESTED_CONTROL: 0, N_CR3: 1n << 63n } },
    ],
    illegal: [48n, 52n, 63n].map((bit) => ({ state: `bit ${bit} with 48-bit addresses`, patch: { N_CR3: 1n << bit } })),
  },
  'np.g-pat': {
    manual: 'With nested paging: any G_PAT.PA field has an unsupported type encoding or any reserved field in G_PAT has a non-zero value.',
    legal: [
      { state: 'all six types', patch: { G_PAT: 0x0607_0504_0100_0606n } },
      { state: 'anything without NP_ENABLE', patch: { NESTED_CONTROL: 0, G_PAT: 0x0808_0808_0808_0808n } },
    ],
    illegal: [
      { state: 'type 2', patch: { G_PAT: 0x0007_0406_0007_0402n } },
      { state: 'type 3 in PA7', patch: { G_PAT: 0x0307_0406_0007_0406n } },
      { state: 'reserved bit 3', patch: { G_PAT: 0x0007_0406_0007_0408n } },
      { state: 'reserved bit 19', patch: { G_PAT: 0x0007_0406_0008_0406n } },
      { state: 'reserved bit 63', patch: { G_PAT: 0x8007_0406_0007_0406n } },
    ],
  },
  ...Object.fromEntries(
    [0, 1, 2, 3].map((i): [string, Sentence] => [
      `pdpe${i}.reserved`,
      {
        manual: `PAE paging without nested paging: setting any reserved bits in the PDPEs also causes a #VMEXIT (PDPE ${i}).`,
        legal: [
          { state: 'present', patch: PAE_GUEST, memory: [[0x5000 + 8 * i, 0x6e19]] },
          {
            state: 'present, at the top of 48-bit addresses',
            patch: PAE_GUEST,
            memory: [
              [0x5000 + 8 * i, 0xffff_f001],
              [0x5004 + 8 * i, 0xffff],
            ],
          },
          { state: 'reserved bits in the table that bit 5 of CR3 leads away from', patch: { ...PAE_GUEST, CR3: 0x5020 }, memory: [[0x5000 + 8 * i, 0x61e7]] },
          { state: 'reserved bits, not present', patch: PAE_GUEST, memory: [[0x5000 + 8 * i, 0x61e6]] },
          { state: 'reserved bits under nested paging', patch: { ...PAE_GUEST, NESTED_CONTROL: 1 }, memory: [[0x5000 + 8 * i, 0x61e7]] },
          { state: 'reserved bits in long mode', patch: { CR3: 0x5000, NESTED_CONTROL: 0 }, memory: [[0x5000 + 8 * i, 0x61e7]] },
          { state: 'reserved bits without paging', patch: { ...PAE_GUEST, CR0: 0x33 }, memory: [[0x5000 + 8 * i, 0x61e7]] },
        ],
        illegal: [
          { state: 'bit 1, with bits 4:0 of CR3, which are no address', patch: { ...PAE_GUEST, CR3: 0x501f }, memory: [[0x5000 + 8 * i, 0x6003]] },
          { state: 'bit 1, with LMA but without LME', patch: { ...PAE_GUEST, EFER: 0x1400 }, memory: [[0x5000 + 8 * i, 0x6003]] },
          { state: 'bit 1', patch: PAE_GUEST, memory: [[0x5000 + 8 * i, 0x6003]] },
          { state: 'bit 8', patch: PAE_GUEST, memory: [[0x5000 + 8 * i, 0x6101]] },
          {
            state: 'bit 48 with 48-bit addresses',
            patch: PAE_GUEST,
            memory: [
              [0x5000 + 8 * i, 0x6001],
              [0x5004 + 8 * i, 0x1_0000],
            ],
          },
        ],
      },
    ]),
  ),
};

function ids({ patch, processor, memory }: Case): string[] {
  const image = new VmcbImage(patch, processor);
  for (const [address, value] of memory ?? []) image.memory.set(address, value);
  const broken = violations(image).map((v) => v.check.id);
  // VMRUN's own question must have the same answer.
  expect(firstBroken(image)?.id).toBe(broken[0]);
  return broken;
}

describe('VMRUN consistency checks', () => {
  it('have a sentence of the manual each, and every rule has its own id', () => {
    expect(Object.keys(SENTENCES).sort()).toEqual(ALL_CHECKS.map((c) => c.id).sort());
    expect(new Set(ALL_CHECKS.map((c) => c.id)).size).toBe(ALL_CHECKS.length);
  });

  describe.each(Object.entries(SENTENCES))('%s', (id, { manual, legal, illegal }) => {
    it.each(legal.map((c) => [c.state, c] as const))(`let pass: %s ("${manual}")`, (_state, c) => expect(ids(c)).toEqual([]));
    it.each(illegal.map((c) => [c.state, c] as const))(`refuse: %s ("${manual}")`, (_state, c) => expect(ids(c)).toEqual([id]));
  });

  it.each<[string, Case]>([
    ['a 64-bit guest', { state: '', patch: BASELINE }],
    ['a real-mode guest', { state: '', patch: REAL_MODE_GUEST }],
    ['a PAE guest', { state: '', patch: PAE_GUEST }],
    ['a 64-bit guest without nested paging', { state: '', patch: { NESTED_CONTROL: 0, N_CR3: 0, G_PAT: 0 } }],
    // The list of illegal states does not have these.
    ['a non-canonical rIP (#GP in the guest)', { state: '', patch: { RIP: 0x8000_0000_0000_0000n } }],
    ['non-canonical segment bases (they are sign-extended)', { state: '', patch: { FS_BASE: 1n << 47n, GDTR_BASE: 1n << 63n, CS_BASE: 1n << 50n } }],
    ['every TLB_CONTROL encoding', { state: '', patch: { TLB_CONTROL: 0xff } }],
    ['an error code with an interrupt', { state: '', patch: { EVENTINJ: 0x0000_1234_8000_0820n } }],
    ['a #GP without an error code', { state: '', patch: { EVENTINJ: 0x8000_030d } }],
    ['reserved RFLAGS bits', { state: '', patch: { RFLAGS: 0xffff_ffff_ffff_ffffn } }],
    ['EFER.LMA that LME and PG do not explain', { state: '', patch: { ...REAL_MODE_GUEST, EFER: 0x1400 } }],
    ['a null CS', { state: '', patch: { CS_SELECTOR: 0 } }],
  ])('find nothing wrong with %s', (_name, c) => expect(ids(c)).toEqual([]));

  it('find every broken rule, not only the first', () =>
    expect(ids({ state: '', patch: { EFER: 0, INTERCEPTS_4: 0, GUEST_ASID: 0, ...inject(1, 0) } })).toEqual([
      'intercept.vmrun',
      'asid.not-zero',
      'efer.svme',
      'inject.type',
    ]));
});
