/** Resource descriptors for _CRS: ACPI specification, "Resource Data Types for ACPI". */
import { buffer, type Aml } from './aml';

const SMALL = { irq: 0x22, io: 0x47, endTag: 0x79 } as const;
const LARGE = { memory32Fixed: 0x86, dword: 0x87, word: 0x88, qword: 0x8a } as const;
const RANGE = { memory: 0, io: 1, bus: 2 } as const;
/** Producer; positive decode; minimum and maximum fixed. */
const FIXED_RANGE = 0x0c;
const ENTIRE_IO_RANGE = 3;
const MEMORY_FLAGS = { readWrite: 1, cacheable: 2, prefetchable: 6 } as const;

const littleEndian = (value: number, bytes: number): number[] => Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256);

/** Address space descriptor: granularity 0, first, last, translation 0, length. */
function addressSpace(tag: number, width: 2 | 4 | 8, range: number, typeFlags: number, first: number, last: number): Aml {
  const fields = [0, first, last, 0, last - first + 1].flatMap((value) => littleEndian(value, width));
  return [tag, ...littleEndian(3 + fields.length, 2), range, FIXED_RANGE, typeFlags, ...fields];
}

export const Resource = {
  /** Ports [first, first + count), 16-bit decode. */
  io: (first: number, count: number): Aml => [SMALL.io, 1, ...littleEndian(first, 2), ...littleEndian(first, 2), 1, count],
  /** An ISA interrupt: edge, active high, exclusive. */
  irq: (irq: number): Aml => [SMALL.irq, ...littleEndian(1 << irq, 2)],
  memoryFixed: (first: number, size: number): Aml => [LARGE.memory32Fixed, 9, 0, 1, ...littleEndian(first, 4), ...littleEndian(size, 4)],
  /** Windows of a bridge, [first, last]. */
  busWindow: (first: number, last: number): Aml => addressSpace(LARGE.word, 2, RANGE.bus, 0, first, last),
  ioWindow: (first: number, last: number): Aml => addressSpace(LARGE.word, 2, RANGE.io, ENTIRE_IO_RANGE, first, last),
  memoryWindow: (first: number, last: number): Aml => addressSpace(LARGE.dword, 4, RANGE.memory, MEMORY_FLAGS.readWrite, first, last),
  /** The frame buffer window. */
  cacheableWindow: (first: number, last: number): Aml =>
    addressSpace(LARGE.dword, 4, RANGE.memory, MEMORY_FLAGS.readWrite | MEMORY_FLAGS.cacheable, first, last),
  prefetchableWindow64: (first: number, last: number): Aml =>
    addressSpace(LARGE.qword, 8, RANGE.memory, MEMORY_FLAGS.readWrite | MEMORY_FLAGS.prefetchable, first, last),
} as const;

/** A resource template. An end tag with checksum 0 counts as right. */
export const template = (...descriptors: Aml[]): Aml => buffer([...descriptors.flat(), SMALL.endTag, 0]);
