/**
 * Where the AMD I/O Virtualization Technology (IOMMU) Specification says what iommu/amdvi does. Code cites a KEY; what is stored is the
 * section TITLE and its chapter, because AMD renumbers sections, and titles stay.
 */
// prettier-ignore
export const AMD_IOMMU = {
  // Architecture
  deviceTable:             { chapter: 'Architecture', title: 'Device Table Entry Format' },
  deviceTableSelection:    { chapter: 'Architecture', title: 'Device Table' },
  hostPageTables:          { chapter: 'Architecture', title: 'I/O Page Tables for Host Translations' },
  sharingPageTables:       { chapter: 'Architecture', title: 'Sharing AMD64 Processor and IOMMU Page Tables' },
  interruptTables:         { chapter: 'Architecture', title: 'Interrupt Remapping Tables, Guest Virtual APIC Not Enabled' },
  guestVirtualApicTables:  { chapter: 'Architecture', title: 'Interrupt Virtualization Tables with Guest Virtual APIC Enabled' },
  specialAddresses:        { chapter: 'Architecture', title: 'Special Conditions' },
  exclusion:               { chapter: 'Architecture', title: 'Device Exclusion Ranges' },
  // Commands
  commandBuffer:           { chapter: 'Commands', title: 'Command Buffer' },
  completionWait:          { chapter: 'Commands', title: 'COMPLETION_WAIT' },
  invalidateDevtab:        { chapter: 'Commands', title: 'INVALIDATE_DEVTAB_ENTRY' },
  invalidatePages:         { chapter: 'Commands', title: 'INVALIDATE_IOMMU_PAGES' },
  invalidateIotlb:         { chapter: 'Commands', title: 'INVALIDATE_IOTLB_PAGES' },
  invalidateInterrupts:    { chapter: 'Commands', title: 'INVALIDATE_INTERRUPT_TABLE' },
  prefetch:                { chapter: 'Commands', title: 'PREFETCH_IOMMU_PAGES' },
  completePpr:             { chapter: 'Commands', title: 'COMPLETE_PPR_REQUEST' },
  invalidateAll:           { chapter: 'Commands', title: 'INVALIDATE_IOMMU_ALL' },
  // Event logging
  eventLog:                { chapter: 'Event Logging', title: 'Event Logging' },
  illegalDeviceTableEntry: { chapter: 'Event Logging', title: 'ILLEGAL_DEV_TABLE_ENTRY Event' },
  ioPageFault:             { chapter: 'Event Logging', title: 'IO_PAGE_FAULT Event' },
  deviceTableHardware:     { chapter: 'Event Logging', title: 'DEV_TAB_HARDWARE_ERROR Event' },
  pageTableHardware:       { chapter: 'Event Logging', title: 'PAGE_TAB_HARDWARE_ERROR Event' },
  illegalCommand:          { chapter: 'Event Logging', title: 'ILLEGAL_COMMAND_ERROR Event' },
  commandHardware:         { chapter: 'Event Logging', title: 'COMMAND_HARDWARE_ERROR Event' },
  invalidDeviceRequest:    { chapter: 'Event Logging', title: 'INVALID_DEVICE_REQUEST Event' },
  guestVirtualApicLog:     { chapter: 'Guest Virtual APIC Log', title: 'Guest Virtual APIC Log' },
  interrupts:              { chapter: 'IOMMU Interrupt Support', title: 'IOMMU Interrupt Support' },
  // Registers
  pciResources:            { chapter: 'Registers', title: 'PCI Resources' },
  mmioRegisters:           { chapter: 'Registers', title: 'IOMMU MMIO Registers' },
  // Tables of the firmware
  ivrs:                    { chapter: 'I/O Virtualization ACPI Table', title: 'I/O Virtualization Reporting Structure (IVRS)' },
  ivhd:                    { chapter: 'I/O Virtualization ACPI Table', title: 'I/O Virtualization Hardware Definition (IVHD) Block' },
} as const;

export type AmdIommuKey = keyof typeof AMD_IOMMU;

export function citeAmdIommu(key: AmdIommuKey): string {
  const { chapter, title } = AMD_IOMMU[key];
  return `AMD IOMMU specification, ${chapter}: "${title}"`;
}
