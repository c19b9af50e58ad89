/** Typed access to the block of registers of one logical processor (layout.ts), and the rules of the general registers. */
import type { PhysicalMemory } from '../memory/physical-memory';
import { CPU_BLOCKS, CPU_BLOCK_SIZE, gprOffset, xmmOffset } from './layout';

export abstract class RegisterBlock {
  /** Host address of the block. */
  readonly base: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;

  constructor(
    readonly memory: PhysicalMemory,
    readonly index: number,
  ) {
    this.base = CPU_BLOCKS + index * CPU_BLOCK_SIZE;
    this.u8 = memory.u8;
    this.u16 = memory.u16;
    this.u32 = memory.u32;
    this.i32 = memory.i32;
    this.u64 = memory.u64;
  }

  // ---- words of the block; offsets are R.* (bytes) ----

  get32(offset: number): number {
    return this.u32[(this.base + offset) >>> 2];
  }
  set32(offset: number, value: number): void {
    this.u32[(this.base + offset) >>> 2] = value;
  }
  get64(offset: number): bigint {
    return this.u64[(this.base + offset) >>> 3];
  }
  /** Stores the low 64 bits of `value`. */
  set64(offset: number, value: bigint): void {
    this.u64[(this.base + offset) >>> 3] = value;
  }
  /** A 64-bit word as a JS number; exact below 2^53 (physical addresses). */
  getNumber(offset: number): number {
    const i = (this.base + offset) >>> 2;
    return this.u32[i] + this.u32[i + 1] * 0x1_0000_0000;
  }

  // ---- general registers; numbers as in Insn (16-19: AH CH DH BH) ----

  gpr(r: number): bigint {
    return this.u64[(this.base + r * 8) >>> 3];
  }
  setGpr(r: number, value: bigint): void {
    this.u64[(this.base + r * 8) >>> 3] = value;
  }
  gpr32(r: number): number {
    return this.u32[(this.base + r * 8) >>> 2];
  }
  /** Writes the low half and clears the upper, as a 32-bit destination does. */
  setGpr32(r: number, value: number): void {
    const i = (this.base + r * 8) >>> 2;
    this.u32[i] = value;
    this.u32[i + 1] = 0;
  }
  gpr16(r: number): number {
    return this.u16[(this.base + r * 8) >>> 1];
  }
  setGpr16(r: number, value: number): void {
    this.u16[(this.base + r * 8) >>> 1] = value;
  }
  gpr8(r: number): number {
    return this.u8[this.base + gprOffset(r)];
  }
  setGpr8(r: number, value: number): void {
    this.u8[this.base + gprOffset(r)] = value;
  }
  /** Reads `size` bits, zero-extended. */
  gprSized(r: number, size: number): bigint {
    return size === 64 ? this.gpr(r) : BigInt(size === 32 ? this.gpr32(r) : size === 16 ? this.gpr16(r) : this.gpr8(r));
  }
  /** Writes with the x86 rules: 32 bits clear the upper half, 16 and 8 leave the rest. */
  setGprSized(r: number, size: number, value: bigint): void {
    if (size === 64) this.setGpr(r, value);
    else if (size === 32) this.setGpr32(r, Number(value & 0xffff_ffffn));
    else if (size === 16) this.setGpr16(r, Number(value & 0xffffn));
    else this.setGpr8(r, Number(value & 0xffn));
  }
  xmm(r: number): number {
    return this.base + xmmOffset(r);
  }
}
