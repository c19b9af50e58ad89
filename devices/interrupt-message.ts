/**
 * Interrupts as writes to memory: SDM "Message Signalled Interrupts". I/O APICs and PCI functions send the same messages, so that
 * one interrupt remapping unit can stand between all of them and the processors.
 */
export interface InterruptMessage {
  /** FEEx_xxxxh; an IOMMU in remapping mode gives the low bits another meaning. */
  readonly address: number;
  readonly data: number;
  /** Requester id: bus << 8 | device << 3 | function. */
  readonly source: number;
  /** All 32 bits of the destination, from an interrupt remapping unit in extended (x2APIC) mode: then those in the address do not count. */
  readonly extendedDestination?: number;
}

export type InterruptSink = (message: InterruptMessage) => void;

export const MessageAddress = { BASE: 0xfee0_0000, LOGICAL: 0x4, REDIRECTION_HINT: 0x8, DESTINATION_SHIFT: 12, LOW: 0xf_ffff } as const;
export const MessageData = { VECTOR: 0xff, MODE_SHIFT: 8, ASSERT: 0x4000, LEVEL: 0x8000 } as const;

/** What a message in compatibility format asks for. */
export interface InterruptRequest {
  readonly vector: number;
  /** As in the ICR: 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT, 7 ExtINT. */
  readonly deliveryMode: number;
  readonly level: boolean;
  readonly logical: boolean;
  /** 8 bits, or 32 if `wide`. */
  readonly destination: number;
  readonly wide: boolean;
}

/** Undefined when the address is not in the interrupt range. */
export function decodeMessage({ address, data, extendedDestination }: InterruptMessage): InterruptRequest | undefined {
  if (address < MessageAddress.BASE || address > MessageAddress.BASE + MessageAddress.LOW) return undefined;
  return {
    vector: data & MessageData.VECTOR,
    deliveryMode: (data >>> MessageData.MODE_SHIFT) & 7,
    level: (data & MessageData.LEVEL) !== 0,
    logical: (address & MessageAddress.LOGICAL) !== 0,
    destination: extendedDestination ?? (address >>> MessageAddress.DESTINATION_SHIFT) & 0xff,
    wide: extendedDestination !== undefined,
  };
}
