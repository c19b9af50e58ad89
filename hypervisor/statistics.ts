import type { Stateful } from '../memory/stateful';

/** Counts of VM exits, as `perf kvm stat` users know them: by reason, and per reason by detail (port, MSR, page, leaf). */
export interface ExitRow {
  readonly reason: string;
  readonly count: number;
  /** Most frequent details, descending. */
  readonly details: readonly { readonly detail: number; readonly count: number }[];
}

class Reason {
  count = 0;
  readonly details = new Map<number, number>();
}

/** Details kept per reason; beyond that, new ones are only counted in the total. */
const MAX_DETAILS = 4096;

/** Reason, count, and count by detail; all in the order of first occurrence. */
export type ExitStatisticsState = readonly (readonly [reason: string, count: number, details: readonly (readonly [detail: number, count: number])[]])[];

export class ExitStatistics implements Stateful<ExitStatisticsState> {
  total = 0;
  private readonly reasons = new Map<string, Reason>();

  count(reason: string, detail: number | undefined): void {
    this.total++;
    let r = this.reasons.get(reason);
    if (r === undefined) this.reasons.set(reason, (r = new Reason()));
    r.count++;
    if (detail === undefined) return;
    const known = r.details.get(detail);
    if (known !== undefined) r.details.set(detail, known + 1);
    else if (r.details.size < MAX_DETAILS) r.details.set(detail, 1);
  }

  saveState(): ExitStatisticsState {
    return [...this.reasons].map(([reason, r]) => [reason, r.count, [...r.details]] as const);
  }

  restoreState(state: ExitStatisticsState): void {
    this.total = 0;
    this.reasons.clear();
    for (const [reason, count, details] of state) {
      const r = new Reason();
      r.count = count;
      for (const [detail, n] of details) r.details.set(detail, n);
      this.reasons.set(reason, r);
      this.total += count;
    }
  }

  /** Rows by descending count. */
  rows(details = 3): ExitRow[] {
    return [...this.reasons]
      .map(([reason, r]) => ({
        reason,
        count: r.count,
        details: [...r.details]
          .map(([detail, count]) => ({ detail, count }))
          .sort((a, b) => b.count - a.count)
          .slice(0, details),
      }))
      .sort((a, b) => b.count - a.count);
  }
}
