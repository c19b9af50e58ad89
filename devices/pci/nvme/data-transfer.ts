/** The data of a command, to and from the memory that its PRPs name. */
import type { DmaPort } from '../../dma';
import type { NvmeCommand } from './command';
import { MAX_TRANSFER } from './identify';
import { prpSegments, type Segment } from './prp';
import { Status, type StatusCode } from './status';

export class DataTransfer {
  /** @param pageSize of host memory, now: CC.MPS in bytes. */
  constructor(
    private readonly dma: DmaPort,
    private readonly pageSize: () => number,
  ) {}

  private segments({ prp1, prp2 }: NvmeCommand, length: number): Segment[] | StatusCode {
    if (length > MAX_TRANSFER) return Status.INVALID_FIELD;
    return prpSegments(prp1, prp2, length, this.pageSize(), (address, count) => this.dma.read(address, count));
  }

  toHost(command: NvmeCommand, bytes: Uint8Array): StatusCode {
    const segments = this.segments(command, bytes.length);
    if (typeof segments === 'number') return segments;
    let offset = 0;
    for (const { address, length } of segments) {
      if (!this.dma.write(address, bytes.subarray(offset, offset + length))) return Status.DATA_TRANSFER_ERROR;
      offset += length;
    }
    return Status.SUCCESS;
  }

  fromHost(command: NvmeCommand, total: number): Uint8Array | StatusCode {
    const segments = this.segments(command, total);
    if (typeof segments === 'number') return segments;
    const bytes = new Uint8Array(total);
    let offset = 0;
    for (const { address, length } of segments) {
      const chunk = this.dma.read(address, length);
      if (chunk === undefined) return Status.DATA_TRANSFER_ERROR;
      bytes.set(chunk, offset);
      offset += length;
    }
    return bytes;
  }
}
