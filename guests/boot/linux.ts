/** Linux bzImage through the 64-bit boot protocol (kernel documentation: "The Linux/x86 Boot Protocol"). */
import { BootError, bytesText, hex } from './boot-error';
import { placeBiosData } from './bios-data';
import type { BootOptions, BootPlan } from './boot-request';
import { placeGdt, placeIdentityMap } from './boot-tables';
import { commandLineBytes } from './command-line';
import { longModeEntry } from './entry-state';
import { ImageReader } from './image-reader';
import { Placement } from './placement';

/** Offsets in the image, and in the zero page, of the setup header. */
const Header = {
  setupSects: 0x1f1,
  syssize: 0x1f4,
  bootFlag: 0x1fe,
  headerLength: 0x201,
  magic: 0x202,
  version: 0x206,
  typeOfLoader: 0x210,
  loadflags: 0x211,
  code32Start: 0x214,
  ramdiskImage: 0x218,
  ramdiskSize: 0x21c,
  cmdLinePtr: 0x228,
  initrdAddrMax: 0x22c,
  kernelAlignment: 0x230,
  relocatableKernel: 0x234,
  xloadflags: 0x236,
  cmdlineSize: 0x238,
  payloadOffset: 0x248,
  payloadLength: 0x24c,
  prefAddress: 0x258,
  initSize: 0x260,
} as const;

/** Offsets in struct boot_params ("zero page") outside the setup header. */
const ZeroPage = { acpiRsdpAddr: 0x070, altMemK: 0x1e0, e820Entries: 0x1e8, e820Table: 0x2d0 } as const;
const ZERO_PAGE_SIZE = 4096;
const E820_ENTRY_SIZE = 20;
const E820_MAX = 128;

const BOOT_FLAG = 0xaa55;
/** "HdrS" */
const HEADER_MAGIC = 0x5372_6448;
/** 2.12 brought xloadflags. */
const OLDEST_VERSION = 0x20c;
const LOADED_HIGH = 0x01;
const XLF_KERNEL_64 = 0x01;
const LOADER_UNDEFINED = 0xff;
const SECTOR = 512;
const DEFAULT_SETUP_SECTS = 4;
const ENTRY_64_OFFSET = 0x200;
const MIB = 0x10_0000;
const FOUR_GIB = 0x1_0000_0000;

export function isLinuxImage(image: Uint8Array): boolean {
  if (image.length < Header.version + 2) return false;
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  return view.getUint16(Header.bootFlag, true) === BOOT_FLAG && view.getUint32(Header.magic, true) === HEADER_MAGIC;
}

export interface LinuxHeader {
  readonly version: number;
  /** Bytes [start, end) of the image are the protected-mode kernel. */
  readonly kernel: Uint8Array;
  readonly setupHeader: Uint8Array;
  readonly prefAddress: number;
  readonly initSize: number;
  readonly alignment: number;
  readonly relocatable: boolean;
  readonly initrdAddrMax: number;
  readonly cmdlineSize: number;
  /** The compressed ELF file in `kernel`. */
  readonly payloadOffset: number;
  readonly payloadLength: number;
}

const versionText = (version: number): string => `${version >>> 8}.${String(version & 0xff).padStart(2, '0')}`;

/** Reads and checks the setup header. */
export function readLinuxHeader(image: Uint8Array): LinuxHeader {
  const r = new ImageReader(image, 'the Linux image');
  const version = r.u16(Header.version, 'version');
  if (version < OLDEST_VERSION) {
    throw new BootError(
      `this Linux image speaks boot protocol ${versionText(version)}, but the 64-bit entry needs at least ${versionText(OLDEST_VERSION)} (Linux 3.8); ` +
        'use a newer 64-bit kernel, or its extracted vmlinux if that has a PVH note',
    );
  }
  if ((r.u8(Header.loadflags, 'loadflags') & LOADED_HIGH) === 0) {
    throw new BootError('this Linux image is a zImage (loadflags bit 0 is clear) that loads below 1 MiB; use a bzImage');
  }
  const xloadflags = r.u16(Header.xloadflags, 'xloadflags');
  if ((xloadflags & XLF_KERNEL_64) === 0) {
    throw new BootError(
      `this Linux kernel has no 64-bit entry point (xloadflags ${hex(xloadflags)} lacks XLF_KERNEL_64): it is a 32-bit kernel; use an x86-64 one`,
    );
  }
  const setupSects = r.u8(Header.setupSects, 'setup_sects') || DEFAULT_SETUP_SECTS;
  const start = (setupSects + 1) * SECTOR;
  const headerEnd = Header.magic + r.u8(Header.headerLength, 'setup header length');
  if (headerEnd < Header.initSize + 4) throw new BootError(`the Linux image is damaged: its setup header ends at ${hex(headerEnd)}, before init_size`);
  const syssize = r.u32(Header.syssize, 'syssize') * 16;
  const available = r.length - start;
  if (available <= ENTRY_64_OFFSET || available < syssize - 15) {
    throw new BootError(
      `the Linux image is truncated: syssize promises ${syssize} bytes from offset ${hex(start)}, the file has ${Math.max(available, 0)}; copy it again`,
    );
  }
  const kernel = r.slice(start, available, 'the protected-mode kernel');
  const payloadOffset = r.u32(Header.payloadOffset, 'payload_offset');
  const payloadLength = r.u32(Header.payloadLength, 'payload_length');
  if (payloadOffset + payloadLength > kernel.length) {
    throw new BootError(
      `the Linux image is truncated: its payload ends at ${hex(payloadOffset + payloadLength)} of a kernel of ${hex(kernel.length)} bytes; copy it again`,
    );
  }
  const alignment = r.u32(Header.kernelAlignment, 'kernel_alignment');
  if (alignment < 4096 || (alignment & (alignment - 1)) !== 0)
    throw new BootError(`the Linux image is damaged: kernel_alignment ${hex(alignment)} is not a power of two of at least 4096`);
  return {
    version,
    kernel,
    setupHeader: r.slice(Header.setupSects, headerEnd - Header.setupSects, 'the setup header'),
    prefAddress: r.u64(Header.prefAddress, 'pref_address'),
    initSize: r.u32(Header.initSize, 'init_size'),
    alignment,
    relocatable: r.u8(Header.relocatableKernel, 'relocatable_kernel') !== 0,
    initrdAddrMax: r.u32(Header.initrdAddrMax, 'initrd_addr_max'),
    cmdlineSize: r.u32(Header.cmdlineSize, 'cmdline_size'),
    payloadOffset,
    payloadLength,
  };
}

/** The preferred address if it is free; a relocatable kernel may go higher, and would move itself there from below. */
function placeKernel(placement: Placement, header: LinuxHeader): number {
  // The decompressor works inside init_size: memory behind the loaded image is used before the kernel knows of any other.
  const size = Math.max(header.initSize, header.kernel.length);
  const what = 'the Linux kernel';
  const { prefAddress, alignment } = header;
  const free = placement.find(size, { alignment: 1, from: prefAddress, below: Math.min(prefAddress + size, FOUR_GIB) });
  if (free === undefined && header.relocatable) return placement.place(size, what, { alignment, from: Math.max(prefAddress, MIB) }, header.kernel);
  placement.at(prefAddress, size, what, header.kernel);
  return prefAddress;
}

export function planLinux(image: Uint8Array, options: BootOptions): BootPlan {
  const header = readLinuxHeader(image);
  if (options.modules?.length) throw new BootError(`Linux takes one initial ramdisk and no modules, but ${options.modules.length} were given; use --initrd`);
  if (options.e820.length > E820_MAX) throw new BootError(`the memory map has ${options.e820.length} entries, the zero page holds ${E820_MAX}; merge some`);
  const commandLine = commandLineBytes(options.commandLine ?? '', header.cmdlineSize, 'this kernel');

  const placement = new Placement(options.e820, options.memoryBytes);
  const load = placeKernel(placement, header);
  placeBiosData(placement);
  const zeroPage = new DataView(new ArrayBuffer(ZERO_PAGE_SIZE));
  const zeroPageAddress = placement.table(new Uint8Array(zeroPage.buffer), 'the zero page', 4096);
  const commandLineAddress = placement.table(commandLine, 'the command line');
  const gdtr = placeGdt(placement, 'long64');
  const cr3 = placeIdentityMap(placement);

  new Uint8Array(zeroPage.buffer).set(header.setupHeader, Header.setupSects);
  zeroPage.setUint8(Header.typeOfLoader, LOADER_UNDEFINED);
  zeroPage.setUint32(Header.code32Start, load, true);
  zeroPage.setUint32(Header.cmdLinePtr, commandLineAddress, true);
  zeroPage.setUint32(ZeroPage.altMemK, placement.extendedMemory / 1024, true);
  zeroPage.setBigUint64(ZeroPage.acpiRsdpAddr, BigInt(options.rsdp ?? 0), true);
  zeroPage.setUint8(ZeroPage.e820Entries, options.e820.length);
  options.e820.forEach(({ address, size, type }, i) => {
    const at = ZeroPage.e820Table + i * E820_ENTRY_SIZE;
    zeroPage.setBigUint64(at, BigInt(address), true);
    zeroPage.setBigUint64(at + 8, BigInt(size), true);
    zeroPage.setUint32(at + 16, type, true);
  });
  const initrd = options.initrd;
  if (initrd !== undefined && initrd.length > 0) {
    // As high as the kernel allows: the kernel unpacks itself, and may move, from below.
    const address = placement.place(
      initrd.length,
      'the initial ramdisk',
      { from: MIB, below: Math.min(header.initrdAddrMax + 1, FOUR_GIB), high: true },
      initrd,
    );
    zeroPage.setUint32(Header.ramdiskImage, address, true);
    zeroPage.setUint32(Header.ramdiskSize, initrd.length, true);
  }
  return {
    format: 'linux',
    writes: placement.writes,
    entry: longModeEntry({ rip: load + ENTRY_64_OFFSET, rsi: zeroPageAddress }, cr3, gdtr),
    description: `Linux boot protocol ${versionText(header.version)}, ${bytesText(header.kernel.length)} at ${hex(load)}${initrd ? `, ramdisk ${bytesText(initrd.length)}` : ''}`,
  };
}
