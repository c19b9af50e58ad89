/** A processor's registers as data: its block without what is cached there, and what stands beside the block. */
import type { Activity, Cpu } from './cpu';
import type { CodeSize } from './decoder/insn';
import { REGISTERS_END } from './layout';

export interface CpuState {
  /** The vCPU block up to REGISTERS_END. */
  readonly block: Uint8Array;
  readonly activity: Activity;
  readonly nmiPending: boolean;
  readonly nmiBlocked: boolean;
  readonly shadowAt: number;
  readonly shadowByMovSs: boolean;
  readonly repeatingAt: number;
  readonly deliveredAt: number;
  readonly pendingDebug: number;
  readonly codeSize: CodeSize;
  readonly longMode: boolean;
  readonly attention: boolean;
  readonly retiredBase: number;
  readonly skew: number;
}

export function saveCpu(cpu: Cpu): CpuState {
  // Between instructions nothing of the current one is left.
  if (cpu.budgetGiven !== 0 || cpu.fault !== undefined || cpu.delivering !== undefined || cpu.exited) {
    throw new Error('a snapshot inside an instruction is impossible: take it after run() has returned, not in a callback of a device or observer');
  }
  const {
    activity,
    nmiPending,
    nmiBlocked,
    shadowAt,
    shadowByMovSs,
    repeatingAt,
    deliveredAt,
    pendingDebug,
    codeSize,
    longMode,
    attention,
    retiredBase,
    skew,
  } = cpu;
  return {
    block: cpu.u8.slice(cpu.base, cpu.base + REGISTERS_END),
    ...{ activity, nmiPending, nmiBlocked, shadowAt, shadowByMovSs, repeatingAt, deliveredAt, pendingDebug, codeSize, longMode, attention, retiredBase, skew },
  };
}

export function restoreCpu(cpu: Cpu, state: CpuState): void {
  const { block, ...fields } = state;
  cpu.u8.set(block, cpu.base);
  Object.assign(cpu, fields, { budgetGiven: 0, fault: undefined, delivering: undefined, exited: false });
}
