/** Submission queue entries: NVM Express Base Specification 1.4, "Submission Queue Entry - Command Format". */

export const COMMAND_BYTES = 64;
export const COMPLETION_BYTES = 16;
const TWO32 = 0x1_0000_0000;

export interface NvmeCommand {
  readonly opcode: number;
  /** Fused operation, and PRPs or SGLs for the data transfer: nonzero is not supported. */
  readonly flags: number;
  /** Command identifier. */
  readonly cid: number;
  /** Namespace identifier. */
  readonly nsid: number;
  readonly prp1: number;
  readonly prp2: number;
  readonly cdw10: number;
  readonly cdw11: number;
  readonly cdw12: number;
  readonly cdw13: number;
  readonly cdw14: number;
  readonly cdw15: number;
}

export function decodeCommand(entry: Uint8Array): NvmeCommand {
  const view = new DataView(entry.buffer, entry.byteOffset);
  const dword = (index: number): number => view.getUint32(4 * index, true);
  return {
    opcode: entry[0],
    flags: entry[1],
    cid: view.getUint16(2, true),
    nsid: dword(1),
    prp1: dword(7) * TWO32 + dword(6),
    prp2: dword(9) * TWO32 + dword(8),
    cdw10: dword(10),
    cdw11: dword(11),
    cdw12: dword(12),
    cdw13: dword(13),
    cdw14: dword(14),
    cdw15: dword(15),
  };
}

/** Starting LBA and number of blocks of Read, Write, Compare and Write Zeroes. */
export function blockRange({ cdw10, cdw11, cdw12 }: NvmeCommand): { first: number; count: number } {
  return { first: cdw11 * TWO32 + cdw10, count: (cdw12 & 0xffff) + 1 };
}
