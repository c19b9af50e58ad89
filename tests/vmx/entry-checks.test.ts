/** One broken state a rule, and the baseline that breaks none. Values from SDM chapter "VM Entries". */
import { FULL_VMX_PROFILE } from '../../vmx/capabilities';
import { EntryControl, ExitControl, PinBased, Primary, Secondary } from '../../vmx/controls';
import { explain, violations as violationsOf } from '../../vmx/entry/check';
import { checkEntry } from '../../vmx/entry/explain';
import { ALL_CHECKS, CHECK_GROUPS } from '../../vmx/entry/groups';
import type { FieldName } from '../../vmx/vmcs/fields';
import { BASELINE, ENTRY, EXIT, PIN, VIRTUAL_APIC, VMCS_A, rootWithVmcs, type Bench } from './bench';
import {
  EVERYTHING,
  HOST32,
  LEGACY,
  PAE,
  UNRESTRICTED_REAL,
  USABLE_LDTR,
  V86,
  type VmcsValues,
  baselineWith,
  brokenRules,
  inject,
  primary,
  secondary,
  type Patch,
  type Surroundings,
} from './vmcs-values';

interface Row extends Surroundings {
  readonly patch: Patch;
  readonly everything?: true;
  /** Other rules that the same state cannot help breaking. */
  readonly also?: readonly string[];
}

const HIGH = 1n << 46n;
const NON_CANONICAL = 1n << 47n;

const dataSegments = ['DS', 'ES', 'FS', 'GS'] as const;
const codeAndData = ['CS', 'SS', ...dataSegments] as const;
const rightsOf = (r: string): number => Number(BASELINE[`GUEST_${r}_ACCESS_RIGHTS` as FieldName]);

const BROKEN: Record<string, Row> = {
  // VM-execution controls
  'control.pin.allowed': { patch: { PIN_BASED_CONTROLS: 0x6 } },
  'control.primary.allowed': { patch: { PRIMARY_PROCESSOR_BASED_CONTROLS: primary(0) & ~2 } },
  'control.secondary.allowed': { patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.ENABLE_ENCLS_EXITING) } },
  'control.cr3-target-count': { patch: { CR3_TARGET_COUNT: 5 } },
  'control.io-bitmap-a': { patch: { PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.USE_IO_BITMAPS), IO_BITMAP_A_ADDRESS: 0x7800 } },
  'control.io-bitmap-b': { patch: { PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.USE_IO_BITMAPS), IO_BITMAP_B_ADDRESS: HIGH } },
  'control.msr-bitmap': { patch: { PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.USE_MSR_BITMAPS), MSR_BITMAP_ADDRESS: 1 } },
  'control.virtual-apic-address': { patch: { PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.USE_TPR_SHADOW), VIRTUAL_APIC_ADDRESS: 0x10 } },
  'control.tpr-threshold.reserved': {
    patch: { PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.USE_TPR_SHADOW), VIRTUAL_APIC_ADDRESS: VIRTUAL_APIC, TPR_THRESHOLD: 0x10 },
  },
  'control.tpr-threshold.vtpr': {
    patch: { PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.USE_TPR_SHADOW), VIRTUAL_APIC_ADDRESS: VIRTUAL_APIC, TPR_THRESHOLD: 5 },
    memory: { [VIRTUAL_APIC + 0x80]: 0x40 },
  },
  'control.virtual-nmis.need-nmi-exiting': { patch: { PIN_BASED_CONTROLS: PIN | PinBased.VIRTUAL_NMIS } },
  'control.nmi-window.needs-virtual-nmis': { patch: { PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.NMI_WINDOW_EXITING) } },
  'control.apic-access-address': {
    everything: true,
    patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.VIRTUALIZE_APIC_ACCESSES), APIC_ACCESS_ADDRESS: 8 },
  },
  'control.x2apic.needs-tpr-shadow': { everything: true, patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.VIRTUALIZE_X2APIC_MODE) } },
  'control.apic-registers.need-tpr-shadow': {
    everything: true,
    patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.APIC_REGISTER_VIRTUALIZATION) },
  },
  'control.virtual-interrupts.need-tpr-shadow': {
    everything: true,
    patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.VIRTUAL_INTERRUPT_DELIVERY), PIN_BASED_CONTROLS: PIN | 1 },
  },
  'control.x2apic.excludes-apic-accesses': {
    everything: true,
    patch: {
      PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.USE_TPR_SHADOW),
      SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.VIRTUALIZE_X2APIC_MODE | Secondary.VIRTUALIZE_APIC_ACCESSES),
    },
  },
  'control.virtual-interrupts.need-external-exiting': {
    everything: true,
    patch: {
      PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.USE_TPR_SHADOW),
      SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.VIRTUAL_INTERRUPT_DELIVERY),
    },
  },
  'control.posted.needs-virtual-interrupts': {
    everything: true,
    patch: { PIN_BASED_CONTROLS: PIN | PinBased.PROCESS_POSTED_INTERRUPTS, VM_EXIT_CONTROLS: EXIT | ExitControl.ACKNOWLEDGE_INTERRUPT_ON_EXIT },
  },
  'control.posted.vector': {
    everything: true,
    also: ['control.posted.needs-virtual-interrupts'],
    patch: { PIN_BASED_CONTROLS: PIN | PinBased.PROCESS_POSTED_INTERRUPTS, POSTED_INTERRUPT_NOTIFICATION_VECTOR: 256 },
  },
  'control.posted.descriptor': {
    everything: true,
    also: ['control.posted.needs-virtual-interrupts'],
    patch: { PIN_BASED_CONTROLS: PIN | PinBased.PROCESS_POSTED_INTERRUPTS, POSTED_INTERRUPT_DESCRIPTOR_ADDRESS: 32 },
  },
  'control.vpid-not-zero': { patch: { VPID: 0 } },
  'control.eptp.memory-type': { patch: { EPT_POINTER: 0x401c } },
  'control.eptp.walk-length': { patch: { EPT_POINTER: 0x4026 } },
  'control.eptp.accessed-dirty': { profile: { ...FULL_VMX_PROFILE, ept: { ...FULL_VMX_PROFILE.ept, accessedDirty: false } }, patch: { EPT_POINTER: 0x405e } },
  'control.eptp.reserved': { patch: { EPT_POINTER: 0x409e } },
  'control.pml.needs-ept': { everything: true, patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_PML } },
  'control.pml-address': { everything: true, patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.ENABLE_PML), PML_ADDRESS: 0x10 } },
  'control.unrestricted.needs-ept': { patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.UNRESTRICTED_GUEST } },
  'control.mode-based-execute.needs-ept': { everything: true, patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.MODE_BASED_EXECUTE_CONTROL } },
  'control.sub-page.needs-ept': { everything: true, patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.SUB_PAGE_WRITE_PERMISSIONS } },
  'control.sppt-pointer': { everything: true, patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.SUB_PAGE_WRITE_PERMISSIONS), SPPT_POINTER: 1 } },
  'control.pt-gpa.needs-ept': { everything: true, patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.PT_USES_GUEST_PHYSICAL_ADDRESSES } },
  'control.vm-functions.reserved': {
    everything: true,
    patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.ENABLE_VM_FUNCTIONS), VM_FUNCTION_CONTROLS: 2 },
  },
  'control.eptp-switching': {
    everything: true,
    patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.ENABLE_VM_FUNCTIONS), VM_FUNCTION_CONTROLS: 1, EPTP_LIST_ADDRESS: 8 },
  },
  'control.vmread-bitmap': { everything: true, patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.VMCS_SHADOWING), VMREAD_BITMAP_ADDRESS: 1 } },
  'control.vmwrite-bitmap': {
    everything: true,
    patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.VMCS_SHADOWING), VMWRITE_BITMAP_ADDRESS: HIGH },
  },
  'control.ve-information': {
    everything: true,
    patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.EPT_VIOLATION_VE), VIRTUALIZATION_EXCEPTION_INFORMATION_ADDRESS: 0x800 },
  },
  'control.tsc-multiplier': { everything: true, patch: { SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.USE_TSC_SCALING), TSC_MULTIPLIER: 0 } },
  // VM-exit and VM-entry controls
  'control.exit.allowed': { patch: { VM_EXIT_CONTROLS: EXIT & ~0x200_00 } },
  'control.exit.save-timer-needs-timer': { patch: { VM_EXIT_CONTROLS: EXIT | ExitControl.SAVE_PREEMPTION_TIMER_VALUE } },
  'control.exit.msr-store-area': { patch: { EXIT_MSR_STORE_COUNT: 1, EXIT_MSR_STORE_ADDRESS: 8 } },
  'control.exit.msr-load-area': { patch: { EXIT_MSR_LOAD_COUNT: 2, EXIT_MSR_LOAD_ADDRESS: HIGH - 16n } },
  'control.entry.allowed': { patch: { VM_ENTRY_CONTROLS: ENTRY & ~1 } },
  'control.entry.not-in-smm': { everything: true, patch: { VM_ENTRY_CONTROLS: ENTRY | EntryControl.ENTRY_TO_SMM } },
  'control.entry.msr-load-area': { patch: { ENTRY_MSR_LOAD_COUNT: 1, ENTRY_MSR_LOAD_ADDRESS: HIGH } },
  'control.inject.type': { patch: { ENTRY_INTERRUPTION_INFORMATION: inject(1, 0x20) } },
  'control.inject.vector.nmi': { patch: { ENTRY_INTERRUPTION_INFORMATION: inject(2, 3) } },
  'control.inject.vector.exception': { patch: { ENTRY_INTERRUPTION_INFORMATION: inject(3, 32) } },
  'control.inject.vector.other': { patch: { ENTRY_INTERRUPTION_INFORMATION: inject(7, 1) } },
  'control.inject.error-code-valid': { patch: { ENTRY_INTERRUPTION_INFORMATION: inject(3, 13) } },
  'control.inject.reserved': { patch: { ENTRY_INTERRUPTION_INFORMATION: inject(3, 6, 1 << 12) } },
  'control.inject.error-code': { patch: { ENTRY_INTERRUPTION_INFORMATION: inject(3, 13, 1 << 11), ENTRY_EXCEPTION_ERROR_CODE: 0x1_0000 } },
  'control.inject.instruction-length': { patch: { ENTRY_INTERRUPTION_INFORMATION: inject(4, 0x80), ENTRY_INSTRUCTION_LENGTH: 16 } },
  // host state
  'host.cr0.fixed': { patch: { HOST_CR0: 0x8001_0013 } },
  'host.cr4.fixed': { patch: { HOST_CR4: 0x620 } },
  'host.cr4.cet-needs-wp': { also: ['host.cr4.fixed'], patch: { HOST_CR4: 0x80_2620, HOST_CR0: 0x8000_0033 } },
  'host.cr3.width': { patch: { HOST_CR3: HIGH } },
  'host.sysenter-esp.canonical': { patch: { HOST_IA32_SYSENTER_ESP: NON_CANONICAL } },
  'host.sysenter-eip.canonical': { patch: { HOST_IA32_SYSENTER_EIP: NON_CANONICAL } },
  'host.pat': { patch: { VM_EXIT_CONTROLS: EXIT | ExitControl.LOAD_IA32_PAT, HOST_IA32_PAT: 0x0200_0000_0000_0000n } },
  'host.efer.reserved': { patch: { VM_EXIT_CONTROLS: EXIT | ExitControl.LOAD_IA32_EFER, HOST_IA32_EFER: 0x1d01 } },
  'host.efer.size': { patch: { VM_EXIT_CONTROLS: EXIT | ExitControl.LOAD_IA32_EFER, HOST_IA32_EFER: 0x901 } },
  ...Object.fromEntries(
    ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'TR'].map((r, i) => [
      `host.selector.rpl-ti-clear.${r.toLowerCase()}`,
      { patch: { [`HOST_${r}_SELECTOR`]: 0x18 | [1, 2, 4][i % 3] } },
    ]),
  ),
  'host.selector.cs-not-null': { patch: { HOST_CS_SELECTOR: 0 } },
  'host.selector.tr-not-null': { patch: { HOST_TR_SELECTOR: 0 } },
  'host.selector.ss-not-null': { patch: { ...HOST32, HOST_SS_SELECTOR: 0 }, longMode: false },
  'host.fs-base.canonical': { patch: { HOST_FS_BASE: NON_CANONICAL } },
  'host.gs-base.canonical': { patch: { HOST_GS_BASE: 0x7fff_8000_0000_0000n } },
  'host.gdtr-base.canonical': { patch: { HOST_GDTR_BASE: NON_CANONICAL } },
  'host.idtr-base.canonical': { patch: { HOST_IDTR_BASE: NON_CANONICAL } },
  'host.tr-base.canonical': { patch: { HOST_TR_BASE: NON_CANONICAL } },
  'host.size.outside-ia32e': { patch: {}, longMode: false },
  'host.size.in-ia32e': { patch: HOST32 },
  'host.size32.no-ia32e-guest': {
    also: ['host.size.outside-ia32e'],
    patch: { VM_EXIT_CONTROLS: EXIT & ~ExitControl.HOST_ADDRESS_SPACE_SIZE },
    longMode: false,
  },
  'host.size32.no-pcide': { patch: { ...HOST32, HOST_CR4: 0x2_2620 }, longMode: false },
  'host.size32.rip': { patch: { ...HOST32, HOST_RIP: 1n << 32n }, longMode: false },
  'host.size64.pae': { patch: { HOST_CR4: 0x2600 } },
  'host.size64.rip': { patch: { HOST_RIP: NON_CANONICAL } },
  // guest control registers, debug registers, MSRs
  'guest.cr0.fixed': { patch: { GUEST_CR0: 0x8001_0013 } },
  'guest.cr0.pg-needs-pe': { patch: { ...UNRESTRICTED_REAL, GUEST_CR0: 0x8000_0030 } },
  'guest.cr4.fixed': { patch: { GUEST_CR4: 0x620 } },
  'guest.cr4.cet-needs-wp': { also: ['guest.cr4.fixed'], patch: { GUEST_CR4: 0x80_2620, GUEST_CR0: 0x8000_0033 } },
  'guest.debugctl.reserved': { patch: { VM_ENTRY_CONTROLS: ENTRY | EntryControl.LOAD_DEBUG_CONTROLS, GUEST_IA32_DEBUGCTL: 0x10 } },
  'guest.ia32e.paging': { patch: { GUEST_CR4: 0x2600 } },
  'guest.legacy.no-pcide': { patch: { ...PAE, GUEST_CR4: 0x2_2020 } },
  'guest.cr3.width': { patch: { GUEST_CR3: HIGH } },
  'guest.dr7.high': { patch: { VM_ENTRY_CONTROLS: ENTRY | EntryControl.LOAD_DEBUG_CONTROLS, GUEST_DR7: 1n << 32n } },
  'guest.sysenter-esp.canonical': { patch: { GUEST_IA32_SYSENTER_ESP: NON_CANONICAL } },
  'guest.sysenter-eip.canonical': { patch: { GUEST_IA32_SYSENTER_EIP: NON_CANONICAL } },
  'guest.pat': { patch: { VM_ENTRY_CONTROLS: ENTRY | EntryControl.LOAD_IA32_PAT, GUEST_IA32_PAT: 0x08 } },
  'guest.efer.reserved': { patch: { VM_ENTRY_CONTROLS: ENTRY | EntryControl.LOAD_IA32_EFER, GUEST_IA32_EFER: 0x8000_0501 } },
  'guest.efer.lma': { also: ['guest.efer.lme'], patch: { VM_ENTRY_CONTROLS: ENTRY | EntryControl.LOAD_IA32_EFER, GUEST_IA32_EFER: 0x100 } },
  'guest.efer.lme': { patch: { VM_ENTRY_CONTROLS: ENTRY | EntryControl.LOAD_IA32_EFER, GUEST_IA32_EFER: 0x400 } },
  // guest segments
  'guest.tr.selector.ti': { patch: { GUEST_TR_SELECTOR: 0x1c } },
  'guest.ldtr.selector.ti': { patch: { ...USABLE_LDTR, GUEST_LDTR_SELECTOR: 0x24 } },
  'guest.ss.selector.rpl': { also: ['guest.ss.dpl.rpl'], patch: { GUEST_SS_SELECTOR: 0x13 } },
  'guest.tr.base.canonical': { patch: { GUEST_TR_BASE: NON_CANONICAL } },
  'guest.fs.base.canonical': { patch: { GUEST_FS_BASE: NON_CANONICAL } },
  'guest.gs.base.canonical': { patch: { GUEST_GS_BASE: NON_CANONICAL } },
  'guest.ldtr.base.canonical': { patch: { ...USABLE_LDTR, GUEST_LDTR_BASE: NON_CANONICAL } },
  'guest.cs.base.high': { patch: { GUEST_CS_BASE: 1n << 32n } },
  'guest.ss.base.high': { patch: { GUEST_SS_BASE: 1n << 32n } },
  'guest.ds.base.high': { patch: { GUEST_DS_BASE: 1n << 32n } },
  'guest.es.base.high': { patch: { GUEST_ES_BASE: 1n << 32n } },
  ...Object.fromEntries(
    codeAndData.flatMap((r): [string, Row][] => [
      [`guest.v86.${r.toLowerCase()}.base`, { patch: { ...V86, [`GUEST_${r}_BASE`]: 0x70 } }],
      [`guest.v86.${r.toLowerCase()}.limit`, { patch: { ...V86, [`GUEST_${r}_LIMIT`]: 0xfffff } }],
      [`guest.v86.${r.toLowerCase()}.access-rights`, { patch: { ...V86, [`GUEST_${r}_ACCESS_RIGHTS`]: 0x93 } }],
    ]),
  ),
  'guest.cs.type': { patch: { GUEST_CS_ACCESS_RIGHTS: 0xa09a } },
  'guest.ss.type': { patch: { GUEST_SS_ACCESS_RIGHTS: 0xc091 } },
  ...Object.fromEntries(
    dataSegments.flatMap((r): [string, Row][] => [
      [`guest.${r.toLowerCase()}.type.accessed`, { patch: { [`GUEST_${r}_ACCESS_RIGHTS`]: 0xc092 } }],
      [`guest.${r.toLowerCase()}.type.readable`, { patch: { [`GUEST_${r}_ACCESS_RIGHTS`]: 0xc099 } }],
      [`guest.${r.toLowerCase()}.dpl`, { patch: { [`GUEST_${r}_SELECTOR`]: 0x13 } }],
    ]),
  ),
  'guest.cs.dpl.data': { patch: { ...UNRESTRICTED_REAL, GUEST_CS_ACCESS_RIGHTS: 0xf3 } },
  'guest.cs.dpl.non-conforming': { patch: { GUEST_CS_ACCESS_RIGHTS: 0xa0fb } },
  'guest.cs.dpl.conforming': { patch: { GUEST_CS_ACCESS_RIGHTS: 0xa0bf } },
  'guest.ss.dpl.rpl': { also: ['guest.cs.dpl.non-conforming'], patch: { GUEST_SS_ACCESS_RIGHTS: 0xc0f3 } },
  'guest.ss.dpl.real': { patch: { ...UNRESTRICTED_REAL, GUEST_SS_ACCESS_RIGHTS: 0xc0f3, GUEST_CS_ACCESS_RIGHTS: 0xfb } },
  ...Object.fromEntries(
    codeAndData.flatMap((r): [string, Row][] => [
      [`guest.${r.toLowerCase()}.s`, { patch: { [`GUEST_${r}_ACCESS_RIGHTS`]: rightsOf(r) & ~0x10 } }],
      [`guest.${r.toLowerCase()}.p`, { patch: { [`GUEST_${r}_ACCESS_RIGHTS`]: rightsOf(r) & ~0x80 } }],
      [`guest.${r.toLowerCase()}.reserved`, { patch: { [`GUEST_${r}_ACCESS_RIGHTS`]: rightsOf(r) | 0x100 } }],
      [`guest.${r.toLowerCase()}.granularity`, { patch: { [`GUEST_${r}_LIMIT`]: 0xffff_f000 } }],
    ]),
  ),
  'guest.cs.d-l': { patch: { GUEST_CS_ACCESS_RIGHTS: 0xe09b } },
  'guest.tr.type': { patch: { GUEST_TR_ACCESS_RIGHTS: 0x83 } },
  'guest.tr.usable': { patch: { GUEST_TR_ACCESS_RIGHTS: 0x1_008b } },
  'guest.ldtr.type': { patch: { ...USABLE_LDTR, GUEST_LDTR_ACCESS_RIGHTS: 0x83 } },
  'guest.tr.s': { patch: { GUEST_TR_ACCESS_RIGHTS: 0x9b } },
  'guest.tr.p': { patch: { GUEST_TR_ACCESS_RIGHTS: 0x0b } },
  'guest.tr.reserved': { patch: { GUEST_TR_ACCESS_RIGHTS: 0x88b } },
  'guest.tr.granularity': { patch: { GUEST_TR_ACCESS_RIGHTS: 0x808b } },
  'guest.ldtr.s': { patch: { ...USABLE_LDTR, GUEST_LDTR_ACCESS_RIGHTS: 0x92 } },
  'guest.ldtr.p': { patch: { ...USABLE_LDTR, GUEST_LDTR_ACCESS_RIGHTS: 0x02 } },
  'guest.ldtr.reserved': { patch: { ...USABLE_LDTR, GUEST_LDTR_ACCESS_RIGHTS: 0x2_0082 } },
  'guest.ldtr.granularity': { patch: { ...USABLE_LDTR, GUEST_LDTR_LIMIT: 0x10_0000 } },
  'guest.gdtr.base.canonical': { patch: { GUEST_GDTR_BASE: NON_CANONICAL } },
  'guest.idtr.base.canonical': { patch: { GUEST_IDTR_BASE: NON_CANONICAL } },
  'guest.gdtr.limit': { patch: { GUEST_GDTR_LIMIT: 0x1_0000 } },
  'guest.idtr.limit': { patch: { GUEST_IDTR_LIMIT: 0x1_0000 } },
  // guest RIP, RFLAGS
  'guest.rip.high': { patch: { ...PAE, GUEST_RIP: 1n << 32n } },
  'guest.rip.upper': { patch: { GUEST_RIP: 1n << 48n } },
  'guest.rflags.reserved': { patch: { GUEST_RFLAGS: 0 } },
  'guest.rflags.vm': { patch: { ...V86, VM_ENTRY_CONTROLS: ENTRY, GUEST_CR4: 0x2620 } },
  'guest.rflags.if-for-interrupt': { patch: { ENTRY_INTERRUPTION_INFORMATION: inject(0, 0x20) } },
  // guest non-register state
  'guest.activity.supported': { patch: { GUEST_ACTIVITY_STATE: 3 } },
  'guest.activity.hlt-dpl': {
    patch: { GUEST_ACTIVITY_STATE: 1, GUEST_SS_ACCESS_RIGHTS: 0xc0f3, GUEST_CS_ACCESS_RIGHTS: 0xa0fb, GUEST_SS_SELECTOR: 0x13, GUEST_CS_SELECTOR: 0xb },
  },
  'guest.activity.active-if-blocking': { patch: { GUEST_ACTIVITY_STATE: 1, GUEST_INTERRUPTIBILITY_STATE: 2 } },
  'guest.activity.injection': { patch: { GUEST_ACTIVITY_STATE: 1, ENTRY_INTERRUPTION_INFORMATION: inject(3, 6) } },
  'guest.interruptibility.reserved': { patch: { GUEST_INTERRUPTIBILITY_STATE: 0x20 } },
  'guest.interruptibility.not-both': { patch: { GUEST_INTERRUPTIBILITY_STATE: 3, GUEST_RFLAGS: 0x202 } },
  'guest.interruptibility.sti-needs-if': { patch: { GUEST_INTERRUPTIBILITY_STATE: 1 } },
  'guest.interruptibility.external-interrupt': {
    patch: { GUEST_INTERRUPTIBILITY_STATE: 2, GUEST_RFLAGS: 0x202, ENTRY_INTERRUPTION_INFORMATION: inject(0, 0x20) },
  },
  'guest.interruptibility.nmi-mov-ss': { patch: { GUEST_INTERRUPTIBILITY_STATE: 2, ENTRY_INTERRUPTION_INFORMATION: inject(2, 2) } },
  'guest.interruptibility.nmi-sti': { patch: { GUEST_INTERRUPTIBILITY_STATE: 1, GUEST_RFLAGS: 0x202, ENTRY_INTERRUPTION_INFORMATION: inject(2, 2) } },
  'guest.interruptibility.smi': { patch: { GUEST_INTERRUPTIBILITY_STATE: 4 } },
  'guest.interruptibility.virtual-nmi': {
    patch: {
      GUEST_INTERRUPTIBILITY_STATE: 8,
      ENTRY_INTERRUPTION_INFORMATION: inject(2, 2),
      PIN_BASED_CONTROLS: PIN | PinBased.NMI_EXITING | PinBased.VIRTUAL_NMIS,
    },
  },
  'guest.pending-debug.reserved': { patch: { GUEST_PENDING_DEBUG_EXCEPTIONS: 0x2000 } },
  'guest.pending-debug.bs': { patch: { GUEST_PENDING_DEBUG_EXCEPTIONS: 0, GUEST_RFLAGS: 0x102, GUEST_INTERRUPTIBILITY_STATE: 2 } },
  'guest.link-pointer.address': { patch: { VMCS_LINK_POINTER: 0x3001 } },
  'guest.link-pointer.revision': { patch: { VMCS_LINK_POINTER: 0xb000 } },
  'guest.link-pointer.not-current': { patch: { VMCS_LINK_POINTER: VMCS_A } },
  ...Object.fromEntries(
    [0, 1, 2, 3].flatMap((i): [string, Row][] => [
      [`guest.pdpte${i}.reserved`, { patch: { ...PAE, [`GUEST_PDPTE${i}`]: 3 } }],
      [
        `guest.pdpte${i}.memory`,
        {
          patch: { ...PAE, SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_VPID, GUEST_CR3: 0xb000 },
          memory: { [0xb000 + 8 * i]: 1, [0xb000 + 8 * i + 4]: 1 << 14 },
        },
      ],
    ]),
  ),
};

const stateOf = (row: Row): VmcsValues =>
  baselineWith({ ...(row.everything ? { TSC_MULTIPLIER: 1 } : {}), ...row.patch }, { ...row, profile: row.everything ? EVERYTHING : row.profile });

/** The same state in a processor. */
function processorWith(row: Row): Bench {
  const bench = rootWithVmcs({ profile: row.everything ? EVERYTHING : row.profile });
  if (row.everything) bench.write({ TSC_MULTIPLIER: 1 });
  bench.write(row.patch);
  for (const [address, word] of Object.entries(row.memory ?? {})) bench.cpu.memory.write32(Number(address), word);
  if (row.longMode === false) (bench.cpu as { longMode: boolean }).longMode = false;
  return bench;
}

describe('VM-entry checks', () => {
  it('find nothing wrong with the baseline VMCS', () => expect(brokenRules(baselineWith({}))).toEqual([]));

  it.each([
    ['virtual-8086 guest', V86],
    ['PAE guest', PAE],
    ['32-bit guest without PAE', LEGACY],
    ['unrestricted real-mode guest', UNRESTRICTED_REAL],
    ['usable LDTR', USABLE_LDTR],
  ])('find nothing wrong with a %s', (_name, patch) => expect(brokenRules(stateOf({ patch }))).toEqual([]));
  it('find nothing wrong with a 32-bit host', () => expect(brokenRules(stateOf({ patch: HOST32, longMode: false }))).toEqual([]));

  it.each(Object.entries(BROKEN))('break exactly %s', (id, row) => {
    expect(brokenRules(stateOf(row)).sort()).toEqual([id, ...(row.also ?? [])].sort());
  });

  it('have a row above for every rule, and every rule has its own id', () => {
    expect(Object.keys(BROKEN).sort()).toEqual(ALL_CHECKS.map((c) => c.id).sort());
    expect(new Set(ALL_CHECKS.map((c) => c.id)).size).toBe(ALL_CHECKS.length);
  });

  it('say "if usable" of the registers that may be unusable', () => {
    const ruleOf = (id: string): string => ALL_CHECKS.find((c) => c.id === id)!.rule;
    expect(['cs', 'ss', 'tr', 'ldtr'].map((r) => ruleOf(`guest.${r}.p`))).toEqual([
      'P (bit 7) of the CS access rights is 1: present.',
      'If SS is usable, P (bit 7) of the SS access rights is 1: present.',
      'P (bit 7) of the TR access rights is 1: present.',
      'If LDTR is usable, P (bit 7) of the LDTR access rights is 1: present.',
    ]);
  });

  it('explain a failure with the rule, the values and the citation', () => {
    const bench = rootWithVmcs();
    bench.write({ HOST_TR_SELECTOR: 0x1c });
    expect(checkEntry(bench.vmx).map(explain)).toEqual([
      'In the host TR selector field, the RPL (bits 1:0) and the TI flag (bit 2) are 0.\n  here: HOST_TR_SELECTOR = 0x1c\n  Intel SDM volume 3C, VM Entries: "Checks on Host Segment and Descriptor-Table Registers"  [host.selector.rpl-ti-clear.tr]',
    ]);
  });

  it.each(Object.entries(BROKEN))('end VM entry as the manual says for %s', (id, row) => {
    const bench = processorWith(row);
    expect(checkEntry(bench.vmx).map((v) => v.check.id)).toEqual(brokenRules(stateOf(row)));
    const first = CHECK_GROUPS.find((g) => violationsOf(g.checks, bench.vmx.entryState).length > 0)!;
    const result = bench.vmx.launch();
    if (first.failure === 'guest') {
      expect(result).toEqual({ kind: 'exited' });
      expect(bench.read('EXIT_REASON')).toBe(0x8000_0021n);
      const qualification = id.includes('link-pointer') ? 4n : id.includes('pdpte') ? 2n : id === 'guest.interruptibility.nmi-sti' ? 3n : 0n;
      expect(bench.read('EXIT_QUALIFICATION')).toBe(qualification);
    } else expect(result).toEqual({ kind: 'fail-valid', error: first.failure === 'controls' ? 7 : 8 });
  });
});
