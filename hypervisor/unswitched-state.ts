/**
 * Guest state that entries and exits of neither vendor switch: it stays in the processor while the hypervisor runs, and goes to and
 * from the emulator's model as it is. Both are vCPU blocks in the same linear memory.
 */
import { Flag, type Cpu } from '../cpu/cpu';
import { R } from '../cpu/layout';

/** General registers (all but RSP, which the caller moves), CR2, XCR0 and DR0-6, x87 and SSE. */
const RANGES: readonly (readonly [number, number])[] = [
  [R.GPR, R.ZERO],
  [R.CR2, R.CR3],
  [R.XCR0, R.DR6 + 8],
  [R.STAR, R.KERNEL_GS_BASE + 8],
  [R.TSC_AUX, R.TSC_AUX + 8],
  [R.MXCSR, R.FPR + 8 * 16],
  [R.XMM, R.XMM + 16 * 64],
];

export function copyUnswitched(from: Cpu, to: Cpu): void {
  for (const [start, end] of RANGES) from.u8.copyWithin(to.base + start, from.base + start, from.base + end);
}

/** RFLAGS of a model behind an instruction. Between two iterations of a repeated one RF is 1, as a trap that comes there would push it. */
export const flagsBehind = (model: Cpu): number => (model.isRepeating() ? model.rflags() | Flag.RF : model.rflags());
