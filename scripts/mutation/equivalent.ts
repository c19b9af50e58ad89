/** Mutants that behave as the original does for every input that can occur, each group with the reason. */
import { describeEdit, type Mutant } from './mutant';

export interface Equivalence {
  readonly file: string;
  /** Start of the row's name. */
  readonly row: string;
  /** Part of the edit in words; absent: every edit of the row. */
  readonly edit?: string;
  readonly because: string;
}

export const EQUIVALENT: readonly Equivalence[] = [];

export const whyEquivalent = (mutant: Mutant): string | undefined =>
  EQUIVALENT.find((e) => e.file === mutant.file && mutant.row.startsWith(e.row) && (e.edit === undefined || describeEdit(mutant).includes(e.edit)))?.because;
