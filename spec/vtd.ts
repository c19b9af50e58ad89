/**
 * Where the Intel Virtualization Technology for Directed I/O specification (VT-d) says what iommu/vtd does. Code cites a KEY; what is
 * stored is the section TITLE and its chapter, because sections are renumbered, and titles stay.
 */
// prettier-ignore
export const VTD = {
  // DMA Remapping
  rootEntry:               { chapter: 'DMA Remapping', title: 'Root Table' },
  contextEntry:            { chapter: 'DMA Remapping', title: 'Context Entry' },
  adjustedWidth:           { chapter: 'DMA Remapping', title: 'Adjusted Guest Address Width' },
  secondLevel:             { chapter: 'DMA Remapping', title: 'Second-level Translation' },
  interruptRange:          { chapter: 'DMA Remapping', title: 'Handling Requests to Interrupt Address Range' },
  // Interrupt Remapping and Interrupt Posting
  requestFormats:          { chapter: 'Interrupt Remapping', title: 'Interrupt Request Formats On Intel 64 Platforms' },
  remappingFlow:           { chapter: 'Interrupt Remapping', title: 'Interrupt-Remapping Hardware Operation' },
  posting:                 { chapter: 'Interrupt Posting', title: 'Interrupt Posting Hardware Operation' },
  // Caching Translation Information
  contextCache:            { chapter: 'Caching Translation Information', title: 'Context-Cache' },
  iotlb:                   { chapter: 'Caching Translation Information', title: 'IOTLB' },
  pagingStructureCaches:   { chapter: 'Caching Translation Information', title: 'Caches for Paging Structures' },
  interruptEntryCache:     { chapter: 'Caching Translation Information', title: 'Interrupt Entry Cache' },
  registerInvalidation:    { chapter: 'Caching Translation Information', title: 'Register-based Invalidation Interface' },
  queuedInvalidation:      { chapter: 'Caching Translation Information', title: 'Queued Invalidation Interface' },
  queueErrors:             { chapter: 'Caching Translation Information', title: 'Queued Invalidation Considerations' },
  // Remapping Faults
  faultProcessing:         { chapter: 'Remapping Faults', title: 'Non-recoverable Faults' },
  primaryLogging:          { chapter: 'Remapping Faults', title: 'Primary Fault Logging' },
  faultEvent:              { chapter: 'Remapping Faults', title: 'Fault Events' },
  faultReasons:            { chapter: 'Fault Reason Encodings', title: 'Fault Reason Encodings' },
  // Platform and registers
  dmar:                    { chapter: 'BIOS Considerations', title: 'DMA Remapping Reporting Structure' },
  drhd:                    { chapter: 'BIOS Considerations', title: 'DMA-Remapping Hardware Unit Definition Structure' },
  deviceScope:             { chapter: 'BIOS Considerations', title: 'Device Scope Structure' },
  rmrr:                    { chapter: 'BIOS Considerations', title: 'Reserved Memory Region Reporting Structure' },
  registers:               { chapter: 'Register Descriptions', title: 'Register Descriptions' },
  protectedMemory:         { chapter: 'Handling DMA Remapping Enabling', title: 'Protected Memory Regions' },
} as const;

export type VtdKey = keyof typeof VTD;

export function citeVtd(key: VtdKey): string {
  const { chapter, title } = VTD[key];
  return `Intel VT-d specification, ${chapter}: "${title}"`;
}
