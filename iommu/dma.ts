/** A requester's way to memory through an IOMMU: what a device gets instead of raw memory. */
import type { DmaPort } from '../devices/dma';
import { MessageAddress, type InterruptSink } from '../devices/interrupt-message';
import type { DmaRemapper } from './remapping';

/** The memory behind the IOMMU, as PhysicalMemory has it. */
export interface DmaMemory {
  /** 0 where there is no RAM. */
  host(physical: number): number;
  readBytes(physical: number, length: number): Uint8Array;
  /** @param requester the device that writes. */
  writeBytes(physical: number, bytes: Uint8Array, requester?: number): void;
}

const PAGE = 4096;
const MESSAGE_BYTES = 4;

/**
 * DMA of one requester (bus << 8 | device << 3 | function); without a remapper addresses are physical. Outside RAM nothing answers:
 * such reads and writes are refused, as a master abort is.
 * A dword written to FEEx_xxxxh is an interrupt message, whoever writes it.
 */
export class RequesterDma implements DmaPort {
  constructor(
    readonly requester: number,
    private readonly memory: DmaMemory,
    private readonly remapper?: Pick<DmaRemapper, 'translate'>,
    /** Where interrupt messages go; without it they are refused. */
    private readonly messages?: InterruptSink,
  ) {}

  read(address: number, length: number): Uint8Array | undefined {
    const bytes = new Uint8Array(length);
    const complete = this.each(address, length, false, (physical, done, chunk) => bytes.set(this.memory.readBytes(physical, chunk), done));
    return complete ? bytes : undefined;
  }

  write(address: number, bytes: Uint8Array): boolean {
    if (this.messages !== undefined && bytes.length === MESSAGE_BYTES && isMessageAddress(address)) {
      this.messages({ address, data: dword(bytes), source: this.requester });
      return true;
    }
    return this.each(address, bytes.length, true, (physical, done, chunk) =>
      this.memory.writeBytes(physical, bytes.subarray(done, done + chunk), this.requester),
    );
  }

  /** Hands the runs of a transfer to `transfer` until it is complete (true) or one is refused (false). */
  private each(address: number, length: number, write: boolean, transfer: (physical: number, done: number, chunk: number) => void): boolean {
    for (let done = 0; done < length;) {
      let physical = address + done;
      let chunk = length - done;
      if (this.remapper !== undefined) {
        const translation = this.remapper.translate(this.requester, physical, chunk, write);
        if (translation.kind === 'blocked') return false;
        ({ physical, length: chunk } = translation);
      }
      // RAM may end at any page, so each page is looked at.
      chunk = Math.min(chunk, PAGE - (physical % PAGE));
      if (this.memory.host(physical) === 0) return false;
      transfer(physical, done, chunk);
      done += chunk;
    }
    return true;
  }
}

const isMessageAddress = (address: number): boolean =>
  address >= MessageAddress.BASE && address <= MessageAddress.BASE + MessageAddress.LOW && address % MESSAGE_BYTES === 0;

const dword = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset, MESSAGE_BYTES).getUint32(0, true);
