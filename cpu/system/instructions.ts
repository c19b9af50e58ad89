/** Every instruction that is executed in TypeScript, by mnemonic. */
import { X87_INSTRUCTIONS } from '../fpu/x87';
import { SSE_FLOAT_INSTRUCTIONS } from '../fpu/sse-float';
import { STRING_INSTRUCTIONS } from '../string';
import { MASKED_MOVE } from './masked-move';
import { MOFFS } from './moffs';
import { CONTROL_INSTRUCTIONS } from './control-instructions';
import { TRANSFER_INSTRUCTIONS } from './transfer-instructions';
import type { SystemInstructions } from './table';

export const SYSTEM_INSTRUCTIONS: SystemInstructions = {
  ...MASKED_MOVE,
  ...MOFFS,
  ...STRING_INSTRUCTIONS,
  ...CONTROL_INSTRUCTIONS,
  ...TRANSFER_INSTRUCTIONS,
  ...X87_INSTRUCTIONS,
  ...SSE_FLOAT_INSTRUCTIONS,
};
