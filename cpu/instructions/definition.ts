import type { Stage } from '../stage/stage';
import type { OperandSize } from '../stage/staging';
import type { FlagKindName } from '../flags';

/** One instruction: what it computes, and for which operand sizes and forms a handler is made. */
export interface Definition {
  readonly op: string;
  readonly sizes: readonly OperandSize[];
  readonly forms: readonly string[];
  /** Source sizes narrower than the operand size (MOVZX, MOVSX); absent: the operand size. */
  readonly sourceSizes?: readonly OperandSize[];
  /** CPUID feature without which it is #UD, where CR4.OSFXSR does not take care of that. */
  readonly feature?: string;
  readonly semantics: (e: Stage) => void;
  /** What kind of lazy flags it always leaves, so that a condition later in the block can be specialised. */
  readonly flags?: FlagKindName;
  /** It leaves the arithmetic flags as they were. */
  readonly keepsFlags?: boolean;
  /** It uses the stack or the instruction pointer: a second handler is made for modes other than 64-bit. */
  readonly usesStack?: boolean;
  /** It ends its block by a goDirect / goIf / goTo of its own. */
  readonly endsBlock?: boolean;
  /** Operation and form say everything about the sizes (vector instructions): one handler whatever Insn.size is. */
  readonly anySize?: boolean;
  /** The handler may leave the instruction to its TypeScript implementation, whose record stands behind. */
  readonly fallback?: boolean;
  /** One handler for each of the sixteen conditions; with `specialised`, also for each known producer of the flags. */
  readonly conditional?: 'plain' | 'specialised';
}

export const ALL_SIZES: readonly OperandSize[] = [8, 16, 32, 64];
export const WIDE_SIZES: readonly OperandSize[] = [16, 32, 64];
/** Both operand directions and immediates of the classic arithmetic group. */
export const BINARY_FORMS = ['rr', 'rm', 'mr', 'ri', 'mi'] as const;
