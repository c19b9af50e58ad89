/** The exit statistics of a run, as people know them from `perf kvm stat`. */
export interface StatsRow {
  /** As the manual spells it. */
  readonly reason: string;
  readonly count: number;
  /** Port, MSR, page or leaf, most frequent first. */
  readonly details: readonly { readonly detail: number; readonly count: number }[];
}

export interface StatsSummary {
  /** Guest instructions retired. */
  readonly instructions: number;
  /** Virtual time, nanoseconds. */
  readonly ticks: number;
  readonly rows: readonly StatsRow[];
}

export const grouped = (n: number): string => Math.round(n).toLocaleString('en-US');
export const percent = (part: number, whole: number): string => `${whole === 0 ? '0.00' : ((100 * part) / whole).toFixed(2)}%`;

/** Columns padded to their widest cell; the first and last are left-aligned. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = header.map((h, c) => Math.max(h.length, ...rows.map((r) => r[c].length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, c) => (c === 0 || c === cells.length - 1 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join('  ')
      .trimEnd();
  return [line(header), widths.map((w) => '-'.repeat(w)).join('  '), ...rows.map(line)];
}

/** Several lines, without a final newline. Rows are sorted by count. */
export function renderStats({ instructions, ticks, rows }: StatsSummary): string {
  const total = rows.reduce((sum, r) => sum + r.count, 0);
  const seconds = (ticks / 1e9).toFixed(6);
  const lines = [`${grouped(instructions)} guest instructions in ${seconds} s of virtual time, ${grouped(total)} VM exits`];
  if (total === 0) return lines[0];
  const sorted = [...rows].sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1));
  const cells = sorted.map((r) => [
    r.reason,
    grouped(r.count),
    percent(r.count, total),
    r.details.map((d) => `0x${d.detail.toString(16)} (${grouped(d.count)})`).join(', '),
  ]);
  lines.push('', ...table(['VM-EXIT', 'Samples', 'Samples%', 'Most frequent'], cells));
  lines.push('', `Total samples: ${grouped(total)}, one every ${grouped(instructions / total)} instructions`);
  return lines.join('\n');
}
