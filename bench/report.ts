/** The tables of a run, for people. */
import {
  AIMS,
  inAluInstructions,
  loopNames,
  loopOf,
  microsecondsEach,
  mips,
  roundTripNames,
  speedRatio,
  verdicts,
  type EngineResult,
  type Results,
} from './results';
import { textTable } from './text-table';
import { ROUND_TRIPS } from './workload';

const fixed = (value: number | undefined, digits: number): string => (value === undefined ? '-' : value.toFixed(digits));

export function report(results: Results): string {
  const sections = [heading(results), loops(results), roundTrips(results), boots(results), aims(results)];
  return sections.filter((s) => s !== '').join('\n');
}

function heading({ date, processor, engines, quick, repeat }: Results): string {
  const versions = [...new Set(engines.map((e) => e.version))].join(', ');
  const problems = engines.flatMap((e) => e.problems.map((p) => `${e.title}: ${p}\n`)).join('');
  const how = `${quick ? 'quick counts, ' : ''}best of ${repeat}, CPU seconds of all threads`;
  return `${date}, ${processor}; ${versions}; ${how}.\n${problems}`;
}

/** Engines that were measured, and for each of ours a column beside Bochs. */
function loops(results: Results): string {
  const engines = results.engines.filter((e) => e.loops.length > 0);
  const bochs = engines.find((e) => e.id === 'bochs');
  const compared = bochs ? engines.filter((e) => e.ours) : [];
  const rows = loopNames(results).map((name) => [
    name,
    ...engines.map((e) => fixed(mips(results, e, name), 0)),
    ...compared.map((e) => fixed(speedRatio(e, bochs!, name), 2)),
  ]);
  if (rows.length === 0) return '';
  return `Million guest instructions a CPU second\n\n${textTable(['loop', ...engines.map((e) => e.title), ...compared.map((e) => `${e.title} / Bochs`)], rows)}`;
}

function roundTrips(results: Results): string {
  const engines = results.engines.filter((e) => e.loops.length > 0);
  const cell = (e: EngineResult, name: string): string => {
    const row = loopOf(e, name);
    return row ? `${microsecondsEach(row).toFixed(2)} (${fixed(inAluInstructions(results, e, name), 0)})` : '-';
  };
  const rows = roundTripNames(results).map((name) => [ROUND_TRIPS.get(name)!, ...engines.map((e) => cell(e, name))]);
  if (rows.length === 0) return '';
  return `Round trips: microseconds (and in instructions of the ALU loop on the same engine)\n\n${textTable(['round trip', ...engines.map((e) => e.title)], rows)}`;
}

function boots({ engines }: Results): string {
  const booted = engines.flatMap((e) => (e.boot ? [{ title: e.title, ...e.boot }] : []));
  if (booted.length === 0) return '';
  const bochs = engines.find((e) => e.id === 'bochs')?.boot;
  const header = ['Linux to user space', 'CPU s', 'wall s', 'M instructions', 'MIPS', 'exits', 'peak MiB', 'RAM in use', 'CPU / Bochs'];
  const rows = booted.map((b) => [
    b.title,
    b.cpu.toFixed(2),
    b.wall.toFixed(2),
    fixed(b.instructions && b.instructions / 1e6, 1),
    fixed(b.instructions && b.instructions / 1e6 / b.cpu, 0),
    b.exits === undefined ? '-' : String(b.exits),
    b.peakMiB.toFixed(0),
    fixed(b.touchedMiB, 0),
    fixed(bochs && b.cpu / bochs.cpu, 2),
  ]);
  return `${textTable(header, rows)}`;
}

function aims(results: Results): string {
  const list = verdicts(results);
  if (list.length === 0) return '';
  const width = Math.max(...list.map((v) => v.aim.length));
  return `Aims (${AIMS.loopSpeed} / ${AIMS.bootTime} / ${AIMS.memoryMiB} MiB)\n\n${list.map((v) => `${v.reached ? 'yes' : 'NO '}  ${v.aim.padEnd(width)}  ${v.figures}\n`).join('')}`;
}
