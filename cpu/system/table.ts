import type { Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';

/** An instruction executed in TypeScript rather than in staged code. */
export interface SystemInstruction {
  /**
   * Does the work on `cpu` (cpu.insn === insn). On entry of a block-ending instruction R.RIP already points behind it and may be
   * replaced; on entry of any other R.RIP is stale (use cpu.currentRip()). Faults: cpu.raise(...) before any register changed.
   */
  readonly execute: (cpu: Cpu, insn: Insn) => void;
  /** It may change RIP, mode, paging, privilege, interruptibility, or make an interrupt deliverable: no instruction of the block follows it. */
  readonly endsBlock: boolean;
}

/** Keyed by Insn.op. */
export type SystemInstructions = Readonly<Record<string, SystemInstruction>>;
