/** Which files are raw disk images: those that are none of the formats that are not, and are made of whole sectors. */
import { fstatSync, readSync } from 'node:fs';
import { SECTOR } from '../devices/block-backend';
import { DiskError } from './disk-error';

/** What a format begins with, or has elsewhere; a place below zero counts from the end. */
const FORMATS: readonly (readonly [name: string, place: number, magic: string])[] = [
  ['qcow2', 0, 'QFI\xfb'],
  ['VMDK', 0, 'KDMV'],
  ['VHD', 0, 'conectix'],
  // Of a fixed size: the data are first, and only the footer tells.
  ['VHD', -512, 'conectix'],
  ['VHDX', 0, 'vhdxfile'],
  ['VDI', 0x40, '\x7f\x10\xda\xbe'],
];

function has(file: number, size: number, place: number, magic: string): boolean {
  const bytes = Buffer.alloc(magic.length);
  const position = place < 0 ? size + place : place;
  return position >= 0 && readSync(file, bytes, 0, magic.length, position) === magic.length && bytes.toString('latin1') === magic;
}

/** Throws DiskError for an open file that is not a raw image. `path` is for the message. */
export function requireRaw(file: number, path: string): void {
  const { size } = fstatSync(file);
  if (size === 0) throw new DiskError(`cannot use ${path} as a disk: it is empty; make it larger, with truncate -s 64M ${path}`);
  const format = FORMATS.find(([, place, magic]) => has(file, size, place, magic));
  if (format !== undefined)
    throw new DiskError(`cannot use ${path} as a disk: it is a ${format[0]} image; convert it, with qemu-img convert -O raw ${path} disk.img`);
  if (size % SECTOR !== 0)
    throw new DiskError(
      `cannot use ${path} as a disk: its ${size} bytes are not a whole number of ${SECTOR}-byte sectors; round it up, with truncate -s %${SECTOR} ${path}`,
    );
}
