/** The memory map that firmware hands to an operating system (ACPI: "System Address Map Interfaces"). */
export const E820Type = { Usable: 1, Reserved: 2, AcpiReclaimable: 3, AcpiNvs: 4, Unusable: 5 } as const;

export interface E820Entry {
  readonly address: number;
  readonly size: number;
  /** {@link E820Type}. */
  readonly type: number;
}

const EBDA = 0x9_fc00;
const VIDEO = 0xa_0000;
const BIOS = 0xf_0000;
const MIB = 0x10_0000;
/** RAM of this machine beyond it is seen from 4 GiB on. */
export const LOW_RAM_LIMIT = 0xc000_0000;
const FOUR_GIB = 0x1_0000_0000;

/** The map of a PC with `memoryBytes` of RAM and nothing else: a hole below 1 MiB, RAM beyond 3 GiB seen from 4 GiB on. */
export function plainMemoryMap(memoryBytes: number): E820Entry[] {
  const map: E820Entry[] = [
    { address: 0, size: Math.min(EBDA, memoryBytes), type: E820Type.Usable },
    { address: EBDA, size: VIDEO - EBDA, type: E820Type.Reserved },
    { address: BIOS, size: MIB - BIOS, type: E820Type.Reserved },
  ];
  if (memoryBytes > MIB) map.push({ address: MIB, size: Math.min(memoryBytes, LOW_RAM_LIMIT) - MIB, type: E820Type.Usable });
  if (memoryBytes > LOW_RAM_LIMIT) map.push({ address: FOUR_GIB, size: memoryBytes - LOW_RAM_LIMIT, type: E820Type.Usable });
  return map;
}

/** Usable ranges in ascending order, neighbours joined, as [start, end). Where another type overlaps, the other type wins. */
export function usableRanges(map: readonly E820Entry[]): [start: number, end: number][] {
  let ranges: [number, number][] = [];
  const usable = map.filter((e) => e.type === E820Type.Usable && e.size > 0).sort((a, b) => a.address - b.address);
  for (const { address, size } of usable) {
    const last = ranges.at(-1);
    if (last !== undefined && address <= last[1]) last[1] = Math.max(last[1], address + size);
    else ranges.push([address, address + size]);
  }
  for (const hole of map.filter((e) => e.type !== E820Type.Usable)) {
    const [from, to] = [hole.address, hole.address + hole.size];
    ranges = ranges.flatMap(([start, end]): [number, number][] => {
      if (to <= start || from >= end) return [[start, end]];
      const parts: [number, number][] = [];
      if (start < from) parts.push([start, from]);
      if (to < end) parts.push([to, end]);
      return parts;
    });
  }
  return ranges;
}
