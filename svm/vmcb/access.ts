/**
 * The VMCB of the last VMRUN as the processor holds it: a copy whose clean fields are older than memory may be. Guest state and exit
 * information go to both. APM "VMCB State Caching".
 */
import type { PhysicalMemory } from '../../memory/physical-memory';
import { FIELDS, fieldsOfCleanBit, type FieldDescription } from './fields';
import { CleanBit, VMCB, VMCB_SIZE, type VmcbField } from './layout';

const TWO32 = 0x1_0000_0000;
/** VMCBs that the processor remembers between runs; how many is not architectural. */
const CACHED_VMCBS = 4;
const CLEAN_BITS: readonly number[] = Object.values(CleanBit);
/** Every clean bit that this processor knows. */
export const ALL_CLEAN_BITS = CLEAN_BITS.reduce((mask, bit) => mask | (1 << bit), 0);

/** Fields of no clean bit that VMRUN reads; the other ones are written by #VMEXIT, or moved by VMLOAD and VMSAVE. */
const ALWAYS_LOADED: readonly VmcbField[] = ['TLB_CONTROL', 'INTERRUPT_SHADOW', 'EVENTINJ', 'VIRTUALIZATION_ENABLE', 'NRIP', 'RFLAGS', 'RIP', 'RSP', 'RAX'];

/** Indices of the words that fields occupy. */
function wordsOf(fields: readonly FieldDescription[]): Uint16Array {
  const words = new Set<number>();
  for (const { offset, bits } of fields) for (let at = offset & ~3; at < offset + bits / 8; at += 4) words.add(at / 4);
  return Uint16Array.from(words);
}
const WORDS_OF_CLEAN_BIT = CLEAN_BITS.map((bit) => wordsOf(fieldsOfCleanBit(bit)));
const WORDS_ALWAYS = wordsOf(FIELDS.filter((f) => ALWAYS_LOADED.includes(f.name)));

/** A field that changed in memory although its clean bit says that it did not. */
export interface StaleField {
  readonly field: VmcbField;
  readonly cleanBit: number;
  /** What memory has, and what the processor goes on with. */
  readonly memory: bigint;
  readonly cached: bigint;
}

export class CurrentVmcb {
  /** Physical address of the VMCB of the current or last VMRUN; -1 before the first one. */
  address = -1;
  words: Uint32Array = new Uint32Array(VMCB_SIZE / 4);
  private host = 0;
  private readonly cached = new Map<number, Uint32Array>();
  private readonly u32: Uint32Array;

  constructor(private readonly memory: PhysicalMemory) {
    this.u32 = memory.u32;
  }

  /** @param address page-aligned, of RAM. False: nothing is cached of this VMCB, so every clean bit is void. */
  select(address: number): boolean {
    if (address === this.address) return this.cached.has(address);
    this.address = address;
    this.host = this.memory.host(address);
    const known = this.cached.get(address);
    if (known !== undefined) {
      this.words = known;
      return true;
    }
    this.words = new Uint32Array(VMCB_SIZE / 4);
    return false;
  }

  /** VMRUN reads the VMCB: all fields but those of the clean bits in `clean`, which stay as they are cached. */
  load(clean: number): void {
    const { words, u32 } = this;
    const from = this.host >>> 2;
    copy(WORDS_ALWAYS, words, u32, from);
    for (let i = 0; i < CLEAN_BITS.length; i++) if (((clean >>> CLEAN_BITS[i]) & 1) === 0) copy(WORDS_OF_CLEAN_BIT[i], words, u32, from);
  }

  /** The copy is good for the next VMRUN from now on. */
  remember(): void {
    if (this.cached.get(this.address) === this.words) return;
    if (this.cached.size >= CACHED_VMCBS) this.cached.delete(this.cached.keys().next().value!);
    this.cached.set(this.address, this.words);
  }
  /** The VMCB was illegal: nothing of it stays cached. */
  forget(): void {
    this.cached.delete(this.address);
  }

  /** Fields of the clean bits in `clean` that differ from memory. */
  staleFields(clean: number): StaleField[] {
    const bytes = new DataView(this.words.buffer);
    const value = (view: DataView, at: number, bits: number): bigint =>
      bits === 8
        ? BigInt(view.getUint8(at))
        : bits === 16
          ? BigInt(view.getUint16(at, true))
          : bits === 32
            ? BigInt(view.getUint32(at, true))
            : view.getBigUint64(at, true);
    return FIELDS.filter((f) => f.cleanBit !== undefined && ((clean >>> f.cleanBit) & 1) !== 0)
      .map(({ name, offset, bits, cleanBit }) => ({
        field: name,
        cleanBit: cleanBit!,
        memory: value(this.memory.view, this.host + offset, bits),
        cached: value(bytes, offset, bits),
      }))
      .filter(({ memory, cached }) => memory !== cached);
  }

  /** VMCB_CLEAN as software left it. */
  get cleanField(): number {
    return this.u32[(this.host + VMCB.VMCB_CLEAN) >>> 2];
  }

  /** Must precede writes: whoever watches the page hears of them. */
  aboutToWrite(): void {
    this.memory.aboutToWrite(this.address, this.host, VMCB_SIZE);
  }

  /** Bits 31:0 of the field at `offset`. */
  low(offset: number): number {
    return this.words[offset >>> 2];
  }
  /** Bits 63:32. */
  high(offset: number): number {
    return this.words[(offset >>> 2) + 1];
  }
  /** All 64 bits; exact below 2^53. */
  number(offset: number): number {
    return this.low(offset) + this.high(offset) * TWO32;
  }

  setLow(offset: number, value: number): void {
    this.setWord(offset >>> 2, value);
  }
  set(offset: number, low: number, high: number): void {
    const word = offset >>> 2;
    this.setWord(word, low);
    this.setWord(word + 1, high);
  }
  /** @param word index of a word. */
  setWord(word: number, value: number): void {
    this.words[word] = value;
    this.u32[(this.host >>> 2) + word] = value;
  }
  /** What memory has: for words of which a field is only a part. */
  memoryWord(offset: number): number {
    return this.u32[(this.host + offset) >>> 2];
  }

  // ---- snapshots ----

  saveState(): VmcbState {
    return { address: this.address, current: this.words.slice(), cached: [...this.cached].map(([address, words]) => [address, words.slice()] as const) };
  }
  restoreState({ address, current, cached }: VmcbState): void {
    this.cached.clear();
    for (const [at, words] of cached) this.cached.set(at, words.slice());
    this.address = address;
    this.host = address < 0 ? 0 : this.memory.host(address);
    this.words = this.cached.get(address) ?? current.slice();
    this.words.set(current);
  }
}

export interface VmcbState {
  readonly address: number;
  readonly current: Uint32Array;
  readonly cached: readonly (readonly [address: number, words: Uint32Array])[];
}

function copy(indices: Uint16Array, words: Uint32Array, u32: Uint32Array, from: number): void {
  for (let i = 0; i < indices.length; i++) words[indices[i]] = u32[from + indices[i]];
}
