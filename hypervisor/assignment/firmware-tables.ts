/** What firmware says of the physical machine, found as a kernel finds it: ACPI specification, "Root System Description Pointer". */
import type { PhysicalMemory } from '../../memory/physical-memory';

const RSDP_XSDT = 24;
const LENGTH = 4;
const HEADER = 36;
const POINTER = 8;
/** MCFG: base of the first configuration space. */
const MCFG_BASE = 44;
/** DMAR and IVRS: the first structure stands behind 12 bytes; both have the register base at 8. */
const FIRST_STRUCTURE = 48;
const REGISTER_BASE = 8;
/** IVHD: requester id of the IOMMU. */
const IVHD_REQUESTER = 4;

const pointer = (memory: PhysicalMemory, address: number): number => Number(memory.read64(address));

/** Physical address of a table. Throws Error when there is none. */
function findTable(memory: PhysicalMemory, rsdp: number, signature: string): number {
  const xsdt = pointer(memory, rsdp + RSDP_XSDT);
  const end = xsdt + memory.read32(xsdt + LENGTH);
  for (let at = xsdt + HEADER; at < end; at += POINTER) {
    const table = pointer(memory, at);
    if (Buffer.from(memory.readBytes(table, signature.length)).toString('latin1') === signature) return table;
  }
  throw new Error(`the firmware of the physical machine has no ${signature} table`);
}

/** Where configuration space of bus 0 is mapped. */
export const configurationBase = (memory: PhysicalMemory, rsdp: number): number => pointer(memory, findTable(memory, rsdp, 'MCFG') + MCFG_BASE);

/** Register base of the first remapping unit. VT-d specification, "DMA Remapping Reporting Structure". */
export const vtdRegisters = (memory: PhysicalMemory, rsdp: number): number =>
  pointer(memory, findTable(memory, rsdp, 'DMAR') + FIRST_STRUCTURE + REGISTER_BASE);

/** The first IOMMU. AMD IOMMU specification, "I/O Virtualization Hardware Definition (IVHD) Block". */
export function amdIommu(memory: PhysicalMemory, rsdp: number): { readonly registers: number; readonly requester: number } {
  const block = findTable(memory, rsdp, 'IVRS') + FIRST_STRUCTURE;
  return { registers: pointer(memory, block + REGISTER_BASE), requester: memory.read16(block + IVHD_REQUESTER) };
}
