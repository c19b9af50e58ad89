/** `vmexit stats TRACE`: what a recorded trace says in sum. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { readFile } from './input-file';
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
  const stats = (await summarise(options.trace)).result(options.top);
  write(`${options.json ? toJson(stats, symbols) : render(stats, symbols)}\n`);
}

async function summarise(path: string): Promise<TraceSummary> {
  const summary = new TraceSummary();
  let line = 0;
  try {
    for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
      line++;
      if (text === '') continue;
      summary.add(parseNdjsonLine(text));
    }
  } catch (error) {
    if ((error as { code?: string }).code !== undefined) throw fileError(error, 'read the trace', path);
    const message = error instanceof Error ? error.message : String(error);
    throw new UserError(`${path}, line ${line}: ${message}; give a trace that --trace-format ndjson wrote`);
  }
  if (line === 0) throw new UserError(`${path} is empty: give a trace that --trace-format ndjson wrote`);
  return summary;
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

function toJson(stats: TraceStats, symbols: SymbolTable | undefined): string {
  const hottest = stats.hottest.map((h) => ({ ...h, rip: `0x${h.rip.toString(16)}`, symbol: symbols?.describe(h.rip) }));
  return JSON.stringify({ ...stats, hottest });
}
