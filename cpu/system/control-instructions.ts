/** Instructions executed in TypeScript, except segment loads, far transfers, descriptor tables and events. */
import { CONTROL_REGISTERS } from './control-registers';
import { CPUID } from './cpuid';
import { DEBUG_REGISTERS } from './debug-registers';
import { DECIMAL_INSTRUCTIONS } from './decimal-instructions';
import { EXCHANGE_INSTRUCTIONS } from './exchange-instructions';
import { EXTENSION_INSTRUCTIONS } from './extension-instructions';
import { FLAGS_INSTRUCTIONS } from './flags-instructions';
import { FRAME_INSTRUCTIONS } from './frame-instructions';
import { MISCELLANEOUS } from './miscellaneous';
import { MSR } from './msr';
import { PORT_IO } from './port-io';
import { SEGMENT_BASE_INSTRUCTIONS } from './segment-base-instructions';
import { STATE_SAVE } from './state-save';
import type { SystemInstructions } from './table';
import { TIME_INSTRUCTIONS } from './time-instructions';
import { TLB_INSTRUCTIONS } from './tlb-instructions';
import { WAIT_INSTRUCTIONS } from './wait-instructions';

export const CONTROL_INSTRUCTIONS: SystemInstructions = {
  ...CONTROL_REGISTERS,
  ...DEBUG_REGISTERS,
  ...MSR,
  ...CPUID,
  ...PORT_IO,
  ...FLAGS_INSTRUCTIONS,
  ...TLB_INSTRUCTIONS,
  ...TIME_INSTRUCTIONS,
  ...STATE_SAVE,
  ...WAIT_INSTRUCTIONS,
  ...SEGMENT_BASE_INSTRUCTIONS,
  ...DECIMAL_INSTRUCTIONS,
  ...FRAME_INSTRUCTIONS,
  ...EXCHANGE_INSTRUCTIONS,
  ...EXTENSION_INSTRUCTIONS,
  ...MISCELLANEOUS,
};
