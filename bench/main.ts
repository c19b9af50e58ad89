/**
 * Benchmarks: `npm run bench`. Loops of the bundled `bench` guest, round trips, and the boot of Debian's cloud kernel if
 * scripts/fetch-guests.sh has prepared it, on every backend and beside QEMU (TCG) and Bochs where they are installed. Read the ratios:
 * machines are noisy, and everything compared was measured in one run.
 */
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { debuggerReport } from './debugger';
import { ENGINES } from './engines';
import { bestBoot, bestLoops, type BootRow, type Engine, type LoopRow } from './measurement';
import { profileBoot } from './profile';
import { report } from './report';
import type { EngineResult, Results } from './results';
import { KERNEL } from './workload';

const USAGE = `usage: npm run bench -- [quick] [--engines ${ENGINES.map((e) => e.id).join(',')}] [--no-boot] [--repeat N] [--json]
       npm run bench -- --profile [--engines vmx] [--json]
       npm run bench -- debugger [quick] [--repeat N]
`;

interface BenchOptions {
  readonly quick: boolean;
  readonly boot: boolean;
  readonly json: boolean;
  readonly profile: boolean;
  /** What the debugger costs, instead of everything else. */
  readonly debugger: boolean;
  readonly repeat: number;
  readonly engines: readonly Engine[];
}

/** Throws Error with what is wrong. */
function readOptions(args: string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      engines: { type: 'string' },
      'no-boot': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      repeat: { type: 'string', default: '1' },
    },
  });
  const stranger = positionals.find((word) => word !== 'quick' && word !== 'debugger');
  if (stranger !== undefined) throw new Error(`"${stranger}" is not known here`);
  const repeat = Number(values.repeat);
  if (!Number.isInteger(repeat) || repeat < 1 || repeat > 100) throw new Error(`--repeat ${values.repeat}: give a number from 1 to 100`);
  const ids = values.engines?.split(',') ?? (values.profile ? ['vmx'] : ENGINES.map((e) => e.id));
  const engines = ids.map((id) => {
    const engine = ENGINES.find((e) => e.id === id);
    if (!engine) throw new Error(`--engines: there is no "${id}"`);
    return engine;
  });
  return {
    quick: positionals.includes('quick'),
    boot: !values['no-boot'],
    json: values.json,
    profile: values.profile,
    debugger: positionals.includes('debugger'),
    repeat,
    engines,
  };
}

const progress = (text: string): void => void process.stderr.write(text);

async function measure(engine: Engine, { quick, boot, repeat }: BenchOptions): Promise<EngineResult> {
  const { id, title, ours } = engine;
  const missing = engine.missing();
  if (missing !== undefined) return { id, title, ours, version: `no ${title}`, problems: [missing], loops: [] };
  const problems: string[] = [];
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T[]> => {
    const tries: T[] = [];
    for (let i = 0; i < repeat; i++) {
      progress(`${title}: ${what} ${i + 1}/${repeat}\n`);
      try {
        tries.push(await work());
      } catch (error) {
        problems.push(`${what}: ${(error as Error).message}`);
        break;
      }
    }
    return tries;
  };
  const loops = bestLoops(await attempt<readonly LoopRow[]>('loops', () => engine.loops(quick)));
  const boots = boot ? await attempt<BootRow>('boot', () => engine.boot()) : [];
  return { id, title, ours, version: engine.version(), problems, loops, boot: boots.length > 0 ? bestBoot(boots) : undefined };
}

async function bench(options: BenchOptions): Promise<void> {
  if (options.boot && !existsSync(KERNEL)) progress('No kernel to boot: scripts/fetch-guests.sh prepares one.\n');
  const withBoot = { ...options, boot: options.boot && existsSync(KERNEL) };
  const engines: EngineResult[] = [];
  for (const engine of options.engines) engines.push(await measure(engine, withBoot));
  const { quick, repeat } = options;
  const results: Results = { date: new Date().toISOString().slice(0, 10), processor: cpus()[0]?.model ?? 'unknown processor', quick, repeat, engines };
  process.stdout.write(options.json ? `${JSON.stringify(results, undefined, 2)}\n` : report(results));
}

async function main(): Promise<void> {
  let options: BenchOptions;
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}`);
    process.exitCode = 2;
    return;
  }
  if (options.debugger) {
    if (!existsSync(KERNEL)) throw new Error('there is no kernel to boot: scripts/fetch-guests.sh prepares one');
    const { quick, repeat } = options;
    process.stdout.write(debuggerReport({ compared: quick ? 60e6 : 300e6, far: quick ? 100e6 : 500e6, rounds: Math.max(repeat, quick ? 1 : 3) }));
    return;
  }
  if (!options.profile) return bench(options);
  for (const engine of options.engines) process.stdout.write(await profileBoot(engine, options.json));
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
