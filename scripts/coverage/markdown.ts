/** A table of the coverage page, and the counts over all of them. */

/** Why a row needs no test: what it describes is not offered or not there. */
export interface CoverageRow {
  readonly cells: readonly string[];
  /** Test file that names the row. */
  readonly test: string | undefined;
  /** False: the processor does not have what the row describes, so that no test is missed. */
  readonly present: boolean;
}

export interface CoverageTable {
  readonly title: string;
  /** Above the table. */
  readonly note?: string;
  readonly columns: readonly string[];
  readonly rows: readonly CoverageRow[];
}

const cell = (text: string): string => text.replace(/\|/g, '\\|').replace(/\n/g, ' ');
const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
const table = (columns: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  line(columns),
  `|${columns.map(() => '---').join('|')}|`,
  ...rows.map(line),
];

const testCell = ({ test, present }: CoverageRow): string => test ?? (present ? '**none**' : 'absent');

const counts = ({ rows }: CoverageTable): { present: number; named: number } => {
  const present = rows.filter((r) => r.present);
  return { present: present.length, named: present.filter((r) => r.test !== undefined).length };
};

export const summary = (tables: readonly CoverageTable[]): string[] =>
  table(
    ['Table', 'Rows', 'Present', 'Named by a test', 'Without'],
    tables.map((t) => {
      const { present, named } = counts(t);
      return [t.title, String(t.rows.length), String(present), String(named), String(present - named)];
    }),
  );

export const section = (t: CoverageTable): string[] => [
  `### ${t.title}`,
  '',
  ...(t.note === undefined ? [] : [t.note, '']),
  ...table(
    [...t.columns, 'Test'],
    t.rows.map((r) => [...r.cells, testCell(r)]),
  ),
  '',
];

export const plainTable = table;
