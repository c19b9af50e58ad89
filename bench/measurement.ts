/** What is measured, and who can be measured. */

/** One row of the bench guest. */
export interface LoopRow {
  readonly name: string;
  readonly count: number;
  /** CPU seconds of the engine, all of its threads. */
  readonly seconds: number;
  /** Guest instructions; only engines that count them say. */
  readonly instructions?: number;
}

/** From the entry of the kernel's image to user space. */
export interface BootRow {
  readonly wall: number;
  /** CPU seconds of the engine, all of its threads. */
  readonly cpu: number;
  readonly peakMiB: number;
  readonly instructions?: number;
  readonly exits?: number;
  /** Pages of guest RAM that hold something other than zeroes at the end. */
  readonly touchedMiB?: number;
}

export interface Engine {
  readonly id: string;
  readonly title: string;
  /** What is compared, as against what it is compared with. */
  readonly ours: boolean;
  /** Why it cannot be measured here, and what would help; undefined if it can. */
  missing(): string | undefined;
  /** For reports: name and version. */
  version(): string;
  loops(quick: boolean): Promise<readonly LoopRow[]>;
  boot(): Promise<BootRow>;
}

/** The best of several tries of the same rows: other work on the machine only ever adds time. */
export function bestLoops(tries: readonly (readonly LoopRow[])[]): LoopRow[] {
  return (tries[0] ?? []).map((first) => {
    const same = tries.flatMap((rows) => rows.filter((r) => r.name === first.name));
    return same.reduce((best, row) => (row.seconds < best.seconds ? row : best));
  });
}

export function bestBoot(tries: readonly BootRow[]): BootRow {
  return tries.reduce((best, row) => (row.cpu < best.cpu ? row : best));
}
