/** The registers as values: what software reads and writes, and the run bits and pointers that the unit itself moves. */
import type { Stateful } from '../../memory/stateful';
import { BASE_ADDRESS, Control, LENGTH_SHIFT, REGISTERS, Register, SHORTEST_LENGTH } from './spec/registers';

const MASK32 = 0xffff_ffffn;

/** [offset, value] */
export type RegisterFileState = readonly (readonly [number, bigint])[];

export class RegisterFile implements Stateful<RegisterFileState> {
  private readonly values = new Map(REGISTERS.map(({ offset, reset }) => [offset, reset]));
  private readonly writable = new Map(REGISTERS.map(({ offset, writable }) => [offset, writable]));

  get(offset: number): bigint {
    return this.values.get(offset) ?? 0n;
  }

  /** Where there is no register nothing is kept. */
  set(offset: number, value: bigint): void {
    if (this.values.has(offset)) this.values.set(offset, value);
  }

  /** What a write of one half by software leaves in the register. */
  written(offset: number, half: number, high: boolean): bigint {
    const value = high ? BigInt(half) << 32n : BigInt(half);
    const mask = (this.writable.get(offset) ?? 0n) & (high ? MASK32 << 32n : MASK32);
    return (this.get(offset) & ~mask) | (value & mask);
  }

  control(bit: number): boolean {
    return ((this.get(Register.CONTROL) >> BigInt(bit)) & 1n) !== 0n;
  }

  get guestApicMode(): number {
    return Number((this.get(Register.CONTROL) >> BigInt(Control.GAMEn)) & 7n);
  }

  status(bits: number): boolean {
    return (Number(this.get(Register.STATUS)) & bits) !== 0;
  }

  raise(bits: number): void {
    this.set(Register.STATUS, this.get(Register.STATUS) | BigInt(bits));
  }

  lower(bits: number): void {
    this.set(Register.STATUS, this.get(Register.STATUS) & ~BigInt(bits));
  }

  /** Physical address that a base register holds. */
  base(offset: number): number {
    return Number(this.get(offset) & BASE_ADDRESS);
  }

  /** Entries of the buffer behind a base register; undefined where the length is a reserved one. */
  entries(offset: number): number | undefined {
    const length = Number((this.get(offset) >> LENGTH_SHIFT) & 0xfn);
    return length < SHORTEST_LENGTH ? undefined : 2 ** length;
  }

  saveState(): RegisterFileState {
    return [...this.values];
  }

  restoreState(state: RegisterFileState): void {
    for (const [offset, value] of state) this.values.set(offset, value);
  }
}
