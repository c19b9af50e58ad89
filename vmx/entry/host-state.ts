/** SDM "Checks on Host Control Registers, MSRs, and SSP" and what follows it. A broken rule ends VM entry with VMfailValid, error 8. */
import { ExitControl } from '../controls';
import type { FieldName } from '../vmcs/fields';
import { exitIs, host64, ia32eGuest, isCanonical, isCanonicalInHost, isPat, withinPhysicalWidth, type EntryCheck } from './check';

const CR0_WP = 1 << 16;
const CR4_PAE = 1 << 5,
  CR4_PCIDE = 1 << 17,
  CR4_CET = 1 << 23;
const EFER_LME = 1 << 8,
  EFER_LMA = 1 << 10;

const canonical = (id: string, sdm: EntryCheck['sdm'], name: string, field: FieldName): EntryCheck => ({
  id,
  sdm,
  rule: `The host ${name} field contains a canonical address.`,
  fields: [field],
  holds: (s) => isCanonical(s, field),
});

const rplAndTi = (name: string, field: FieldName): EntryCheck => ({
  id: `host.selector.rpl-ti-clear.${name.toLowerCase()}`,
  sdm: 'hostSegments',
  rule: `In the host ${name} selector field, the RPL (bits 1:0) and the TI flag (bit 2) are 0.`,
  fields: [field],
  holds: (s) => (s.low(field) & 0b111) === 0,
});

export const HOST_STATE_CHECKS: readonly EntryCheck[] = [
  {
    id: 'host.cr0.fixed',
    sdm: 'hostControlRegisters',
    rule: 'The host CR0 field sets no bit to a value that VMX operation does not support (IA32_VMX_CR0_FIXED0 and _FIXED1).',
    fields: ['HOST_CR0'],
    holds: (s) => (s.low('HOST_CR0') & s.capabilities.cr0Fixed0) >>> 0 === s.capabilities.cr0Fixed0 && s.high('HOST_CR0') === 0,
  },
  {
    id: 'host.cr4.fixed',
    sdm: 'hostControlRegisters',
    rule: 'The host CR4 field sets no bit to a value that VMX operation does not support (IA32_VMX_CR4_FIXED0 and _FIXED1).',
    fields: ['HOST_CR4'],
    holds: (s) =>
      (s.low('HOST_CR4') & s.capabilities.cr4Fixed0) >>> 0 === s.capabilities.cr4Fixed0 &&
      (s.low('HOST_CR4') & ~s.capabilities.cr4Fixed1) === 0 &&
      s.high('HOST_CR4') === 0,
  },
  {
    id: 'host.cr4.cet-needs-wp',
    sdm: 'hostControlRegisters',
    rule: 'If CR4.CET (bit 23) is 1 in the host CR4 field, CR0.WP (bit 16) is 1 in the host CR0 field.',
    fields: ['HOST_CR4', 'HOST_CR0'],
    when: (s) => (s.low('HOST_CR4') & CR4_CET) !== 0,
    holds: (s) => (s.low('HOST_CR0') & CR0_WP) !== 0,
  },
  {
    id: 'host.cr3.width',
    sdm: 'hostControlRegisters',
    rule: 'The host CR3 field has no bit beyond the physical-address width.',
    fields: ['HOST_CR3'],
    holds: (s) => withinPhysicalWidth(s, 'HOST_CR3'),
  },
  canonical('host.sysenter-esp.canonical', 'hostControlRegisters', 'IA32_SYSENTER_ESP', 'HOST_IA32_SYSENTER_ESP'),
  canonical('host.sysenter-eip.canonical', 'hostControlRegisters', 'IA32_SYSENTER_EIP', 'HOST_IA32_SYSENTER_EIP'),
  {
    id: 'host.pat',
    sdm: 'hostControlRegisters',
    rule: 'If the "load IA32_PAT" VM-exit control is 1, each byte of the host IA32_PAT field is 0, 1, 4, 5, 6 or 7.',
    fields: ['VM_EXIT_CONTROLS', 'HOST_IA32_PAT'],
    when: (s) => exitIs(s, ExitControl.LOAD_IA32_PAT),
    holds: (s) => isPat(s, 'HOST_IA32_PAT'),
  },
  {
    id: 'host.efer.reserved',
    sdm: 'hostControlRegisters',
    rule: 'If the "load IA32_EFER" VM-exit control is 1, reserved bits in the host IA32_EFER field are 0.',
    fields: ['VM_EXIT_CONTROLS', 'HOST_IA32_EFER'],
    when: (s) => exitIs(s, ExitControl.LOAD_IA32_EFER),
    holds: (s) => (s.low('HOST_IA32_EFER') & ~s.eferBits) === 0 && s.high('HOST_IA32_EFER') === 0,
  },
  {
    id: 'host.efer.size',
    sdm: 'hostControlRegisters',
    rule: 'If the "load IA32_EFER" VM-exit control is 1, LMA and LME in the host IA32_EFER field each equal the "host address-space size" VM-exit control.',
    fields: ['VM_EXIT_CONTROLS', 'HOST_IA32_EFER'],
    when: (s) => exitIs(s, ExitControl.LOAD_IA32_EFER),
    holds: (s) => (s.low('HOST_IA32_EFER') & (EFER_LMA | EFER_LME)) === (host64(s) ? EFER_LMA | EFER_LME : 0),
  },
  rplAndTi('ES', 'HOST_ES_SELECTOR'),
  rplAndTi('CS', 'HOST_CS_SELECTOR'),
  rplAndTi('SS', 'HOST_SS_SELECTOR'),
  rplAndTi('DS', 'HOST_DS_SELECTOR'),
  rplAndTi('FS', 'HOST_FS_SELECTOR'),
  rplAndTi('GS', 'HOST_GS_SELECTOR'),
  rplAndTi('TR', 'HOST_TR_SELECTOR'),
  {
    id: 'host.selector.cs-not-null',
    sdm: 'hostSegments',
    rule: 'The host CS selector field is not 0000H.',
    fields: ['HOST_CS_SELECTOR'],
    holds: (s) => s.low('HOST_CS_SELECTOR') !== 0,
  },
  {
    id: 'host.selector.tr-not-null',
    sdm: 'hostSegments',
    rule: 'The host TR selector field is not 0000H.',
    fields: ['HOST_TR_SELECTOR'],
    holds: (s) => s.low('HOST_TR_SELECTOR') !== 0,
  },
  {
    id: 'host.selector.ss-not-null',
    sdm: 'hostSegments',
    rule: 'If the "host address-space size" VM-exit control is 0, the host SS selector field is not 0000H.',
    fields: ['VM_EXIT_CONTROLS', 'HOST_SS_SELECTOR'],
    when: (s) => !host64(s),
    holds: (s) => s.low('HOST_SS_SELECTOR') !== 0,
  },
  canonical('host.fs-base.canonical', 'hostSegments', 'FS base', 'HOST_FS_BASE'),
  canonical('host.gs-base.canonical', 'hostSegments', 'GS base', 'HOST_GS_BASE'),
  canonical('host.gdtr-base.canonical', 'hostSegments', 'GDTR base', 'HOST_GDTR_BASE'),
  canonical('host.idtr-base.canonical', 'hostSegments', 'IDTR base', 'HOST_IDTR_BASE'),
  canonical('host.tr-base.canonical', 'hostSegments', 'TR base', 'HOST_TR_BASE'),
  {
    id: 'host.size.outside-ia32e',
    sdm: 'addressSpaceSize',
    rule: 'If the processor is outside IA-32e mode at VM entry, "IA-32e mode guest" and "host address-space size" are 0.',
    fields: ['VM_ENTRY_CONTROLS', 'VM_EXIT_CONTROLS'],
    when: (s) => !s.longMode,
    holds: (s) => !ia32eGuest(s) && !host64(s),
  },
  {
    id: 'host.size.in-ia32e',
    sdm: 'addressSpaceSize',
    rule: 'If the processor is in IA-32e mode at VM entry, the "host address-space size" VM-exit control is 1.',
    fields: ['VM_EXIT_CONTROLS'],
    when: (s) => s.longMode,
    holds: host64,
  },
  {
    id: 'host.size32.no-ia32e-guest',
    sdm: 'addressSpaceSize',
    rule: 'If the "host address-space size" VM-exit control is 0, the "IA-32e mode guest" VM-entry control is 0.',
    fields: ['VM_EXIT_CONTROLS', 'VM_ENTRY_CONTROLS'],
    when: (s) => !host64(s),
    holds: (s) => !ia32eGuest(s),
  },
  {
    id: 'host.size32.no-pcide',
    sdm: 'addressSpaceSize',
    rule: 'If the "host address-space size" VM-exit control is 0, CR4.PCIDE (bit 17) is 0 in the host CR4 field.',
    fields: ['VM_EXIT_CONTROLS', 'HOST_CR4'],
    when: (s) => !host64(s),
    holds: (s) => (s.low('HOST_CR4') & CR4_PCIDE) === 0,
  },
  {
    id: 'host.size32.rip',
    sdm: 'addressSpaceSize',
    rule: 'If the "host address-space size" VM-exit control is 0, bits 63:32 of the host RIP field are 0.',
    fields: ['VM_EXIT_CONTROLS', 'HOST_RIP'],
    when: (s) => !host64(s),
    holds: (s) => s.high('HOST_RIP') === 0,
  },
  {
    id: 'host.size64.pae',
    sdm: 'addressSpaceSize',
    rule: 'If the "host address-space size" VM-exit control is 1, CR4.PAE (bit 5) is 1 in the host CR4 field.',
    fields: ['VM_EXIT_CONTROLS', 'HOST_CR4'],
    when: host64,
    holds: (s) => (s.low('HOST_CR4') & CR4_PAE) !== 0,
  },
  {
    id: 'host.size64.rip',
    sdm: 'addressSpaceSize',
    rule: 'If the "host address-space size" VM-exit control is 1, the host RIP field contains an address that is canonical under CR4.LA57 (bit 12) of the host CR4 field.',
    fields: ['VM_EXIT_CONTROLS', 'HOST_CR4', 'HOST_RIP'],
    when: host64,
    holds: (s) => isCanonicalInHost(s, 'HOST_RIP'),
  },
];
