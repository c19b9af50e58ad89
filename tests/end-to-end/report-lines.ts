/** Where the text of a line begins in the reports of the bundled hypervisors. */
const COLUMN = 45;

/**
 * A report of a bundled hypervisor: the first line after a blank one opens a section, the others are a name and a text in columns.
 * Returns `section: name` -> text.
 */
export function reportLines(report: string): Map<string, string> {
  const lines = new Map<string, string>();
  let section = '';
  let previous = '';
  for (const line of report.replaceAll('\r', '').split('\n')) {
    if (previous === '') section = line;
    else if (line !== '') lines.set(`${section}: ${line.slice(0, COLUMN).trimEnd()}`, line.slice(COLUMN));
    previous = line;
  }
  return lines;
}
