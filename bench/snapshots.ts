/**
 * What snapshots cost: time and memory of each while Debian's cloud kernel boots, and of going back. `node dist/bench/snapshots.js [vmx|bare] [ticks between]`
 * after scripts/fetch-guests.sh. Times are CPU time of this process.
 */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSnapshot, writeSnapshot } from '../debugger/snapshot/file';
import { Guest } from '../hypervisor/guest';
import type { GuestState } from '../hypervisor/guest-state';
import { PAGE_SIZE } from '../memory/physical-memory';
import { pagesBeside } from '../memory/ram-state';

const CACHE = join(process.cwd(), '.cache/guests');
const END = 700_000_000;
const MIB = 2 ** 20;

function timed<T>(work: () => T): [result: T, milliseconds: number] {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return [result, (user + system) / 1000];
}

/** Bytes of a state beside RAM: registers, translations, devices. */
function bytesBesideRam({ machine, vm }: GuestState): number {
  const ofEngine = ({ cpu, mmu, finder }: GuestState['machine']['engine']): number =>
    [cpu.block, mmu.tlb, mmu.codePages, mmu.largeRegions, finder.jumps, finder.fetches].reduce((sum, array) => sum + array.byteLength, 0);
  return ofEngine(machine.engine) + (vm === undefined ? 0 : ofEngine(vm.model) + vm.memory.blocks.byteLength);
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1];

function main(backend: 'bare' | 'vmx', interval: number): void {
  const guest = new Guest({
    image: readFileSync(join(CACHE, 'vmlinuz')),
    initrd: readFileSync(join(CACHE, 'initramfs.cpio.gz')),
    commandLine: 'console=ttyS0 panic=-1 nokaslr cryptomgr.notests',
    memoryBytes: 256 * MIB,
    backend,
    serialOutput: () => {},
  });
  const states: GuestState[] = [];
  const [saves, pages]: number[][] = [[], []];
  let running = 0;
  for (let tick = interval; tick <= END; tick += interval) {
    running += timed(() => guest.run(tick))[1];
    const [state, ms] = timed(() => guest.saveState());
    saves.push(ms);
    pages.push(pagesBeside(state.machine.ram, states.at(-1)?.machine.ram));
    states.push(state);
  }
  const last = states.length - 1;
  const [, near] = timed(() => guest.restoreState(states[last - 1]));
  const [, far] = timed(() => guest.restoreState(states[0]));
  const [, forth] = timed(() => guest.restoreState(states[last]));
  const [fresh, built] = timed(() => Guest.fromState(states[last], { serialOutput: () => {} }));
  const path = join(tmpdir(), `bench-${process.pid}.snapshot`);
  const [, written] = timed(() => writeSnapshot(path, fresh.saveState()));
  const [, read] = timed(() => readSnapshot(path));
  const fileBytes = statSync(path).size;
  rmSync(path);
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  const rows: [string, string][] = [
    ['snapshots', `${states.length}, every ${interval / 1e6} M ticks to ${END / 1e6} M (${backend})`],
    ['running, without them', `${(running / 1000).toFixed(2)} s`],
    [
      'saving',
      `median ${median(saves).toFixed(1)} ms, first ${saves[0].toFixed(1)}, most ${Math.max(...saves).toFixed(1)}, all ${(sum(saves) / 1000).toFixed(2)} s`,
    ],
    [
      'pages of RAM kept',
      `median ${median(pages)} (${((median(pages) * PAGE_SIZE) / MIB).toFixed(1)} MiB), all ${((sum(pages) * PAGE_SIZE) / MIB).toFixed(0)} MiB`,
    ],
    ['beside RAM', `${(bytesBesideRam(states[last]) / 1024).toFixed(0)} KiB`],
    ['going back', `one ${near.toFixed(1)} ms, to the first ${far.toFixed(1)} ms, to the last again ${forth.toFixed(1)} ms`],
    ['a fresh guest', `${built.toFixed(0)} ms`],
    ['file', `${(fileBytes / MIB).toFixed(1)} MiB, written in ${written.toFixed(0)} ms, read in ${read.toFixed(0)} ms`],
  ];
  for (const [what, value] of rows) process.stdout.write(`${what.padEnd(24)}${value}\n`);
}

main(process.argv[2] === 'bare' ? 'bare' : 'vmx', Number(process.argv[3] ?? 10_000_000));
