/**
 * Makes a disk image that starts a bundled guest on any PC with a BIOS: `ts-node scripts/make-bios-disk.ts GUEST.elf DISK.img`. It is how
 * the guests run on Bochs, which has no `-kernel`. Needs as and ld.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readElf } from '../guests/boot/elf';
import { pvhEntry } from '../guests/boot/pvh';

const PT_LOAD = 1;
const SECTOR = 512;
/** Offset in the boot sector of load address, file size, zeroed bytes, entry (32 bits each) and sector count (16 bits). */
const PARAMETERS = 492;
/** 16 heads of 63 sectors: a whole number of cylinders, as BIOSes want. */
const CYLINDER = 16 * 63 * SECTOR;
/** From 64 KiB to the end of conventional memory, below the BIOS's own. */
const MAX_FILE_BYTES = 0x80000;

function bootSector(): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'bios-disk-'));
  try {
    const [object, binary] = ['boot.o', 'boot.bin'].map((name) => join(directory, name));
    execFileSync('as', ['--32', join(__dirname, 'bios-disk.S'), '-o', object]);
    execFileSync('ld', ['-m', 'elf_i386', '-Ttext', '0x7c00', '-e', 'start', '--oformat', 'binary', object, '-o', binary]);
    return readFileSync(binary);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function biosDisk(image: Uint8Array): Buffer {
  const elf = readElf(image);
  const entry = pvhEntry(elf);
  if (entry === undefined) throw new Error('the image has no PVH entry point, and a boot sector enters in 32-bit mode: give one of the bundled guests');
  const segments = elf.segments.filter(({ type }) => type === PT_LOAD);
  if (segments.length !== 1) throw new Error(`the image has ${segments.length} loadable segments; the boot sector can place one`);
  const [{ physical, offset, fileSize, memorySize }] = segments;
  const data = image.subarray(offset, offset + fileSize);
  if (data.length > MAX_FILE_BYTES) throw new Error(`the image has ${data.length} bytes; the boot sector can read ${MAX_FILE_BYTES}`);
  const boot = bootSector();
  const values = [physical, data.length, memorySize - data.length, entry];
  values.forEach((value, i) => boot.writeUInt32LE(value, PARAMETERS + 4 * i));
  const sectors = Math.ceil(data.length / SECTOR);
  boot.writeUInt16LE(sectors, PARAMETERS + 4 * values.length);
  const disk = Buffer.alloc(Math.ceil((SECTOR * (1 + sectors)) / CYLINDER) * CYLINDER);
  boot.copy(disk);
  disk.set(data, SECTOR);
  return disk;
}

function main([guest, disk]: readonly string[]): void {
  if (disk === undefined) {
    console.error('usage: make-bios-disk GUEST.elf DISK.img');
    process.exitCode = 2;
    return;
  }
  writeFileSync(disk, biosDisk(readFileSync(guest)));
}

main(process.argv.slice(2));
