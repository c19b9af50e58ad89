/** Multiboot 1 kernels, ELF or with load addresses in the header ("Multiboot Specification version 0.6.96"). */
import { BootError, bytesText, hex } from './boot-error';
import { placeBiosData } from './bios-data';
import type { BootOptions, BootPlan } from './boot-request';
import { placeGdt } from './boot-tables';
import { commandLineBytes } from './command-line';
import { isElf, physicalEntry, placeSegments, readElf } from './elf';
import { protectedModeEntry } from './entry-state';
import { ImageReader } from './image-reader';
import { Placement } from './placement';
import { MAX_COMMAND_LINE, allModules } from './start-info';

const HEADER_MAGIC = 0x1bad_b002;
const LOADER_MAGIC = 0x2bad_b002;
const SEARCH_LENGTH = 8192;

/** Header flags: bits 0-15 are demands that a loader must meet or refuse. */
const HeaderFlag = { ALIGN_MODULES: 0x1, MEMORY_INFO: 0x2, VIDEO_MODE: 0x4, ADDRESSES: 0x1_0000 } as const;
const KNOWN_DEMANDS = HeaderFlag.ALIGN_MODULES | HeaderFlag.MEMORY_INFO | HeaderFlag.VIDEO_MODE;

const InfoFlag = { MEMORY: 0x1, COMMAND_LINE: 0x4, MODULES: 0x8, MEMORY_MAP: 0x40, LOADER_NAME: 0x200 } as const;
const Info = {
  flags: 0,
  memLower: 4,
  memUpper: 8,
  cmdline: 16,
  modsCount: 20,
  modsAddr: 24,
  mmapLength: 44,
  mmapAddr: 48,
  bootLoaderName: 64,
  size: 116,
} as const;
const MODULE_SIZE = 16;
/** Without its own `size` field, which counts the rest. */
const MMAP_ENTRY_SIZE = 20;
const LOADER_NAME = 'vmexit';
const MIB = 0x10_0000;
const STACK_BYTES = 4096;

export interface MultibootHeader {
  readonly offset: number;
  readonly flags: number;
}

/** The first 4-byte aligned header in the first 8 KiB whose checksum holds. */
export function findMultibootHeader(image: Uint8Array): MultibootHeader | undefined {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  for (let offset = 0; offset + 12 <= Math.min(image.length, SEARCH_LENGTH); offset += 4) {
    if (view.getUint32(offset, true) !== HEADER_MAGIC) continue;
    const flags = view.getUint32(offset + 4, true);
    if ((HEADER_MAGIC + flags + view.getUint32(offset + 8, true)) % 0x1_0000_0000 === 0) return { offset, flags };
  }
  return undefined;
}

/** Loads by the address fields of the header ("a.out kludge"). Returns the entry point. */
function placeByAddresses(image: Uint8Array, header: MultibootHeader, placement: Placement): number {
  const r = new ImageReader(image, 'the multiboot image');
  const field = (n: number, name: string): number => r.u32(header.offset + 12 + n * 4, name);
  const headerAddr = field(0, 'header_addr');
  const loadAddr = field(1, 'load_addr');
  const loadEnd = field(2, 'load_end_addr');
  const bssEnd = field(3, 'bss_end_addr');
  const entry = field(4, 'entry_addr');
  if (loadAddr > headerAddr || headerAddr - loadAddr > header.offset) {
    throw new BootError(
      `the multiboot header is damaged: load_addr ${hex(loadAddr)} and header_addr ${hex(headerAddr)} put the start of the image before the file`,
    );
  }
  const fileOffset = header.offset - (headerAddr - loadAddr);
  if (loadEnd !== 0 && loadEnd < loadAddr)
    throw new BootError(`the multiboot header is damaged: load_end_addr ${hex(loadEnd)} is below load_addr ${hex(loadAddr)}`);
  const size = loadEnd === 0 ? r.length - fileOffset : loadEnd - loadAddr;
  const bytes = r.slice(fileOffset, size, 'the part from load_addr to load_end_addr');
  if (bssEnd !== 0 && bssEnd < loadAddr + size)
    throw new BootError(`the multiboot header is damaged: bss_end_addr ${hex(bssEnd)} is below the end of the data, ${hex(loadAddr + size)}`);
  const memorySize = bssEnd === 0 ? size : bssEnd - loadAddr;
  placement.at(loadAddr, memorySize, 'the multiboot image', bytes);
  if (entry < loadAddr || entry >= loadAddr + memorySize) throw new BootError(`the multiboot header is damaged: entry_addr ${hex(entry)} is outside the image`);
  return entry;
}

function placeElf(image: Uint8Array, placement: Placement): number {
  const elf = readElf(image);
  placeSegments(elf, placement);
  const entry = physicalEntry(elf);
  if (entry > 0xffff_ffff) throw new BootError(`the multiboot entry point ${hex(entry)} is above 4 GiB, where 32-bit code cannot run`);
  return entry;
}

export function planMultiboot(image: Uint8Array, header: MultibootHeader, options: BootOptions): BootPlan {
  // DEVIATION: a demand for a video mode (bit 2) is accepted and no video information given, as text kernels expect in practice.
  const unknown = header.flags & 0xffff & ~KNOWN_DEMANDS;
  if (unknown !== 0)
    throw new BootError(`the multiboot header demands what no loader of this version offers: flags ${hex(header.flags)}, unknown bits ${hex(unknown)}`);
  const placement = new Placement(options.e820, options.memoryBytes);
  const byAddresses = (header.flags & HeaderFlag.ADDRESSES) !== 0;
  if (!byAddresses && !isElf(image))
    throw new BootError('the multiboot image is neither ELF nor has load addresses in its header (flag bit 16): nothing says where it goes');
  const entry = byAddresses ? placeByAddresses(image, header, placement) : placeElf(image, placement);
  placeBiosData(placement);
  const gdtr = placeGdt(placement, 'protected32');
  const text = (line: string, whose: string): number => placement.table(commandLineBytes(line, MAX_COMMAND_LINE, whose), 'a command line');

  const modules = allModules(options);
  // Module strings begin with the name of the file, as boot loaders pass it.
  const strings = modules.map(({ bytes, commandLine }) => commandLine ?? (bytes === options.initrd ? options.initrdName : undefined) ?? '');
  const list = new DataView(new ArrayBuffer(modules.length * MODULE_SIZE));
  modules.forEach(({ bytes }, i) => {
    const start = placement.place(bytes.length, `module ${i}`, { from: MIB, high: true }, bytes);
    list.setUint32(i * MODULE_SIZE, start, true);
    list.setUint32(i * MODULE_SIZE + 4, start + bytes.length, true);
    list.setUint32(i * MODULE_SIZE + 8, text(strings[i], `module ${i}`), true);
  });
  const map = new DataView(new ArrayBuffer(options.e820.length * (MMAP_ENTRY_SIZE + 4)));
  options.e820.forEach(({ address, size, type }, i) => {
    const at = i * (MMAP_ENTRY_SIZE + 4);
    map.setUint32(at, MMAP_ENTRY_SIZE, true);
    map.setBigUint64(at + 4, BigInt(address), true);
    map.setBigUint64(at + 12, BigInt(size), true);
    map.setUint32(at + 20, type, true);
  });

  const info = new DataView(new ArrayBuffer(Info.size));
  const set = (offset: number, value: number): void => info.setUint32(offset, value, true);
  // The first word of the command line is the image's name, as boot loaders pass it.
  const commandLine = [options.imageName ?? 'kernel', options.commandLine ?? ''].filter((part) => part !== '').join(' ');
  set(Info.flags, InfoFlag.MEMORY | InfoFlag.COMMAND_LINE | InfoFlag.MODULES | InfoFlag.MEMORY_MAP | InfoFlag.LOADER_NAME);
  set(Info.memLower, placement.conventionalMemory >>> 10);
  set(Info.memUpper, placement.extendedMemory / 1024);
  set(Info.cmdline, text(commandLine, 'this kernel'));
  set(Info.modsCount, modules.length);
  if (modules.length > 0) set(Info.modsAddr, placement.table(new Uint8Array(list.buffer), 'the module list'));
  set(Info.mmapLength, map.byteLength);
  set(Info.mmapAddr, placement.table(new Uint8Array(map.buffer), 'the memory map'));
  set(Info.bootLoaderName, text(LOADER_NAME, 'the loader name'));
  const infoAddress = placement.table(new Uint8Array(info.buffer), 'the multiboot information');
  // The protocol leaves ESP open; kernels that push before setting it should find memory there.
  const stack = placement.table(new Uint8Array(STACK_BYTES), 'the initial stack') + STACK_BYTES;
  return {
    format: 'multiboot',
    writes: placement.writes,
    entry: protectedModeEntry({ rip: entry, rax: LOADER_MAGIC, rbx: infoAddress, rsp: stack }, gdtr),
    description: `multiboot 1, ${bytesText(image.length)} ${byAddresses ? 'by header addresses' : 'of ELF'}, entry ${hex(entry)}, ${modules.length} modules`,
  };
}
