/**
 * Where the Intel SDM (volume 3) says what this model does. Code cites a KEY; what is stored is the section TITLE and its chapter,
 * because Intel renumbers chapters and sections, and titles stay.
 */
// prettier-ignore
export const SDM = {
  // Virtual Machine Control Structures
  vmcsFormat:              { chapter: 'Virtual Machine Control Structures', title: 'Format of the VMCS Region' },
  guestRegisterState:      { chapter: 'Virtual Machine Control Structures', title: 'Guest Register State' },
  guestNonRegisterState:   { chapter: 'Virtual Machine Control Structures', title: 'Guest Non-Register State' },
  // VMX Non-Root Operation
  unconditionalExits:      { chapter: 'VMX Non-Root Operation', title: 'Instructions That Cause VM Exits Unconditionally' },
  conditionalExits:        { chapter: 'VMX Non-Root Operation', title: 'Instructions That Cause VM Exits Conditionally' },
  otherExits:              { chapter: 'VMX Non-Root Operation', title: 'Other Causes of VM Exits' },
  // VM Entries
  basicChecks:             { chapter: 'VM Entries', title: 'Basic VM-Entry Checks' },
  executionControls:       { chapter: 'VM Entries', title: 'VM-Execution Control Fields' },
  exitControls:            { chapter: 'VM Entries', title: 'VM-Exit Control Fields' },
  entryControls:           { chapter: 'VM Entries', title: 'VM-Entry Control Fields' },
  hostControlRegisters:    { chapter: 'VM Entries', title: 'Checks on Host Control Registers, MSRs, and SSP' },
  hostSegments:            { chapter: 'VM Entries', title: 'Checks on Host Segment and Descriptor-Table Registers' },
  addressSpaceSize:        { chapter: 'VM Entries', title: 'Checks Related to Address-Space Size' },
  guestControlRegisters:   { chapter: 'VM Entries', title: 'Checks on Guest Control Registers, Debug Registers, and MSRs' },
  guestSegments:           { chapter: 'VM Entries', title: 'Checks on Guest Segment Registers' },
  guestDescriptorTables:   { chapter: 'VM Entries', title: 'Checks on Guest Descriptor-Table Registers' },
  guestRipRflags:          { chapter: 'VM Entries', title: 'Checks on Guest RIP, RFLAGS, and SSP' },
  guestNonRegister:        { chapter: 'VM Entries', title: 'Checks on Guest Non-Register State' },
  guestPdptes:             { chapter: 'VM Entries', title: 'Checks on Guest Page-Directory-Pointer-Table Entries' },
  loadingMsrs:             { chapter: 'VM Entries', title: 'Loading MSRs' },
  // VM Exits
  vmxAborts:               { chapter: 'VM Exits', title: 'VMX Aborts' },
  // APIC Virtualization and Virtual Interrupts
  tprVirtualization:       { chapter: 'APIC Virtualization and Virtual Interrupts', title: 'TPR Virtualization' },
  eoiVirtualization:       { chapter: 'APIC Virtualization and Virtual Interrupts', title: 'EOI Virtualization' },
  apicAccesses:            { chapter: 'APIC Virtualization and Virtual Interrupts', title: 'Virtualizing Memory-Mapped APIC Accesses' },
  apicWrites:              { chapter: 'APIC Virtualization and Virtual Interrupts', title: 'APIC-Write VM Exits' },
  fieldEncodings:          { chapter: 'Appendix B', title: 'Field Encoding in VMCS' },
} as const;

export type SdmKey = keyof typeof SDM;

export function cite(key: SdmKey): string {
  const { chapter, title } = SDM[key];
  return `Intel SDM volume 3C, ${chapter}: "${title}"`;
}
