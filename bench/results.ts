/** All that one run measured, and the figures that follow from it. */
import type { BootRow, LoopRow } from './measurement';
import { ROUND_TRIPS } from './workload';

export interface EngineResult {
  readonly id: string;
  readonly title: string;
  readonly ours: boolean;
  readonly version: string;
  /** Why something below is missing. */
  readonly problems: readonly string[];
  readonly loops: readonly LoopRow[];
  readonly boot?: BootRow;
}

export interface Results {
  readonly date: string;
  readonly processor: string;
  readonly quick: boolean;
  readonly repeat: number;
  readonly engines: readonly EngineResult[];
}

/** What we want to reach beside Bochs, and in memory. */
export const AIMS = { loopSpeed: 1.5, bootTime: 0.7, memoryMiB: 200 } as const;

export const loopOf = (engine: EngineResult, name: string): LoopRow | undefined => engine.loops.find((r) => r.name === name && r.seconds > 0);

/** The rows of the bench guest, in its order. */
export const rowNames = (results: Results): string[] => results.engines.find((e) => e.loops.length > 0)?.loops.map((r) => r.name) ?? [];
export const loopNames = (results: Results): string[] => rowNames(results).filter((name) => !ROUND_TRIPS.has(name));
export const roundTripNames = (results: Results): string[] => rowNames(results).filter((name) => ROUND_TRIPS.has(name));

/** Guest instructions of a row: the same machine code everywhere, so whoever counts speaks for all. */
function instructionsOf(results: Results, name: string): number | undefined {
  for (const engine of results.engines) {
    const row = engine.loops.find((r) => r.name === name);
    if (row?.instructions !== undefined) return row.instructions;
  }
  return undefined;
}

/** Million guest instructions a CPU second. */
export function mips(results: Results, engine: EngineResult, name: string): number | undefined {
  const row = loopOf(engine, name);
  const instructions = instructionsOf(results, name);
  return row && instructions !== undefined ? instructions / row.seconds / 1e6 : undefined;
}

export const microsecondsEach = (row: LoopRow): number => (row.seconds / row.count) * 1e6;

/** A round trip in units of the time that an instruction of the ALU loop takes on the same engine. */
export function inAluInstructions(results: Results, engine: EngineResult, name: string): number | undefined {
  const row = loopOf(engine, name);
  const alu = mips(results, engine, 'alu');
  return row && alu !== undefined ? microsecondsEach(row) * alu : undefined;
}

/** How often as fast `engine` is as `other` in a row. */
export function speedRatio(engine: EngineResult, other: EngineResult, name: string): number | undefined {
  const [a, b] = [loopOf(engine, name), loopOf(other, name)];
  return a && b ? b.seconds / b.count / (a.seconds / a.count) : undefined;
}

export interface Verdict {
  readonly aim: string;
  readonly reached: boolean;
  readonly figures: string;
}

/** The aims, for every backend of ours that was measured beside Bochs. */
export function verdicts(results: Results): Verdict[] {
  const bochs = results.engines.find((e) => e.id === 'bochs');
  return results.engines.filter((e) => e.ours).flatMap((engine) => [...besideBochs(results, engine, bochs), ...ofMemory(engine)]);
}

function besideBochs(results: Results, engine: EngineResult, bochs: EngineResult | undefined): Verdict[] {
  if (bochs === undefined) return [];
  const list: Verdict[] = [];
  const ratios = loopNames(results).flatMap((name) => {
    const ratio = speedRatio(engine, bochs, name);
    return ratio === undefined ? [] : [{ name, ratio }];
  });
  if (ratios.length > 0) {
    const slowest = ratios.reduce((a, b) => (b.ratio < a.ratio ? b : a));
    const enough = ratios.filter(({ ratio }) => ratio >= AIMS.loopSpeed).length;
    list.push({
      aim: `${engine.title}: every loop at least ${AIMS.loopSpeed} times as fast as on Bochs`,
      reached: enough === ratios.length,
      figures: `${enough} of ${ratios.length}; least ${slowest.ratio.toFixed(2)} (${slowest.name})`,
    });
  }
  if (engine.boot && bochs.boot) {
    const ratio = engine.boot.cpu / bochs.boot.cpu;
    list.push({
      aim: `${engine.title}: Linux boots in less than ${AIMS.bootTime} of Bochs' CPU time`,
      reached: ratio < AIMS.bootTime,
      figures: ratio.toFixed(2),
    });
  }
  return list;
}

function ofMemory({ title, boot }: EngineResult): Verdict[] {
  if (boot?.touchedMiB === undefined) return [];
  const over = boot.peakMiB - boot.touchedMiB;
  return [
    {
      aim: `${title}: peak memory at most ${AIMS.memoryMiB} MiB above the guest RAM in use`,
      reached: over <= AIMS.memoryMiB,
      figures: `${over.toFixed(0)} MiB above`,
    },
  ];
}
