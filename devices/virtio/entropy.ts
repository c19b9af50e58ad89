/** Entropy device: VIRTIO 1.2, "Entropy Device". */
import type { DescriptorChain } from './descriptor-chain';
import type { RequestResult, VirtioDeviceType } from './device-type';
import { BROKEN } from './split-queue';

/** 64 random bits, or undefined when there are none now; recorded where the run is. Its state is part of a snapshot with whoever owns it. */
export interface RandomBits {
  next(): bigint | undefined;
}

const WORD = 8;
/** One request gets so many bytes at most: "the device may fill less than the buffer". */
const LIMIT = 4096;

export class VirtioEntropy implements VirtioDeviceType {
  readonly deviceId = 4;
  readonly name = 'entropy device';
  readonly classCode = 0x00_ff00;
  readonly queues = [64];
  readonly features = 0;

  constructor(private readonly source: RandomBits) {}

  config(): Uint8Array {
    return new Uint8Array(0);
  }

  process(_queue: number, chain: DescriptorChain): RequestResult {
    // "The driver MUST NOT place driver-readable buffers into the queue", and a device must give a byte at least.
    if (chain.readableBytes > 0 || chain.writableBytes === 0) return BROKEN;
    const bytes = new Uint8Array(Math.min(LIMIT, chain.writableBytes));
    const word = new DataView(new ArrayBuffer(WORD));
    let filled = 0;
    while (filled < bytes.length) {
      const bits = this.source.next();
      if (bits === undefined) break;
      word.setBigUint64(0, bits, true);
      const count = Math.min(WORD, bytes.length - filled);
      bytes.set(new Uint8Array(word.buffer, 0, count), filled);
      filled += count;
    }
    // A source that has run dry is asked again at the next notification.
    if (filled === 0) return 'wait';
    return chain.write(0, bytes.subarray(0, filled)) ? filled : BROKEN;
  }

  saveState(): undefined {
    return undefined;
  }

  restoreState(): void {}
}
