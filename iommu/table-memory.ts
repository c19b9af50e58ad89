/** What an IOMMU itself does to memory: it reads tables and queues, and writes status words. PhysicalMemory has all of it. */
import type { DmaMemory } from './dma';
import type { WalkStep } from './remapping';

export interface TableMemory extends DmaMemory {
  read32(physical: number): number;
  read64(physical: number): bigint;
  write32(physical: number, value: number): void;
  write64(physical: number, value: bigint): void;
}

/** Reads an entry of one or more qwords that does not cross a page; the value is undefined where there is no RAM. */
export function readEntry(memory: TableMemory, table: string, address: number, qwords: 1 | 2 | 4 = 1): WalkStep {
  return { table, address, value: readQwords(memory, address, qwords) };
}

export function readQwords(memory: TableMemory, address: number, qwords: number): readonly bigint[] | undefined {
  if (memory.host(address) === 0) return undefined;
  return Array.from({ length: qwords }, (_, i) => memory.read64(address + 8 * i));
}

/** What the first changed entry of a walk through caches says now; undefined when all stand as they were read. */
export function changedStep(
  memory: TableMemory,
  walk: readonly WalkStep[],
): { readonly cached: WalkStep; readonly now: readonly bigint[] | undefined } | undefined {
  for (const cached of walk) {
    if (cached.read === undefined) continue;
    const now = readQwords(memory, cached.address, cached.value?.length ?? 1);
    if (cached.value?.some((v, i) => v !== now?.[i])) return { cached, now };
  }
  return undefined;
}

/** Tables in any memory that DMA reaches: tables are read when caches miss, so that the copies do not matter. */
export class TablesInDmaMemory implements TableMemory {
  constructor(private readonly memory: DmaMemory) {}

  private view(physical: number, bytes: number): DataView {
    const { buffer, byteOffset } = this.memory.readBytes(physical, bytes);
    return new DataView(buffer, byteOffset, bytes);
  }
  private write(physical: number, bytes: number, put: (view: DataView) => void): void {
    const view = new DataView(new ArrayBuffer(bytes));
    put(view);
    this.memory.writeBytes(physical, new Uint8Array(view.buffer));
  }

  host(physical: number): number {
    return this.memory.host(physical);
  }
  readBytes(physical: number, length: number): Uint8Array {
    return this.memory.readBytes(physical, length);
  }
  writeBytes(physical: number, bytes: Uint8Array): void {
    this.memory.writeBytes(physical, bytes);
  }
  read32(physical: number): number {
    return this.view(physical, 4).getUint32(0, true);
  }
  read64(physical: number): bigint {
    return this.view(physical, 8).getBigUint64(0, true);
  }
  /** Throws RangeError where there is no RAM, as writeBytes does. */
  write32(physical: number, value: number): void {
    this.write(physical, 4, (view) => view.setUint32(0, value, true));
  }
  write64(physical: number, value: bigint): void {
    this.write(physical, 8, (view) => view.setBigUint64(0, value, true));
  }
}
