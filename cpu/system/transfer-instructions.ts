/** Instructions that move control across segments and privilege levels, and those that load what they depend on. */
import { DESCRIPTOR_TABLES } from './descriptor-tables';
import { FAR_TRANSFERS } from './far-transfer';
import { FAST_SYSCALLS } from './fast-syscall';
import { INTERRUPT_RETURN } from './interrupt-return';
import { SEGMENT_LOADS } from './segment-loads';
import { SOFTWARE_INTERRUPTS } from './software-interrupt';
import type { SystemInstructions } from './table';

export const TRANSFER_INSTRUCTIONS: SystemInstructions = {
  ...FAR_TRANSFERS,
  ...INTERRUPT_RETURN,
  ...FAST_SYSCALLS,
  ...SOFTWARE_INTERRUPTS,
  ...SEGMENT_LOADS,
  ...DESCRIPTOR_TABLES,
};
