/** What the capability MSRs say. SDM Appendix A, "VMX Capability Reporting Facility", and the notes of Appendix B. */
import type { CpuProfile } from '../../cpu/interfaces';
import { FIRST_GENERATION_VMX_PROFILE, FULL_VMX_PROFILE, VmxMsr, vmxCapabilities, type VmxCapabilities, type VmxProfile } from '../../vmx/capabilities';
import { Secondary } from '../../vmx/controls';
import { FIELD_NAMES, type FieldName } from '../../vmx/vmcs/fields';
import { VMCS_REVISION } from '../../vmx/vmcs/layout';
import { fieldExists } from '../../vmx/vmcs/support';

const CR4 = 0x3727fc;
const INSTRUCTIONS = ['rdtscp', 'invpcid', 'rdrand', 'rdseed', 'xsaves'];
const cpu = (features: readonly string[]): CpuProfile => ({
  name: 'a processor',
  vendor: 'intel',
  physicalAddressWidth: 46,
  cpuid: () => [0, 0, 0, 0],
  has: (feature) => features.includes(feature),
});
const capabilities = (vmx: VmxProfile = FULL_VMX_PROFILE, features: readonly string[] = INSTRUCTIONS): VmxCapabilities =>
  vmxCapabilities(cpu(features), vmx, CR4);
const msr = (c: VmxCapabilities, name: keyof typeof VmxMsr): bigint | undefined => c.msrs.get(VmxMsr[name]);
const bits = (...numbers: readonly number[]): number => numbers.reduce((word, n) => word + 2 ** n, 0);
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** "Reserved Controls and Default Settings": default1 bits, and those of them that the TRUE MSRs free. */
const DEFAULT1 = {
  pinBased: bits(1, 2, 4),
  primary: bits(1, 4, 5, 6, 8, 13, 14, 15, 16, 26),
  exit: bits(...range(0, 8), 10, 11, 13, 14, 16, 17),
  entry: bits(...range(0, 8), 12),
};
const FREED = { pinBased: 0, primary: bits(15, 16), exit: bits(2), entry: bits(2) };
const MSRS = {
  pinBased: ['IA32_VMX_PINBASED_CTLS', 'IA32_VMX_TRUE_PINBASED_CTLS'],
  primary: ['IA32_VMX_PROCBASED_CTLS', 'IA32_VMX_TRUE_PROCBASED_CTLS'],
  exit: ['IA32_VMX_EXIT_CTLS', 'IA32_VMX_TRUE_EXIT_CTLS'],
  entry: ['IA32_VMX_ENTRY_CTLS', 'IA32_VMX_TRUE_ENTRY_CTLS'],
} as const;

describe('allowed settings of controls', () => {
  const secondary = bits(...range(0, 9), 11, 12, 16, 20);
  it.each([
    [
      'everything that the model executes',
      FULL_VMX_PROFILE,
      {
        pinBased: bits(0, 3, 5, 6, 7),
        primary: bits(2, 3, 7, 9, 10, 11, 12, 15, 16, ...range(19, 25), ...range(27, 31)),
        exit: bits(2, 9, 15, ...range(18, 22)),
        entry: bits(2, 9, 14, 15),
      },
      secondary,
    ],
    [
      'a first-generation part',
      FIRST_GENERATION_VMX_PROFILE,
      { pinBased: bits(0, 3, 5), primary: bits(2, 3, 7, 9, 10, 11, 12, 15, 16, ...range(19, 25), 28, 29, 30), exit: bits(2, 9, 15), entry: bits(2, 9) },
      undefined,
    ],
  ] as const)('%s', (_name, profile, offered, secondaryOffered) => {
    const c = capabilities(profile);
    for (const word of ['pinBased', 'primary', 'exit', 'entry'] as const) {
      const allowed1 = BigInt((DEFAULT1[word] | offered[word]) >>> 0);
      const true0 = (DEFAULT1[word] & ~FREED[word]) >>> 0;
      expect(msr(c, MSRS[word][0])).toBe((allowed1 << 32n) | BigInt(DEFAULT1[word]));
      expect(msr(c, MSRS[word][1])).toBe((allowed1 << 32n) | BigInt(true0));
      expect(c[word]).toEqual({ allowed0: true0, allowed1: Number(allowed1) });
    }
    // Secondary controls have no default1 bits; the MSR exists only where they may be activated.
    expect(msr(c, 'IA32_VMX_PROCBASED_CTLS2')).toBe(secondaryOffered === undefined ? undefined : BigInt(secondaryOffered) << 32n);
  });

  it.each([
    ['rdtscp', 3],
    ['invpcid', 12],
    ['rdrand', 11],
    ['rdseed', 16],
    ['xsaves', 20],
  ])('without %s bit %s of the secondary controls is not offered', (feature, n) => {
    const offered = capabilities(
      FULL_VMX_PROFILE,
      INSTRUCTIONS.filter((f) => f !== feature),
    ).secondary;
    expect(offered).toEqual({ allowed0: 0, allowed1: secondary & ~bits(n) });
  });
});

describe('the other MSRs', () => {
  it('IA32_VMX_BASIC: revision, 4096 bytes, write-back, INS/OUTS information, TRUE MSRs', () => {
    expect(msr(capabilities(), 'IA32_VMX_BASIC')).toBe(0x00d8_1000_0000_0000n | BigInt(VMCS_REVISION));
    expect(VMCS_REVISION >>> 31).toBe(0);
  });
  it('IA32_VMX_MISC: timer rate, EFER.LMA saved, HLT state, four CR3 targets, VMWRITE to any field, zero-length injection', () => {
    expect(msr(capabilities(), 'IA32_VMX_MISC')).toBe(0x4004_0060n);
    expect(msr(capabilities({ ...FULL_VMX_PROFILE, vmwriteAnyField: true }), 'IA32_VMX_MISC')).toBe(0x6004_0060n);
    expect(msr(capabilities(FIRST_GENERATION_VMX_PROFILE), 'IA32_VMX_MISC')).toBe(0x0004_0060n);
    expect([capabilities().cr3Targets, capabilities().activityStates]).toEqual([4, 0b11]);
    expect(capabilities(FIRST_GENERATION_VMX_PROFILE)).toMatchObject({ vmwriteAnyField: false, secondary: { allowed0: 0, allowed1: 0 } });
    expect([capabilities().vmwriteAnyField, capabilities().zeroLengthInjection, capabilities(FIRST_GENERATION_VMX_PROFILE).zeroLengthInjection]).toEqual([
      false,
      true,
      false,
    ]);
  });
  it('bits of CR0 and CR4 that are fixed in VMX operation', () => {
    const c = capabilities();
    expect((['IA32_VMX_CR0_FIXED0', 'IA32_VMX_CR0_FIXED1', 'IA32_VMX_CR4_FIXED0', 'IA32_VMX_CR4_FIXED1'] as const).map((name) => msr(c, name))).toEqual([
      0x8000_0021n,
      0xffff_ffffn,
      0x2000n,
      BigInt(CR4),
    ]);
    expect([c.cr0Fixed0, c.cr0Fixed1, c.cr4Fixed0, c.cr4Fixed1]).toEqual([0x8000_0021, 0xffff_ffff, 0x2000, CR4]);
  });
  // The highest index is that of the preemption timer's value (482EH), as on many real processors; without it 482AH.
  it('IA32_VMX_VMCS_ENUM', () => {
    expect(msr(capabilities(), 'IA32_VMX_VMCS_ENUM')).toBe(0x2en);
    expect(msr(capabilities(FIRST_GENERATION_VMX_PROFILE), 'IA32_VMX_VMCS_ENUM')).toBe(0x2an);
  });
  // The value of Skylake and later server parts.
  it('IA32_VMX_EPT_VPID_CAP', () => {
    const withEpt = (ept: Partial<VmxProfile['ept']>, secondary: number = FULL_VMX_PROFILE.secondary): bigint | undefined =>
      msr(capabilities({ ...FULL_VMX_PROFILE, secondary, ept: { ...FULL_VMX_PROFILE.ept, ...ept } }), 'IA32_VMX_EPT_VPID_CAP');
    expect(withEpt({})).toBe(0x0f01_0673_4141n);
    expect(withEpt({ executeOnly: false })).toBe(0x0f01_0673_4140n);
    expect(withEpt({ pages1G: false })).toBe(0x0f01_0671_4141n);
    expect(withEpt({ accessedDirty: false })).toBe(0x0f01_0653_4141n);
    expect(withEpt({}, Secondary.ENABLE_EPT)).toBe(0x0673_4141n);
    expect(withEpt({}, Secondary.ENABLE_VPID)).toBe(0x0f01_0000_0000n);
    expect(withEpt({}, 0)).toBeUndefined();
  });
  it('IA32_VMX_VMFUNC exists only with "enable VM functions"', () => {
    expect(msr(capabilities(), 'IA32_VMX_VMFUNC')).toBeUndefined();
    expect(msr(capabilities({ ...FULL_VMX_PROFILE, secondary: Secondary.ENABLE_VM_FUNCTIONS }), 'IA32_VMX_VMFUNC')).toBe(0n);
  });
  it('are these and no others', () => {
    expect([...capabilities().msrs.keys()].sort((a, b) => a - b)).toEqual(range(0x480, 0x490));
    expect([...capabilities(FIRST_GENERATION_VMX_PROFILE).msrs.keys()].sort((a, b) => a - b)).toEqual([...range(0x480, 0x48a), ...range(0x48d, 0x490)]);
  });
  it('EPT is offered with everything, as the profile says', () =>
    expect(capabilities().ept).toEqual({ fiveLevels: false, pages1G: true, executeOnly: true, accessedDirty: true }));
});

describe('"This field exists only on processors that support the 1-setting of ..."', () => {
  type Word = 'pinBased' | 'primary' | 'secondary' | 'exit' | 'entry';
  /** The notes of Appendix B. Fields of tertiary controls and of SEAM have a simpler one: see below. */
  const NOTES: readonly (readonly [Word, number, string])[] = [
    ['pinBased', 6, 'PREEMPTION_TIMER_VALUE'],
    ['pinBased', 7, 'POSTED_INTERRUPT_NOTIFICATION_VECTOR POSTED_INTERRUPT_DESCRIPTOR_ADDRESS'],
    // The model has no tertiary controls; the notes name single ones ("enable HLAT", "IPI virtualization", ...).
    [
      'primary',
      17,
      `TERTIARY_PROCESSOR_BASED_CONTROLS HLAT_PREFIX_SIZE LAST_PID_POINTER_INDEX VIRTUAL_TIMER_VECTOR HLAT_POINTER PID_POINTER_TABLE_ADDRESS
       IA32_SPEC_CTRL_MASK IA32_SPEC_CTRL_SHADOW GUEST_DEADLINE_SHADOW GUEST_DEADLINE MSR_DATA`,
    ],
    ['primary', 21, 'VIRTUAL_APIC_ADDRESS TPR_THRESHOLD'],
    ['primary', 28, 'MSR_BITMAP_ADDRESS'],
    ['primary', 31, 'SECONDARY_PROCESSOR_BASED_CONTROLS'],
    ['secondary', 0, 'APIC_ACCESS_ADDRESS'],
    ['secondary', 1, 'EPT_POINTER GUEST_PHYSICAL_ADDRESS GUEST_PDPTE0 GUEST_PDPTE1 GUEST_PDPTE2 GUEST_PDPTE3'],
    ['secondary', 5, 'VPID'],
    ['secondary', 9, 'GUEST_INTERRUPT_STATUS EOI_EXIT_BITMAP_0 EOI_EXIT_BITMAP_1 EOI_EXIT_BITMAP_2 EOI_EXIT_BITMAP_3'],
    ['secondary', 10, 'PLE_GAP PLE_WINDOW'],
    ['secondary', 13, 'VM_FUNCTION_CONTROLS EPTP_LIST_ADDRESS'],
    ['secondary', 14, 'VMREAD_BITMAP_ADDRESS VMWRITE_BITMAP_ADDRESS'],
    ['secondary', 15, 'ENCLS_EXITING_BITMAP'],
    ['secondary', 17, 'PML_ADDRESS PML_INDEX'],
    ['secondary', 18, 'VIRTUALIZATION_EXCEPTION_INFORMATION_ADDRESS EPTP_INDEX'],
    ['secondary', 20, 'XSS_EXITING_BITMAP'],
    ['secondary', 21, 'LOW_PASID_DIRECTORY_ADDRESS HIGH_PASID_DIRECTORY_ADDRESS'],
    ['secondary', 23, 'SPPT_POINTER'],
    ['secondary', 25, 'TSC_MULTIPLIER'],
    ['secondary', 27, 'PCONFIG_EXITING_BITMAP'],
    ['secondary', 28, 'ENCLV_EXITING_BITMAP'],
    ['secondary', 31, 'NOTIFY_WINDOW'],
    ['exit', 12, 'HOST_IA32_PERF_GLOBAL_CTRL'],
    ['exit', 18, 'GUEST_IA32_PAT'],
    ['exit', 19, 'HOST_IA32_PAT'],
    ['exit', 20, 'GUEST_IA32_EFER'],
    ['exit', 21, 'HOST_IA32_EFER'],
    ['exit', 23, 'GUEST_IA32_BNDCFGS'],
    ['exit', 25, 'GUEST_IA32_RTIT_CTL'],
    ['exit', 26, 'GUEST_IA32_LBR_CTL'],
    ['exit', 27, 'GUEST_UINV'],
    ['exit', 28, 'HOST_IA32_S_CET HOST_SSP HOST_IA32_INTERRUPT_SSP_TABLE_ADDR'],
    ['exit', 29, 'HOST_IA32_PKRS'],
    ['exit', 30, 'GUEST_IA32_PERF_GLOBAL_CTRL'],
    [
      'exit',
      31,
      `SECONDARY_VM_EXIT_CONTROLS HOST_IA32_FRED_CONFIG HOST_FRED_RSP1 HOST_FRED_RSP2 HOST_FRED_RSP3 HOST_FRED_STACK_LEVELS HOST_FRED_SSP1
       HOST_FRED_SSP2 HOST_FRED_SSP3 HOST_IA32_SPEC_CTRL`,
    ],
    ['entry', 13, 'GUEST_IA32_PERF_GLOBAL_CTRL'],
    ['entry', 14, 'GUEST_IA32_PAT'],
    ['entry', 15, 'GUEST_IA32_EFER'],
    ['entry', 16, 'GUEST_IA32_BNDCFGS'],
    ['entry', 18, 'GUEST_IA32_RTIT_CTL'],
    ['entry', 19, 'GUEST_UINV'],
    ['entry', 20, 'GUEST_IA32_S_CET GUEST_SSP GUEST_IA32_INTERRUPT_SSP_TABLE_ADDR'],
    ['entry', 21, 'GUEST_IA32_LBR_CTL'],
    ['entry', 22, 'GUEST_IA32_PKRS'],
    [
      'entry',
      23,
      `INJECTED_EVENT_DATA ORIGINAL_EVENT_DATA GUEST_IA32_FRED_CONFIG GUEST_FRED_RSP1 GUEST_FRED_RSP2 GUEST_FRED_RSP3 GUEST_FRED_STACK_LEVELS
       GUEST_FRED_SSP1 GUEST_FRED_SSP2 GUEST_FRED_SSP3`,
    ],
    ['entry', 24, 'GUEST_IA32_SPEC_CTRL'],
  ];
  /** SEAM: no control of a VMX processor brings them. */
  const NOWHERE = ['SHARED_EPT_POINTER', 'SEAM_GUEST_KEYID'];
  const words = (text: string): string[] => text.trim().split(/\s+/);
  const conditional = new Set([...NOTES.flatMap(([, , names]) => words(names)), ...NOWHERE]);
  const existing = (word: Word | undefined, n: number): FieldName[] => {
    const allowed = (w: Word): { allowed1: number } => ({ allowed1: w === word ? (1 << n) >>> 0 : 0 });
    const supported = {
      pinBased: allowed('pinBased'),
      primary: allowed('primary'),
      secondary: allowed('secondary'),
      exit: allowed('exit'),
      entry: allowed('entry'),
    };
    return FIELD_NAMES.filter((name) => fieldExists(name, supported));
  };

  it('without any optional control the others are there', () => expect(existing(undefined, 0)).toEqual(FIELD_NAMES.filter((name) => !conditional.has(name))));
  it.each(['pinBased', 'primary', 'secondary', 'exit', 'entry'] as const)('%s controls', (word) => {
    for (const n of range(0, 31)) {
      const noted = NOTES.filter(([w, b]) => w === word && b === n).flatMap(([, , names]) => words(names));
      expect([n, existing(word, n).filter((name) => conditional.has(name))].flat()).toEqual([n, ...FIELD_NAMES.filter((name) => noted.includes(name))]);
    }
  });
  it('a processor says of each field whether it has it', () => {
    const full = capabilities().fields;
    expect(full).toHaveLength(FIELD_NAMES.length);
    expect([full[FIELD_NAMES.indexOf('VPID')], full[FIELD_NAMES.indexOf('PML_ADDRESS')]]).toEqual([true, false]);
    expect(capabilities(FIRST_GENERATION_VMX_PROFILE).fields[FIELD_NAMES.indexOf('VPID')]).toBe(false);
  });
});
