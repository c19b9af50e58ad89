/** The current VMCS: its fields as words of the region in physical memory, at the offsets of layout.ts. */
import type { PhysicalMemory } from '../../memory/physical-memory';
import { LAUNCHED, Region } from './layout';

const TWO32 = 0x1_0000_0000;

export class CurrentVmcs {
  /** Physical address (the current-VMCS pointer), -1 when there is none. */
  pointer = -1;
  private host = 0;
  private readonly u32: Uint32Array;

  constructor(private readonly memory: PhysicalMemory) {
    this.u32 = memory.u32;
  }

  /** @param pointer page-aligned address of RAM. */
  select(pointer: number): void {
    this.pointer = pointer;
    this.host = this.memory.host(pointer);
  }

  deselect(): void {
    this.pointer = -1;
    this.host = 0;
  }

  get present(): boolean {
    return this.host !== 0;
  }

  /** Index of the first word in memory.u32: what the copy tables of entry and exit start from. */
  get word(): number {
    return this.host >>> 2;
  }

  /** Must precede writes: whoever watches the page hears of them. */
  aboutToWrite(): void {
    this.memory.aboutToWrite(this.pointer, this.host, 4096);
  }

  /** Bits 31:0 of the field at `offset`. */
  low(offset: number): number {
    return this.u32[(this.host + offset) >>> 2];
  }
  /** Bits 63:32. */
  high(offset: number): number {
    return this.u32[(this.host + offset + 4) >>> 2];
  }
  /** All 64 bits; exact below 2^53. */
  number(offset: number): number {
    return this.low(offset) + this.high(offset) * TWO32;
  }
  value(offset: number): bigint {
    return BigInt(this.low(offset)) | (BigInt(this.high(offset)) << 32n);
  }

  setLow(offset: number, value: number): void {
    this.u32[(this.host + offset) >>> 2] = value;
  }
  set(offset: number, low: number, high: number): void {
    const word = (this.host + offset) >>> 2;
    this.u32[word] = low;
    this.u32[word + 1] = high;
  }
  setValue(offset: number, value: bigint): void {
    this.set(offset, Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn));
  }

  get launched(): boolean {
    return this.low(Region.LAUNCH_STATE) === LAUNCHED;
  }
  markLaunched(): void {
    this.setLow(Region.LAUNCH_STATE, LAUNCHED);
  }
}
