/** What a row of the MSR tables says: index, name, who has it, what RDMSR and WRMSR do; and the kinds of register there are. */
import type { Cpu } from '../cpu';
import type { CpuProfile } from '../interfaces';

export interface Msr {
  readonly index: number;
  readonly name: string;
  /** Absent: every processor has it. */
  readonly when?: (profile: CpuProfile) => boolean;
  /** Absent: RDMSR raises #GP(0). */
  readonly read?: (cpu: Cpu) => bigint;
  /** Absent: WRMSR raises #GP(0). */
  readonly write?: (cpu: Cpu, value: bigint) => void;
}

export type Reads = Pick<Msr, 'read'>;
export type Access = Pick<Msr, 'read' | 'write'>;

export const intel = (p: CpuProfile): boolean => p.vendor === 'intel';
export const amd = (p: CpuProfile): boolean => p.vendor === 'amd';
export const having =
  (feature: string) =>
  (p: CpuProfile): boolean =>
    p.has(feature);
export const either =
  (a: string, b: string) =>
  (p: CpuProfile): boolean =>
    p.has(a) || p.has(b);

export const fixed = (value: bigint): Reads => ({ read: () => value });
/** All 64 bits of the word at `offset`. */
export const word = (offset: number): Access => ({ read: (cpu) => cpu.get64(offset), write: (cpu, v) => cpu.set64(offset, v) });
/** Bits outside `writable` must be 0. */
export const only = (offset: number, writable: bigint): Access => ({
  read: (cpu) => cpu.get64(offset),
  write: (cpu, v) => ((v & ~writable) !== 0n ? cpu.gp() : cpu.set64(offset, v)),
});
/** Bits outside `writable` keep their value. */
export const keeping = (offset: number, writable: bigint): Access => ({
  read: (cpu) => cpu.get64(offset),
  write: (cpu, v) => cpu.set64(offset, (cpu.get64(offset) & ~writable) | (v & writable)),
});
export const canonical = (offset: number): Access => ({
  read: (cpu) => cpu.get64(offset),
  write: (cpu, v) => (cpu.mmu.canonicalForProcessor(v) ? cpu.set64(offset, v) : cpu.gp()),
});
/** Software may write anything and reads 0. */
export const ignored: Access = { read: () => 0n, write: () => {} };
