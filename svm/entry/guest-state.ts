/** APM "Canonicalization and Consistency Checks": the rules about guest registers, in its order. */
import { Cr0, Cr4, Efer } from '../../cpu/registers';
import { VMCB, type VmcbField } from '../vmcb/layout';
import { SegmentAttribute, csAttributes, high, isSet, low, nestedPaging, withinPhysicalWidth, type EntryCheck, type EntryState } from './check';

/** S_CET: SH_STK_EN and WR_SHSTK_EN. */
const S_CET_BITS = 0b11;

/** The guest will have paging in long mode: EFER.LME and CR0.PG. */
const longModePaging = (s: EntryState): boolean => isSet(s, VMCB.EFER, Efer.LME) && isSet(s, VMCB.CR0, Cr0.PG);

const upperHalfIsZero = (id: string, name: 'CR0' | 'DR6' | 'DR7'): EntryCheck => ({
  id,
  apm: 'consistencyChecks',
  rule: `${name}[63:32] are zero.`,
  fields: [name],
  holds: (s) => high(s, VMCB[name]) === 0,
});

/*
 * Not rules, although they look like some: a rIP beyond the code segment's limit or not canonical (#GP in the guest), segment bases that
 * are not canonical (VMRUN sign-extends them), CR0.PE = 0 with CR0.PG = 1 ("Paged Real Mode"), reserved bits of RFLAGS.
 * The rule about U_CET in virtual-8086 mode is left out: U_CET is not in the VMCB, and no processor of this model has CET.
 */
export const GUEST_STATE_CHECKS: readonly EntryCheck[] = [
  {
    id: 'efer.svme',
    apm: 'consistencyChecks',
    rule: 'EFER.SVME is set.',
    fields: ['EFER'],
    holds: (s) => isSet(s, VMCB.EFER, Efer.SVME),
  },
  {
    id: 'cr0.cd-nw',
    apm: 'consistencyChecks',
    rule: 'If CR0.CD is zero, CR0.NW is zero.',
    fields: ['CR0'],
    when: (s) => !isSet(s, VMCB.CR0, Cr0.CD),
    holds: (s) => !isSet(s, VMCB.CR0, Cr0.NW),
  },
  upperHalfIsZero('cr0.high', 'CR0'),
  {
    // The low reserved bits (11:5 and 2:0 in long mode) are not MBZ: VMRUN loads them.
    id: 'cr3.mbz',
    apm: 'consistencyChecks',
    rule: 'No MBZ bit of CR3 is set: none beyond the physical-address width.',
    fields: ['CR3'],
    facts: ['physicalAddressWidth'],
    holds: (s) => withinPhysicalWidth(s, VMCB.CR3),
  },
  {
    id: 'cr4.mbz',
    apm: 'consistencyChecks',
    rule: 'No MBZ bit of CR4 is set: neither in CR4[63:32] nor for a feature that the processor does not have.',
    fields: ['CR4'],
    facts: ['supportedCr4'],
    holds: (s) => (low(s, VMCB.CR4) & ~s.supportedCr4) === 0 && high(s, VMCB.CR4) === 0,
  },
  upperHalfIsZero('dr6.high', 'DR6'),
  upperHalfIsZero('dr7.high', 'DR7'),
  {
    id: 'efer.mbz',
    apm: 'consistencyChecks',
    rule: 'No MBZ bit of EFER is set.',
    fields: ['EFER'],
    facts: ['supportedEfer'],
    holds: (s) => (low(s, VMCB.EFER) & ~s.supportedEfer & ~(Efer.LME | Efer.LMA)) === 0 && high(s, VMCB.EFER) === 0,
  },
  {
    id: 'efer.long-mode',
    apm: 'consistencyChecks',
    rule: 'If the processor does not support long mode, EFER.LMA and EFER.LME are zero.',
    fields: ['EFER'],
    facts: ['supportedEfer'],
    when: (s) => (s.supportedEfer & Efer.LME) === 0,
    holds: (s) => !isSet(s, VMCB.EFER, Efer.LMA | Efer.LME),
  },
  {
    id: 'long-mode.pae',
    apm: 'consistencyChecks',
    rule: 'If EFER.LME and CR0.PG are both set, CR4.PAE is set.',
    fields: ['EFER', 'CR0', 'CR4'],
    when: longModePaging,
    holds: (s) => isSet(s, VMCB.CR4, Cr4.PAE),
  },
  {
    id: 'long-mode.pe',
    apm: 'consistencyChecks',
    rule: 'If EFER.LME and CR0.PG are both set, CR0.PE is set.',
    fields: ['EFER', 'CR0'],
    when: longModePaging,
    holds: (s) => isSet(s, VMCB.CR0, Cr0.PE),
  },
  {
    id: 'long-mode.cs-l-d',
    apm: 'consistencyChecks',
    rule: 'If EFER.LME, CR0.PG, CR4.PAE and CS.L are all set, CS.D is zero.',
    fields: ['EFER', 'CR0', 'CR4', 'CS_ATTRIB'],
    when: (s) => longModePaging(s) && isSet(s, VMCB.CR4, Cr4.PAE) && (csAttributes(s) & SegmentAttribute.L) !== 0,
    holds: (s) => (csAttributes(s) & SegmentAttribute.D) === 0,
  },
  {
    id: 's-cet.reserved',
    apm: 'consistencyChecks',
    rule: 'No reserved bit of S_CET is set.',
    fields: ['S_CET'],
    facts: ['supportedCr4'],
    when: (s) => (s.supportedCr4 & Cr4.CET) !== 0,
    holds: (s) => (low(s, VMCB.S_CET) & ~S_CET_BITS) === 0 && high(s, VMCB.S_CET) === 0,
  },
  {
    id: 'cr4.cet-needs-wp',
    apm: 'consistencyChecks',
    rule: 'If CR4.CET is set, CR0.WP is set.',
    fields: ['CR4', 'CR0'],
    when: (s) => isSet(s, VMCB.CR4, Cr4.CET),
    holds: (s) => isSet(s, VMCB.CR0, Cr0.WP),
  },
];

/** The guest will use PAE paging outside long mode, and its tables are in system-physical memory: VMRUN reads its four PDPEs. */
export const loadsPdpes = (s: EntryState): boolean =>
  isSet(s, VMCB.CR0, Cr0.PG) && isSet(s, VMCB.CR4, Cr4.PAE) && !isSet(s, VMCB.EFER, Efer.LME) && !nestedPaging(s);

/** Bits 2:1 and 8:5 of a present PDPE are MBZ, and those beyond the physical-address width. */
const PDPE_MBZ_LOW = 0x1e6;
const PDPE_FIELDS: readonly VmcbField[] = ['CR0', 'CR3', 'CR4', 'EFER', 'NESTED_CONTROL'];

/** APM "VMRUN Instruction": "setting any reserved bits in the PDPEs also causes a #VMEXIT". */
export const PDPE_CHECKS: readonly EntryCheck[] = [0, 1, 2, 3].map((i): EntryCheck => ({
  id: `pdpe${i}.reserved`,
  apm: 'vmrun',
  rule: `If the guest uses PAE paging outside long mode and nested paging is not enabled, no reserved bit of PDPE ${i} at CR3 is set if it is present.`,
  fields: PDPE_FIELDS,
  facts: ['physicalAddressWidth'],
  when: loadsPdpes,
  holds: (s) => {
    const address = ((low(s, VMCB.CR3) & ~31) >>> 0) + i * 8;
    const entry = s.memory32(address);
    return (entry & 1) === 0 || ((entry & PDPE_MBZ_LOW) === 0 && s.memory32(address + 4) < 2 ** (s.physicalAddressWidth - 32));
  },
}));
