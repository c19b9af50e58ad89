/** The registers as dwords: what software may change, what happens when it does. VT-d specification, "Register Descriptions". */
import type { AccessSize, MmioDevice } from '../../devices/bus';
import type { Stateful } from '../../memory/stateful';
import { REGISTER_WINDOW } from './spec/registers';

export interface DwordRegister {
  readonly offset: number;
  readonly reset?: number;
  /** Bits that a write changes. Default none. */
  readonly writable?: number;
  /** Instead of what is stored. */
  readonly read?: () => number;
  /** After the writable bits have changed; `value` is what was written. */
  readonly written?: (value: number) => void;
}

/** A register of 64 bits as two dwords; what happens follows the high one, because software writes low and then high. */
export function qword(offset: number, parts: { reset?: bigint; writable?: bigint; highWritten?: (value: number) => void }): DwordRegister[] {
  const half = (value: bigint | undefined, shift: bigint): number => Number(((value ?? 0n) >> shift) & 0xffff_ffffn);
  return [
    { offset, reset: half(parts.reset, 0n), writable: half(parts.writable, 0n) },
    { offset: offset + 4, reset: half(parts.reset, 32n), writable: half(parts.writable, 32n), written: parts.highWritten },
  ];
}

export class RegisterFile implements MmioDevice, Stateful<number[]> {
  private readonly values = new Uint32Array(REGISTER_WINDOW / 4);
  private readonly rows = new Map<number, DwordRegister>();

  constructor(registers: readonly DwordRegister[]) {
    for (const register of registers) {
      this.rows.set(register.offset, register);
      this.values[register.offset / 4] = register.reset ?? 0;
    }
  }

  get(offset: number): number {
    return this.values[offset / 4];
  }
  /** What hardware does, which may change any bit. */
  set(offset: number, value: number): void {
    this.values[offset / 4] = value;
  }
  /** 64 bits, as a number below 2^53. */
  address(offset: number, lowMask: number): number {
    return this.get(offset + 4) * 2 ** 32 + ((this.get(offset) & lowMask) >>> 0);
  }

  readMmio(offset: number, size: AccessSize): number {
    const at = offset & ~3;
    const value = this.rows.get(at)?.read?.() ?? this.get(at);
    return ((value >>> (8 * (offset & 3))) & (0xffff_ffff >>> (32 - 8 * size))) >>> 0;
  }

  /** "Software must access registers as aligned dwords or qwords": anything else is dropped. */
  writeMmio(offset: number, size: AccessSize, value: number): void {
    if (size !== 4 || (offset & 3) !== 0) return;
    const register = this.rows.get(offset);
    if (register === undefined) return;
    const writable = register.writable ?? 0;
    this.values[offset / 4] = (this.values[offset / 4] & ~writable) | (value & writable);
    register.written?.(value);
  }

  saveState(): number[] {
    return [...this.values];
  }
  restoreState(state: number[]): void {
    this.values.set(state);
  }
}
