/**
 * The BIOS data area, as much of it as kernels read that were started without firmware: where conventional memory ends (some place
 * their trampolines below it), and the first serial port. IBM PC convention; addresses 400h-4FFh.
 */
import type { Placement } from './placement';

const AREA = 0x400;
const AREA_SIZE = 0x100;
const COM1_PORT = 0x00;
const EBDA_SEGMENT = 0x0e;
const EQUIPMENT = 0x10;
const BASE_MEMORY_KIB = 0x13;
const COM1 = 0x3f8;
/** One serial port, no floppy, no display adapter. */
const EQUIPMENT_WORD = 1 << 9;

/** Does nothing where an image occupies the area, or there is no conventional memory. */
export function placeBiosData(placement: Placement): void {
  const end = placement.conventionalMemory;
  if (end === 0 || placement.find(AREA_SIZE, { alignment: 1, from: AREA, below: AREA + AREA_SIZE }) !== AREA) return;
  const area = new DataView(new ArrayBuffer(AREA_SIZE));
  area.setUint16(COM1_PORT, COM1, true);
  area.setUint16(EBDA_SEGMENT, end >>> 4, true);
  area.setUint16(EQUIPMENT, EQUIPMENT_WORD, true);
  area.setUint16(BASE_MEMORY_KIB, end >>> 10, true);
  placement.at(AREA, AREA_SIZE, 'the BIOS data area', new Uint8Array(area.buffer));
}
