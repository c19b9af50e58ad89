/**
 * Symbols of a running Linux, out of the tables that the kernel has of itself (CONFIG_KALLSYMS, scripts/kallsyms.c): no file is needed, and
 * they are where KASLR has put them. Names are compressed: each byte stands for a token. The tables are found by what they look like:
 * the tokens of the ten digits stand in a row, because digits are tokens of themselves.
 */
import { PAGE_SIZE } from '../memory/physical-memory';
import { SymbolTable } from '../trace/symbols';
import type { MemoryView } from './memory-view';
import { DebugError } from './target';

const DIGITS = Buffer.from([...'0123456789'].map((digit) => `${digit}\0`).join(''), 'latin1');
const TOKENS = 256;
/** Names between two markers. */
const BLOCK = 256;
const CHUNK = 8 << 20;
const OVERLAP = 1 << 16;
/** The tables of a kernel of 300,000 symbols need less on each side. */
const REACH = 7 << 20;
const [LEAST_SYMBOLS, MOST_SYMBOLS] = [256, 1 << 22];
const KERNEL_HALF = 0xffff_8000_0000_0000n;

/** Throws DebugError when the guest has no such tables (yet: the kernel must have been unpacked). */
export function kernelSymbols(memory: MemoryView, ramBytes: number): SymbolTable {
  for (let from = 0; from < ramBytes; from += CHUNK) {
    const chunk = bytesOf(memory, from, Math.min(CHUNK + OVERLAP, ramBytes - from));
    for (let at = chunk.indexOf(DIGITS); at >= 0; at = chunk.indexOf(DIGITS, at + 1)) {
      const reach = from + at - REACH;
      const first = Math.max(0, reach - (reach % PAGE_SIZE));
      const around = bytesOf(memory, first, Math.min(ramBytes, from + at + REACH) - first);
      const symbols = new Tables(around).read(from + at - first);
      if (symbols !== undefined) return symbols;
    }
  }
  throw new DebugError('no kallsyms are in guest memory: the guest is not Linux with CONFIG_KALLSYMS, or its kernel has not been unpacked yet');
}

/** Guest-physical bytes; what is no RAM reads as zeroes. */
function bytesOf(memory: MemoryView, from: number, length: number): Buffer {
  try {
    return Buffer.from(memory.read('guest-physical', BigInt(from), length));
  } catch (error) {
    if (!(error instanceof DebugError)) throw error;
    return Buffer.alloc(length);
  }
}

const align8 = (offset: number): number => (offset + 7) & ~7;

class Tables {
  private tokens: readonly string[] = [];

  constructor(private readonly bytes: Buffer) {}

  /** @param digits where the token of "0" is. */
  read(digits: number): SymbolTable | undefined {
    const tokenTable = this.findTokens(digits);
    if (tokenTable === undefined) return undefined;
    for (let at = tokenTable - (tokenTable % 8) - 8; at >= 8; at -= 8) {
      const symbols = this.readFrom(at, tokenTable);
      if (symbols !== undefined) return symbols;
    }
    return undefined;
  }

  /** 256 strings, then 256 offsets of them in 16 bits. */
  private findTokens(digits: number): number | undefined {
    const { bytes } = this;
    // Walk to the end of the table: "0" is token 48.
    let end = digits;
    for (let token = 0x30; token < TOKENS; token++) {
      end = bytes.indexOf(0, end) + 1;
      if (end <= 0) return undefined;
    }
    for (let index = end; index < end + 16 && index + 2 * TOKENS <= bytes.length; index++) {
      const start = digits - bytes.readUInt16LE(index + 2 * 0x30);
      if (bytes.readUInt16LE(index) !== 0 || start < 0) continue;
      const offsets = Array.from({ length: TOKENS }, (_, i) => start + bytes.readUInt16LE(index + 2 * i));
      if (offsets.some((offset, i) => i > 0 && (offset <= offsets[i - 1] || bytes[offset - 1] !== 0))) continue;
      this.tokens = offsets.map((offset) => bytes.toString('latin1', offset, bytes.indexOf(0, offset)));
      return start;
    }
    return undefined;
  }

  /** kallsyms_num_syms at `at`, then names, then markers (where each 256th name is), then the tokens. */
  private readFrom(at: number, tokenTable: number): SymbolTable | undefined {
    const { bytes } = this;
    const count = bytes.readUInt32LE(at);
    if (count < LEAST_SYMBOLS || count > MOST_SYMBOLS || bytes.readUInt32LE(at + 4) !== 0) return undefined;
    const blocks = Math.ceil(count / BLOCK);
    const names = at + 8;
    // Kernels that look names up by bisection have the order of names (3 bytes each) between markers and tokens.
    const markers = [0, align8(3 * count)]
      .map((order) => tokenTable - order - align8(4 * blocks))
      .find((place) => place > names && bytes.readUInt32LE(place) === 0 && this.marks(names, place, blocks));
    if (markers === undefined) return undefined;
    const list = this.readNames(names, count, markers);
    const addresses = list && (this.addressesBefore(at, count) ?? this.addressesBehind(tokenTable, count));
    return list && addresses && new SymbolTable(list.map((name, i) => [addresses[i], name.slice(1)] as const));
  }

  /** Places of names that grow by some bytes a name, and end before the markers. */
  private marks(names: number, markers: number, blocks: number): boolean {
    for (let block = 1; block < blocks; block++) {
      const step = this.bytes.readUInt32LE(markers + 4 * block) - this.bytes.readUInt32LE(markers + 4 * (block - 1));
      if (step < 2 * BLOCK || step > 64 * BLOCK) return false;
    }
    return names + this.bytes.readUInt32LE(markers + 4 * (blocks - 1)) < markers;
  }

  private readNames(from: number, count: number, end: number): string[] | undefined {
    const { bytes, tokens } = this;
    const names: string[] = [];
    let at = from;
    while (names.length < count) {
      let length = bytes[at++];
      // Two bytes for names that are long.
      if ((length & 0x80) !== 0) length = (length & 0x7f) | (bytes[at++] << 7);
      if (length === 0 || at + length > end) return undefined;
      let name = '';
      for (const token of bytes.subarray(at, at + length)) name += tokens[token];
      names.push(name);
      at += length;
    }
    return names;
  }

  /** Up to Linux 6.3: offsets, base, count. */
  private addressesBefore(countAt: number, count: number): bigint[] | undefined {
    return this.addresses(countAt - 8 - align8(4 * count), countAt - 8, count);
  }
  /** From Linux 6.4 on they follow the index of the tokens. */
  private addressesBehind(tokenTable: number, count: number): bigint[] | undefined {
    const { bytes } = this;
    let end = tokenTable;
    for (let token = 0; token < TOKENS; token++) end = bytes.indexOf(0, end) + 1;
    const offsets = align8(align8(end) + 2 * TOKENS);
    return this.addresses(offsets, offsets + align8(4 * count), count);
  }

  /** Offsets that are not negative are absolute (per-CPU variables); the others count back from the base. */
  private addresses(offsets: number, baseAt: number, count: number): bigint[] | undefined {
    const { bytes } = this;
    if (offsets < 0 || baseAt + 8 > bytes.length) return undefined;
    const base = bytes.readBigUInt64LE(baseAt);
    if (base < KERNEL_HALF) return undefined;
    return Array.from({ length: count }, (_, i) => {
      const offset = bytes.readInt32LE(offsets + 4 * i);
      return offset >= 0 ? BigInt(offset) : base - 1n - BigInt(offset);
    });
  }
}
