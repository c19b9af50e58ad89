/** `vmexit stats TRACE`: what a recorded trace says in sum. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { readFile } from './input-file';
import { formatOfBeginning } from '../trace/formats';
import { parseNdjsonLine } from '../trace/ndjson-sink';
import { SymbolTable } from '../trace/symbols';
import { TraceSummary, type TraceStats } from '../trace/trace-stats';
import { grouped, percent, table } from './stats-table';
import { fileError, UserError } from './user-error';

export interface StatsOptions {
  readonly trace: string;
  /** System.map or /proc/kallsyms of the guest. */
  readonly symbols?: string;
  readonly top: number;
  readonly json: boolean;
}

/** @throws UserError for a file that cannot be read or is no trace. */
export async function statsCommand(options: StatsOptions, write: (text: string) => void): Promise<void> {
  const symbols = options.symbols === undefined ? undefined : readSymbols(options.symbols);
  const { summary, cutLine } = await summarise(options.trace);
  const stats = summary.result(options.top);
  const note = cutLine === undefined ? '' : `\n\nline ${cutLine}, the last one, was cut short, as a run that was killed leaves it: it is not counted`;
  write(options.json ? `${toJson(stats, symbols, cutLine)}\n` : `${render(stats, symbols)}${note}\n`);
}

interface Summed {
  readonly summary: TraceSummary;
  /** Number of the last line, when it is not whole. */
  readonly cutLine: number | undefined;
}

const TAKEN = 'give a trace that --trace-format ndjson wrote';

async function summarise(path: string): Promise<Summed> {
  const summary = new TraceSummary();
  let line = 0;
  let rows = 0;
  /** Of the line before: fatal if it was not the last. */
  let failure: { readonly line: number; readonly error: unknown } | undefined;
  try {
    for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
      const format = ++line === 1 ? formatOfBeginning(text) : undefined;
      if (format !== undefined) throw new UserError(`${path} is a trace of the format ${format.name} (${format.description}): ${TAKEN}`);
      if (text === '') continue;
      if (failure !== undefined) break;
      try {
        summary.add(parseNdjsonLine(text));
        rows++;
      } catch (error) {
        failure = { line, error };
      }
    }
  } catch (error) {
    throw error instanceof UserError ? error : fileError(error, 'read the trace', path);
  }
  if (line === 0) throw new UserError(`${path} is empty: ${TAKEN}`);
  const cut = failure !== undefined && failure.line === line && rows > 0 && failure.error instanceof SyntaxError;
  if (failure !== undefined && !cut) {
    const message = failure.error instanceof Error ? failure.error.message : String(failure.error);
    throw new UserError(`${path}, line ${failure.line}: ${message}; ${TAKEN}`);
  }
  return { summary, cutLine: failure?.line };
}

function readSymbols(path: string): SymbolTable {
  try {
    return SymbolTable.parse(new TextDecoder().decode(readFile(path, 'symbols')));
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(`--symbols ${path}: ${error.message}`);
    throw error;
  }
}

const place = (rip: bigint, symbols: SymbolTable | undefined): string => symbols?.describe(rip) ?? `0x${rip.toString(16)}`;

function render(stats: TraceStats, symbols: SymbolTable | undefined): string {
  const reasons = stats.reasons.map((r) => [r.reason, grouped(r.count), percent(r.count, stats.total), grouped(r.min), grouped(r.average), grouped(r.max)]);
  const hottest = stats.hottest.map((h) => [h.reason, grouped(h.count), percent(h.count, stats.total), place(h.rip, symbols)]);
  return [
    `${grouped(stats.total)} VM exits in ${grouped(stats.instructions)} guest instructions`,
    '',
    ...table(['VM-EXIT', 'Samples', 'Samples%', 'Min instr', 'Avg instr', 'Max instr'], reasons),
    '',
    ...table(['VM-EXIT', 'Samples', 'Samples%', 'Hottest RIP'], hottest),
  ].join('\n');
}

function toJson(stats: TraceStats, symbols: SymbolTable | undefined, cutLine: number | undefined): string {
  const hottest = stats.hottest.map((h) => ({ ...h, rip: `0x${h.rip.toString(16)}`, symbol: symbols?.describe(h.rip) }));
  return JSON.stringify({ ...stats, hottest, ...(cutLine !== undefined && { cutLine }) });
}
