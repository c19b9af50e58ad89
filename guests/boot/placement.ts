/** Where things go in guest-physical memory: every range is inside usable RAM and no two overlap, or a BootError says which. */
import { BootError, bytesText, hex } from './boot-error';
import { LOW_RAM_LIMIT, usableRanges, type E820Entry } from './e820';

export interface MemoryWrite {
  readonly address: number;
  readonly bytes: Uint8Array;
}

interface Taken {
  readonly start: number;
  readonly end: number;
  readonly what: string;
}

export interface PlaceOptions {
  readonly alignment?: number;
  /** First address allowed. */
  readonly from?: number;
  /** First address not allowed any more. */
  readonly below?: number;
  /** Take the highest place that fits instead of the lowest. */
  readonly high?: boolean;
}

const PAGE = 4096;
const FOUR_GIB = 0x1_0000_0000;
/** The first page stays free: it is the real-mode interrupt table, and null pointers point there. */
const LOWEST = 0x1000;
const CONVENTIONAL_MEMORY_END = 0xa_0000;
const HIGH_MEMORY = 0x10_0000;
const MORE_MEMORY = 'give it more memory (--memory)';

export class Placement {
  readonly writes: MemoryWrite[] = [];
  private readonly ram: readonly [number, number][];
  private readonly taken: Taken[] = [];

  constructor(
    map: readonly E820Entry[],
    private readonly memoryBytes: number,
  ) {
    this.ram = usableRanges(map);
  }

  /** Reserves a fixed range and puts `bytes` at its start; the rest is zero, as memory is before a plan is applied. */
  at(address: number, size: number, what: string, bytes?: Uint8Array): void {
    if (size === 0) return;
    if (!this.ram.some(([start, end]) => address >= start && address + size <= end)) {
      throw new BootError(
        `${what} wants memory ${hex(address)}-${hex(address + size - 1)} (${bytesText(size)}), which is not all usable RAM: ` +
          `the machine has ${bytesText(this.memoryBytes)}, usable ${this.describeRam()}; ${this.adviceFor(address, address + size)}`,
      );
    }
    const other = this.overlap(address, address + size);
    if (other !== undefined) {
      throw new BootError(
        `${what} at ${hex(address)}-${hex(address + size - 1)} overlaps ${other.what} at ${hex(other.start)}-${hex(other.end - 1)}; the image is damaged or cannot be loaded here`,
      );
    }
    this.take(address, size, what, bytes);
  }

  /** Finds room for `size` bytes, reserves it and puts `bytes` there. */
  place(size: number, what: string, options: PlaceOptions = {}, bytes?: Uint8Array): number {
    // What is empty has an address all the same, and that is one of usable RAM.
    const address = this.find(Math.max(size, 1), options);
    if (address === undefined) {
      const { from = LOWEST, below = FOUR_GIB } = options;
      throw new BootError(
        `${what} (${bytesText(size)}) does not fit into usable RAM between ${hex(from)} and ${hex(below - 1)} beside what is loaded there: ` +
          `the machine has ${bytesText(this.memoryBytes)}; ${size > below - from ? 'no machine has room for it there: use a smaller one' : MORE_MEMORY}`,
      );
    }
    this.take(address, size, what, bytes);
    return address;
  }

  /** Small structures of a boot protocol: conventional memory if there is room, else anywhere below 4 GiB. */
  table(bytes: Uint8Array, what: string, alignment = 16): number {
    const conventional: PlaceOptions = { alignment, below: CONVENTIONAL_MEMORY_END };
    return this.place(bytes.length, what, this.find(bytes.length, conventional) !== undefined ? conventional : { alignment, high: true }, bytes);
  }

  /** A free range, or undefined. */
  find(size: number, { alignment = PAGE, from = LOWEST, below = FOUR_GIB, high = false }: PlaceOptions): number | undefined {
    let best: number | undefined;
    for (const [ramStart, ramEnd] of this.ram) {
      const start = Math.max(ramStart, from);
      const end = Math.min(ramEnd, below);
      const blocks = this.taken.filter((t) => t.end > start && t.start < end).sort((a, b) => a.start - b.start);
      let free = start;
      for (const block of [...blocks, { start: end, end }]) {
        const lowest = Math.ceil(free / alignment) * alignment;
        const highest = Math.floor((block.start - size) / alignment) * alignment;
        if (highest >= lowest) {
          if (!high) return lowest;
          best = highest;
        }
        free = Math.max(free, block.end);
      }
    }
    return best;
  }

  /** RAM contiguous from 1 MiB, in bytes. */
  get extendedMemory(): number {
    const range = this.ram.find(([start, end]) => start <= 0x10_0000 && end > 0x10_0000);
    return range === undefined ? 0 : range[1] - 0x10_0000;
  }
  get conventionalMemory(): number {
    const range = this.ram.find(([start]) => start === 0);
    return range === undefined ? 0 : Math.min(range[1], CONVENTIONAL_MEMORY_END);
  }

  /** More memory makes RAM of what is behind the end of RAM, up to the devices below 4 GiB, and of nothing else. */
  private adviceFor(start: number, end: number): string {
    const top = this.ram.reduce((highest, [, to]) => (to <= LOW_RAM_LIMIT ? Math.max(highest, to) : highest), HIGH_MEMORY);
    let gap = start;
    for (const [from, to] of this.ram) if (gap >= from && gap < to) gap = to;
    if (gap >= top && end <= LOW_RAM_LIMIT) return MORE_MEMORY;
    const never = gap < top ? gap : Math.max(gap, LOW_RAM_LIMIT);
    return `${hex(never)} is not RAM on this machine, however much memory it has: link the image for addresses from ${hex(HIGH_MEMORY)} to ${hex(LOW_RAM_LIMIT - 1)}`;
  }

  private describeRam(): string {
    return this.ram.map(([start, end]) => `${hex(start)}-${hex(end - 1)}`).join(', ') || 'none';
  }

  private overlap(start: number, end: number): Taken | undefined {
    return this.taken.find((t) => t.start < end && t.end > start);
  }

  private take(address: number, size: number, what: string, bytes?: Uint8Array): void {
    this.taken.push({ start: address, end: address + size, what });
    if (bytes !== undefined && bytes.length > 0) this.writes.push({ address, bytes });
  }
}
