import type { Cpu } from './cpu';
import { R } from './layout';
import { Cr0, Cr4 } from './registers';

/**
 * Re-derives R.SSE_STATE: to be called whenever CR0.EM, CR0.TS or CR4.OSFXSR may have changed. modeChanged(), and through it or
 * mmu.contextChanged() every switch of context, does so.
 */
export function updateSimdState(cpu: Cpu): void {
  const cr0 = cpu.cr0;
  cpu.set32(R.SSE_STATE, (cr0 & Cr0.EM) !== 0 || (cpu.cr4 & Cr4.OSFXSR) === 0 ? 1 : (cr0 & Cr0.TS) !== 0 ? 2 : 0);
}
