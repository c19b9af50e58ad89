/** ELF executables for i386 and x86-64: header, program headers, notes (System V ABI: "Object Files", "Program Loading"). */
import { BootError, hex } from './boot-error';
import { ImageReader } from './image-reader';
import type { Placement } from './placement';

export interface ElfSegment {
  readonly type: number;
  readonly offset: number;
  readonly virtual: bigint;
  readonly physical: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly description: Uint8Array;
}

export interface ElfFile {
  readonly bits: 32 | 64;
  /** {@link ElfType}. */
  readonly type: number;
  readonly machine: number;
  readonly entry: bigint;
  /** PT_LOAD and PT_NOTE. */
  readonly segments: readonly ElfSegment[];
  /** PT_INTERP: the program that an operating system would load to load this one. */
  readonly interpreter?: string;
  /** There is a PT_DYNAMIC. */
  readonly dynamic: boolean;
  readonly reader: ImageReader;
}

const ELF_MAGIC = 0x464c_457f;
export const ElfType = { EXEC: 2, DYN: 3 } as const;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const PT_NOTE = 4;
export const ElfMachine = { I386: 3, X86_64: 62 } as const;
/** More than any linker makes: a damaged count must not cost time. */
const MAX_SEGMENTS = 256;
const MAX_NOTE_BYTES = 0x1_0000;
const LONGEST_INTERPRETER = 100;

export function isElf(image: Uint8Array): boolean {
  return image.length >= 4 && new DataView(image.buffer, image.byteOffset).getUint32(0, true) === ELF_MAGIC;
}

export function readElf(image: Uint8Array): ElfFile {
  const r = new ImageReader(image, 'the ELF file');
  const ident = r.u8(4, 'EI_CLASS');
  if (ident !== 1 && ident !== 2) throw new BootError(`the ELF file is damaged: EI_CLASS is ${ident}, neither 32-bit (1) nor 64-bit (2)`);
  const bits = ident === 1 ? 32 : 64;
  if (r.u8(5, 'EI_DATA') !== 1) throw new BootError('the ELF file is not little-endian, so it is not for x86; use an x86-64 image');
  const type = r.u16(16, 'e_type');
  const machine = r.u16(18, 'e_machine');
  if (machine !== ElfMachine.I386 && machine !== ElfMachine.X86_64) {
    throw new BootError(`the ELF file is for machine ${machine}, not i386 (${ElfMachine.I386}) or x86-64 (${ElfMachine.X86_64}); use an x86 image`);
  }
  if (type !== ElfType.EXEC && type !== ElfType.DYN) throw new BootError(`the ELF file has type ${type}, not an executable (${ElfType.EXEC}): link it first`);
  const wide = bits === 64;
  const entry = wide ? r.u64Any(24, 'e_entry') : BigInt(r.u32(24, 'e_entry'));
  const phoff = wide ? r.u64(32, 'e_phoff') : r.u32(28, 'e_phoff');
  const phentsize = r.u16(wide ? 54 : 42, 'e_phentsize');
  const phnum = r.u16(wide ? 56 : 44, 'e_phnum');
  if (phnum === 0) throw new BootError('the ELF file has no program headers, so nothing says what to load: link it as an executable');
  if (phnum > MAX_SEGMENTS) throw new BootError(`the ELF file is damaged: ${phnum} program headers, at most ${MAX_SEGMENTS} are accepted`);
  if (phentsize !== (wide ? 56 : 32)) throw new BootError(`the ELF file is damaged: e_phentsize is ${phentsize}, not ${wide ? 56 : 32}`);
  const segments: ElfSegment[] = [];
  let interpreter: string | undefined;
  let dynamic = false;
  for (let i = 0; i < phnum; i++) {
    const at = phoff + i * phentsize;
    const name = `program header ${i}`;
    const kind = r.u32(at, name);
    if (kind === PT_DYNAMIC) dynamic = true;
    if (kind === PT_INTERP) interpreter = interpreterName(r, wide ? r.u64(at + 8, name) : r.u32(at + 4, name));
    if (kind !== PT_LOAD && kind !== PT_NOTE) continue;
    const segment: ElfSegment = wide
      ? {
          type: kind,
          offset: r.u64(at + 8, name),
          virtual: r.u64Any(at + 16, name),
          physical: r.u64(at + 24, name),
          fileSize: r.u64(at + 32, name),
          memorySize: r.u64(at + 40, name),
        }
      : {
          type: kind,
          offset: r.u32(at + 4, name),
          virtual: BigInt(r.u32(at + 8, name)),
          physical: r.u32(at + 12, name),
          fileSize: r.u32(at + 16, name),
          memorySize: r.u32(at + 20, name),
        };
    if (kind === PT_LOAD && segment.fileSize > segment.memorySize) {
      throw new BootError(`the ELF file is damaged: ${name} has ${segment.fileSize} bytes in the file for ${segment.memorySize} in memory`);
    }
    segments.push(segment);
  }
  return { bits, type, machine, entry, segments, interpreter, dynamic, reader: r };
}

/** For a message: no longer than one has room for, and whatever the file says its length is. */
function interpreterName(r: ImageReader, offset: number): string {
  const text = new TextDecoder('latin1').decode(r.bytes.subarray(offset, offset + LONGEST_INTERPRETER));
  return /^[\x20-\x7e]+/.exec(text)?.[0] ?? 'unreadable';
}

/** All notes of all PT_NOTE segments. Some linkers pad entries to 8 bytes, but only where nothing but that note kind lives. */
export function* elfNotes(elf: ElfFile): Generator<ElfNote> {
  for (const s of elf.segments) {
    if (s.type !== PT_NOTE) continue;
    if (s.fileSize > MAX_NOTE_BYTES)
      throw new BootError(`the ELF file is damaged: a note segment of ${s.fileSize} bytes, at most ${MAX_NOTE_BYTES} are accepted`);
    const r = new ImageReader(elf.reader.slice(s.offset, s.fileSize, 'a note segment'), 'a note segment of the ELF file');
    for (let at = 0; at + 12 <= r.length;) {
      const nameSize = r.u32(at, 'note name size');
      const size = r.u32(at + 4, 'note size');
      const type = r.u32(at + 8, 'note type');
      const nameBytes = r.slice(at + 12, nameSize, 'note name');
      const start = at + 12 + Math.ceil(nameSize / 4) * 4;
      const description = r.slice(start, size, 'note contents');
      yield { name: new TextDecoder('latin1').decode(nameBytes).replace(/\0+$/, ''), type, description };
      at = start + Math.ceil(size / 4) * 4;
    }
  }
}

/** Puts every PT_LOAD segment where its physical address says. Returns the bytes taken in memory. */
export function placeSegments(elf: ElfFile, placement: Placement): number {
  const loads = elf.segments.filter((s) => s.type === PT_LOAD && s.memorySize > 0);
  if (loads.length === 0) throw new BootError('the ELF file has no loadable segment (PT_LOAD): link it as an executable');
  let total = 0;
  for (const s of loads) {
    const bytes = elf.reader.slice(s.offset, s.fileSize, `the segment for ${hex(s.physical)}`);
    placement.at(s.physical, s.memorySize, `the ELF segment for ${hex(s.physical)}`, bytes);
    total += s.memorySize;
  }
  return total;
}

/** Where the ELF entry point is in physical memory: by the segment that holds its virtual address. */
export function physicalEntry(elf: ElfFile): number {
  for (const s of elf.segments) {
    if (s.type !== PT_LOAD) continue;
    const offset = elf.entry - s.virtual;
    if (offset >= 0n && offset < BigInt(s.memorySize)) return s.physical + Number(offset);
  }
  return requireInside(elf, Number(BigInt.asUintN(52, elf.entry)), `e_entry 0x${elf.entry.toString(16)}`);
}

/** An entry point must be inside something that was loaded. */
export function requireInside(elf: ElfFile, address: number, what: string): number {
  if (elf.segments.some((s) => s.type === PT_LOAD && address >= s.physical && address < s.physical + s.memorySize)) return address;
  throw new BootError(`the ELF file is damaged: the entry point (${what}) is in none of its loadable segments`);
}
