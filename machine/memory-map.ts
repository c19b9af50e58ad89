/** The system address map that the board's firmware would report (ACPI: "System Address Map Interfaces"). */
import { ECAM_BASE, ECAM_SIZE } from '../devices/pci/pci-bus';
import { E820Type, plainMemoryMap, type E820Entry } from '../guests/boot/e820';

/** I/O APIC, HPET, root complex registers, local APIC, reset vector. */
const CHIPSET = { address: 0xfec0_0000, size: 0x0140_0000 } as const;

/**
 * RAM, the BIOS area (which holds the ACPI tables) and what the chipset claims, in ascending order without overlaps.
 * @param memoryBytes RAM: what does not fit below 3 GiB stands from 4 GiB on.
 */
export function boardMemoryMap(memoryBytes: number): E820Entry[] {
  const chipset: E820Entry[] = [
    { address: ECAM_BASE, size: ECAM_SIZE, type: E820Type.Reserved },
    { ...CHIPSET, type: E820Type.Reserved },
  ];
  return [...plainMemoryMap(memoryBytes), ...chipset].sort((a, b) => a.address - b.address);
}
