/**
 * Images without a protocol of their own: flat binaries at 1 MiB and plain ELF64 executables. The convention is vmexit's:
 * RBX (EBX) = RDI = physical address of hvm_start_info, a stack of 16 KiB with a zero return address on it, interrupts off,
 * the first 4 GiB mapped one to one in 64-bit mode, paging off in 32-bit mode.
 */
import { BootError, bytesText, hex } from './boot-error';
import { placeBiosData } from './bios-data';
import type { BootOptions, BootPlan } from './boot-request';
import { placeGdt, placeIdentityMap } from './boot-tables';
import { physicalEntry, placeSegments, type ElfFile } from './elf';
import { longModeEntry, protectedModeEntry } from './entry-state';
import { Placement } from './placement';
import { placeStartInfo } from './start-info';

export const FLAT_LOAD_ADDRESS = 0x10_0000;
const STACK_BYTES = 0x4000;
const FOUR_GIB = 0x1_0000_0000;

function finish(format: 'flat32' | 'flat64' | 'elf64', rip: number, placement: Placement, options: BootOptions, description: string): BootPlan {
  placeBiosData(placement);
  const startInfo = placeStartInfo(placement, options, 'this image');
  const stack = placement.table(new Uint8Array(STACK_BYTES), 'the stack', 16) + STACK_BYTES;
  // As after a CALL, so that a compiled function can be the entry point.
  const registers = { rip, rbx: startInfo, rdi: startInfo, rsp: stack - 8 };
  if (format === 'flat32') return { format, writes: placement.writes, entry: protectedModeEntry(registers, placeGdt(placement, 'protected32')), description };
  const gdtr = placeGdt(placement, 'long64');
  return { format, writes: placement.writes, entry: longModeEntry(registers, placeIdentityMap(placement), gdtr), description };
}

export function planFlat(image: Uint8Array, format: 'flat32' | 'flat64', options: BootOptions): BootPlan {
  if (image.length === 0) throw new BootError('the flat image is empty (0 bytes): there is nothing to run');
  const placement = new Placement(options.e820, options.memoryBytes);
  placement.at(FLAT_LOAD_ADDRESS, image.length, 'the flat image', image);
  return finish(format, FLAT_LOAD_ADDRESS, placement, options, `${format}, ${bytesText(image.length)} at ${hex(FLAT_LOAD_ADDRESS)}`);
}

export function planElf64(elf: ElfFile, options: BootOptions): BootPlan {
  const placement = new Placement(options.e820, options.memoryBytes);
  const size = placeSegments(elf, placement);
  const entry = physicalEntry(elf);
  if (entry >= FOUR_GIB) throw new BootError(`the entry point ${hex(entry)} is above 4 GiB, outside the initial page tables; link the image lower`);
  return finish('elf64', entry, placement, options, `plain ELF64, ${bytesText(size)}, entry ${hex(entry)}`);
}
