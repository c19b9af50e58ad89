/**
 * Where the AMD64 Architecture Programmer's Manual (volume 2) says what this model does. Code cites a KEY; what is stored is the
 * section TITLE and its chapter, because AMD renumbers sections, and titles stay.
 */
// prettier-ignore
export const APM = {
  // Secure Virtual Machine
  enablingSvm:             { chapter: 'Secure Virtual Machine', title: 'Enabling SVM' },
  vmrun:                   { chapter: 'Secure Virtual Machine', title: 'VMRUN Instruction' },
  consistencyChecks:       { chapter: 'Secure Virtual Machine', title: 'Canonicalization and Consistency Checks' },
  vmsaveVmload:            { chapter: 'Secure Virtual Machine', title: 'VMSAVE and VMLOAD Instructions' },
  vmexit:                  { chapter: 'Secure Virtual Machine', title: '#VMEXIT' },
  interceptOperation:      { chapter: 'Secure Virtual Machine', title: 'Intercept Operation' },
  stateSavedOnExit:        { chapter: 'Secure Virtual Machine', title: 'State Saved on Exit' },
  idtDelivery:             { chapter: 'Secure Virtual Machine', title: 'Intercepts During IDT Interrupt Delivery' },
  decodeAssists:           { chapter: 'Secure Virtual Machine', title: 'Decode Assists' },
  instructionIntercepts:   { chapter: 'Secure Virtual Machine', title: 'Instruction Intercepts' },
  ioioIntercepts:          { chapter: 'Secure Virtual Machine', title: 'IOIO Intercepts' },
  msrIntercepts:           { chapter: 'Secure Virtual Machine', title: 'MSR Intercepts' },
  exceptionIntercepts:     { chapter: 'Secure Virtual Machine', title: 'Exception Intercepts' },
  interruptIntercepts:     { chapter: 'Secure Virtual Machine', title: 'Interrupt Intercepts' },
  miscellaneousIntercepts: { chapter: 'Secure Virtual Machine', title: 'Miscellaneous Intercepts' },
  pauseFiltering:          { chapter: 'Secure Virtual Machine', title: 'Pause Intercept Filtering' },
  stateCaching:            { chapter: 'Secure Virtual Machine', title: 'VMCB State Caching' },
  cleanField:              { chapter: 'Secure Virtual Machine', title: 'VMCB Clean Field' },
  tlbControl:              { chapter: 'Secure Virtual Machine', title: 'TLB Control' },
  tlbFlush:                { chapter: 'Secure Virtual Machine', title: 'TLB Flush' },
  globalInterruptFlag:     { chapter: 'Secure Virtual Machine', title: 'Global Interrupt Flag, STGI and CLGI Instructions' },
  vmmcall:                 { chapter: 'Secure Virtual Machine', title: 'VMMCALL Instruction' },
  pagedRealMode:           { chapter: 'Secure Virtual Machine', title: 'Paged Real Mode' },
  eventInjection:          { chapter: 'Secure Virtual Machine', title: 'Event Injection' },
  localApicSupport:        { chapter: 'Secure Virtual Machine', title: 'Interrupt and Local APIC Support' },
  nmiVirtualization:       { chapter: 'Secure Virtual Machine', title: 'NMI Virtualization' },
  lbrVirtualization:       { chapter: 'Secure Virtual Machine', title: 'Last Branch Record Virtualization' },
  nestedPaging:            { chapter: 'Secure Virtual Machine', title: 'Nested Paging' },
  enablingNestedPaging:    { chapter: 'Secure Virtual Machine', title: 'Enabling Nested Paging' },
  nestedPagingVmrun:       { chapter: 'Secure Virtual Machine', title: 'Nested Paging and VMRUN/#VMEXIT' },
  nestedPageFaults:        { chapter: 'Secure Virtual Machine', title: 'Nested versus Guest Page Faults, Fault Ordering' },
  svmMsrs:                 { chapter: 'Secure Virtual Machine', title: 'SVM Related MSRs' },
  tscRatio:                { chapter: 'Secure Virtual Machine', title: 'TSC Ratio MSR (C000_0104h)' },
  virtualVmsaveVmload:     { chapter: 'Secure Virtual Machine', title: 'VMSAVE and VMLOAD Virtualization' },
  virtualGif:              { chapter: 'Secure Virtual Machine', title: 'Virtual GIF (VGIF)' },
  // Appendices
  vmcbLayout:              { chapter: 'Appendix B', title: 'Layout of VMCB' },
  exitCodes:               { chapter: 'Appendix C', title: 'SVM Intercept Exit Codes' },
} as const;

export type ApmKey = keyof typeof APM;

export function cite(key: ApmKey): string {
  const { chapter, title } = APM[key];
  return `AMD64 APM volume 2, ${chapter}: "${title}"`;
}
