/**
 * Whether SSE and MMX instructions may execute: SDM volume 3, "System Programming for Instruction Set Extensions" and "Intel MMX
 * Technology System Programming". Staged instructions test R.SSE_STATE, CR0 and FSW themselves and leave by a Status.
 */
import type { Cpu } from './cpu';
import { R } from './layout';
import { Cr0, Cr4, Vector } from './registers';

const FSW_ES = 0x80;

/**
 * Re-derives R.SSE_STATE: to be called whenever CR0.EM, CR0.TS or CR4.OSFXSR may have changed. modeChanged(), and through it or
 * mmu.contextChanged() every switch of context, does so.
 */
export function updateSimdState(cpu: Cpu): void {
  const cr0 = cpu.cr0;
  cpu.set32(R.SSE_STATE, (cr0 & Cr0.EM) !== 0 || (cpu.cr4 & Cr4.OSFXSR) === 0 ? 1 : (cr0 & Cr0.TS) !== 0 ? 2 : 0);
}

/** The exception of an SSE instruction that R.SSE_STATE stops. */
export const sseVector = (cpu: Cpu): number => (cpu.get32(R.SSE_STATE) === 2 ? Vector.NM : Vector.UD);

/** The exception of an MMX instruction that may not execute. */
export function mmxVector(cpu: Cpu): number {
  if ((cpu.cr0 & Cr0.EM) !== 0) return Vector.UD;
  return (cpu.cr0 & Cr0.TS) !== 0 ? Vector.NM : Vector.MF;
}

/** #UD, #NM. */
export function requireSse(cpu: Cpu): void {
  if (cpu.get32(R.SSE_STATE) !== 0) cpu.raise(sseVector(cpu));
}

/** #UD, #NM, #MF. */
export function requireMmx(cpu: Cpu): void {
  const cr0 = cpu.cr0;
  const pending = (cpu.get32(R.FSW) & FSW_ES) !== 0 && (cr0 & Cr0.NE) !== 0;
  if (pending || (cr0 & (Cr0.EM | Cr0.TS)) !== 0) cpu.raise(mmxVector(cpu));
}
