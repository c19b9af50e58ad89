/** Commands, 128 bits: AMD IOMMU specification, "Commands". Masks and positions are of the two 64-bit halves. */

export const COMMAND_BYTES = 16;
export const opcodeOf = (low: bigint): number => Number(low >> 60n);

export const Opcode = {
  COMPLETION_WAIT: 1,
  INVALIDATE_DEVTAB_ENTRY: 2,
  INVALIDATE_IOMMU_PAGES: 3,
  INVALIDATE_IOTLB_PAGES: 4,
  INVALIDATE_INTERRUPT_TABLE: 5,
  PREFETCH_IOMMU_PAGES: 6,
  COMPLETE_PPR_REQUEST: 7,
  INVALIDATE_IOMMU_ALL: 8,
} as const;
export type CommandName = keyof typeof Opcode;

export interface CommandLayout {
  readonly name: CommandName;
  /** Why this IOMMU does not have the command; it is illegal then. */
  readonly absent?: string;
  readonly reserved: readonly [low: bigint, high: bigint];
}

const ALL = 0xffff_ffff_ffff_ffffn;

/** Bits that belong to guest translations (PASID, GN) count as reserved: GTSup = 0. */
export const COMMANDS: Readonly<Record<number, CommandLayout | undefined>> = {
  [Opcode.COMPLETION_WAIT]: { name: 'COMPLETION_WAIT', reserved: [0x0ff0_0000_0000_0000n, 0n] },
  [Opcode.INVALIDATE_DEVTAB_ENTRY]: { name: 'INVALIDATE_DEVTAB_ENTRY', reserved: [0x0fff_ffff_ffff_0000n, ALL] },
  [Opcode.INVALIDATE_IOMMU_PAGES]: { name: 'INVALIDATE_IOMMU_PAGES', reserved: [0x0fff_0000_ffff_ffffn, 0xffcn] },
  [Opcode.INVALIDATE_IOTLB_PAGES]: { name: 'INVALIDATE_IOTLB_PAGES', absent: 'no device has an IOTLB (IotlbSup = 0)', reserved: [0n, 0n] },
  [Opcode.INVALIDATE_INTERRUPT_TABLE]: { name: 'INVALIDATE_INTERRUPT_TABLE', reserved: [0x0fff_ffff_ffff_0000n, ALL] },
  [Opcode.PREFETCH_IOMMU_PAGES]: { name: 'PREFETCH_IOMMU_PAGES', reserved: [0x0fff_ffff_00ff_0000n, 0xfeen] },
  [Opcode.COMPLETE_PPR_REQUEST]: { name: 'COMPLETE_PPR_REQUEST', absent: 'there are no peripheral page requests (PPRSup = 0)', reserved: [0n, 0n] },
  [Opcode.INVALIDATE_IOMMU_ALL]: { name: 'INVALIDATE_IOMMU_ALL', reserved: [0x0fff_ffff_ffff_ffffn, ALL] },
};

export const CompletionWait = { S: 1n << 0n, I: 1n << 1n, F: 1n << 2n, ADDRESS: 0x000f_ffff_ffff_fff8n } as const;
/** High half of INVALIDATE_IOMMU_PAGES and PREFETCH_IOMMU_PAGES: size, page directory entries too, invalidate first. */
export const Pages = { S: 1n << 0n, PDE: 1n << 1n, INVAL: 1n << 4n, ADDRESS: 0xffff_ffff_ffff_f000n } as const;
export const deviceOf = (low: bigint): number => Number(low & 0xffffn);
export const domainOf = (low: bigint): number => Number((low >> 32n) & 0xffffn);
export const prefetchCount = (low: bigint): number => Number((low >> 24n) & 0xffn);
