/** MSI with 64-bit addresses and a mask for each vector: PCI Local Bus Specification, "MSI Capability Structure". */
import type { MessageCapability } from './pci-device';

export const MSI_CAPABILITY = 0x05;
const Offset = { CONTROL: 2, ADDRESS: 4, UPPER_ADDRESS: 8, DATA: 12, MASK: 16, PENDING: 20, END: 24 } as const;
const Control = { ENABLE: 0x01, CAPABLE_SHIFT: 1, ENABLED_VECTORS_SHIFT: 4, ADDRESS_64: 0x80, PER_VECTOR_MASKING: 0x100 } as const;
/** Id and next pointer. */
const HEADER = 2;
const TWO32 = 0x1_0000_0000;

/** What software has put into a message capability. */
export interface Message {
  readonly address: number;
  readonly data: number;
}

/** Puts one message on the bus. */
export type SendMessage = (address: number, data: number) => void;

/** What follows id and next pointer, and which bits of it software may write. `vectors`: 1, 2, 4 … 32. */
export function msiLayout(vectors: number): { body: number[]; masks: number[] } {
  const body = new Array<number>(Offset.END - HEADER).fill(0);
  const masks = [...body];
  const control = Control.ADDRESS_64 | Control.PER_VECTOR_MASKING | (Math.log2(vectors) << Control.CAPABLE_SHIFT);
  body.splice(Offset.CONTROL - HEADER, 2, control & 0xff, control >>> 8);
  masks[Offset.CONTROL - HEADER] = Control.ENABLE | (7 << Control.ENABLED_VECTORS_SHIFT);
  masks.splice(Offset.ADDRESS - HEADER, 4, 0xfc, 0xff, 0xff, 0xff);
  masks.splice(Offset.UPPER_ADDRESS - HEADER, 4, 0xff, 0xff, 0xff, 0xff);
  masks.splice(Offset.DATA - HEADER, 2, 0xff, 0xff);
  const mask = vectors === 32 ? 0xffff_ffff : (1 << vectors) - 1;
  masks.splice(Offset.MASK - HEADER, 4, mask & 0xff, (mask >>> 8) & 0xff, (mask >>> 16) & 0xff, mask >>> 24);
  return { body, masks };
}

export class MsiCapability implements MessageCapability {
  private readonly view: DataView;

  /** @param config configuration space, which holds all state; @param offset of the capability in it. */
  constructor(
    config: Uint8Array,
    private readonly offset: number,
    private readonly vectors: number,
    private readonly send: SendMessage,
  ) {
    this.view = new DataView(config.buffer, config.byteOffset);
  }

  private get32(offset: number): number {
    return this.view.getUint32(this.offset + offset, true);
  }

  private get control(): number {
    return this.view.getUint16(this.offset + Offset.CONTROL, true);
  }

  get enabled(): boolean {
    return (this.control & Control.ENABLE) !== 0;
  }

  /** Vectors that software has allocated: a power of two, no more than were asked for. */
  private get allocated(): number {
    return Math.min(1 << ((this.control >>> Control.ENABLED_VECTORS_SHIFT) & 7), this.vectors);
  }

  /** A function that got fewer vectors than it asked for uses the low bits of their numbers. */
  signal(vector: number): void {
    if (!this.enabled) return;
    const n = vector & (this.allocated - 1);
    if ((this.get32(Offset.MASK) >>> n) & 1) this.setPending(this.get32(Offset.PENDING) | (1 << n));
    else this.message(n);
  }

  /** What signal() would send now; undefined: nothing, messages are off or this one is masked. */
  outgoing(vector: number): Message | undefined {
    const n = vector & (this.allocated - 1);
    return this.enabled && ((this.get32(Offset.MASK) >>> n) & 1) === 0 ? this.messageOf(n) : undefined;
  }

  /** Software may have removed masks: what waited behind them goes out. */
  settle(): void {
    if (!this.enabled) return;
    const ready = this.get32(Offset.PENDING) & ~this.get32(Offset.MASK);
    if (ready === 0) return;
    this.setPending(this.get32(Offset.PENDING) & ~ready);
    for (let n = 0; n < this.allocated; n++) if ((ready >>> n) & 1) this.message(n);
  }

  private setPending(pending: number): void {
    this.view.setUint32(this.offset + Offset.PENDING, pending, true);
  }

  private message(vector: number): void {
    const { address, data } = this.messageOf(vector);
    this.send(address, data);
  }

  private messageOf(vector: number): Message {
    const data = this.view.getUint16(this.offset + Offset.DATA, true);
    return { address: this.get32(Offset.UPPER_ADDRESS) * TWO32 + this.get32(Offset.ADDRESS), data: (data & ~(this.allocated - 1)) | vector };
  }
}
