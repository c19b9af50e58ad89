/** The PCI function and its IOMMU capability block: AMD IOMMU specification, "PCI Resources". */

/** As on real boards: the third function of the host bridge's device. */
export const IOMMU_REQUESTER = 0x0002;
export const IOMMU_IDENTITY = { vendor: 0x1022, device: 0x1481, classCode: 0x08_0600, revision: 0 } as const;

/** Secure device. */
export const CAPABILITY_ID = 0x0f;
/** Bits 31:16 of the header: type 3 (IOMMU), revision 1, EFRSup, CapExt. No IOTLBs, no HyperTransport, absent entries are not cached. */
export const CAPABILITY_HEADER = 0x3 | (0x1 << 3) | (1 << 11) | (1 << 12);
/** Base Address Low Register: Enable (RW1S: it stays, and locks the address), and bits 31:14. */
export const BaseLow = { ENABLE: 0x1, ADDRESS: 0xffff_c000 } as const;
/** Offsets in the block. */
export const Block = { BASE_LOW: 0x04, BASE_HIGH: 0x08, RANGE: 0x0c, MISC0: 0x10, MISC1: 0x14, BYTES: 0x18 } as const;
/** Miscellaneous Information Register 0: MsiNum 4:0, GVAsize 7:5 (48 bits), PAsize 14:8, VAsize 21:15. */
export const misc0 = (physicalAddressWidth: number): number => (2 << 5) | (physicalAddressWidth << 8) | (64 << 15);
