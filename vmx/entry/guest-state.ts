/**
 * SDM "Checks on Guest RIP, RFLAGS, and SSP", "Checks on Guest Non-Register State" and "Checks on Guest Page-Directory-Pointer-Table
 * Entries". A broken rule fails VM entry with exit reason 33.
 */
import { Activity } from '../../cpu/cpu';
import { EventType } from '../../cpu/interfaces';
import { Interruptibility, Interruption, PendingDebug, PinBased, Secondary } from '../controls';
import type { FieldName } from '../vmcs/fields';
import { SHADOW_INDICATOR, VMCS_REVISION } from '../vmcs/layout';
import { SECONDARY_FIELDS, ia32eGuest, isPhysicalAddress, pinIs, secondaryIs, upperBitsEqual, type EntryCheck, type EntryState } from './check';

const CR0_PE = 1,
  CR0_PG = 0x8000_0000,
  CR4_PAE = 1 << 5;
const RFLAGS_TF = 1 << 8,
  RFLAGS_IF = 1 << 9,
  RFLAGS_VM = 1 << 17;
/** Bits 31:22, 15, 5 and 3 of RFLAGS. */
const RFLAGS_RESERVED = 0xffc0_8028;
const CS_L = 1 << 13;
const DEBUGCTL_BTF = 1 << 1;

/** Exit qualifications of a failed entry. SDM "VM-Entry Failures During or After Loading Guest State". */
export const EntryFailure = { OTHER: 0, PDPTE: 2, NMI_INTO_STI_BLOCKING: 3, VMCS_LINK_POINTER: 4 } as const;

const injected = (s: EntryState): EventType | undefined =>
  (s.low('ENTRY_INTERRUPTION_INFORMATION') & Interruption.VALID) !== 0 ? (s.low('ENTRY_INTERRUPTION_INFORMATION') >>> 8) & 7 : undefined;
const injectedVector = (s: EntryState): number => s.low('ENTRY_INTERRUPTION_INFORMATION') & 0xff;
const interruptibility = (s: EntryState, bits: number): boolean => (s.low('GUEST_INTERRUPTIBILITY_STATE') & bits) !== 0;
const code64 = (s: EntryState): boolean => ia32eGuest(s) && (s.low('GUEST_CS_ACCESS_RIGHTS') & CS_L) !== 0;

export const GUEST_RIP_CHECKS: readonly EntryCheck[] = [
  {
    id: 'guest.rip.high',
    sdm: 'guestRipRflags',
    rule: 'If the "IA-32e mode guest" VM-entry control is 0 or L is 0 in the CS access rights, bits 63:32 of the guest RIP field are 0.',
    fields: ['GUEST_RIP', 'VM_ENTRY_CONTROLS', 'GUEST_CS_ACCESS_RIGHTS'],
    when: (s) => !code64(s),
    holds: (s) => s.high('GUEST_RIP') === 0,
  },
  {
    // So RIP may stand right behind the lower half of the address space, where the instruction before left it: fetching there is the guest's #GP.
    id: 'guest.rip.upper',
    sdm: 'guestRipRflags',
    rule: 'If the guest will be in 64-bit mode, bits 63:N of the guest RIP field are identical, N being the number of linear-address bits.',
    fields: ['GUEST_RIP', 'VM_ENTRY_CONTROLS', 'GUEST_CS_ACCESS_RIGHTS'],
    when: code64,
    holds: (s) => upperBitsEqual(s, 'GUEST_RIP'),
  },
];

export const GUEST_RFLAGS_CHECKS: readonly EntryCheck[] = [
  {
    id: 'guest.rflags.reserved',
    sdm: 'guestRipRflags',
    rule: 'Reserved bits 63:22, 15, 5 and 3 of the guest RFLAGS field are 0, and reserved bit 1 is 1.',
    fields: ['GUEST_RFLAGS'],
    holds: (s) => (s.low('GUEST_RFLAGS') & RFLAGS_RESERVED) === 0 && s.high('GUEST_RFLAGS') === 0 && (s.low('GUEST_RFLAGS') & 2) !== 0,
  },
  {
    id: 'guest.rflags.vm',
    sdm: 'guestRipRflags',
    rule: 'If the "IA-32e mode guest" VM-entry control is 1 or CR0.PE is 0 in the guest CR0 field, the VM flag (bit 17) is 0.',
    fields: ['GUEST_RFLAGS', 'VM_ENTRY_CONTROLS', 'GUEST_CR0'],
    when: (s) => ia32eGuest(s) || (s.low('GUEST_CR0') & CR0_PE) === 0,
    holds: (s) => (s.low('GUEST_RFLAGS') & RFLAGS_VM) === 0,
  },
  {
    id: 'guest.rflags.if-for-interrupt',
    sdm: 'guestRipRflags',
    rule: 'If an external interrupt is injected, the IF flag (bit 9) of the guest RFLAGS field is 1.',
    fields: ['GUEST_RFLAGS', 'ENTRY_INTERRUPTION_INFORMATION'],
    when: (s) => injected(s) === EventType.ExternalInterrupt,
    holds: (s) => (s.low('GUEST_RFLAGS') & RFLAGS_IF) !== 0,
  },
];

/** SDM "Checks on Guest Non-Register State": activity state. */
const activityChecks: readonly EntryCheck[] = [
  {
    id: 'guest.activity.supported',
    sdm: 'guestNonRegister',
    rule: 'The activity-state field is 0 (active) or a state that IA32_VMX_MISC[8:6] reports: 1 (HLT), 2 (shutdown), 3 (wait-for-SIPI).',
    fields: ['GUEST_ACTIVITY_STATE'],
    holds: (s) => s.low('GUEST_ACTIVITY_STATE') <= 3 && ((s.capabilities.activityStates >>> s.low('GUEST_ACTIVITY_STATE')) & 1) !== 0,
  },
  {
    id: 'guest.activity.hlt-dpl',
    sdm: 'guestNonRegister',
    rule: 'The activity state is not HLT if the DPL in the SS access rights is not 0.',
    fields: ['GUEST_ACTIVITY_STATE', 'GUEST_SS_ACCESS_RIGHTS'],
    when: (s) => ((s.low('GUEST_SS_ACCESS_RIGHTS') >>> 5) & 3) !== 0,
    holds: (s) => s.low('GUEST_ACTIVITY_STATE') !== Activity.Halted,
  },
  {
    id: 'guest.activity.active-if-blocking',
    sdm: 'guestNonRegister',
    rule: 'If the interruptibility state indicates blocking by STI or MOV SS, the activity state is active.',
    fields: ['GUEST_ACTIVITY_STATE', 'GUEST_INTERRUPTIBILITY_STATE'],
    when: (s) => interruptibility(s, Interruptibility.BLOCKING_BY_STI | Interruptibility.BLOCKING_BY_MOV_SS),
    holds: (s) => s.low('GUEST_ACTIVITY_STATE') === Activity.Active,
  },
  {
    id: 'guest.activity.injection',
    sdm: 'guestNonRegister',
    rule: 'An injected event is one that the activity state does not block. HLT: external interrupt, NMI, #DB, #MC, pending MTF. Shutdown: NMI, #MC. Wait-for-SIPI: none.',
    fields: ['GUEST_ACTIVITY_STATE', 'ENTRY_INTERRUPTION_INFORMATION'],
    when: (s) => injected(s) !== undefined && s.low('GUEST_ACTIVITY_STATE') !== Activity.Active,
    holds: (s) => {
      const type = injected(s);
      const machineCheck = type === EventType.HardwareException && injectedVector(s) === 18;
      if (s.low('GUEST_ACTIVITY_STATE') === Activity.Shutdown) return type === EventType.Nmi || machineCheck;
      if (s.low('GUEST_ACTIVITY_STATE') !== Activity.Halted) return false;
      const debug = type === EventType.HardwareException && injectedVector(s) === 1;
      return type === EventType.ExternalInterrupt || type === EventType.Nmi || type === EventType.OtherEvent || debug || machineCheck;
    },
  },
];

/** Interruptibility state. */
const interruptibilityChecks: readonly EntryCheck[] = [
  {
    id: 'guest.interruptibility.reserved',
    sdm: 'guestNonRegister',
    rule: 'Reserved bits of the interruptibility-state field are 0: 31:5, and bit 4 (enclave interruption) without SGX.',
    fields: ['GUEST_INTERRUPTIBILITY_STATE'],
    holds: (s) => s.low('GUEST_INTERRUPTIBILITY_STATE') <= 15,
  },
  {
    id: 'guest.interruptibility.not-both',
    sdm: 'guestNonRegister',
    rule: 'The interruptibility state does not indicate blocking by both STI and MOV SS.',
    fields: ['GUEST_INTERRUPTIBILITY_STATE'],
    holds: (s) => (s.low('GUEST_INTERRUPTIBILITY_STATE') & 3) !== 3,
  },
  {
    id: 'guest.interruptibility.sti-needs-if',
    sdm: 'guestNonRegister',
    rule: 'If the IF flag is 0 in the guest RFLAGS field, bit 0 (blocking by STI) is 0.',
    fields: ['GUEST_INTERRUPTIBILITY_STATE', 'GUEST_RFLAGS'],
    when: (s) => (s.low('GUEST_RFLAGS') & RFLAGS_IF) === 0,
    holds: (s) => !interruptibility(s, Interruptibility.BLOCKING_BY_STI),
  },
  {
    id: 'guest.interruptibility.external-interrupt',
    sdm: 'guestNonRegister',
    rule: 'If an external interrupt is injected, bits 0 (blocking by STI) and 1 (blocking by MOV SS) are 0.',
    fields: ['GUEST_INTERRUPTIBILITY_STATE', 'ENTRY_INTERRUPTION_INFORMATION'],
    when: (s) => injected(s) === EventType.ExternalInterrupt,
    holds: (s) => !interruptibility(s, Interruptibility.BLOCKING_BY_STI | Interruptibility.BLOCKING_BY_MOV_SS),
  },
  {
    id: 'guest.interruptibility.nmi-mov-ss',
    sdm: 'guestNonRegister',
    rule: 'If an NMI is injected, bit 1 (blocking by MOV SS) is 0.',
    fields: ['GUEST_INTERRUPTIBILITY_STATE', 'ENTRY_INTERRUPTION_INFORMATION'],
    when: (s) => injected(s) === EventType.Nmi,
    holds: (s) => !interruptibility(s, Interruptibility.BLOCKING_BY_MOV_SS),
  },
  {
    id: 'guest.interruptibility.nmi-sti',
    sdm: 'guestNonRegister',
    rule: 'If an NMI is injected, bit 0 (blocking by STI) is 0 (a processor may ask for this; this one does).',
    fields: ['GUEST_INTERRUPTIBILITY_STATE', 'ENTRY_INTERRUPTION_INFORMATION'],
    when: (s) => injected(s) === EventType.Nmi,
    holds: (s) => !interruptibility(s, Interruptibility.BLOCKING_BY_STI),
    qualification: EntryFailure.NMI_INTO_STI_BLOCKING,
  },
  {
    id: 'guest.interruptibility.smi',
    sdm: 'guestNonRegister',
    rule: 'Outside SMM, bit 2 (blocking by SMI) is 0.',
    fields: ['GUEST_INTERRUPTIBILITY_STATE'],
    holds: (s) => !interruptibility(s, Interruptibility.BLOCKING_BY_SMI),
  },
  {
    id: 'guest.interruptibility.virtual-nmi',
    sdm: 'guestNonRegister',
    rule: 'If the "virtual NMIs" VM-execution control is 1 and an NMI is injected, bit 3 (blocking by NMI) is 0.',
    fields: ['GUEST_INTERRUPTIBILITY_STATE', 'ENTRY_INTERRUPTION_INFORMATION', 'PIN_BASED_CONTROLS'],
    when: (s) => injected(s) === EventType.Nmi && pinIs(s, PinBased.VIRTUAL_NMIS),
    holds: (s) => !interruptibility(s, Interruptibility.BLOCKING_BY_NMI),
  },
];

/** A single step is pending exactly if TF is 1 and BTF is 0. */
const singleStepping = (s: EntryState): boolean => (s.low('GUEST_RFLAGS') & RFLAGS_TF) !== 0 && (s.low('GUEST_IA32_DEBUGCTL') & DEBUGCTL_BTF) === 0;

const pendingDebugChecks: readonly EntryCheck[] = [
  {
    id: 'guest.pending-debug.reserved',
    sdm: 'guestNonRegister',
    rule: 'Reserved bits 11:4, 13, 15 and 63:16 of the pending-debug-exceptions field are 0 (bit 16, RTM, exists only with that feature).',
    fields: ['GUEST_PENDING_DEBUG_EXCEPTIONS'],
    holds: (s) =>
      (s.low('GUEST_PENDING_DEBUG_EXCEPTIONS') & ~(PendingDebug.B | PendingDebug.ENABLED_BREAKPOINT | PendingDebug.BS)) === 0 &&
      s.high('GUEST_PENDING_DEBUG_EXCEPTIONS') === 0,
  },
  {
    id: 'guest.pending-debug.bs',
    sdm: 'guestNonRegister',
    rule: 'With blocking by STI or MOV SS, or in the HLT state, bit 14 (BS) is 1 if RFLAGS.TF is 1 and IA32_DEBUGCTL.BTF is 0, and 0 otherwise.',
    fields: ['GUEST_PENDING_DEBUG_EXCEPTIONS', 'GUEST_INTERRUPTIBILITY_STATE', 'GUEST_ACTIVITY_STATE', 'GUEST_RFLAGS', 'GUEST_IA32_DEBUGCTL'],
    when: (s) =>
      interruptibility(s, Interruptibility.BLOCKING_BY_STI | Interruptibility.BLOCKING_BY_MOV_SS) || s.low('GUEST_ACTIVITY_STATE') === Activity.Halted,
    holds: (s) => ((s.low('GUEST_PENDING_DEBUG_EXCEPTIONS') & PendingDebug.BS) !== 0) === singleStepping(s),
  },
];

export const GUEST_NON_REGISTER_CHECKS: readonly EntryCheck[] = [...activityChecks, ...interruptibilityChecks, ...pendingDebugChecks];

const linkPointer = (s: EntryState): number => s.low('VMCS_LINK_POINTER') + s.high('VMCS_LINK_POINTER') * 0x1_0000_0000;
const linked = (s: EntryState): boolean => s.low('VMCS_LINK_POINTER') !== 0xffff_ffff || s.high('VMCS_LINK_POINTER') !== 0xffff_ffff;
const linkIsAddress = (s: EntryState): boolean => isPhysicalAddress(s, 'VMCS_LINK_POINTER', 12);

/** Rules about the VMCS link pointer look at memory: asked at every VM entry. */
export const GUEST_MEMORY_CHECKS: readonly EntryCheck[] = [
  {
    id: 'guest.link-pointer.address',
    sdm: 'guestNonRegister',
    rule: 'If the VMCS link pointer is not FFFFFFFF_FFFFFFFFH, bits 11:0 are 0 and it has no bit beyond the physical-address width.',
    fields: ['VMCS_LINK_POINTER'],
    when: linked,
    holds: linkIsAddress,
    qualification: EntryFailure.VMCS_LINK_POINTER,
  },
  {
    id: 'guest.link-pointer.revision',
    sdm: 'guestNonRegister',
    rule: 'The 4 bytes that the VMCS link pointer references hold the VMCS revision identifier in bits 30:0 and the setting of "VMCS shadowing" in bit 31.',
    fields: ['VMCS_LINK_POINTER', ...SECONDARY_FIELDS],
    when: (s) => linked(s) && linkIsAddress(s),
    holds: (s) => s.memory32(linkPointer(s)) === ((secondaryIs(s, Secondary.VMCS_SHADOWING) ? SHADOW_INDICATOR : 0) | VMCS_REVISION) >>> 0,
    qualification: EntryFailure.VMCS_LINK_POINTER,
  },
  {
    id: 'guest.link-pointer.not-current',
    sdm: 'guestNonRegister',
    rule: 'The VMCS link pointer is not the current-VMCS pointer.',
    fields: ['VMCS_LINK_POINTER'],
    when: linked,
    holds: (s) => linkPointer(s) !== s.vmcsPointer,
    qualification: EntryFailure.VMCS_LINK_POINTER,
  },
];

/** The guest will use PAE paging: its PDPTE registers are loaded. */
export const paePaging = (s: EntryState): boolean => (s.low('GUEST_CR0') & CR0_PG) !== 0 && (s.low('GUEST_CR4') & CR4_PAE) !== 0 && !ia32eGuest(s);

/** Reserved bits of a present PDPTE: 2:1, 8:5 and those beyond the physical-address width. */
export const pdpteValid = (low: number, high: number, physicalAddressWidth: number): boolean =>
  (low & 1) === 0 || ((low & 0x1e6) === 0 && high < 2 ** (physicalAddressWidth - 32));

const PDPTE_FIELDS: readonly FieldName[] = ['GUEST_PDPTE0', 'GUEST_PDPTE1', 'GUEST_PDPTE2', 'GUEST_PDPTE3'];
const PAE_FIELDS: readonly FieldName[] = ['VM_ENTRY_CONTROLS', 'GUEST_CR0', 'GUEST_CR4', ...SECONDARY_FIELDS];

export const GUEST_PDPTE_CHECKS: readonly EntryCheck[] = PDPTE_FIELDS.map((field, i): EntryCheck => ({
  id: `guest.pdpte${i}.reserved`,
  sdm: 'guestPdptes',
  rule: `If the guest will use PAE paging and "enable EPT" is 1, reserved bits of a present ${field} are 0.`,
  fields: [field, ...PAE_FIELDS],
  when: (s) => secondaryIs(s, Secondary.ENABLE_EPT) && paePaging(s),
  holds: (s) => pdpteValid(s.low(field), s.high(field), s.physicalAddressWidth),
  qualification: EntryFailure.PDPTE,
}));

/** Without EPT the four entries come from memory at the guest CR3: asked at every VM entry. */
export const GUEST_PDPTE_MEMORY_CHECKS: readonly EntryCheck[] = [0, 1, 2, 3].map((i): EntryCheck => ({
  id: `guest.pdpte${i}.memory`,
  sdm: 'guestPdptes',
  rule: `If the guest will use PAE paging and "enable EPT" is 0, reserved bits of PDPTE ${i} in memory (at the guest CR3) are 0 if it is present.`,
  fields: ['GUEST_CR3', ...PAE_FIELDS],
  when: (s) => !secondaryIs(s, Secondary.ENABLE_EPT) && paePaging(s),
  holds: (s) => {
    const address = ((s.low('GUEST_CR3') & ~31) >>> 0) + i * 8;
    return pdpteValid(s.memory32(address), s.memory32(address + 4), s.physicalAddressWidth);
  },
  qualification: EntryFailure.PDPTE,
}));
