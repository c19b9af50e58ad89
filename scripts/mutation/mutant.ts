/** What a mutant is: one small edit of one file. */

// prettier-ignore
export type Operator =
  /** A row of a table, an element of a list in it, an optional property: gone. */
  | 'drop'
  /** Two neighbouring rows of an object table exchange what they lead to. */
  | 'swap'
  /** === for !==, < for <=. */
  | 'comparison'
  /** && for ||. */
  | 'logic'
  /** ! or ~ taken away; a condition that is a plain call or name: negated. */
  | 'negation'
  /** A number changed by one, or a mask by one bit. */
  | 'constant'
  /** true for false. */
  | 'boolean'
  /** A name of a table (a control bit, an exit reason, a field) replaced by the next one of the same table. */
  | 'neighbour';

export interface Mutant {
  /** Path inside the project. */
  readonly file: string;
  readonly line: number;
  /** The text of that line. */
  readonly sourceLine: string;
  /** The part of it before the edit. */
  readonly before: string;
  readonly operator: Operator;
  /** The row or the function that the edit is in. */
  readonly row: string;
  /** The edit: text[start, end) becomes `replacement`. */
  readonly start: number;
  readonly end: number;
  readonly original: string;
  readonly replacement: string;
}

export const mutated = (text: string, { start, end, replacement }: Mutant): string => text.slice(0, start) + replacement + text.slice(end);

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim();

/** The edit in words; does not change when lines move. */
export function describeEdit({ operator, original, replacement }: Mutant): string {
  const shown = (text: string): string => {
    const line = oneLine(text);
    return line.length <= 90 ? line : `${line.slice(0, 60).trimEnd()} … ${line.slice(-25).trimStart()}`;
  };
  return operator === 'drop' ? `without ${shown(original)}` : `${shown(original)} -> ${shown(replacement)}`;
}
