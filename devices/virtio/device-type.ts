/** What a kind of virtio device adds to the transport: its number, its features, its configuration, and what it does with a request. */
import type { AccessSize } from '../bus';
import type { DescriptorChain } from './descriptor-chain';
import type { BROKEN } from './split-queue';

/** Bytes written to the chain; `wait`: the chain stays where it is, until the device asks again; `broken`: the driver broke a rule. */
export type RequestResult = number | 'wait' | typeof BROKEN;

export interface VirtioDeviceType {
  /** "Device Types": 2 block, 3 console, 4 entropy source. */
  readonly deviceId: number;
  readonly name: string;
  readonly classCode: number;
  /** Bits of its own, 0 to 23. */
  readonly features: number;
  /** Maximum size of each queue, powers of two. */
  readonly queues: readonly number[];
  /** Device-specific configuration, little endian. */
  config(): Uint8Array;
  writeConfig?(offset: number, size: AccessSize, value: number): void;
  /** @param negotiated the device's own features that the driver took. */
  process(queue: number, chain: DescriptorChain, negotiated: number): RequestResult;
  /** The result of the last `process()` is in the used ring. */
  completed?(): void;
  /** The driver has reset the device. */
  reset?(): void;
  /** Called once: `kick` makes the transport look at the queues again. */
  attach?(kick: () => void): void;
  saveState(): unknown;
  restoreState(state: unknown): void;
}
