/** Disk images that start a kernel on any PC with a BIOS: for emulators that load none themselves. Needs `as` and `ld` (GNU binutils). */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { E820Type } from '../guests/boot/e820';
import { placeSegments, readElf } from '../guests/boot/elf';
import { readLinuxHeader } from '../guests/boot/linux';
import { Placement, type MemoryWrite } from '../guests/boot/placement';
import { pvhEntry } from '../guests/boot/pvh';
import { placeStartInfo } from '../guests/boot/start-info';
import { ROOT } from './workload';

const SECTOR = 512;
const MIB = 1 << 20;
/** 16 heads of 63 sectors: a whole number of cylinders, as BIOSes want. */
const CYLINDER = 16 * 63 * SECTOR;

/** What boot-sector.S expects: `entry`, `start_info`, then pieces up to one of no sectors. */
const Parameter = { entry: 400, startInfo: 404, pieces: 408, end: 510 } as const;
const PIECE_SIZE = 12;
const MAX_PIECES = Math.floor((Parameter.end - Parameter.pieces) / PIECE_SIZE) - 1;

/** Linux's real-mode set-up stands here, with its heap, stack and command line (kernel documentation: "The Linux/x86 Boot Protocol"). */
const LINUX_SETUP = 0x9_0000;
const LINUX_HEAP_END = 0xde00;
const LINUX_COMMAND_LINE = 0xe000;
/** Up to the BIOS's extended data area. */
const LINUX_SETUP_END = 0xf800;
const LINUX_KERNEL = MIB;
const LinuxHeader = { setupSects: 0x1f1, typeOfLoader: 0x210, loadflags: 0x211, ramdiskImage: 0x218, ramdiskSize: 0x21c, heapEndPtr: 0x224, cmdLinePtr: 0x228 };
const LOADER_UNDEFINED = 0xff;
const CAN_USE_HEAP = 0x80;

/** A disk that boots a bzImage through its 16-bit entry: the kernel asks the BIOS for memory and tables as after any boot loader. */
export function linuxDisk(image: Uint8Array, initrd: Uint8Array, commandLine: string, memoryBytes: number): Buffer {
  const { kernel } = readLinuxHeader(image);
  const text = Buffer.from(`${commandLine}\0`, 'latin1');
  if (text.length > LINUX_SETUP_END - LINUX_COMMAND_LINE) throw new RangeError(`the command line has ${text.length} bytes; the boot sector has room for 6143`);
  const setup = Buffer.alloc(LINUX_SETUP_END);
  setup.set(image.subarray(0, (setupSectors(image) + 1) * SECTOR));
  // Below the BIOS's own memory at the top.
  const initrdAddress = Math.floor((memoryBytes - 2 * MIB - initrd.length) / MIB) * MIB;
  setup.writeUInt8(LOADER_UNDEFINED, LinuxHeader.typeOfLoader);
  setup.writeUInt8(setup.readUInt8(LinuxHeader.loadflags) | CAN_USE_HEAP, LinuxHeader.loadflags);
  setup.writeUInt16LE(LINUX_HEAP_END - 0x200, LinuxHeader.heapEndPtr);
  setup.writeUInt32LE(LINUX_SETUP + LINUX_COMMAND_LINE, LinuxHeader.cmdLinePtr);
  setup.writeUInt32LE(initrdAddress, LinuxHeader.ramdiskImage);
  setup.writeUInt32LE(initrd.length, LinuxHeader.ramdiskSize);
  text.copy(setup, LINUX_COMMAND_LINE);
  const pieces = [
    { address: LINUX_KERNEL, bytes: kernel },
    { address: initrdAddress, bytes: initrd },
    { address: LINUX_SETUP, bytes: setup },
  ];
  return disk(0, 0, pieces);
}

const setupSectors = (image: Uint8Array): number => image[LinuxHeader.setupSects] || 4;

/** A disk that starts one of the bundled guests through its PVH entry, with a memory map of one range from 1 MiB on. */
export function pvhDisk(image: Uint8Array, commandLine: string, memoryBytes: number): Buffer {
  const elf = readElf(image);
  const entry = pvhEntry(elf);
  if (entry === undefined) throw new RangeError('the image has no PVH entry point: give one of the bundled guests');
  const e820 = [{ address: MIB, size: memoryBytes - 2 * MIB, type: E820Type.Usable }];
  const segments = new Placement(e820, memoryBytes);
  placeSegments(elf, segments);
  // Tables go into conventional memory above the buffer of the boot sector.
  const tables = new Placement([{ address: 0x2_0000, size: 0x6_0000, type: E820Type.Usable }], memoryBytes);
  const startInfo = placeStartInfo(tables, { memoryBytes, e820, commandLine }, 'the guest');
  return disk(entry, startInfo, [...segments.writes, joined(tables.writes)]);
}

/** Many small writes as one piece. */
function joined(writes: readonly MemoryWrite[]): MemoryWrite {
  const address = Math.min(...writes.map((w) => w.address));
  const bytes = new Uint8Array(Math.max(...writes.map((w) => w.address + w.bytes.length)) - address);
  for (const w of writes) bytes.set(w.bytes, w.address - address);
  return { address, bytes };
}

function disk(entry: number, startInfo: number, pieces: readonly MemoryWrite[]): Buffer {
  if (pieces.length > MAX_PIECES) throw new RangeError(`${pieces.length} pieces; the boot sector has room for ${MAX_PIECES}`);
  const boot = bootSector();
  boot.writeUInt32LE(entry, Parameter.entry);
  boot.writeUInt32LE(startInfo, Parameter.startInfo);
  let sector = 1;
  const placed = pieces.map(({ address, bytes }, i) => {
    const at = Parameter.pieces + i * PIECE_SIZE;
    const sectors = Math.ceil(bytes.length / SECTOR);
    [address, sector, sectors].forEach((value, field) => boot.writeUInt32LE(value, at + 4 * field));
    const offset = sector * SECTOR;
    sector += sectors;
    return { offset, bytes };
  });
  const bytes = Buffer.alloc(Math.ceil((sector * SECTOR) / CYLINDER) * CYLINDER);
  boot.copy(bytes);
  for (const p of placed) bytes.set(p.bytes, p.offset);
  return bytes;
}

function bootSector(): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'boot-sector-'));
  try {
    const [object, binary] = ['boot.o', 'boot.bin'].map((name) => join(directory, name));
    // The compiler copies no assembly: from dist/ too, the source is the one in bench/.
    execFileSync('as', ['--32', join(ROOT, 'bench/boot-sector.S'), '-o', object]);
    execFileSync('ld', ['-m', 'elf_i386', '-Ttext', '0x7c00', '-e', 'start', '--oformat', 'binary', object, '-o', binary]);
    return readFileSync(binary);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
