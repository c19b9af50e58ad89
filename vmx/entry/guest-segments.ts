/** SDM "Checks on Guest Segment Registers" and "Checks on Guest Descriptor-Table Registers". A broken rule fails VM entry with exit reason 33. */
import type { FieldName } from '../vmcs/fields';
import { SECONDARY_FIELDS, ia32eGuest, isCanonical, unrestricted, type EntryCheck, type EntryState } from './check';

type Register = 'ES' | 'CS' | 'SS' | 'DS' | 'FS' | 'GS' | 'LDTR' | 'TR';

const selectorField = (r: Register): FieldName => `GUEST_${r}_SELECTOR`;
const baseField = (r: Register): FieldName => `GUEST_${r}_BASE`;
const limitField = (r: Register): FieldName => `GUEST_${r}_LIMIT`;
const rightsField = (r: Register): FieldName => `GUEST_${r}_ACCESS_RIGHTS`;

/** Format of the access-rights fields: 3:0 type, 4 S, 6:5 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G, 16 unusable; the rest is reserved. */
const S = 1 << 4,
  P = 1 << 7,
  L = 1 << 13,
  DB = 1 << 14,
  G = 1 << 15,
  UNUSABLE = 1 << 16;
const RESERVED = 0xfffe_0f00;
/** What every segment has in virtual-8086 mode: accessed writable data, DPL 3, present. */
const V86_RIGHTS = 0xf3;
const RFLAGS_VM = 1 << 17;
const CR0_PE = 1;

const rights = (s: EntryState, r: Register): number => s.low(rightsField(r));
const typeOf = (s: EntryState, r: Register): number => rights(s, r) & 15;
const dpl = (s: EntryState, r: Register): number => (rights(s, r) >>> 5) & 3;
const rpl = (s: EntryState, r: Register): number => s.low(selectorField(r)) & 3;
const usable = (s: EntryState, r: Register): boolean => (rights(s, r) & UNUSABLE) === 0;
const v86 = (s: EntryState): boolean => (s.low('GUEST_RFLAGS') & RFLAGS_VM) !== 0;

const CODE_AND_DATA: readonly Register[] = ['CS', 'SS', 'DS', 'ES', 'FS', 'GS'];
const DATA: readonly Register[] = ['DS', 'ES', 'FS', 'GS'];
/** CS is always usable: its rules have no "if usable". */
const counts = (s: EntryState, r: Register): boolean => !v86(s) && (r === 'CS' || usable(s, r));
const ifUsable = (r: Register): string => (r === 'CS' ? '' : `If ${r} is usable, `);

const selectorChecks: readonly EntryCheck[] = [
  {
    id: 'guest.tr.selector.ti',
    sdm: 'guestSegments',
    rule: 'The TI flag (bit 2) of the guest TR selector field is 0.',
    fields: ['GUEST_TR_SELECTOR'],
    holds: (s) => (s.low('GUEST_TR_SELECTOR') & 4) === 0,
  },
  {
    id: 'guest.ldtr.selector.ti',
    sdm: 'guestSegments',
    rule: 'If LDTR is usable, the TI flag (bit 2) of its selector is 0.',
    fields: ['GUEST_LDTR_SELECTOR', 'GUEST_LDTR_ACCESS_RIGHTS'],
    when: (s) => usable(s, 'LDTR'),
    holds: (s) => (s.low('GUEST_LDTR_SELECTOR') & 4) === 0,
  },
  {
    id: 'guest.ss.selector.rpl',
    sdm: 'guestSegments',
    rule: 'If the guest is not virtual-8086 and "unrestricted guest" is 0, the RPL of the SS selector equals the RPL of the CS selector.',
    fields: ['GUEST_SS_SELECTOR', 'GUEST_CS_SELECTOR', 'GUEST_RFLAGS', ...SECONDARY_FIELDS],
    when: (s) => !v86(s) && !unrestricted(s),
    holds: (s) => rpl(s, 'SS') === rpl(s, 'CS'),
  },
];

const lower = (r: Register): string => r.toLowerCase();

const v86Checks: readonly EntryCheck[] = CODE_AND_DATA.flatMap((r): EntryCheck[] => [
  {
    id: `guest.v86.${lower(r)}.base`,
    sdm: 'guestSegments',
    rule: `If the guest is virtual-8086, the ${r} base address is the ${r} selector shifted left by 4 bits.`,
    fields: ['GUEST_RFLAGS', baseField(r), selectorField(r)],
    when: v86,
    holds: (s) => s.low(baseField(r)) === (s.low(selectorField(r)) & 0xffff) << 4 && s.high(baseField(r)) === 0,
  },
  {
    id: `guest.v86.${lower(r)}.limit`,
    sdm: 'guestSegments',
    rule: `If the guest is virtual-8086, the ${r} limit is 0000FFFFH.`,
    fields: ['GUEST_RFLAGS', limitField(r)],
    when: v86,
    holds: (s) => s.low(limitField(r)) === 0xffff,
  },
  {
    id: `guest.v86.${lower(r)}.access-rights`,
    sdm: 'guestSegments',
    rule: `If the guest is virtual-8086, the ${r} access rights are 000000F3H.`,
    fields: ['GUEST_RFLAGS', rightsField(r)],
    when: v86,
    holds: (s) => rights(s, r) === V86_RIGHTS,
  },
]);

const baseChecks: readonly EntryCheck[] = [
  ...(['TR', 'FS', 'GS'] as const).map((r): EntryCheck => ({
    id: `guest.${lower(r)}.base.canonical`,
    sdm: 'guestSegments',
    rule: `The ${r} base address is canonical.`,
    fields: [baseField(r)],
    holds: (s) => isCanonical(s, baseField(r)),
  })),
  {
    id: 'guest.ldtr.base.canonical',
    sdm: 'guestSegments',
    rule: 'If LDTR is usable, its base address is canonical.',
    fields: ['GUEST_LDTR_BASE', 'GUEST_LDTR_ACCESS_RIGHTS'],
    when: (s) => usable(s, 'LDTR'),
    holds: (s) => isCanonical(s, 'GUEST_LDTR_BASE'),
  },
  {
    id: 'guest.cs.base.high',
    sdm: 'guestSegments',
    rule: 'Bits 63:32 of the CS base address are 0.',
    fields: ['GUEST_CS_BASE'],
    holds: (s) => s.high('GUEST_CS_BASE') === 0,
  },
  ...(['SS', 'DS', 'ES'] as const).map((r): EntryCheck => ({
    id: `guest.${lower(r)}.base.high`,
    sdm: 'guestSegments',
    rule: `If ${r} is usable, bits 63:32 of its base address are 0.`,
    fields: [baseField(r), rightsField(r)],
    when: (s) => usable(s, r),
    holds: (s) => s.high(baseField(r)) === 0,
  })),
];

const typeChecks: readonly EntryCheck[] = [
  {
    id: 'guest.cs.type',
    sdm: 'guestSegments',
    rule: 'The CS type is 9, 11, 13 or 15 (accessed code segment), or also 3 if "unrestricted guest" is 1.',
    fields: ['GUEST_CS_ACCESS_RIGHTS', 'GUEST_RFLAGS', ...SECONDARY_FIELDS],
    when: (s) => !v86(s),
    holds: (s) => (typeOf(s, 'CS') & 9) === 9 || (typeOf(s, 'CS') === 3 && unrestricted(s)),
  },
  {
    id: 'guest.ss.type',
    sdm: 'guestSegments',
    rule: 'If SS is usable, its type is 3 or 7 (read/write, accessed data segment).',
    fields: ['GUEST_SS_ACCESS_RIGHTS', 'GUEST_RFLAGS'],
    when: (s) => counts(s, 'SS'),
    holds: (s) => typeOf(s, 'SS') === 3 || typeOf(s, 'SS') === 7,
  },
  ...DATA.flatMap((r): EntryCheck[] => [
    {
      id: `guest.${lower(r)}.type.accessed`,
      sdm: 'guestSegments',
      rule: `If ${r} is usable, bit 0 of its type is 1 (accessed).`,
      fields: [rightsField(r), 'GUEST_RFLAGS'],
      when: (s) => counts(s, r),
      holds: (s) => (typeOf(s, r) & 1) !== 0,
    },
    {
      id: `guest.${lower(r)}.type.readable`,
      sdm: 'guestSegments',
      rule: `If ${r} is usable and bit 3 of its type is 1 (code segment), bit 1 is 1 (readable).`,
      fields: [rightsField(r), 'GUEST_RFLAGS'],
      when: (s) => counts(s, r) && (typeOf(s, r) & 8) !== 0,
      holds: (s) => (typeOf(s, r) & 2) !== 0,
    },
  ]),
];

const dplChecks: readonly EntryCheck[] = [
  {
    id: 'guest.cs.dpl.data',
    sdm: 'guestSegments',
    rule: 'If the CS type is 3, the CS DPL is 0.',
    fields: ['GUEST_CS_ACCESS_RIGHTS', 'GUEST_RFLAGS'],
    when: (s) => !v86(s) && typeOf(s, 'CS') === 3,
    holds: (s) => dpl(s, 'CS') === 0,
  },
  {
    id: 'guest.cs.dpl.non-conforming',
    sdm: 'guestSegments',
    rule: 'If the CS type is 9 or 11 (non-conforming), the CS DPL equals the SS DPL.',
    fields: ['GUEST_CS_ACCESS_RIGHTS', 'GUEST_SS_ACCESS_RIGHTS', 'GUEST_RFLAGS'],
    when: (s) => !v86(s) && (typeOf(s, 'CS') === 9 || typeOf(s, 'CS') === 11),
    holds: (s) => dpl(s, 'CS') === dpl(s, 'SS'),
  },
  {
    id: 'guest.cs.dpl.conforming',
    sdm: 'guestSegments',
    rule: 'If the CS type is 13 or 15 (conforming), the CS DPL is not greater than the SS DPL.',
    fields: ['GUEST_CS_ACCESS_RIGHTS', 'GUEST_SS_ACCESS_RIGHTS', 'GUEST_RFLAGS'],
    when: (s) => !v86(s) && (typeOf(s, 'CS') === 13 || typeOf(s, 'CS') === 15),
    holds: (s) => dpl(s, 'CS') <= dpl(s, 'SS'),
  },
  {
    id: 'guest.ss.dpl.rpl',
    sdm: 'guestSegments',
    rule: 'If "unrestricted guest" is 0, the SS DPL equals the RPL of the SS selector.',
    fields: ['GUEST_SS_ACCESS_RIGHTS', 'GUEST_SS_SELECTOR', 'GUEST_RFLAGS', ...SECONDARY_FIELDS],
    when: (s) => !v86(s) && !unrestricted(s),
    holds: (s) => dpl(s, 'SS') === rpl(s, 'SS'),
  },
  {
    id: 'guest.ss.dpl.real',
    sdm: 'guestSegments',
    rule: 'If the CS type is 3 or CR0.PE is 0 in the guest CR0 field, the SS DPL is 0.',
    fields: ['GUEST_SS_ACCESS_RIGHTS', 'GUEST_CS_ACCESS_RIGHTS', 'GUEST_CR0', 'GUEST_RFLAGS'],
    when: (s) => !v86(s) && (typeOf(s, 'CS') === 3 || (s.low('GUEST_CR0') & CR0_PE) === 0),
    holds: (s) => dpl(s, 'SS') === 0,
  },
  ...DATA.map((r): EntryCheck => ({
    id: `guest.${lower(r)}.dpl`,
    sdm: 'guestSegments',
    rule: `If "unrestricted guest" is 0, ${r} is usable and its type is 0-11 (data or non-conforming code), its DPL is not less than the RPL of its selector.`,
    fields: [rightsField(r), selectorField(r), 'GUEST_RFLAGS', ...SECONDARY_FIELDS],
    when: (s) => counts(s, r) && !unrestricted(s) && typeOf(s, r) <= 11,
    holds: (s) => dpl(s, r) >= rpl(s, r),
  })),
];

/** Granularity and limit must agree. */
function granularityHolds(s: EntryState, r: Register): boolean {
  const limit = s.low(limitField(r));
  const g = (rights(s, r) & G) !== 0;
  return !((limit & 0xfff) !== 0xfff && g) && !(limit >>> 20 !== 0 && !g);
}
const GRANULARITY = 'if any bit of 11:0 of the limit is 0, G is 0; if any bit of 31:20 is 1, G is 1.';

const rightsChecks: readonly EntryCheck[] = CODE_AND_DATA.flatMap((r): EntryCheck[] => [
  {
    id: `guest.${lower(r)}.s`,
    sdm: 'guestSegments',
    rule: `${ifUsable(r)}S (bit 4) of the ${r} access rights is 1: a code or data segment.`,
    fields: [rightsField(r), 'GUEST_RFLAGS'],
    when: (s) => counts(s, r),
    holds: (s) => (rights(s, r) & S) !== 0,
  },
  {
    id: `guest.${lower(r)}.p`,
    sdm: 'guestSegments',
    rule: `${ifUsable(r)}P (bit 7) of the ${r} access rights is 1: present.`,
    fields: [rightsField(r), 'GUEST_RFLAGS'],
    when: (s) => counts(s, r),
    holds: (s) => (rights(s, r) & P) !== 0,
  },
  {
    id: `guest.${lower(r)}.reserved`,
    sdm: 'guestSegments',
    rule: `${ifUsable(r)}bits 11:8 and 31:17 of the ${r} access rights are 0.`,
    fields: [rightsField(r), 'GUEST_RFLAGS'],
    when: (s) => counts(s, r),
    holds: (s) => (rights(s, r) & RESERVED) === 0,
  },
  {
    id: `guest.${lower(r)}.granularity`,
    sdm: 'guestSegments',
    rule: `${ifUsable(r)}${GRANULARITY}`,
    fields: [rightsField(r), limitField(r), 'GUEST_RFLAGS'],
    when: (s) => counts(s, r),
    holds: (s) => granularityHolds(s, r),
  },
]);

const csModeCheck: EntryCheck = {
  id: 'guest.cs.d-l',
  sdm: 'guestSegments',
  rule: 'If the guest will be in IA-32e mode and L (bit 13) of the CS access rights is 1, D/B (bit 14) is 0.',
  fields: ['GUEST_CS_ACCESS_RIGHTS', 'VM_ENTRY_CONTROLS', 'GUEST_RFLAGS'],
  when: (s) => !v86(s) && ia32eGuest(s) && (rights(s, 'CS') & L) !== 0,
  holds: (s) => (rights(s, 'CS') & DB) === 0,
};

/** TR is always usable; the rules of LDTR count if it is. */
const systemChecks: readonly EntryCheck[] = [
  {
    id: 'guest.tr.type',
    sdm: 'guestSegments',
    rule: 'The TR type is 11 (busy TSS); outside IA-32e mode it may also be 3 (16-bit busy TSS).',
    fields: ['GUEST_TR_ACCESS_RIGHTS', 'VM_ENTRY_CONTROLS'],
    holds: (s) => typeOf(s, 'TR') === 11 || (typeOf(s, 'TR') === 3 && !ia32eGuest(s)),
  },
  {
    id: 'guest.tr.usable',
    sdm: 'guestSegments',
    rule: 'Bit 16 (unusable) of the TR access rights is 0.',
    fields: ['GUEST_TR_ACCESS_RIGHTS'],
    holds: (s) => usable(s, 'TR'),
  },
  {
    id: 'guest.ldtr.type',
    sdm: 'guestSegments',
    rule: 'If LDTR is usable, its type is 2 (LDT).',
    fields: ['GUEST_LDTR_ACCESS_RIGHTS'],
    when: (s) => usable(s, 'LDTR'),
    holds: (s) => typeOf(s, 'LDTR') === 2,
  },
  ...(['TR', 'LDTR'] as const).flatMap((r): EntryCheck[] => {
    const when = r === 'LDTR' ? (s: EntryState): boolean => usable(s, 'LDTR') : undefined;
    const prefix = r === 'LDTR' ? 'If LDTR is usable, ' : '';
    return [
      {
        id: `guest.${lower(r)}.s`,
        sdm: 'guestSegments',
        rule: `${prefix}S (bit 4) of the ${r} access rights is 0: a system segment.`,
        fields: [rightsField(r)],
        when,
        holds: (s) => (rights(s, r) & S) === 0,
      },
      {
        id: `guest.${lower(r)}.p`,
        sdm: 'guestSegments',
        rule: `${prefix}P (bit 7) of the ${r} access rights is 1: present.`,
        fields: [rightsField(r)],
        when,
        holds: (s) => (rights(s, r) & P) !== 0,
      },
      {
        id: `guest.${lower(r)}.reserved`,
        sdm: 'guestSegments',
        rule: `${prefix}bits 11:8 and 31:17 of the ${r} access rights are 0.`,
        fields: [rightsField(r)],
        when,
        holds: (s) => (rights(s, r) & RESERVED) === 0,
      },
      {
        id: `guest.${lower(r)}.granularity`,
        sdm: 'guestSegments',
        rule: `${prefix}${GRANULARITY}`,
        fields: [rightsField(r), limitField(r)],
        when,
        holds: (s) => granularityHolds(s, r),
      },
    ];
  }),
];

export const GUEST_SEGMENT_CHECKS: readonly EntryCheck[] = [
  ...selectorChecks,
  ...baseChecks,
  ...v86Checks,
  ...typeChecks,
  ...dplChecks,
  ...rightsChecks,
  csModeCheck,
  ...systemChecks,
];

export const GUEST_DESCRIPTOR_TABLE_CHECKS: readonly EntryCheck[] = (['GDTR', 'IDTR'] as const).flatMap((r): EntryCheck[] => [
  {
    id: `guest.${r.toLowerCase()}.base.canonical`,
    sdm: 'guestDescriptorTables',
    rule: `The guest ${r} base address is canonical.`,
    fields: [`GUEST_${r}_BASE`],
    holds: (s) => isCanonical(s, `GUEST_${r}_BASE`),
  },
  {
    id: `guest.${r.toLowerCase()}.limit`,
    sdm: 'guestDescriptorTables',
    rule: `Bits 31:16 of the guest ${r} limit are 0.`,
    fields: [`GUEST_${r}_LIMIT`],
    holds: (s) => s.low(`GUEST_${r}_LIMIT`) <= 0xffff,
  },
]);
