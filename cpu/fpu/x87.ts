/** Every x87 instruction by its operation. */
import type { SystemInstructions } from '../system/table';
import { X87_ARITHMETIC } from './x87-arithmetic';
import { X87_COMPARE } from './x87-compare';
import { X87_ENVIRONMENT } from './x87-environment';
import { X87_TRANSCENDENTAL } from './x87-transcendental';
import { X87_TRANSFER } from './x87-transfer';

export const X87_INSTRUCTIONS: SystemInstructions = {
  ...X87_TRANSFER,
  ...X87_ARITHMETIC,
  ...X87_COMPARE,
  ...X87_TRANSCENDENTAL,
  ...X87_ENVIRONMENT,
};
