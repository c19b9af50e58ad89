/** SDM "Checks on Guest Control Registers, Debug Registers, and MSRs". A broken rule fails VM entry with exit reason 33. */
import { EntryControl } from '../controls';
import { SECONDARY_FIELDS, entryIs, ia32eGuest, isCanonical, isPat, unrestricted, withinPhysicalWidth, type EntryCheck } from './check';

const CR0_PE = 1,
  CR0_WP = 1 << 16,
  CR0_PG = 0x8000_0000;
const CR4_PAE = 1 << 5,
  CR4_PCIDE = 1 << 17,
  CR4_CET = 1 << 23;
const EFER_LME = 1 << 8,
  EFER_LMA = 1 << 10;
/** IA32_DEBUGCTL: LBR, BTF, the trace and freeze bits 6-12 and FREEZE_WHILE_SMM; the rest is reserved. */
const DEBUGCTL_BITS = 0x5fc3;

export const GUEST_REGISTER_CHECKS: readonly EntryCheck[] = [
  {
    id: 'guest.cr0.fixed',
    sdm: 'guestControlRegisters',
    rule: 'The guest CR0 field sets no bit to a value that VMX operation does not support; PE and PG are exempt if "unrestricted guest" is 1.',
    fields: ['GUEST_CR0', ...SECONDARY_FIELDS],
    holds: (s) => {
      const fixed0 = (unrestricted(s) ? s.capabilities.cr0Fixed0 & ~(CR0_PE | CR0_PG) : s.capabilities.cr0Fixed0) >>> 0;
      return (s.low('GUEST_CR0') & fixed0) >>> 0 === fixed0 && s.high('GUEST_CR0') === 0;
    },
  },
  {
    id: 'guest.cr0.pg-needs-pe',
    sdm: 'guestControlRegisters',
    rule: 'If CR0.PG (bit 31) is 1 in the guest CR0 field, CR0.PE (bit 0) is 1.',
    fields: ['GUEST_CR0'],
    when: (s) => (s.low('GUEST_CR0') & CR0_PG) !== 0,
    holds: (s) => (s.low('GUEST_CR0') & CR0_PE) !== 0,
  },
  {
    id: 'guest.cr4.fixed',
    sdm: 'guestControlRegisters',
    rule: 'The guest CR4 field sets no bit to a value that VMX operation does not support (IA32_VMX_CR4_FIXED0 and _FIXED1).',
    fields: ['GUEST_CR4'],
    holds: (s) =>
      (s.low('GUEST_CR4') & s.capabilities.cr4Fixed0) >>> 0 === s.capabilities.cr4Fixed0 &&
      (s.low('GUEST_CR4') & ~s.capabilities.cr4Fixed1) === 0 &&
      s.high('GUEST_CR4') === 0,
  },
  {
    id: 'guest.cr4.cet-needs-wp',
    sdm: 'guestControlRegisters',
    rule: 'If CR4.CET (bit 23) is 1 in the guest CR4 field, CR0.WP (bit 16) is 1 in the guest CR0 field.',
    fields: ['GUEST_CR4', 'GUEST_CR0'],
    when: (s) => (s.low('GUEST_CR4') & CR4_CET) !== 0,
    holds: (s) => (s.low('GUEST_CR0') & CR0_WP) !== 0,
  },
  {
    id: 'guest.debugctl.reserved',
    sdm: 'guestControlRegisters',
    rule: 'If the "load debug controls" VM-entry control is 1, reserved bits in the guest IA32_DEBUGCTL field are 0.',
    fields: ['VM_ENTRY_CONTROLS', 'GUEST_IA32_DEBUGCTL'],
    when: (s) => entryIs(s, EntryControl.LOAD_DEBUG_CONTROLS),
    holds: (s) => (s.low('GUEST_IA32_DEBUGCTL') & ~DEBUGCTL_BITS) === 0 && s.high('GUEST_IA32_DEBUGCTL') === 0,
  },
  {
    id: 'guest.ia32e.paging',
    sdm: 'guestControlRegisters',
    rule: 'If the "IA-32e mode guest" VM-entry control is 1, CR0.PG (bit 31) and CR4.PAE (bit 5) are 1 in the guest CR0 and CR4 fields.',
    fields: ['VM_ENTRY_CONTROLS', 'GUEST_CR0', 'GUEST_CR4'],
    when: ia32eGuest,
    holds: (s) => (s.low('GUEST_CR0') & CR0_PG) !== 0 && (s.low('GUEST_CR4') & CR4_PAE) !== 0,
  },
  {
    id: 'guest.legacy.no-pcide',
    sdm: 'guestControlRegisters',
    rule: 'If the "IA-32e mode guest" VM-entry control is 0, CR4.PCIDE (bit 17) is 0 in the guest CR4 field.',
    fields: ['VM_ENTRY_CONTROLS', 'GUEST_CR4'],
    when: (s) => !ia32eGuest(s),
    holds: (s) => (s.low('GUEST_CR4') & CR4_PCIDE) === 0,
  },
  {
    id: 'guest.cr3.width',
    sdm: 'guestControlRegisters',
    rule: 'The guest CR3 field has no bit beyond the physical-address width.',
    fields: ['GUEST_CR3'],
    holds: (s) => withinPhysicalWidth(s, 'GUEST_CR3'),
  },
  {
    id: 'guest.dr7.high',
    sdm: 'guestControlRegisters',
    rule: 'If the "load debug controls" VM-entry control is 1, bits 63:32 of the guest DR7 field are 0.',
    fields: ['VM_ENTRY_CONTROLS', 'GUEST_DR7'],
    when: (s) => entryIs(s, EntryControl.LOAD_DEBUG_CONTROLS),
    holds: (s) => s.high('GUEST_DR7') === 0,
  },
  {
    id: 'guest.sysenter-esp.canonical',
    sdm: 'guestControlRegisters',
    rule: 'The guest IA32_SYSENTER_ESP field contains a canonical address.',
    fields: ['GUEST_IA32_SYSENTER_ESP'],
    holds: (s) => isCanonical(s, 'GUEST_IA32_SYSENTER_ESP'),
  },
  {
    id: 'guest.sysenter-eip.canonical',
    sdm: 'guestControlRegisters',
    rule: 'The guest IA32_SYSENTER_EIP field contains a canonical address.',
    fields: ['GUEST_IA32_SYSENTER_EIP'],
    holds: (s) => isCanonical(s, 'GUEST_IA32_SYSENTER_EIP'),
  },
  {
    id: 'guest.pat',
    sdm: 'guestControlRegisters',
    rule: 'If the "load IA32_PAT" VM-entry control is 1, each byte of the guest IA32_PAT field is 0, 1, 4, 5, 6 or 7.',
    fields: ['VM_ENTRY_CONTROLS', 'GUEST_IA32_PAT'],
    when: (s) => entryIs(s, EntryControl.LOAD_IA32_PAT),
    holds: (s) => isPat(s, 'GUEST_IA32_PAT'),
  },
  {
    id: 'guest.efer.reserved',
    sdm: 'guestControlRegisters',
    rule: 'If the "load IA32_EFER" VM-entry control is 1, reserved bits in the guest IA32_EFER field are 0.',
    fields: ['VM_ENTRY_CONTROLS', 'GUEST_IA32_EFER'],
    when: (s) => entryIs(s, EntryControl.LOAD_IA32_EFER),
    holds: (s) => (s.low('GUEST_IA32_EFER') & ~s.eferBits) === 0 && s.high('GUEST_IA32_EFER') === 0,
  },
  {
    id: 'guest.efer.lma',
    sdm: 'guestControlRegisters',
    rule: 'If the "load IA32_EFER" VM-entry control is 1, LMA (bit 10) in the guest IA32_EFER field equals the "IA-32e mode guest" VM-entry control.',
    fields: ['VM_ENTRY_CONTROLS', 'GUEST_IA32_EFER'],
    when: (s) => entryIs(s, EntryControl.LOAD_IA32_EFER),
    holds: (s) => ((s.low('GUEST_IA32_EFER') & EFER_LMA) !== 0) === ia32eGuest(s),
  },
  {
    id: 'guest.efer.lme',
    sdm: 'guestControlRegisters',
    rule: 'If the "load IA32_EFER" VM-entry control is 1 and CR0.PG is 1 in the guest CR0 field, LME (bit 8) equals LMA (bit 10).',
    fields: ['VM_ENTRY_CONTROLS', 'GUEST_IA32_EFER', 'GUEST_CR0'],
    when: (s) => entryIs(s, EntryControl.LOAD_IA32_EFER) && (s.low('GUEST_CR0') & CR0_PG) !== 0,
    holds: (s) => ((s.low('GUEST_IA32_EFER') & EFER_LME) !== 0) === ((s.low('GUEST_IA32_EFER') & EFER_LMA) !== 0),
  },
];
