/** A split virtqueue, the device's side: VIRTIO 1.2, "Split Virtqueues". */
import type { Stateful } from '../../memory/stateful';
import type { DmaPort } from '../dma';
import { walkChain, type DescriptorChain } from './descriptor-chain';

/** What the driver has set up. Addresses are on the bus. */
export interface QueueSettings {
  size: number;
  enabled: boolean;
  vector: number;
  descriptors: number;
  /** Available ring. */
  driver: number;
  /** Used ring. */
  device: number;
}

export interface QueueState extends QueueSettings {
  nextAvailable: number;
  nextUsed: number;
  signalled: number;
}

export const NO_VECTOR = 0xffff;
const INDEX = 2;
const RING = 4;
const AVAILABLE_ENTRY = 2;
const USED_ENTRY = 8;
const NO_INTERRUPT = 1;
const mod16 = (value: number): number => value & 0xffff;

/** The driver broke a rule of the queue, or its memory refused to be read or written: the device needs a reset. */
export const BROKEN = 'broken';

export class SplitQueue implements Stateful<QueueState> {
  settings: QueueSettings;
  /** Position in the available ring, free-running; and in the used ring. */
  private nextAvailable = 0;
  private nextUsed = 0;
  /** `nextUsed` when the driver was last asked whether it wants an interrupt. */
  private signalled = 0;

  constructor(
    readonly maximumSize: number,
    private readonly dma: DmaPort,
  ) {
    this.settings = this.initial();
  }

  private initial(): QueueSettings {
    return { size: this.maximumSize, enabled: false, vector: NO_VECTOR, descriptors: 0, driver: 0, device: 0 };
  }

  reset(): void {
    this.settings = this.initial();
    this.nextAvailable = this.nextUsed = this.signalled = 0;
  }

  private read16(address: number): number | undefined {
    const bytes = this.dma.read(address, 2);
    return bytes && bytes[0] | (bytes[1] << 8);
  }

  private write16(address: number, value: number): boolean {
    return this.dma.write(address, Uint8Array.of(value & 0xff, value >>> 8));
  }

  /** Chains that the driver has made available and the device has not taken. */
  private available(): number | typeof BROKEN {
    const index = this.read16(this.settings.driver + INDEX);
    if (index === undefined) return BROKEN;
    const count = mod16(index - this.nextAvailable);
    return count > this.settings.size ? BROKEN : count;
  }

  /** The next chain, which stays available until it is taken. Undefined: there is none. */
  peek(indirectAllowed: boolean): DescriptorChain | undefined | typeof BROKEN {
    const count = this.available();
    if (count === BROKEN || count === 0) return count === 0 ? undefined : BROKEN;
    const { size, driver, descriptors } = this.settings;
    const head = this.read16(driver + RING + (this.nextAvailable % size) * AVAILABLE_ENTRY);
    if (head === undefined) return BROKEN;
    return walkChain(head, { address: descriptors, entries: size }, indirectAllowed, this.dma) ?? BROKEN;
  }

  /** Takes the chain that peek() gave, and returns it with the number of bytes that were written to it. False: memory refused. */
  use({ head }: DescriptorChain, written: number): boolean {
    const { size, device } = this.settings;
    const entry = new Uint8Array(USED_ENTRY);
    const view = new DataView(entry.buffer);
    view.setUint32(0, head, true);
    view.setUint32(4, written, true);
    if (!this.dma.write(device + RING + (this.nextUsed % size) * USED_ENTRY, entry)) return false;
    this.nextAvailable = mod16(this.nextAvailable + 1);
    this.nextUsed = mod16(this.nextUsed + 1);
    return this.write16(device + INDEX, this.nextUsed);
  }

  /** "Used Buffer Notification Suppression": does the driver want an interrupt for what was used since it was asked? */
  wantsInterrupt(eventIndex: boolean): boolean | typeof BROKEN {
    const [old, now] = [this.signalled, this.nextUsed];
    if (old === now) return false;
    this.signalled = now;
    const { driver, size } = this.settings;
    if (!eventIndex) {
      const flags = this.read16(driver);
      return flags === undefined ? BROKEN : (flags & NO_INTERRUPT) === 0;
    }
    const usedEvent = this.read16(driver + RING + size * AVAILABLE_ENTRY);
    // The index went past used_event on the way from `old` to `now`.
    return usedEvent === undefined ? BROKEN : mod16(now - usedEvent - 1) < mod16(now - old);
  }

  /** "Available Buffer Notification Suppression": with event indices the device says which chain it wants to hear of: the next one. */
  wantNotification(): boolean {
    const { device, size } = this.settings;
    return this.write16(device + RING + size * USED_ENTRY, this.nextAvailable);
  }

  saveState(): QueueState {
    const { nextAvailable, nextUsed, signalled } = this;
    return { ...this.settings, nextAvailable, nextUsed, signalled };
  }

  restoreState({ nextAvailable, nextUsed, signalled, ...settings }: QueueState): void {
    this.settings = { ...settings };
    [this.nextAvailable, this.nextUsed, this.signalled] = [nextAvailable, nextUsed, signalled];
  }
}
