/** SDM "Checks on VMX Controls". A broken rule ends VM entry with VMfailValid, VM-instruction error 7. */
import { Eptp, MEMORY_TYPE_UC, MEMORY_TYPE_WB, validWalkLength } from '../../ept/format';
import { EventType } from '../../cpu/interfaces';
import { EntryControl, ExitControl, Interruption, PinBased, Primary, Secondary } from '../controls';
import type { Allowed } from '../capabilities';
import type { FieldName } from '../vmcs/fields';
import {
  SECONDARY_FIELDS,
  entryIs,
  exitIs,
  isPhysicalAddress,
  pinIs,
  primaryIs,
  secondaryIs,
  unrestricted,
  withinPhysicalWidth,
  type EntryCheck,
  type EntryState,
} from './check';

const settingsAllowed = (value: number, { allowed0, allowed1 }: Allowed): boolean => (value & allowed0) >>> 0 === allowed0 && (value & ~allowed1) === 0;

/** A rule about a 64-bit physical address that counts only when a secondary control is 1. */
const secondaryAddress = (id: string, control: number, name: string, field: FieldName, alignment = 12): EntryCheck => ({
  id,
  sdm: 'executionControls',
  rule: `If the "${name}" VM-execution control is 1, bits ${alignment - 1}:0 of the ${field} field are 0 and it has no bit beyond the physical-address width.`,
  fields: [...SECONDARY_FIELDS, field],
  when: (s) => secondaryIs(s, control),
  holds: (s) => isPhysicalAddress(s, field, alignment),
});

const primaryAddress = (id: string, control: number, name: string, field: FieldName): EntryCheck => ({
  id,
  sdm: 'executionControls',
  rule: `If the "${name}" VM-execution control is 1, bits 11:0 of the ${field} field are 0 and it has no bit beyond the physical-address width.`,
  fields: ['PRIMARY_PROCESSOR_BASED_CONTROLS', field],
  when: (s) => primaryIs(s, control),
  holds: (s) => isPhysicalAddress(s, field, 12),
});

const secondaryNeeds = (id: string, control: number, name: string, needed: number, neededName: string): EntryCheck => ({
  id,
  sdm: 'executionControls',
  rule: `If the "${name}" VM-execution control is 1, the "${neededName}" VM-execution control is also 1.`,
  fields: SECONDARY_FIELDS,
  when: (s) => secondaryIs(s, control),
  holds: (s) => secondaryIs(s, needed),
});

const withoutTprShadow = (id: string, control: number, name: string): EntryCheck => ({
  id,
  sdm: 'executionControls',
  rule: `If the "use TPR shadow" VM-execution control is 0, the "${name}" VM-execution control is 0.`,
  fields: SECONDARY_FIELDS,
  when: (s) => !primaryIs(s, Primary.USE_TPR_SHADOW),
  holds: (s) => !secondaryIs(s, control),
});

/** SDM "VM-Execution Control Fields". */
export const EXECUTION_CONTROL_CHECKS: readonly EntryCheck[] = [
  {
    id: 'control.pin.allowed',
    sdm: 'executionControls',
    rule: 'Reserved bits in the pin-based VM-execution controls are set as IA32_VMX_(TRUE_)PINBASED_CTLS asks.',
    fields: ['PIN_BASED_CONTROLS'],
    holds: (s) => settingsAllowed(s.low('PIN_BASED_CONTROLS'), s.capabilities.pinBased),
  },
  {
    id: 'control.primary.allowed',
    sdm: 'executionControls',
    rule: 'Reserved bits in the primary processor-based VM-execution controls are set as IA32_VMX_(TRUE_)PROCBASED_CTLS asks.',
    fields: ['PRIMARY_PROCESSOR_BASED_CONTROLS'],
    holds: (s) => settingsAllowed(s.low('PRIMARY_PROCESSOR_BASED_CONTROLS'), s.capabilities.primary),
  },
  {
    id: 'control.secondary.allowed',
    sdm: 'executionControls',
    rule: 'If the "activate secondary controls" control is 1, reserved bits in the secondary controls are 0 (IA32_VMX_PROCBASED_CTLS2).',
    fields: SECONDARY_FIELDS,
    when: (s) => primaryIs(s, Primary.ACTIVATE_SECONDARY_CONTROLS),
    holds: (s) => settingsAllowed(s.low('SECONDARY_PROCESSOR_BASED_CONTROLS'), s.capabilities.secondary),
  },
  {
    id: 'control.cr3-target-count',
    sdm: 'executionControls',
    rule: 'The CR3-target count is not greater than the number that IA32_VMX_MISC[24:16] reports.',
    fields: ['CR3_TARGET_COUNT'],
    holds: (s) => s.low('CR3_TARGET_COUNT') <= s.capabilities.cr3Targets,
  },
  primaryAddress('control.io-bitmap-a', Primary.USE_IO_BITMAPS, 'use I/O bitmaps', 'IO_BITMAP_A_ADDRESS'),
  primaryAddress('control.io-bitmap-b', Primary.USE_IO_BITMAPS, 'use I/O bitmaps', 'IO_BITMAP_B_ADDRESS'),
  primaryAddress('control.msr-bitmap', Primary.USE_MSR_BITMAPS, 'use MSR bitmaps', 'MSR_BITMAP_ADDRESS'),
  primaryAddress('control.virtual-apic-address', Primary.USE_TPR_SHADOW, 'use TPR shadow', 'VIRTUAL_APIC_ADDRESS'),
  {
    id: 'control.tpr-threshold.reserved',
    sdm: 'executionControls',
    rule: 'If "use TPR shadow" is 1 and "virtual-interrupt delivery" is 0, bits 31:4 of the TPR-threshold field are 0.',
    fields: [...SECONDARY_FIELDS, 'TPR_THRESHOLD'],
    when: (s) => primaryIs(s, Primary.USE_TPR_SHADOW) && !secondaryIs(s, Secondary.VIRTUAL_INTERRUPT_DELIVERY),
    holds: (s) => s.low('TPR_THRESHOLD') <= 15,
  },
  {
    id: 'control.virtual-nmis.need-nmi-exiting',
    sdm: 'executionControls',
    rule: 'If the "NMI exiting" VM-execution control is 0, the "virtual NMIs" VM-execution control is 0.',
    fields: ['PIN_BASED_CONTROLS'],
    when: (s) => !pinIs(s, PinBased.NMI_EXITING),
    holds: (s) => !pinIs(s, PinBased.VIRTUAL_NMIS),
  },
  {
    id: 'control.nmi-window.needs-virtual-nmis',
    sdm: 'executionControls',
    rule: 'If the "virtual NMIs" VM-execution control is 0, the "NMI-window exiting" VM-execution control is 0.',
    fields: ['PIN_BASED_CONTROLS', 'PRIMARY_PROCESSOR_BASED_CONTROLS'],
    when: (s) => !pinIs(s, PinBased.VIRTUAL_NMIS),
    holds: (s) => !primaryIs(s, Primary.NMI_WINDOW_EXITING),
  },
  secondaryAddress('control.apic-access-address', Secondary.VIRTUALIZE_APIC_ACCESSES, 'virtualize APIC accesses', 'APIC_ACCESS_ADDRESS'),
  withoutTprShadow('control.x2apic.needs-tpr-shadow', Secondary.VIRTUALIZE_X2APIC_MODE, 'virtualize x2APIC mode'),
  withoutTprShadow('control.apic-registers.need-tpr-shadow', Secondary.APIC_REGISTER_VIRTUALIZATION, 'APIC-register virtualization'),
  withoutTprShadow('control.virtual-interrupts.need-tpr-shadow', Secondary.VIRTUAL_INTERRUPT_DELIVERY, 'virtual-interrupt delivery'),
  {
    id: 'control.x2apic.excludes-apic-accesses',
    sdm: 'executionControls',
    rule: 'If the "virtualize x2APIC mode" VM-execution control is 1, the "virtualize APIC accesses" VM-execution control is 0.',
    fields: SECONDARY_FIELDS,
    when: (s) => secondaryIs(s, Secondary.VIRTUALIZE_X2APIC_MODE),
    holds: (s) => !secondaryIs(s, Secondary.VIRTUALIZE_APIC_ACCESSES),
  },
  {
    id: 'control.virtual-interrupts.need-external-exiting',
    sdm: 'executionControls',
    rule: 'If the "virtual-interrupt delivery" VM-execution control is 1, the "external-interrupt exiting" VM-execution control is 1.',
    fields: [...SECONDARY_FIELDS, 'PIN_BASED_CONTROLS'],
    when: (s) => secondaryIs(s, Secondary.VIRTUAL_INTERRUPT_DELIVERY),
    holds: (s) => pinIs(s, PinBased.EXTERNAL_INTERRUPT_EXITING),
  },
  {
    id: 'control.posted.needs-virtual-interrupts',
    sdm: 'executionControls',
    rule: 'If "process posted interrupts" is 1, "virtual-interrupt delivery" and the "acknowledge interrupt on exit" VM-exit control are 1.',
    fields: ['PIN_BASED_CONTROLS', ...SECONDARY_FIELDS, 'VM_EXIT_CONTROLS'],
    when: (s) => pinIs(s, PinBased.PROCESS_POSTED_INTERRUPTS),
    holds: (s) => secondaryIs(s, Secondary.VIRTUAL_INTERRUPT_DELIVERY) && exitIs(s, ExitControl.ACKNOWLEDGE_INTERRUPT_ON_EXIT),
  },
  {
    id: 'control.posted.vector',
    sdm: 'executionControls',
    rule: 'If "process posted interrupts" is 1, the posted-interrupt notification vector is in the range 0-255.',
    fields: ['PIN_BASED_CONTROLS', 'POSTED_INTERRUPT_NOTIFICATION_VECTOR'],
    when: (s) => pinIs(s, PinBased.PROCESS_POSTED_INTERRUPTS),
    holds: (s) => s.low('POSTED_INTERRUPT_NOTIFICATION_VECTOR') <= 255,
  },
  {
    id: 'control.posted.descriptor',
    sdm: 'executionControls',
    rule: 'If "process posted interrupts" is 1, the posted-interrupt descriptor is 64-byte aligned and within the physical-address width.',
    fields: ['PIN_BASED_CONTROLS', 'POSTED_INTERRUPT_DESCRIPTOR_ADDRESS'],
    when: (s) => pinIs(s, PinBased.PROCESS_POSTED_INTERRUPTS),
    holds: (s) => isPhysicalAddress(s, 'POSTED_INTERRUPT_DESCRIPTOR_ADDRESS', 6),
  },
  {
    id: 'control.vpid-not-zero',
    sdm: 'executionControls',
    rule: 'If the "enable VPID" VM-execution control is 1, the VPID field is not 0000H.',
    fields: [...SECONDARY_FIELDS, 'VPID'],
    when: (s) => secondaryIs(s, Secondary.ENABLE_VPID),
    holds: (s) => s.low('VPID') !== 0,
  },
  {
    id: 'control.eptp.memory-type',
    sdm: 'executionControls',
    rule: 'If the "enable EPT" VM-execution control is 1, the EPT memory type (bits 2:0 of the EPTP) is 0 (UC) or 6 (WB).',
    fields: [...SECONDARY_FIELDS, 'EPT_POINTER'],
    when: (s) => secondaryIs(s, Secondary.ENABLE_EPT),
    holds: (s) => [MEMORY_TYPE_UC, MEMORY_TYPE_WB].includes(s.low('EPT_POINTER') & Eptp.MEMORY_TYPE),
  },
  {
    id: 'control.eptp.walk-length',
    sdm: 'executionControls',
    rule: 'If the "enable EPT" VM-execution control is 1, bits 5:3 of the EPTP are 3, a page-walk length of 4, or 4 on a processor with 5-level EPT (IA32_VMX_EPT_VPID_CAP[7]).',
    fields: [...SECONDARY_FIELDS, 'EPT_POINTER'],
    when: (s) => secondaryIs(s, Secondary.ENABLE_EPT),
    holds: (s) => validWalkLength(s.low('EPT_POINTER'), s.capabilities.ept),
  },
  {
    id: 'control.eptp.accessed-dirty',
    sdm: 'executionControls',
    rule: 'If the processor has no accessed and dirty flags for EPT (IA32_VMX_EPT_VPID_CAP[21] = 0), bit 6 of the EPTP is 0.',
    fields: [...SECONDARY_FIELDS, 'EPT_POINTER'],
    when: (s) => secondaryIs(s, Secondary.ENABLE_EPT) && !s.capabilities.ept.accessedDirty,
    holds: (s) => (s.low('EPT_POINTER') & Eptp.ACCESSED_DIRTY) === 0,
  },
  {
    id: 'control.eptp.reserved',
    sdm: 'executionControls',
    rule: 'If the "enable EPT" VM-execution control is 1, the reserved bits of the EPTP are 0: 11:7 and those beyond the physical-address width.',
    fields: [...SECONDARY_FIELDS, 'EPT_POINTER'],
    when: (s) => secondaryIs(s, Secondary.ENABLE_EPT),
    holds: (s) => (s.low('EPT_POINTER') & (Eptp.RESERVED_LOW | Eptp.SUPERVISOR_SHADOW_STACK)) === 0 && withinPhysicalWidth(s, 'EPT_POINTER'),
  },
  secondaryNeeds('control.pml.needs-ept', Secondary.ENABLE_PML, 'enable PML', Secondary.ENABLE_EPT, 'enable EPT'),
  secondaryAddress('control.pml-address', Secondary.ENABLE_PML, 'enable PML', 'PML_ADDRESS'),
  secondaryNeeds('control.unrestricted.needs-ept', Secondary.UNRESTRICTED_GUEST, 'unrestricted guest', Secondary.ENABLE_EPT, 'enable EPT'),
  secondaryNeeds(
    'control.mode-based-execute.needs-ept',
    Secondary.MODE_BASED_EXECUTE_CONTROL,
    'mode-based execute control for EPT',
    Secondary.ENABLE_EPT,
    'enable EPT',
  ),
  secondaryNeeds('control.sub-page.needs-ept', Secondary.SUB_PAGE_WRITE_PERMISSIONS, 'sub-page write permissions for EPT', Secondary.ENABLE_EPT, 'enable EPT'),
  secondaryAddress('control.sppt-pointer', Secondary.SUB_PAGE_WRITE_PERMISSIONS, 'sub-page write permissions for EPT', 'SPPT_POINTER'),
  secondaryNeeds(
    'control.pt-gpa.needs-ept',
    Secondary.PT_USES_GUEST_PHYSICAL_ADDRESSES,
    'Intel PT uses guest physical addresses',
    Secondary.ENABLE_EPT,
    'enable EPT',
  ),
  {
    id: 'control.vm-functions.reserved',
    sdm: 'executionControls',
    rule: 'If the "enable VM functions" VM-execution control is 1, no VM-function control but bit 0 (EPTP switching) is 1.',
    fields: [...SECONDARY_FIELDS, 'VM_FUNCTION_CONTROLS'],
    when: (s) => secondaryIs(s, Secondary.ENABLE_VM_FUNCTIONS),
    holds: (s) => s.low('VM_FUNCTION_CONTROLS') <= 1 && s.high('VM_FUNCTION_CONTROLS') === 0,
  },
  {
    id: 'control.eptp-switching',
    sdm: 'executionControls',
    rule: 'If the "EPTP switching" VM-function control is 1, "enable EPT" is 1 and the EPTP-list address is 4-KByte aligned and within the physical-address width.',
    fields: [...SECONDARY_FIELDS, 'VM_FUNCTION_CONTROLS', 'EPTP_LIST_ADDRESS'],
    when: (s) => secondaryIs(s, Secondary.ENABLE_VM_FUNCTIONS) && (s.low('VM_FUNCTION_CONTROLS') & 1) !== 0,
    holds: (s) => secondaryIs(s, Secondary.ENABLE_EPT) && isPhysicalAddress(s, 'EPTP_LIST_ADDRESS', 12),
  },
  secondaryAddress('control.vmread-bitmap', Secondary.VMCS_SHADOWING, 'VMCS shadowing', 'VMREAD_BITMAP_ADDRESS'),
  secondaryAddress('control.vmwrite-bitmap', Secondary.VMCS_SHADOWING, 'VMCS shadowing', 'VMWRITE_BITMAP_ADDRESS'),
  secondaryAddress('control.ve-information', Secondary.EPT_VIOLATION_VE, 'EPT-violation #VE', 'VIRTUALIZATION_EXCEPTION_INFORMATION_ADDRESS'),
  {
    id: 'control.tsc-multiplier',
    sdm: 'executionControls',
    rule: 'If the "use TSC scaling" VM-execution control is 1, the TSC multiplier is not 0.',
    fields: [...SECONDARY_FIELDS, 'TSC_MULTIPLIER'],
    when: (s) => secondaryIs(s, Secondary.USE_TSC_SCALING),
    holds: (s) => (s.low('TSC_MULTIPLIER') | s.high('TSC_MULTIPLIER')) !== 0,
  },
];

/** An area of MSR entries, 16 bytes each: "the address of the last byte" must be a physical address too. */
const msrArea = (id: string, sdm: EntryCheck['sdm'], address: FieldName, count: FieldName): EntryCheck => ({
  id,
  sdm,
  rule: `If the ${count} field is not 0, bits 3:0 of the ${address} field are 0 and neither it nor the address of the area's last byte goes beyond the physical-address width.`,
  fields: [count, address],
  when: (s) => s.low(count) !== 0,
  holds: (s) => (s.low(address) & 15) === 0 && s.read(address) + 16n * BigInt(s.low(count)) - 1n < 1n << BigInt(s.physicalAddressWidth),
});

/** SDM "VM-Exit Control Fields". */
export const EXIT_CONTROL_CHECKS: readonly EntryCheck[] = [
  {
    id: 'control.exit.allowed',
    sdm: 'exitControls',
    rule: 'Reserved bits in the VM-exit controls are set as IA32_VMX_(TRUE_)EXIT_CTLS asks.',
    fields: ['VM_EXIT_CONTROLS'],
    holds: (s) => settingsAllowed(s.low('VM_EXIT_CONTROLS'), s.capabilities.exit),
  },
  {
    id: 'control.exit.save-timer-needs-timer',
    sdm: 'exitControls',
    rule: 'If "activate VMX-preemption timer" is 0, the "save VMX-preemption timer value" VM-exit control is 0.',
    fields: ['PIN_BASED_CONTROLS', 'VM_EXIT_CONTROLS'],
    when: (s) => !pinIs(s, PinBased.ACTIVATE_PREEMPTION_TIMER),
    holds: (s) => !exitIs(s, ExitControl.SAVE_PREEMPTION_TIMER_VALUE),
  },
  msrArea('control.exit.msr-store-area', 'exitControls', 'EXIT_MSR_STORE_ADDRESS', 'EXIT_MSR_STORE_COUNT'),
  msrArea('control.exit.msr-load-area', 'exitControls', 'EXIT_MSR_LOAD_ADDRESS', 'EXIT_MSR_LOAD_COUNT'),
];

/** SDM "VM-Entry Control Fields", without event injection. */
export const ENTRY_CONTROL_CHECKS: readonly EntryCheck[] = [
  {
    id: 'control.entry.allowed',
    sdm: 'entryControls',
    rule: 'Reserved bits in the VM-entry controls are set as IA32_VMX_(TRUE_)ENTRY_CTLS asks.',
    fields: ['VM_ENTRY_CONTROLS'],
    holds: (s) => settingsAllowed(s.low('VM_ENTRY_CONTROLS'), s.capabilities.entry),
  },
  {
    id: 'control.entry.not-in-smm',
    sdm: 'entryControls',
    rule: 'Outside SMM, "entry to SMM" and "deactivate dual-monitor treatment" are 0.',
    fields: ['VM_ENTRY_CONTROLS'],
    holds: (s) => !entryIs(s, EntryControl.ENTRY_TO_SMM | EntryControl.DEACTIVATE_DUAL_MONITOR_TREATMENT),
  },
  msrArea('control.entry.msr-load-area', 'entryControls', 'ENTRY_MSR_LOAD_ADDRESS', 'ENTRY_MSR_LOAD_COUNT'),
];

const injecting = (s: EntryState): boolean => (s.low('ENTRY_INTERRUPTION_INFORMATION') & Interruption.VALID) !== 0;
const type = (s: EntryState): EventType => (s.low('ENTRY_INTERRUPTION_INFORMATION') >>> 8) & 7;
const vector = (s: EntryState): number => s.low('ENTRY_INTERRUPTION_INFORMATION') & 0xff;
const deliversErrorCode = (s: EntryState): boolean => (s.low('ENTRY_INTERRUPTION_INFORMATION') & Interruption.ERROR_CODE) !== 0;
/** #DF, #TS, #NP, #SS, #GP, #PF, #AC. */
const VECTORS_WITH_ERROR_CODE = (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17);
const SOFTWARE_TYPES: readonly EventType[] = [EventType.SoftwareInterrupt, EventType.PrivilegedSoftwareException, EventType.SoftwareException];

/** SDM "VM-Entry Control Fields": the VM-entry interruption-information field and what goes with it. */
export const INJECTION_CHECKS: readonly EntryCheck[] = [
  {
    id: 'control.inject.type',
    sdm: 'entryControls',
    rule: 'The interruption type is not 1 (reserved), and is 7 (other event) only if the processor has the "monitor trap flag" control.',
    fields: ['ENTRY_INTERRUPTION_INFORMATION'],
    when: injecting,
    holds: (s) => (type(s) as number) !== 1 && (type(s) !== EventType.OtherEvent || (s.capabilities.primary.allowed1 & Primary.MONITOR_TRAP_FLAG) !== 0),
  },
  {
    id: 'control.inject.vector.nmi',
    sdm: 'entryControls',
    rule: 'If the interruption type is NMI, the vector is 2.',
    fields: ['ENTRY_INTERRUPTION_INFORMATION'],
    when: (s) => injecting(s) && type(s) === EventType.Nmi,
    holds: (s) => vector(s) === 2,
  },
  {
    id: 'control.inject.vector.exception',
    sdm: 'entryControls',
    rule: 'If the interruption type is hardware exception, the vector is at most 31.',
    fields: ['ENTRY_INTERRUPTION_INFORMATION'],
    when: (s) => injecting(s) && type(s) === EventType.HardwareException,
    holds: (s) => vector(s) <= 31,
  },
  {
    id: 'control.inject.vector.other',
    sdm: 'entryControls',
    rule: 'If the interruption type is other event, the vector is 0 (pending MTF VM exit).',
    fields: ['ENTRY_INTERRUPTION_INFORMATION'],
    when: (s) => injecting(s) && type(s) === EventType.OtherEvent,
    holds: (s) => vector(s) === 0,
  },
  {
    id: 'control.inject.error-code-valid',
    sdm: 'entryControls',
    rule: 'The deliver-error-code bit (11) is 1 exactly for hardware exceptions with an error code (vectors 8, 10-14, 17) into a guest with CR0.PE = 1.',
    fields: ['ENTRY_INTERRUPTION_INFORMATION', 'GUEST_CR0', ...SECONDARY_FIELDS],
    when: injecting,
    holds: (s) => {
      const protectedMode = !unrestricted(s) || (s.low('GUEST_CR0') & 1) !== 0;
      const expected = type(s) === EventType.HardwareException && protectedMode && vector(s) < 32 && ((VECTORS_WITH_ERROR_CODE >>> vector(s)) & 1) !== 0;
      return deliversErrorCode(s) === expected;
    },
  },
  {
    id: 'control.inject.reserved',
    sdm: 'entryControls',
    rule: 'Reserved bits 30:12 of the VM-entry interruption-information field are 0.',
    fields: ['ENTRY_INTERRUPTION_INFORMATION'],
    when: injecting,
    holds: (s) => (s.low('ENTRY_INTERRUPTION_INFORMATION') & Interruption.RESERVED) === 0,
  },
  {
    id: 'control.inject.error-code',
    sdm: 'entryControls',
    rule: 'If an error code is delivered, bits 31:16 of the VM-entry exception error-code field are 0.',
    fields: ['ENTRY_INTERRUPTION_INFORMATION', 'ENTRY_EXCEPTION_ERROR_CODE'],
    when: (s) => injecting(s) && deliversErrorCode(s),
    holds: (s) => s.low('ENTRY_EXCEPTION_ERROR_CODE') <= 0xffff,
  },
  {
    id: 'control.inject.instruction-length',
    sdm: 'entryControls',
    rule: 'If a software interrupt or software exception is injected, the VM-entry instruction length is 1 to 15 (0 too if IA32_VMX_MISC[30] is 1).',
    fields: ['ENTRY_INTERRUPTION_INFORMATION', 'ENTRY_INSTRUCTION_LENGTH'],
    when: (s) => injecting(s) && SOFTWARE_TYPES.includes(type(s)),
    holds: (s) => s.low('ENTRY_INSTRUCTION_LENGTH') <= 15 && (s.low('ENTRY_INSTRUCTION_LENGTH') !== 0 || s.capabilities.zeroLengthInjection),
  },
];

/** Rules whose answer depends on memory outside the VMCS: asked at every VM entry. */
export const CONTROL_MEMORY_CHECKS: readonly EntryCheck[] = [
  {
    id: 'control.tpr-threshold.vtpr',
    sdm: 'executionControls',
    rule: 'If "use TPR shadow" is 1 and "virtualize APIC accesses" and "virtual-interrupt delivery" are 0, bits 3:0 of the TPR threshold are not greater than bits 7:4 of VTPR.',
    fields: [...SECONDARY_FIELDS, 'TPR_THRESHOLD', 'VIRTUAL_APIC_ADDRESS'],
    when: (s) => primaryIs(s, Primary.USE_TPR_SHADOW) && !secondaryIs(s, Secondary.VIRTUALIZE_APIC_ACCESSES | Secondary.VIRTUAL_INTERRUPT_DELIVERY),
    holds: (s) =>
      (s.low('TPR_THRESHOLD') & 15) <= ((s.memory32(s.low('VIRTUAL_APIC_ADDRESS') + s.high('VIRTUAL_APIC_ADDRESS') * 0x1_0000_0000 + 0x80) >>> 4) & 15),
  },
];
