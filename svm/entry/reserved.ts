/**
 * What software must not write to a VMCB although VMRUN refuses none of it: reserved encodings, and bits of features that the processor
 * does not have. VirtualBox and older KVM end VMRUN with VMEXIT_INVALID for some of these; the APM does not list them among the illegal
 * states. They are shown beside the broken rules, because they are where a hypervisor that works elsewhere goes wrong.
 */
import { EventInfo, EventType, NestedControl, TlbControl, VIntr, VirtualizationEnable } from '../controls';
import { SvmFeature, type SvmFeatureName } from '../features';
import { VMCB, type VmcbField } from '../vmcb/layout';
import { hasFeature, injectedType, injectedVector, injecting, isSet, low, type EntryCheck, type EntryState } from './check';

/** #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #SX push an error code. */
const WITH_ERROR_CODE = [8, 10, 11, 12, 13, 14, 17, 21, 30].reduce((bits, vector) => bits | (1 << vector), 0);
const expectsErrorCode = (s: EntryState): boolean =>
  injectedType(s) === EventType.EXCEPTION && injectedVector(s) < 32 && ((WITH_ERROR_CODE >>> injectedVector(s)) & 1) !== 0;

/** A control bit that means something only with its feature. */
const needsFeature = (field: VmcbField, name: string, bit: number, feature: SvmFeatureName): EntryCheck => ({
  id: `reserved.${name.toLowerCase().replace(/_/g, '-')}`,
  apm: 'vmcbLayout',
  rule: `${name} is zero on a processor without ${feature} (CPUID Fn8000_000A_EDX).`,
  fields: [field],
  facts: ['svmFeatures'],
  when: (s) => !hasFeature(s, SvmFeature[feature]),
  holds: (s) => !isSet(s, VMCB[field], bit),
});

export const RESERVED_USES: readonly EntryCheck[] = [
  {
    id: 'reserved.tlb-control',
    apm: 'tlbFlush',
    rule: 'TLB_CONTROL is 0 or 1, or 3 or 7 on a processor with FLUSH_BY_ASID; the other encodings are reserved.',
    fields: ['TLB_CONTROL'],
    facts: ['svmFeatures'],
    holds: (s) => {
      const command = low(s, VMCB.TLB_CONTROL) & 0xff;
      if (command === TlbControl.DO_NOTHING || command === TlbControl.FLUSH_ALL) return true;
      return hasFeature(s, SvmFeature.FLUSH_BY_ASID) && (command === TlbControl.FLUSH_GUEST || command === TlbControl.FLUSH_GUEST_NON_GLOBAL);
    },
  },
  {
    id: 'reserved.asid',
    apm: 'vmrun',
    rule: 'ASID is less than the number of ASIDs that the processor supports (CPUID Fn8000_000A_EBX).',
    fields: ['GUEST_ASID'],
    facts: ['asids'],
    holds: (s) => low(s, VMCB.GUEST_ASID) < s.asids,
  },
  {
    id: 'reserved.eventinj',
    apm: 'eventInjection',
    rule: 'If an event is injected, bits 30:12 of EVENTINJ are zero (SBZ).',
    fields: ['EVENTINJ'],
    when: injecting,
    holds: (s) => !isSet(s, VMCB.EVENTINJ, EventInfo.RESERVED),
  },
  {
    id: 'reserved.eventinj-error-code',
    apm: 'eventInjection',
    rule: 'If an event is injected, EV is set if and only if it is an exception that pushes an error code.',
    fields: ['EVENTINJ'],
    when: injecting,
    holds: (s) => isSet(s, VMCB.EVENTINJ, EventInfo.ERROR_CODE) === expectsErrorCode(s),
  },
  needsFeature('NESTED_CONTROL', 'NP_ENABLE', NestedControl.NP_ENABLE, 'NP'),
  needsFeature('NESTED_CONTROL', 'GMET_ENABLE', NestedControl.GMET_ENABLE, 'GMET'),
  needsFeature('NESTED_CONTROL', 'SSS_CHECK_ENABLE', NestedControl.SSS_CHECK_ENABLE, 'SSS_CHECK'),
  needsFeature('NESTED_CONTROL', 'ROGPT_ENABLE', NestedControl.ROGPT_ENABLE, 'ROGPT'),
  needsFeature('V_INTR', 'V_GIF_ENABLE', VIntr.V_GIF_ENABLE, 'VGIF'),
  needsFeature('V_INTR', 'V_NMI_ENABLE', VIntr.V_NMI_ENABLE, 'VNMI'),
  needsFeature('V_INTR', 'AVIC_ENABLE', VIntr.AVIC_ENABLE, 'AVIC'),
  needsFeature('V_INTR', 'X2AVIC_ENABLE', VIntr.X2AVIC_ENABLE, 'X2AVIC'),
  needsFeature('VIRTUALIZATION_ENABLE', 'LBR_VIRTUALIZATION_ENABLE', VirtualizationEnable.LBR, 'LBR_VIRT'),
  needsFeature('VIRTUALIZATION_ENABLE', 'VMSAVE_VMLOAD_VIRTUALIZATION_ENABLE', VirtualizationEnable.VMSAVE_VMLOAD, 'VMSAVE_VIRT'),
];
