/**
 * What the debugger costs: `npm run bench -- debugger`. Debian's kernel boots several ways in turn, in one process, so that they can be
 * compared: the guest alone, in the library with nobody listening, recorded, and with snapshots of its past. Then, how long it takes to go
 * back from a place far into the run.
 */
import { readFileSync } from 'node:fs';
import { RecordedRun } from '../debugger/recorder';
import { Session } from '../debugger/session';
import { complete } from '../debugger/target';
import { Guest, type GuestConfig } from '../hypervisor/guest';
import { Computer } from '../library/computer';
import { textTable } from './text-table';
import { INITRD, KERNEL, KERNEL_COMMAND_LINE, MEMORY_MIB } from './workload';

const MIB = 2 ** 20;
const MILLION = 1e6;
/** Aims: reverse step in seconds, and what recording and hooks may add. */
const AIMS = { reverseStep: 1, recording: 0.05, hooks: 0.02 } as const;

export interface DebuggerBenchOptions {
  /** Instructions of each boot that is compared, and place from which to go back. */
  readonly compared: number;
  readonly far: number;
  /** Rounds of all variants; the best of each counts, because other work on the machine only ever adds time. */
  readonly rounds: number;
}

const config = (): GuestConfig => ({
  image: readFileSync(KERNEL),
  initrd: readFileSync(INITRD),
  commandLine: KERNEL_COMMAND_LINE,
  memoryBytes: MEMORY_MIB * MIB,
  backend: 'vmx',
  serialOutput: () => {},
});

/** CPU seconds of this thread's process. */
function timed(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / MILLION;
}

/** Builds a guest and answers how to run it: building is not measured. */
const VARIANTS: readonly { readonly name: string; readonly build: (limit: number) => () => void }[] = [
  {
    name: 'the guest alone',
    build: (limit) => {
      const guest = new Guest(config());
      return () => void guest.run(limit);
    },
  },
  {
    name: 'library, nobody listens',
    build: (limit) => {
      const { image, initrd, commandLine } = config();
      const computer = new Computer({ image, initrd, commandLine, memory: `${MEMORY_MIB}M` });
      return () => {
        while (
          computer.position.ticks < limit &&
          computer.run({ instructions: computer.position.instructions + (limit - computer.position.ticks) }).kind === 'limit'
        );
      };
    },
  },
  {
    name: 'recorded',
    build: (limit) => {
      const run = new RecordedRun(config(), () => {});
      return () => {
        while (run.guest.time < limit) run.run(Math.min(limit, run.guest.time + 20 * MILLION));
      };
    },
  },
  {
    name: 'recorded, with snapshots',
    build: (limit) => {
      const { timeline } = new Session(config());
      return () => {
        while (timeline.guest.time < limit) timeline.run(limit);
      };
    },
  },
];

function compare({ compared, rounds }: DebuggerBenchOptions): string {
  const best = VARIANTS.map(() => Infinity);
  for (let round = 0; round < rounds; round++) {
    VARIANTS.forEach(({ build }, i) => {
      best[i] = Math.min(best[i], timed(build(compared)));
    });
  }
  const rows = VARIANTS.map(({ name }, i) => [name, `${best[i].toFixed(2)} s`, i === 0 ? '' : `${((best[i] / best[0] - 1) * 100).toFixed(1)} %`]);
  const aims = `aims: hooks without listeners at most ${AIMS.hooks * 100} %, recording with snapshots at most ${AIMS.recording * 100} %`;
  return `${textTable(['boot, VMX', `CPU, best of ${rounds}`, 'more than alone'], rows)}\n${aims}\n`;
}

function goBack({ far }: DebuggerBenchOptions): string {
  const session = new Session(config());
  const forward = timed(() => complete(session.seek(far)));
  const { checkpoints } = session.timeline;
  const held = `${checkpoints.all.length} snapshots, ${(checkpoints.bytes / MIB).toFixed(0)} MiB beside the first`;
  const first = timed(() => complete(session.reverseStep()));
  const others = Array.from({ length: 5 }, () => timed(() => complete(session.reverseStep())));
  const seconds = (value: number): string => `${value.toFixed(3)} s`;
  return `${textTable(
    [`back from ${far / MILLION} M instructions`, ''],
    [
      ['there, with snapshots', `${forward.toFixed(1)} s`],
      ['snapshot memory', held],
      ['first reverse step', `${seconds(first)} (aim: less than ${AIMS.reverseStep} s)`],
      ['next ones', `${seconds(Math.min(...others))} to ${seconds(Math.max(...others))}`],
      ['memory of snapshots then', `${checkpoints.all.length} snapshots, ${(checkpoints.bytes / MIB).toFixed(0)} MiB`],
    ],
  )}\n`;
}

export const debuggerReport = (options: DebuggerBenchOptions): string => `${compare(options)}\n${goBack(options)}`;
