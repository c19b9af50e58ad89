/** The rules about the VMCB control area: APM "Canonicalization and Consistency Checks", "Event Injection", "Nested Paging", "NMI Virtualization". */
import { Cr0, Cr4, Efer } from '../../cpu/registers';
import { EventType, Intercept3, Intercept4, VIntr } from '../controls';
import { SvmFeature } from '../features';
import { VMCB, type VmcbField } from '../vmcb/layout';
import {
  SegmentAttribute,
  csAttributes,
  hasFeature,
  high,
  injectedType,
  injectedVector,
  injecting,
  isPatHalf,
  isSet,
  low,
  nestedPaging,
  withinPhysicalWidth,
  type EntryCheck,
  type EntryState,
} from './check';

const PAGE = 4096;
/** "The I/O Permissions Map occupies 12 Kbytes of contiguous physical memory"; the MSR permissions map two pages. */
const IOPM_SIZE = 3 * PAGE;
const MSRPM_SIZE = 2 * PAGE;

/**
 * "The VMRUN instruction ignores the lower 12 bits of the address": alignment is no rule. The rule holds whether or not the intercept
 * that uses the map is set. An address beyond 2^53 rounds, but stays beyond the limit.
 */
const map = (id: string, name: string, field: 'IOPM_BASE_PA' | 'MSRPM_BASE_PA', size: number): EntryCheck => ({
  id,
  apm: field === 'IOPM_BASE_PA' ? 'ioioIntercepts' : 'msrIntercepts',
  rule: `The address of the last byte of the ${name} (${size / 1024} Kbytes from ${field}, whose bits 11:0 are ignored) is below the maximum supported physical address.`,
  fields: [field],
  facts: ['physicalAddressWidth'],
  holds: (s) => high(s, VMCB[field]) * 2 ** 32 + ((low(s, VMCB[field]) & -PAGE) >>> 0) + size <= 2 ** s.physicalAddressWidth,
});

export const CONTROL_CHECKS: readonly EntryCheck[] = [
  {
    id: 'intercept.vmrun',
    apm: 'consistencyChecks',
    rule: 'The VMRUN intercept bit is set.',
    fields: ['INTERCEPTS_4'],
    holds: (s) => isSet(s, VMCB.INTERCEPTS_4, Intercept4.VMRUN),
  },
  map('msrpm.range', 'MSR permissions map', 'MSRPM_BASE_PA', MSRPM_SIZE),
  map('iopm.range', 'I/O permissions map', 'IOPM_BASE_PA', IOPM_SIZE),
  {
    id: 'asid.not-zero',
    apm: 'consistencyChecks',
    rule: 'ASID is not equal to zero: zero is the host.',
    fields: ['GUEST_ASID'],
    holds: (s) => low(s, VMCB.GUEST_ASID) !== 0,
  },
  {
    id: 'vnmi.nmi-intercept',
    apm: 'nmiVirtualization',
    rule: 'If V_NMI_ENABLE is set, the NMI intercept bit is set.',
    fields: ['V_INTR', 'INTERCEPTS_3'],
    when: (s) => hasFeature(s, SvmFeature.VNMI) && isSet(s, VMCB.V_INTR, VIntr.V_NMI_ENABLE),
    holds: (s) => isSet(s, VMCB.INTERCEPTS_3, Intercept3.NMI),
  },
];

const INJECTABLE_TYPES: readonly number[] = Object.values(EventType);

/**
 * "Vector that does not correspond to an exception": 2 is the NMI; 9, 15, 20, 22 to 27 and 31 are reserved. KVM takes #HV (28) always;
 * here 21 (#CP) needs CET, and 28 (#HV) and 29 (#VC) need SEV, so that a processor of this model has none of the three.
 */
const VECTORS = [0, 1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 30].reduce((bits, vector) => bits | (1 << vector), 0);
const CONTROL_PROTECTION = 1 << 21;
const isException = (s: EntryState, vector: number): boolean =>
  vector < 32 && (((s.supportedCr4 & Cr4.CET) !== 0 ? VECTORS | CONTROL_PROTECTION : VECTORS) & (1 << vector)) !== 0;

const OVERFLOW = 4;
const BOUND_RANGE = 5;
const in64BitMode = (s: EntryState): boolean => isSet(s, VMCB.EFER, Efer.LME) && isSet(s, VMCB.CR0, Cr0.PG) && (csAttributes(s) & SegmentAttribute.L) !== 0;
const MODE_FIELDS: readonly VmcbField[] = ['EVENTINJ', 'EFER', 'CR0', 'CS_ATTRIB'];

/** "Illegal event injection". Nothing is refused for its error code (EV and ERRORCODE): see reserved.ts. */
export const INJECTION_CHECKS: readonly EntryCheck[] = [
  {
    id: 'inject.type',
    apm: 'eventInjection',
    rule: 'If an event is injected, its TYPE is 0 (INTR), 2 (NMI), 3 (exception) or 4 (software interrupt).',
    fields: ['EVENTINJ'],
    when: injecting,
    holds: (s) => INJECTABLE_TYPES.includes(injectedType(s)),
  },
  {
    id: 'inject.vector',
    apm: 'eventInjection',
    rule: 'If an exception (TYPE 3) is injected, its vector corresponds to an exception of this processor; vector 2 is an NMI, not an exception.',
    fields: ['EVENTINJ'],
    facts: ['supportedCr4'],
    when: (s) => injecting(s) && injectedType(s) === EventType.EXCEPTION,
    holds: (s) => isException(s, injectedVector(s)),
  },
  {
    // The manual names #BR "e.g."; #OF follows, because injecting it "behaves like a trap raised by INTO", which 64-bit mode does not have.
    id: 'inject.mode',
    apm: 'eventInjection',
    rule: 'If the guest is in 64-bit mode, no exception is injected that is impossible there: #BR (BOUND) and #OF (INTO).',
    fields: MODE_FIELDS,
    when: (s) => injecting(s) && injectedType(s) === EventType.EXCEPTION && in64BitMode(s),
    holds: (s) => injectedVector(s) !== OVERFLOW && injectedVector(s) !== BOUND_RANGE,
  },
];

/** What is illegal "in addition" if nested paging is enabled. */
export const NESTED_PAGING_CHECKS: readonly EntryCheck[] = [
  {
    id: 'np.host-paging',
    apm: 'enablingNestedPaging',
    rule: 'If NP_ENABLE is set, the host has paging enabled (hCR0.PG).',
    fields: ['NESTED_CONTROL'],
    facts: ['hostPaging'],
    when: nestedPaging,
    holds: (s) => s.hostPaging,
  },
  {
    id: 'np.ncr3.mbz',
    apm: 'nestedPagingVmrun',
    rule: 'If NP_ENABLE is set, no MBZ bit of nCR3 is set: none beyond the physical-address width.',
    fields: ['NESTED_CONTROL', 'N_CR3'],
    facts: ['physicalAddressWidth'],
    when: nestedPaging,
    holds: (s) => withinPhysicalWidth(s, VMCB.N_CR3),
  },
  {
    id: 'np.g-pat',
    apm: 'nestedPagingVmrun',
    rule: 'If NP_ENABLE is set, every PA field of G_PAT is 0, 1, 4, 5, 6 or 7, and its reserved bits are zero.',
    fields: ['NESTED_CONTROL', 'G_PAT'],
    when: nestedPaging,
    holds: (s) => isPatHalf(low(s, VMCB.G_PAT)) && isPatHalf(high(s, VMCB.G_PAT)),
  },
];
