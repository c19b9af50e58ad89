/** What became of the mutants, and the pages that say so. */
import { describeEdit, type Mutant } from './mutant';

export type Fate = 'killed' | 'survived' | 'timeout' | 'equivalent';

export interface Verdict extends Mutant {
  readonly fate: Fate;
  /** Killed: the test that failed. Equivalent: why no test can tell. */
  readonly because?: string;
}

export interface Score {
  readonly killed: number;
  readonly survived: number;
  readonly equivalent: number;
}

const isKilled = ({ fate }: Verdict): boolean => fate === 'killed' || fate === 'timeout';

export function score(verdicts: readonly Verdict[]): Score {
  const killed = verdicts.filter(isKilled).length;
  const equivalent = verdicts.filter((v) => v.fate === 'equivalent').length;
  return { killed, equivalent, survived: verdicts.length - killed - equivalent };
}

/** Of the mutants that a test could tell. */
export function percent({ killed, survived }: Score): string {
  return killed + survived === 0 ? '-' : `${((100 * killed) / (killed + survived)).toFixed(1)} %`;
}

export function scoreTable(verdicts: readonly Verdict[]): string[] {
  const files = [...new Set(verdicts.map((v) => v.file))];
  const row = (name: string, of: readonly Verdict[]): string => {
    const s = score(of);
    return `| ${name} | ${of.length} | ${s.killed} | ${s.survived} | ${s.equivalent} | ${percent(s)} |`;
  };
  return [
    '| File | Mutants | Killed | Survived | Equivalent | Score |',
    '|---|--:|--:|--:|--:|--:|',
    ...files.map((file) =>
      row(
        `\`${file}\``,
        verdicts.filter((v) => v.file === file),
      ),
    ),
    row('**All**', verdicts),
  ];
}

const cell = (text: string): string => text.replace(/\|/g, '\\|');

/** Every mutant that no test told from the original. */
export function survivorTable(verdicts: readonly Verdict[]): string[] {
  return [
    '| Where | Row | Operator | Edit |',
    '|---|---|---|---|',
    ...verdicts.filter((v) => v.fate === 'survived').map((v) => `| ${v.file}:${v.line} | ${cell(v.row)} | ${v.operator} | ${cell(describeEdit(v))} |`),
  ];
}
