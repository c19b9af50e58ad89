/** Where each rule about guest state draws its line. SDM "Checking and Loading Guest State". */
import { EntryControl, PinBased, Secondary } from '../../vmx/controls';
import { ALL_CHECKS } from '../../vmx/entry/groups';
import type { FieldName } from '../../vmx/vmcs/fields';
import { VMCS_REVISION } from '../../vmx/vmcs/layout';
import { BASELINE, ENTRY, PIN, VMCS_A, VMCS_B } from './bench';
import { anything, bit, canonical, cases, mayBe1, misjudged, mustBe1, physicalAddress, range, values, type Case } from './entry-cases';
import { EVERYTHING, LEGACY, PAE, UNRESTRICTED_REAL, USABLE_LDTR, V86, inject, secondary, type Patch } from './vmcs-values';

const entry = (control: number): Patch => ({ VM_ENTRY_CONTROLS: ENTRY | control });
const without = (control: number): Patch => ({ VM_ENTRY_CONTROLS: ~control >>> 0 });
const UNRESTRICTED: Patch = { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.UNRESTRICTED_GUEST) };
const HIGH_BITS = range(32, 63).map(bit);
const patBytes = (types: readonly number[]): bigint[] => range(0, 7).flatMap((byte) => types.map((t) => BigInt(t) << BigInt(8 * byte)));

// ---- segments ----

const CODE_AND_DATA = ['CS', 'SS', 'DS', 'ES', 'FS', 'GS'] as const;
const DATA = ['DS', 'ES', 'FS', 'GS'] as const;
type Register = (typeof CODE_AND_DATA)[number] | 'TR' | 'LDTR';
const rightsField = (r: Register): FieldName => `GUEST_${r}_ACCESS_RIGHTS`;
const UNUSABLE = 0x1_0000;
const rightsOf = (r: Register): number => (r === 'LDTR' ? 0x82 : Number(BASELINE[rightsField(r)]));
/** Access rights with another type, DPL. */
const typed = (r: Register, type: number): number => (rightsOf(r) & ~15) | type;
const withDpl = (r: Register, dpl: number, type = rightsOf(r) & 15): number => (typed(r, type) & ~0x60) | (dpl << 5);
const V86_FLAG: Patch = { GUEST_RFLAGS: 0x2_0002 };

/** The rule has nothing to say about an unusable register (never CS, TR) and about a virtual-8086 guest (system segments: it has). */
const exempt = (r: Register, invalid: readonly number[], given: Patch = {}): Case[] => [
  ...(r === 'CS' || r === 'TR'
    ? values(
        given,
        rightsField(r),
        [],
        invalid.map((v) => v | UNUSABLE),
      )
    : values(
        given,
        rightsField(r),
        invalid.map((v) => v | UNUSABLE),
        [],
      )),
  ...(r === 'TR' || r === 'LDTR' ? [] : values({ ...given, ...V86_FLAG }, rightsField(r), invalid, [])),
];
const rights = (r: Register, valid: readonly number[], invalid: readonly number[], given: Patch = {}): Case[] => [
  ...values(given, rightsField(r), valid, invalid),
  ...exempt(r, invalid, given),
];
const dplCases = (r: Register, given: Patch, type: number, valid: readonly number[]): Case[] =>
  values(
    given,
    rightsField(r),
    valid.map((d) => withDpl(r, d, type)),
    range(0, 3)
      .filter((d) => !valid.includes(d))
      .map((d) => withDpl(r, d, type)),
  );

const RESERVED_RIGHTS = [8, 9, 10, 11, ...range(17, 31)];
const G = 0x8000;
function granularity(r: Register): Case[] {
  const limit: FieldName = `GUEST_${r}_LIMIT`;
  const base = rightsOf(r) & ~G;
  const big = { [rightsField(r)]: base | G };
  const small = { [rightsField(r)]: base };
  return [
    // A limit in pages ends with FFFH; one in bytes has bits 31:20 clear.
    ...values(
      big,
      limit,
      [0xfff, 0x10_0fff, 0xffff_ffff],
      range(0, 11).map((n) => 0xfff & ~(1 << n)),
    ),
    ...values(
      small,
      limit,
      [0, 0xffe, 0xfff, 0xf_ffff],
      range(20, 31)
        .map((n) => 0xfff | (1 << n))
        .map((v) => v >>> 0),
    ),
    ...exempt(r, [base | G], { [limit]: 0 }),
  ];
}
const systemPrefix = (r: Register): Patch => (r === 'LDTR' ? USABLE_LDTR : {});
const commonRights = (r: Register): [string, readonly Case[]][] => {
  const id = `guest.${r.toLowerCase()}`;
  const good = rightsOf(r);
  const system = r === 'TR' || r === 'LDTR';
  return [
    [`${id}.s`, rights(r, [good], [good ^ 0x10], systemPrefix(r))],
    [`${id}.p`, rights(r, [good], [good & ~0x80], systemPrefix(r))],
    [
      `${id}.reserved`,
      [
        ...mayBe1(
          {},
          rightsField(r),
          system ? 0 : good,
          range(0, 31).filter((n) => !RESERVED_RIGHTS.includes(n)),
          32,
        ),
        ...exempt(r, [good | 0x100]),
      ],
    ],
    [`${id}.granularity`, granularity(r)],
  ];
};

const RULES: Record<string, readonly Case[]> = {
  // PE, NE, PG; the first and last are free for an unrestricted guest.
  'guest.cr0.fixed': [
    ...mustBe1({}, 'GUEST_CR0', [0, 5, 31]),
    ...mustBe1(UNRESTRICTED, 'GUEST_CR0', [5]),
    ...mayBe1({}, 'GUEST_CR0', 0x8000_0021, range(0, 31)),
    ...mayBe1(UNRESTRICTED, 'GUEST_CR0', 0x20, range(0, 31)),
  ],
  'guest.cr0.pg-needs-pe': values({}, 'GUEST_CR0', [0x8000_0001, 0, 1, 0x7fff_fffe], [0x8000_0000, 0xffff_fffe]),
  'guest.cr4.fixed': values({}, 'GUEST_CR4', [0x2000, 0x2620], [0, 0x620, ...[15, ...range(26, 63)].map((n) => bit(n) | 0x2000n)]),
  'guest.cr4.cet-needs-wp': [
    ...values({ GUEST_CR4: 0x80_2620 }, 'GUEST_CR0', [0x8001_0033, 0x1_0000], [0x8000_0033, 0xfffe_ffff]),
    ...values({ GUEST_CR4: 0xff7f_ffff }, 'GUEST_CR0', [0x8000_0033], []),
  ],
  // LBR, BTF, TR, BTS, BTINT, BTS_OFF_OS, BTS_OFF_USR, FREEZE_LBRS_ON_PMI, FREEZE_PERFMON_ON_PMI, FREEZE_WHILE_SMM.
  'guest.debugctl.reserved': [
    ...mayBe1(entry(EntryControl.LOAD_DEBUG_CONTROLS), 'GUEST_IA32_DEBUGCTL', 0, [0, 1, 6, 7, 8, 9, 10, 11, 12, 14]),
    ...anything(without(EntryControl.LOAD_DEBUG_CONTROLS), 'GUEST_IA32_DEBUGCTL'),
  ],
  'guest.ia32e.paging': [
    ...values({ GUEST_CR4: 0x20 }, 'GUEST_CR0', [0x8000_0000], [0x7fff_ffff]),
    ...values({ GUEST_CR0: 0x8000_0000 }, 'GUEST_CR4', [0x20], [0xffff_ffdf]),
    ...cases(true, [{ ...without(EntryControl.IA32E_MODE_GUEST), GUEST_CR0: 0, GUEST_CR4: 0 }]),
  ],
  'guest.legacy.no-pcide': [...values(LEGACY, 'GUEST_CR4', [0xfffd_ffff], [0x2_0000]), ...values({}, 'GUEST_CR4', [0x2_0000], [])],
  'guest.cr3.width': mayBe1({}, 'GUEST_CR3', 0, range(0, 45)),
  'guest.dr7.high': [
    ...mayBe1(entry(EntryControl.LOAD_DEBUG_CONTROLS), 'GUEST_DR7', 0x400, range(0, 31)),
    ...values(without(EntryControl.LOAD_DEBUG_CONTROLS), 'GUEST_DR7', HIGH_BITS, []),
  ],
  'guest.sysenter-esp.canonical': canonical({}, 'GUEST_IA32_SYSENTER_ESP'),
  'guest.sysenter-eip.canonical': canonical({}, 'GUEST_IA32_SYSENTER_EIP'),
  'guest.pat': [
    ...values(entry(EntryControl.LOAD_IA32_PAT), 'GUEST_IA32_PAT', patBytes([0, 1, 4, 5, 6, 7]), patBytes([2, 3, 8, 9, 0x10, 0x80, 0xff])),
    ...values(without(EntryControl.LOAD_IA32_PAT), 'GUEST_IA32_PAT', [2], []),
  ],
  'guest.efer.reserved': [
    ...mayBe1(entry(EntryControl.LOAD_IA32_EFER), 'GUEST_IA32_EFER', 0, [0, 8, 10, 11]),
    ...anything(without(EntryControl.LOAD_IA32_EFER), 'GUEST_IA32_EFER'),
  ],
  'guest.efer.lma': [
    ...values(entry(EntryControl.LOAD_IA32_EFER), 'GUEST_IA32_EFER', [0x400], [0xfbff]),
    ...values({ VM_ENTRY_CONTROLS: 0x11fb | EntryControl.LOAD_IA32_EFER }, 'GUEST_IA32_EFER', [0xfbff], [0x400]),
    ...anything(without(EntryControl.LOAD_IA32_EFER), 'GUEST_IA32_EFER'),
  ],
  'guest.efer.lme': [
    ...values({ ...entry(EntryControl.LOAD_IA32_EFER), GUEST_CR0: 0x8000_0000 }, 'GUEST_IA32_EFER', [0, 0x500, 0xfaff], [0x100, 0x400]),
    ...values({ ...entry(EntryControl.LOAD_IA32_EFER), GUEST_CR0: 0x7fff_ffff }, 'GUEST_IA32_EFER', [0x100, 0x400], []),
    ...anything(without(EntryControl.LOAD_IA32_EFER), 'GUEST_IA32_EFER', undefined, [0x100, 0x400]),
  ],

  'guest.tr.selector.ti': values({}, 'GUEST_TR_SELECTOR', [0, 0xfffb], [4, 0xffff]),
  'guest.ldtr.selector.ti': [
    ...values(USABLE_LDTR, 'GUEST_LDTR_SELECTOR', [0, 0xfffb], [4, 0xffff]),
    ...values({ GUEST_LDTR_ACCESS_RIGHTS: UNUSABLE }, 'GUEST_LDTR_SELECTOR', [4], []),
  ],
  'guest.ss.selector.rpl': [
    ...range(0, 3).flatMap((rpl) =>
      values(
        { GUEST_CS_SELECTOR: 0x20 | rpl },
        'GUEST_SS_SELECTOR',
        [0x10 | rpl, 0xfffc | rpl],
        range(0, 3)
          .filter((r) => r !== rpl)
          .map((r) => 0x10 | r),
      ),
    ),
    ...values({ ...V86_FLAG, GUEST_CS_SELECTOR: 0 }, 'GUEST_SS_SELECTOR', [3], []),
    ...values({ ...UNRESTRICTED, GUEST_CS_SELECTOR: 0 }, 'GUEST_SS_SELECTOR', [3], []),
  ],
  ...Object.fromEntries(
    CODE_AND_DATA.flatMap((r): [string, readonly Case[]][] => [
      [
        `guest.v86.${r.toLowerCase()}.base`,
        [
          ...mayBe1(
            { ...V86, [`GUEST_${r}_SELECTOR`]: 0xf00f },
            `GUEST_${r}_BASE`,
            0xf_00f0,
            range(0, 63).filter((n) => ((0xf_00f0n >> BigInt(n)) & 1n) !== 0n),
          ),
          ...values({ ...V86, [`GUEST_${r}_SELECTOR`]: 0xffff }, `GUEST_${r}_BASE`, [0xf_fff0], [0xffff, 0xf_ffe0, 0]),
          ...values({ [`GUEST_${r}_SELECTOR`]: 0xffff }, `GUEST_${r}_BASE`, [0], []),
        ],
      ],
      [
        `guest.v86.${r.toLowerCase()}.limit`,
        [...values(V86, `GUEST_${r}_LIMIT`, [0xffff], [0, 0xfffe, 0x1_ffff, 0xffff_ffff]), ...values({}, `GUEST_${r}_LIMIT`, [0], [])],
      ],
      [
        `guest.v86.${r.toLowerCase()}.access-rights`,
        [
          ...values(
            V86,
            rightsField(r),
            [0xf3],
            range(0, 31).map((n) => (0xf3 ^ (1 << n)) >>> 0),
          ),
          ...values({}, rightsField(r), [0], []),
        ],
      ],
    ]),
  ),
  'guest.tr.base.canonical': canonical({}, 'GUEST_TR_BASE'),
  'guest.fs.base.canonical': [...canonical({}, 'GUEST_FS_BASE'), ...values({ GUEST_FS_ACCESS_RIGHTS: UNUSABLE }, 'GUEST_FS_BASE', [], [bit(47)])],
  'guest.gs.base.canonical': [...canonical({}, 'GUEST_GS_BASE'), ...values({ GUEST_GS_ACCESS_RIGHTS: UNUSABLE }, 'GUEST_GS_BASE', [], [bit(47)])],
  'guest.ldtr.base.canonical': [
    ...canonical(USABLE_LDTR, 'GUEST_LDTR_BASE'),
    ...values({ GUEST_LDTR_ACCESS_RIGHTS: UNUSABLE }, 'GUEST_LDTR_BASE', [bit(47)], []),
  ],
  'guest.cs.base.high': [...mayBe1({}, 'GUEST_CS_BASE', 0, range(0, 31)), ...values({ GUEST_CS_ACCESS_RIGHTS: UNUSABLE }, 'GUEST_CS_BASE', [], [bit(32)])],
  ...Object.fromEntries(
    (['SS', 'DS', 'ES'] as const).map((r) => [
      `guest.${r.toLowerCase()}.base.high`,
      [...mayBe1({}, `GUEST_${r}_BASE`, 0, range(0, 31)), ...values({ [rightsField(r)]: UNUSABLE }, `GUEST_${r}_BASE`, [bit(32)], [])],
    ]),
  ),
  'guest.cs.type': [
    ...rights(
      'CS',
      [9, 11, 13, 15].map((t) => typed('CS', t)),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14].map((t) => typed('CS', t)),
    ),
    ...rights(
      'CS',
      [3, 9, 11, 13, 15].map((t) => typed('CS', t)),
      [0, 1, 2, 4, 5, 6, 7, 8, 10, 12, 14].map((t) => typed('CS', t)),
      UNRESTRICTED,
    ),
  ],
  'guest.ss.type': rights(
    'SS',
    [3, 7].map((t) => typed('SS', t)),
    range(0, 15)
      .filter((t) => t !== 3 && t !== 7)
      .map((t) => typed('SS', t)),
  ),
  ...Object.fromEntries(
    DATA.flatMap((r): [string, readonly Case[]][] => [
      [
        `guest.${r.toLowerCase()}.type.accessed`,
        rights(
          r,
          range(0, 7).map((t) => typed(r, 2 * t + 1)),
          range(0, 7).map((t) => typed(r, 2 * t)),
        ),
      ],
      // Types 8, 9, 12 and 13 are code that cannot be read.
      [
        `guest.${r.toLowerCase()}.type.readable`,
        rights(
          r,
          [0, 1, 4, 5, 10, 11, 14, 15].map((t) => typed(r, t)),
          [8, 9, 12, 13].map((t) => typed(r, t)),
        ),
      ],
      [
        `guest.${r.toLowerCase()}.dpl`,
        [
          ...range(0, 3).flatMap((rpl) => [3, 11].flatMap((type) => dplCases(r, { [`GUEST_${r}_SELECTOR`]: 0x10 | rpl }, type, range(rpl, 3)))),
          // Conforming code.
          ...[12, 15].flatMap((type) => dplCases(r, { [`GUEST_${r}_SELECTOR`]: 0x13 }, type, [0, 1, 2, 3])),
          ...dplCases(r, { ...UNRESTRICTED, [`GUEST_${r}_SELECTOR`]: 0x13 }, 3, [0, 1, 2, 3]),
          ...exempt(r, [withDpl(r, 0)], { [`GUEST_${r}_SELECTOR`]: 0x13 }),
        ],
      ],
    ]),
  ),
  'guest.cs.dpl.data': [
    ...dplCases('CS', {}, 3, [0]),
    ...[1, 2, 7, 9, 11].flatMap((type) => dplCases('CS', {}, type, [0, 1, 2, 3])),
    ...dplCases('CS', V86_FLAG, 3, [0, 1, 2, 3]),
  ],
  'guest.cs.dpl.non-conforming': range(0, 3).flatMap((dpl) => {
    const ss = { GUEST_SS_ACCESS_RIGHTS: withDpl('SS', dpl) };
    return [
      ...[9, 11].flatMap((type) => dplCases('CS', ss, type, [dpl])),
      ...[3, 8, 10, 13, 15].flatMap((type) => dplCases('CS', ss, type, [0, 1, 2, 3])),
      ...dplCases('CS', { ...ss, ...V86_FLAG }, 11, [0, 1, 2, 3]),
    ];
  }),
  'guest.cs.dpl.conforming': range(0, 3).flatMap((dpl) => {
    const ss = { GUEST_SS_ACCESS_RIGHTS: withDpl('SS', dpl) };
    return [
      ...[13, 15].flatMap((type) => dplCases('CS', ss, type, range(0, dpl))),
      ...[3, 9, 11, 12, 14].flatMap((type) => dplCases('CS', ss, type, [0, 1, 2, 3])),
      ...dplCases('CS', { ...ss, ...V86_FLAG }, 15, [0, 1, 2, 3]),
    ];
  }),
  'guest.ss.dpl.rpl': range(0, 3).flatMap((rpl) => [
    ...dplCases('SS', { GUEST_SS_SELECTOR: 0x10 | rpl }, 3, [rpl]),
    ...dplCases('SS', { ...UNRESTRICTED, GUEST_SS_SELECTOR: 0x10 | rpl }, 3, [0, 1, 2, 3]),
    ...dplCases('SS', { ...V86_FLAG, GUEST_SS_SELECTOR: 0x10 | rpl }, 3, [0, 1, 2, 3]),
  ]),
  'guest.ss.dpl.real': [
    ...dplCases('SS', { GUEST_CS_ACCESS_RIGHTS: typed('CS', 3) }, 3, [0]),
    ...dplCases('SS', { GUEST_CR0: 0xffff_fffe }, 3, [0]),
    ...dplCases('SS', { GUEST_CR0: 1, GUEST_CS_ACCESS_RIGHTS: typed('CS', 11) }, 3, [0, 1, 2, 3]),
    ...dplCases('SS', { ...V86_FLAG, GUEST_CR0: 0 }, 3, [0, 1, 2, 3]),
  ],
  ...Object.fromEntries([...CODE_AND_DATA, 'TR' as const, 'LDTR' as const].flatMap(commonRights)),
  'guest.cs.d-l': [
    ...values({}, 'GUEST_CS_ACCESS_RIGHTS', [0xa09b, 0xc09b, 0x809b], [0xe09b]),
    ...values(LEGACY, 'GUEST_CS_ACCESS_RIGHTS', [0xe09b], []),
    ...values(V86_FLAG, 'GUEST_CS_ACCESS_RIGHTS', [0xe09b], []),
  ],
  'guest.tr.type': [
    ...values(
      {},
      'GUEST_TR_ACCESS_RIGHTS',
      [0x8b],
      range(0, 15)
        .filter((t) => t !== 11)
        .map((t) => 0x80 | t),
    ),
    ...values(
      LEGACY,
      'GUEST_TR_ACCESS_RIGHTS',
      [0x8b, 0x83],
      range(0, 15)
        .filter((t) => t !== 11 && t !== 3)
        .map((t) => 0x80 | t),
    ),
  ],
  'guest.tr.usable': values({}, 'GUEST_TR_ACCESS_RIGHTS', [0x8b, 0xfffe_ffff], [0x1_008b]),
  'guest.ldtr.type': rights(
    'LDTR',
    [0x82],
    range(0, 15)
      .filter((t) => t !== 2)
      .map((t) => 0x80 | t),
  ),
  ...Object.fromEntries(
    (['GDTR', 'IDTR'] as const).flatMap((r): [string, readonly Case[]][] => [
      [`guest.${r.toLowerCase()}.base.canonical`, canonical({}, `GUEST_${r}_BASE`)],
      [`guest.${r.toLowerCase()}.limit`, mayBe1({}, `GUEST_${r}_LIMIT`, 0xffff, range(0, 15), 32)],
    ]),
  ),

  'guest.rip.high': [
    ...mayBe1(LEGACY, 'GUEST_RIP', 0, range(0, 31)),
    ...mayBe1({ GUEST_CS_ACCESS_RIGHTS: 0xc09b }, 'GUEST_RIP', 0, range(0, 31)),
    ...mayBe1({ ...LEGACY, GUEST_CS_ACCESS_RIGHTS: 0xa09b }, 'GUEST_RIP', 0, range(0, 31)),
    ...values({}, 'GUEST_RIP', [bit(40)], []),
  ],
  'guest.rip.upper': [
    // Not canonical, all but the first and the last: yet bits 63:48 are identical.
    ...values(
      {},
      'GUEST_RIP',
      [0x7fff_ffff_ffffn, 0x8000_0000_0000n, 0xffff_ffff_ffffn, 0xffff_0000_0000_0000n, 0xffff_8000_0000_0000n],
      [0x1_0000_0000_0000n, 0x8000_0000_0000_0000n, 0xfffe_ffff_ffff_ffffn, 0x7fff_ffff_ffff_ffffn],
    ),
    ...values({ GUEST_CS_ACCESS_RIGHTS: 0xc09b }, 'GUEST_RIP', [bit(47)], []),
    ...values(LEGACY, 'GUEST_RIP', [bit(47)], []),
  ],
  // CF 1 PF AF ZF SF TF IF DF OF IOPL NT RF VM AC VIF VIP ID.
  'guest.rflags.reserved': [
    ...mayBe1({}, 'GUEST_RFLAGS', 2, [0, 1, 2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21]),
    ...values({}, 'GUEST_RFLAGS', [0x3f_7fd7], [0x3f_7fd5]),
  ],
  'guest.rflags.vm': [
    ...values({}, 'GUEST_RFLAGS', [0x1d_7fd7], [0x2_0002]),
    ...values({ ...LEGACY, GUEST_CR0: 0xffff_fffe }, 'GUEST_RFLAGS', [2], [0x2_0002]),
    ...values({ ...LEGACY, GUEST_CR0: 1 }, 'GUEST_RFLAGS', [0x2_0002], []),
  ],
  'guest.rflags.if-for-interrupt': [
    ...values({ ENTRY_INTERRUPTION_INFORMATION: inject(0, 0x20) }, 'GUEST_RFLAGS', [0x202], [0x3f_7dd7]),
    ...[2, 3, 4, 5, 6, 7].flatMap((t) => values({ ENTRY_INTERRUPTION_INFORMATION: inject(t, 2) }, 'GUEST_RFLAGS', [2], [])),
    ...values({ ENTRY_INTERRUPTION_INFORMATION: 0x20 }, 'GUEST_RFLAGS', [2], []),
  ],

  // IA32_VMX_MISC[8:6] of this processor: HLT only.
  'guest.activity.supported': [
    ...values({}, 'GUEST_ACTIVITY_STATE', [0, 1], [2, 3, 4, 32, 33, 0x8000_0000]),
    ...values({}, 'GUEST_ACTIVITY_STATE', [0, 1, 2, 3], [4, 32, 35], { activityStates: 0b1111 }),
    ...values({}, 'GUEST_ACTIVITY_STATE', [0], [1, 2, 3, 4], { activityStates: 0b0001 }),
  ],
  'guest.activity.hlt-dpl': [
    ...values(
      { GUEST_ACTIVITY_STATE: 1 },
      'GUEST_SS_ACCESS_RIGHTS',
      [withDpl('SS', 0), 0xffff_ff9f],
      [1, 2, 3].map((d) => withDpl('SS', d)),
    ),
    ...values({ GUEST_SS_ACCESS_RIGHTS: withDpl('SS', 3) }, 'GUEST_ACTIVITY_STATE', [0, 2, 3], [1]),
  ],
  'guest.activity.active-if-blocking': [1, 2].flatMap((blocking) => [
    ...values({ GUEST_INTERRUPTIBILITY_STATE: blocking }, 'GUEST_ACTIVITY_STATE', [0], [1, 2, 3]),
    ...values({ GUEST_INTERRUPTIBILITY_STATE: 0xfffc }, 'GUEST_ACTIVITY_STATE', [0, 1, 2, 3], []),
  ]),
  'guest.activity.injection': [
    // Active: everything.
    ...values(
      { GUEST_ACTIVITY_STATE: 0 },
      'ENTRY_INTERRUPTION_INFORMATION',
      [0, 2, 3, 4, 5, 6, 7].map((t) => inject(t, 6)),
      [],
    ),
    // HLT: external interrupt, NMI, #DB, #MC, pending MTF VM exit.
    ...values(
      { GUEST_ACTIVITY_STATE: 1 },
      'ENTRY_INTERRUPTION_INFORMATION',
      [0x306, inject(0, 0x20), inject(2, 2), inject(7, 0), inject(3, 1), inject(3, 18)],
      [
        ...range(0, 31)
          .filter((v) => v !== 1 && v !== 18)
          .map((v) => inject(3, v)),
        ...[4, 5, 6].flatMap((t) => [inject(t, 1), inject(t, 18)]),
      ],
    ),
    // Shutdown: NMI, #MC.
    ...values(
      { GUEST_ACTIVITY_STATE: 2 },
      'ENTRY_INTERRUPTION_INFORMATION',
      [0x306, inject(2, 2), inject(3, 18)],
      [
        ...range(0, 31)
          .filter((v) => v !== 18)
          .map((v) => inject(3, v)),
        ...[0, 4, 5, 6, 7].map((t) => inject(t, 18)),
      ],
    ),
    // Wait-for-SIPI: none.
    ...values(
      { GUEST_ACTIVITY_STATE: 3 },
      'ENTRY_INTERRUPTION_INFORMATION',
      [0x306],
      [inject(0, 0x20), inject(2, 2), inject(3, 1), inject(3, 18), inject(7, 0)],
    ),
  ],
  'guest.interruptibility.reserved': [
    ...mayBe1({}, 'GUEST_INTERRUPTIBILITY_STATE', 0, [0, 1, 2, 3], 32),
    ...values({}, 'GUEST_INTERRUPTIBILITY_STATE', [15], [16, 31]),
  ],
  'guest.interruptibility.not-both': values({}, 'GUEST_INTERRUPTIBILITY_STATE', [0, 1, 2, 0xfffd, 0xfffe], [3, 0xffff]),
  'guest.interruptibility.sti-needs-if': [
    ...values({ GUEST_RFLAGS: 0x3f_7dd7 }, 'GUEST_INTERRUPTIBILITY_STATE', [0, 0xfffe], [1]),
    ...values({ GUEST_RFLAGS: 0x202 }, 'GUEST_INTERRUPTIBILITY_STATE', [1], []),
  ],
  'guest.interruptibility.external-interrupt': [
    ...values({ ENTRY_INTERRUPTION_INFORMATION: inject(0, 0x20) }, 'GUEST_INTERRUPTIBILITY_STATE', [0, 0xfffc], [1, 2]),
    ...[2, 3, 7].flatMap((t) => values({ ENTRY_INTERRUPTION_INFORMATION: inject(t, 0) }, 'GUEST_INTERRUPTIBILITY_STATE', [1, 2], [])),
    ...values({ ENTRY_INTERRUPTION_INFORMATION: 0x20 }, 'GUEST_INTERRUPTIBILITY_STATE', [1, 2], []),
  ],
  'guest.interruptibility.nmi-mov-ss': [
    ...values({ ENTRY_INTERRUPTION_INFORMATION: inject(2, 2) }, 'GUEST_INTERRUPTIBILITY_STATE', [0, 0xfffd], [2]),
    ...[0, 3].flatMap((t) => values({ ENTRY_INTERRUPTION_INFORMATION: inject(t, 2) }, 'GUEST_INTERRUPTIBILITY_STATE', [2], [])),
  ],
  'guest.interruptibility.nmi-sti': [
    ...values({ ENTRY_INTERRUPTION_INFORMATION: inject(2, 2) }, 'GUEST_INTERRUPTIBILITY_STATE', [0, 0xfffe], [1]),
    ...[0, 3].flatMap((t) => values({ ENTRY_INTERRUPTION_INFORMATION: inject(t, 2) }, 'GUEST_INTERRUPTIBILITY_STATE', [1], [])),
  ],
  'guest.interruptibility.smi': values({}, 'GUEST_INTERRUPTIBILITY_STATE', [0, 0xfffb], [4]),
  'guest.interruptibility.virtual-nmi': [
    ...values(
      { PIN_BASED_CONTROLS: PIN | PinBased.VIRTUAL_NMIS, ENTRY_INTERRUPTION_INFORMATION: inject(2, 2) },
      'GUEST_INTERRUPTIBILITY_STATE',
      [0, 0xfff7],
      [8],
    ),
    ...values({ PIN_BASED_CONTROLS: ~PinBased.VIRTUAL_NMIS >>> 0, ENTRY_INTERRUPTION_INFORMATION: inject(2, 2) }, 'GUEST_INTERRUPTIBILITY_STATE', [8], []),
    ...values({ PIN_BASED_CONTROLS: PIN | PinBased.VIRTUAL_NMIS, ENTRY_INTERRUPTION_INFORMATION: inject(3, 2) }, 'GUEST_INTERRUPTIBILITY_STATE', [8], []),
  ],
  // B3-B0, enabled breakpoint, BS.
  'guest.pending-debug.reserved': mayBe1({}, 'GUEST_PENDING_DEBUG_EXCEPTIONS', 0, [0, 1, 2, 3, 12, 14]),
  'guest.pending-debug.bs': [
    ...[{ GUEST_INTERRUPTIBILITY_STATE: 1 }, { GUEST_INTERRUPTIBILITY_STATE: 2 }, { GUEST_ACTIVITY_STATE: 1 }].flatMap((given) => [
      ...values({ ...given, GUEST_RFLAGS: 0x102 }, 'GUEST_PENDING_DEBUG_EXCEPTIONS', [0x4000], [0xbfff]),
      ...values({ ...given, GUEST_RFLAGS: 0x3f_7ed7 }, 'GUEST_PENDING_DEBUG_EXCEPTIONS', [0xbfff], [0x4000]),
      ...values({ ...given, GUEST_RFLAGS: 0x102, GUEST_IA32_DEBUGCTL: 2 }, 'GUEST_PENDING_DEBUG_EXCEPTIONS', [0xbfff], [0x4000]),
      ...values({ ...given, GUEST_RFLAGS: 0x102, GUEST_IA32_DEBUGCTL: 0xfffd }, 'GUEST_PENDING_DEBUG_EXCEPTIONS', [0x4000], [0xbfff]),
    ]),
    ...[0, 2, 3].flatMap((activity) =>
      values({ GUEST_RFLAGS: 0x102, GUEST_ACTIVITY_STATE: activity, GUEST_INTERRUPTIBILITY_STATE: 0xfffc }, 'GUEST_PENDING_DEBUG_EXCEPTIONS', [0, 0x4000], []),
    ),
  ],
  'guest.link-pointer.address': [
    ...physicalAddress({}, 'VMCS_LINK_POINTER'),
    // All ones: no VMCS is linked. Nothing less than that.
    ...values({}, 'VMCS_LINK_POINTER', [(1n << 64n) - 1n], [0xffff_ffffn, 0xffff_ffff_0000_0000n, (1n << 64n) - 2n]),
  ],
  'guest.link-pointer.revision': [
    ...values({}, 'VMCS_LINK_POINTER', [VMCS_B, (1n << 64n) - 1n], [0xb000]),
    ...values({}, 'VMCS_LINK_POINTER', [0x1_0000_c000n], [0xc000], { memory: { [0x1_0000_c000]: VMCS_REVISION, [0xc000]: 0x8000_0000 | VMCS_REVISION } }),
    // Not even looked at where the address itself is refused.
    ...values({}, 'VMCS_LINK_POINTER', [0xb001], []),
    ...[
      { given: { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.VMCS_SHADOWING }, word: (0x8000_0000 | VMCS_REVISION) >>> 0 },
      { given: { SECONDARY_PROCESSOR_BASED_CONTROLS: ~Secondary.VMCS_SHADOWING >>> 0 }, word: VMCS_REVISION },
    ].flatMap(({ given, word }) =>
      values(given, 'VMCS_LINK_POINTER', [0xb000], [0xc000], { profile: EVERYTHING, memory: { [0xb000]: word, [0xc000]: (word ^ 0x8000_0000) >>> 0 } }),
    ),
  ],
  'guest.link-pointer.not-current': values({}, 'VMCS_LINK_POINTER', [VMCS_B, BigInt(VMCS_A) | (1n << 32n), (1n << 64n) - 1n], [VMCS_A]),
  ...Object.fromEntries(
    range(0, 3).flatMap((i): [string, readonly Case[]][] => {
      const field = `GUEST_PDPTE${i}` as FieldName;
      const noEpt = { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_VPID };
      // P 0, PWT 3, PCD 4, ignored 11:9, address 45:12.
      const may = [0, 3, 4, 9, 10, 11, ...range(12, 45)];
      const inMemory = (given: Patch, entries: readonly bigint[], valid: boolean): Case[] =>
        entries.map((entry) => ({
          valid,
          patch: { ...given, GUEST_CR3: 0xb03f },
          surroundings: { memory: { [0xb020 + 8 * i]: Number(entry & 0xffff_ffffn), [0xb024 + 8 * i]: Number(entry >> 32n) } },
        }));
      return [
        [
          `guest.pdpte${i}.reserved`,
          [
            ...mayBe1(PAE, field, 1, may),
            // Not present: nothing is reserved.
            ...values(PAE, field, [0, (1n << 64n) - 2n], []),
            ...values({ ...PAE, ...noEpt }, field, [3], []),
            ...[{}, LEGACY, { ...PAE, GUEST_CR0: 0x7fff_ffff }].flatMap((given) => values(given, field, [3], [])),
          ],
        ],
        [
          `guest.pdpte${i}.memory`,
          [
            ...inMemory(
              { ...PAE, ...noEpt },
              may.map((n) => bit(n) | 1n),
              true,
            ),
            ...inMemory(
              { ...PAE, ...noEpt },
              range(0, 63)
                .filter((n) => !may.includes(n))
                .map((n) => bit(n) | 1n),
              false,
            ),
            ...inMemory({ ...PAE, ...noEpt }, [(1n << 64n) - 2n], true),
            ...[PAE, { ...noEpt }, { ...LEGACY, ...noEpt }].flatMap((given) => inMemory(given, [3n], true)),
          ],
        ],
      ];
    }),
  ),
};

it('there are states for every rule', () => {
  expect(Object.keys(RULES).sort()).toEqual(
    ALL_CHECKS.map((c) => c.id)
      .filter((id) => id.startsWith('guest.'))
      .sort(),
  );
});
it.each(Object.entries(RULES))('%s', (id, judged) => expect(misjudged(id, judged)).toEqual([]));

it('an unrestricted real-mode guest keeps to the segment rules of its own', () => {
  expect(misjudged('guest.cs.type', cases(true, [{ ...UNRESTRICTED_REAL, GUEST_CS_ACCESS_RIGHTS: 0x93 }]))).toEqual([]);
});
