/** ELF kernels with a PVH note: entered in 32-bit protected mode with EBX = hvm_start_info (Xen: "x86/HVM direct boot ABI"). */
import { BootError, bytesText, hex } from './boot-error';
import { placeBiosData } from './bios-data';
import type { BootOptions, BootPlan } from './boot-request';
import { placeGdt } from './boot-tables';
import { elfNotes, placeSegments, requireInside, type ElfFile } from './elf';
import { protectedModeEntry } from './entry-state';
import { Placement } from './placement';
import { placeStartInfo } from './start-info';

const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** The 32-bit entry point, or undefined if the file has no such note. */
export function pvhEntry(elf: ElfFile): number | undefined {
  for (const note of elfNotes(elf)) {
    if (note.name !== 'Xen' || note.type !== XEN_ELFNOTE_PHYS32_ENTRY) continue;
    const { description } = note;
    // As wide as the ELF class; only 32 bits of it count.
    if (description.length !== 4 && description.length !== 8) throw new BootError(`the PVH note of the ELF file has ${description.length} bytes, not 4 or 8`);
    return new DataView(description.buffer, description.byteOffset).getUint32(0, true);
  }
  return undefined;
}

export function planPvh(elf: ElfFile, entry: number, options: BootOptions): BootPlan {
  const placement = new Placement(options.e820, options.memoryBytes);
  const size = placeSegments(elf, placement);
  requireInside(elf, entry, `PVH note, ${hex(entry)}`);
  placeBiosData(placement);
  const gdtr = placeGdt(placement, 'protected32');
  const startInfo = placeStartInfo(placement, options, 'this kernel');
  return {
    format: 'pvh',
    writes: placement.writes,
    entry: protectedModeEntry({ rip: entry, rbx: startInfo }, gdtr),
    description: `PVH, ${bytesText(size)} of ELF${elf.bits} segments, entry ${hex(entry)}`,
  };
}
