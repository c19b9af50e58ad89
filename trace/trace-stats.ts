/** What a trace says in sum: how often, how far apart, and from where. */
import type { ExitRow } from './exit-row';

export interface ReasonStats {
  readonly reason: string;
  readonly count: number;
  /** Of all exits, 0 to 1. */
  readonly share: number;
  /** Guest instructions since the exit before. */
  readonly min: number;
  readonly average: number;
  readonly max: number;
}

export interface HotRip {
  readonly rip: bigint;
  readonly count: number;
  readonly reason: string;
}

export interface TraceStats {
  readonly total: number;
  /** Guest instructions at the last exit. */
  readonly instructions: number;
  /** By descending count. */
  readonly reasons: readonly ReasonStats[];
  /** By descending count. */
  readonly hottest: readonly HotRip[];
}

class Gaps {
  count = 0;
  sum = 0;
  min = Infinity;
  max = 0;
  add(gap: number): void {
    this.count++;
    this.sum += gap;
    if (gap < this.min) this.min = gap;
    if (gap > this.max) this.max = gap;
  }
}

/** Takes rows one by one, so that a trace need not fit into memory. */
export class TraceSummary {
  private total = 0;
  private last = 0;
  private readonly reasons = new Map<string, Gaps>();
  private readonly rips = new Map<string, { rip: bigint; reason: string; count: number }>();

  add(row: ExitRow): void {
    this.total++;
    let gaps = this.reasons.get(row.reason);
    if (gaps === undefined) this.reasons.set(row.reason, (gaps = new Gaps()));
    gaps.add(row.instructions - this.last);
    this.last = row.instructions;
    const key = `${row.reason} ${row.rip}`;
    const known = this.rips.get(key);
    if (known !== undefined) known.count++;
    else this.rips.set(key, { rip: row.rip, reason: row.reason, count: 1 });
  }

  /** @param hottest how many RIPs to name. */
  result(hottest = 10): TraceStats {
    const reasons = [...this.reasons].map(([reason, g]) => ({
      reason,
      count: g.count,
      share: g.count / this.total,
      min: g.min,
      average: g.sum / g.count,
      max: g.max,
    }));
    return {
      total: this.total,
      instructions: this.last,
      reasons: reasons.sort((a, b) => b.count - a.count),
      hottest: [...this.rips.values()].sort((a, b) => b.count - a.count).slice(0, hottest),
    };
  }
}
