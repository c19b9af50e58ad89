/** Every staged instruction. Those executed in TypeScript are in cpu/system and cpu/fpu. */
import type { Definition } from './definition';
import { ARITHMETIC } from './arithmetic';
import { BIT } from './bit';
import { BRANCH } from './branch';
import { LOGIC } from './logic';
import { MOVE } from './move';
import { MULTIPLY } from './multiply';
import { SHIFT } from './shift';
import { SSE_FLOAT } from './sse-float';
import { SSE_INTEGER } from './sse-integer';
import { SSE_MOVE } from './sse-move';
import { SSE_SHIFT } from './sse-shift';
import { SSE_SHUFFLE } from './sse-shuffle';
import { SSE4_MOVE } from './sse4-move';
import { STACK } from './stack';

export const DEFINITIONS: readonly Definition[] = [
  ...ARITHMETIC,
  ...LOGIC,
  ...MOVE,
  ...SHIFT,
  ...MULTIPLY,
  ...BIT,
  ...STACK,
  ...BRANCH,
  ...SSE_MOVE,
  ...SSE_INTEGER,
  ...SSE_FLOAT,
  ...SSE_SHIFT,
  ...SSE_SHUFFLE,
  ...SSE4_MOVE,
];
