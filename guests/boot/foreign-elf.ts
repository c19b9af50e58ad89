/** ELF files that people pass by mistake: programs of an operating system, and kernels in a form that nothing can start. */
import { BootError } from './boot-error';
import { elfNotes, ElfType, type ElfFile } from './elf';

/** "Linux Standard Base Core Specification": the note by which the C library marks a program with the system it is for. */
const NT_GNU_ABI_TAG = 1;
/** Xen's public headers: the name of the guest operating system. */
const XEN_ELFNOTE_GUEST_OS = 6;
const ADVICE = 'give a Linux bzImage, a PVH or multiboot kernel, or a freestanding ELF64 image that is linked for where it runs';

function whatProgram(elf: ElfFile): string | undefined {
  if (elf.interpreter !== undefined) return `a program for an operating system, whose loader is ${elf.interpreter}`;
  for (const { name, type } of elfNotes(elf)) {
    if (name === 'GNU' && type === NT_GNU_ABI_TAG) return 'a statically linked program for an operating system';
    if (name === 'Go') return 'a Go program for an operating system';
  }
  if (elf.type === ElfType.DYN && elf.dynamic && elf.segments.some(({ virtual }) => virtual === 0n))
    return 'a shared library, or a position-independent program that somebody must relocate';
  return undefined;
}

function isLinuxKernel(elf: ElfFile): boolean {
  // The PVH note alone makes nothing a Linux: an image that has it may be entered in another way too.
  for (const { name, type } of elfNotes(elf)) if (name === 'Linux' || (name === 'Xen' && type === XEN_ELFNOTE_GUEST_OS)) return true;
  return false;
}

/** For a file that has no boot protocol. Throws BootError when it is known that it was not made to be started without one. */
export function requireFreestanding(elf: ElfFile): void {
  const program = whatProgram(elf);
  if (program !== undefined) throw new BootError(`this is ${program}, not a kernel; ${ADVICE}`);
  if (isLinuxKernel(elf))
    throw new BootError(
      'this is a Linux or Xen kernel (vmlinux) without a PVH note, so nothing says how to start it; ' +
        'give its bzImage (arch/x86/boot/bzImage, or /boot/vmlinuz-*), or build it with CONFIG_PVH',
    );
}
