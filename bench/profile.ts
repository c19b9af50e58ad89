/** Where the time of a boot goes: V8's sampling profiler, summed by folder, file and function. */
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BootRow, Engine } from './measurement';
import { textTable } from './text-table';
import { bootArguments, child } from './vmexit-engine';
import { CACHE, KERNEL } from './workload';

/** The parts of a .cpuprofile file that count here (Chrome DevTools Protocol: "Profiler.Profile"). */
interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}
interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

/** Where a function stands, as three ever finer names. */
interface Place {
  readonly folder: string;
  readonly file: string;
  readonly name: string;
}

export interface Share {
  readonly name: string;
  readonly seconds: number;
  readonly percent: number;
}
export interface ProfileSummary {
  readonly seconds: number;
  readonly folders: readonly Share[];
  readonly files: readonly Share[];
  readonly functions: readonly Share[];
}

/** Not at work: the process waits. */
const IDLE = '(idle)';
const WEBASSEMBLY = '(compiled guest code)';
const NATIVE = '(built-in functions)';

/** @param root the folder that holds cpu/, vmx/ and so on of the code that ran. */
function placeOf({ functionName, url, lineNumber }: CallFrame, root: string): Place {
  // Functions of the interpreter have numbers, not names: apart they say little.
  if (url.startsWith('wasm:')) return { folder: WEBASSEMBLY, file: WEBASSEMBLY, name: WEBASSEMBLY };
  if (url === '') {
    // V8's own kinds of work stand in parentheses; the rest are built-in functions.
    const folder = functionName.startsWith('(') ? functionName : NATIVE;
    return { folder, file: folder, name: functionName.startsWith('js-to-wasm') ? 'calls of WebAssembly' : functionName || folder };
  }
  if (!url.startsWith('file:')) return { folder: '(node)', file: url, name: functionName || `line ${lineNumber + 1}` };
  const file = relative(root, fileURLToPath(url)).replace(/\.js$/, '.ts');
  const outside = file.startsWith('..') || file.startsWith('node_modules');
  return { folder: outside ? '(packages)' : file.split('/')[0], file, name: functionName || `line ${lineNumber + 1}` };
}

/** Self time by folder, file and function; waiting is left out. */
export function summarize(profile: CpuProfile, root: string): ProfileSummary {
  const self = new Map<number, number>();
  profile.samples.forEach((node, i) => self.set(node, (self.get(node) ?? 0) + (profile.timeDeltas[i] ?? 0) / 1e6));
  const tables = { folders: new Map<string, number>(), files: new Map<string, number>(), functions: new Map<string, number>() };
  let seconds = 0;
  for (const { id, callFrame } of profile.nodes) {
    const time = self.get(id) ?? 0;
    if (time === 0 || callFrame.functionName === IDLE) continue;
    const { folder, file, name } = placeOf(callFrame, root);
    seconds += time;
    for (const [table, key] of [
      [tables.folders, folder],
      [tables.files, file],
      [tables.functions, file === name ? name : `${file}: ${name}`],
    ] as const) {
      table.set(key, (table.get(key) ?? 0) + time);
    }
  }
  const shares = (table: ReadonlyMap<string, number>): Share[] =>
    [...table].map(([name, time]) => ({ name, seconds: time, percent: (100 * time) / seconds })).sort((a, b) => b.seconds - a.seconds);
  return { seconds, folders: shares(tables.folders), files: shares(tables.files), functions: shares(tables.functions) };
}

/** How much of the lists a person wants to see. */
const SHOWN = { folders: 15, files: 15, functions: 25 };
const LEAST_PERCENT = 0.05;

function render(title: string, boot: BootRow, { seconds, folders, files, functions }: ProfileSummary): string {
  const list = (heading: string, shares: readonly Share[]): string =>
    textTable(
      [heading, 's', '%'],
      shares.filter((s) => s.percent >= LEAST_PERCENT).map((s) => [s.name, s.seconds.toFixed(2), s.percent.toFixed(1)]),
    );
  const what = `Linux boot (${title}), ${seconds.toFixed(2)} s at work, ${((boot.instructions ?? 0) / 1e6).toFixed(0)} M guest instructions, ${boot.exits} VM exits`;
  return `${what}\n\n${list('folder', folders.slice(0, SHOWN.folders))}\n${list('file', files.slice(0, SHOWN.files))}\n${list('function', functions.slice(0, SHOWN.functions))}`;
}

/** Boots Linux on one of our backends under the profiler; the profile itself stays in the cache, for DevTools. Throws Error if it cannot. */
export async function profileBoot(engine: Engine, json: boolean): Promise<string> {
  if (!engine.ours) throw new Error(`--profile shows vmexit's own code: it cannot profile ${engine.title}`);
  if (!existsSync(KERNEL)) throw new Error('no kernel to boot: scripts/fetch-guests.sh prepares one');
  const name = `boot-${engine.id}.cpuprofile`;
  const backend = engine.id as Parameters<typeof bootArguments>[0];
  const options = ['--cpu-prof', `--cpu-prof-dir=${CACHE}`, `--cpu-prof-name=${name}`];
  const [boot] = await child<BootRow>(bootArguments(backend), options);
  const summary = summarize(JSON.parse(readFileSync(join(CACHE, name), 'utf8')) as CpuProfile, join(__dirname, '..'));
  return json ? `${JSON.stringify({ engine: engine.id, boot, ...summary }, undefined, 2)}\n` : render(engine.title, boot, summary);
}
