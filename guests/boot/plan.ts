/** From an image and its companions to memory contents and processor state, whatever protocol the image speaks. */
import { BootError, bytesText, hex } from './boot-error';
import type { BootOptions, BootPlan } from './boot-request';
import { ElfMachine, isElf, readElf } from './elf';
import { planElf64, planFlat } from './flat';
import { requireFreestanding } from './foreign-elf';
import { isLinuxImage, planLinux } from './linux';
import { findMultibootHeader, planMultiboot } from './multiboot';
import { planPvh, pvhEntry } from './pvh';

/** First bytes of files that people pass by mistake. */
const FOREIGN: readonly { readonly magic: readonly number[]; readonly what: string; readonly advice: string }[] = [
  { magic: [0x1f, 0x8b], what: 'a gzip file', advice: 'unpack it first (gunzip)' },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], what: 'an xz file', advice: 'unpack it first (unxz)' },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], what: 'a zstd file', advice: 'unpack it first (unzstd)' },
  { magic: [0x21, 0x3c, 0x61, 0x72, 0x63, 0x68, 0x3e], what: 'an ar archive (a .deb?)', advice: 'take the kernel out of it (dpkg-deb -x; boot/vmlinuz-*)' },
  { magic: [0x51, 0x46, 0x49, 0xfb], what: 'a qcow2 disk', advice: 'give a kernel image' },
  { magic: [0x30, 0x37, 0x30, 0x37, 0x30], what: 'a cpio archive', advice: 'give it as the initial ramdisk (--initrd) beside a kernel' },
  { magic: [0x4d, 0x5a], what: 'a PE (EFI or Windows) executable', advice: 'give a kernel with a boot protocol' },
];

/**
 * Plans the start of `image`. Throws {@link BootError}, and nothing else, for every image that cannot be booted; time and memory
 * are proportional to the size of the image.
 */
export function planBoot(image: Uint8Array, options: BootOptions): BootPlan {
  const format = options.format ?? 'auto';
  switch (format) {
    case 'flat32':
    case 'flat64':
      return planFlat(image, format, options);
    case 'linux':
      if (!isLinuxImage(image)) throw new BootError('the image has no Linux setup header ("HdrS" at offset 0x202); leave the format at auto');
      return planLinux(image, options);
    case 'multiboot': {
      const header = findMultibootHeader(image);
      if (header === undefined) throw new BootError('the image has no multiboot header in its first 8192 bytes; leave the format at auto');
      return planMultiboot(image, header, options);
    }
    case 'pvh': {
      const elf = readElf(requireElf(image));
      const entry = pvhEntry(elf);
      if (entry === undefined) throw new BootError('the ELF file has no PVH note (Xen, type 18); leave the format at auto');
      return planPvh(elf, entry, options);
    }
    case 'elf64':
      return planElf(image, options, false);
    case 'auto':
      return planByContents(image, options);
  }
}

function planByContents(image: Uint8Array, options: BootOptions): BootPlan {
  if (isLinuxImage(image)) return planLinux(image, options);
  const header = findMultibootHeader(image);
  if (header !== undefined) return planMultiboot(image, header, options);
  return planElf(image, options, true);
}

function planElf(image: Uint8Array, options: BootOptions, withNotes: boolean): BootPlan {
  const elf = readElf(requireElf(image));
  const entry = withNotes ? pvhEntry(elf) : undefined;
  if (entry !== undefined) return planPvh(elf, entry, options);
  requireFreestanding(elf);
  if (elf.bits === 64 && elf.machine === ElfMachine.X86_64) return planElf64(elf, options);
  throw new BootError(
    `this is a ${elf.bits}-bit ELF file for ${elf.machine === ElfMachine.I386 ? 'i386' : 'x86-64'} without a multiboot header or PVH note, so nothing says how to start it; ` +
      'add one of them, or make a flat binary and give --format flat32',
  );
}

function requireElf(image: Uint8Array): Uint8Array {
  if (isElf(image)) return image;
  if (image.length === 0) throw new BootError('the image is empty (0 bytes)');
  const foreign = FOREIGN.find(({ magic }) => magic.every((byte, i) => image[i] === byte));
  if (foreign !== undefined) throw new BootError(`the image is ${foreign.what}, not a kernel: ${foreign.advice}`);
  const start = [...image.subarray(0, 4)].map((b) => hex(b)).join(' ');
  throw new BootError(
    `the image (${bytesText(image.length)}, begins ${start}) is no kernel this machine knows: not Linux (bzImage), multiboot 1 or ELF; ` +
      'for a raw binary give --format flat32 or --format flat64',
  );
}
