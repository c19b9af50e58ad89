/** Invalidation descriptors: VT-d specification, "Queued Invalidation Interface". Masks are of the two 64-bit halves. */

/** Type: bits 11:9 above bits 3:0. */
export const descriptorType = (low: bigint): number => Number(((low >> 5n) & 0x70n) | (low & 0xfn));

export const DescriptorType = { ContextCache: 1, Iotlb: 2, DeviceTlb: 3, InterruptEntryCache: 4, Wait: 5 } as const;

export interface DescriptorLayout {
  readonly name: string;
  readonly reserved: readonly [low: bigint, high: bigint];
}

/** Without device-TLBs and scalable mode (ECAP.DT, ECAP.SMTS) the other types are invalid. */
export const DESCRIPTORS: Readonly<Record<number, DescriptorLayout | undefined>> = {
  [DescriptorType.ContextCache]: { name: 'cc_inv_dsc', reserved: [0xfffc_0000_0000_f1c0n, 0xffff_ffff_ffff_ffffn] },
  [DescriptorType.Iotlb]: { name: 'iotlb_inv_dsc', reserved: [0xffff_ffff_0000_f100n, 0xf80n] },
  [DescriptorType.InterruptEntryCache]: { name: 'iec_inv_dsc', reserved: [0xffff_0000_07ff_f1e0n, 0xffff_ffff_ffff_ffffn] },
  [DescriptorType.Wait]: { name: 'inv_wait_dsc', reserved: [0xffff_f100n, 0x3n] },
};

/** Descriptors of 256 bits (IQA.DW) come with scalable mode. */
export const DESCRIPTOR_BYTES = 16;

/** Granularity of context-cache and IOTLB invalidation, in descriptors and in the registers. 3: device, or page in a domain. */
export const Granularity = { Reserved: 0, Global: 1, Domain: 2, Selective: 3 } as const;

export const Wait = { IF: 0x10n, SW: 0x20n, FN: 0x40n, PD: 0x80n, DATA_SHIFT: 32n } as const;

export const field = (value: bigint, shift: number, width: number): number => Number((value >> BigInt(shift)) & ((1n << BigInt(width)) - 1n));
