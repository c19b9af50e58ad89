/**
 * One measurement of vmexit in a process of its own; prints one JSON object a result. `child loops BACKEND IMAGE COMMAND-LINE` or
 * `child boot BACKEND KERNEL INITRD COMMAND-LINE MARKER`. Started by vmexit-engine.ts.
 */
import { readFileSync } from 'node:fs';
import { Guest, type GuestConfig } from '../hypervisor/guest';
import type { PhysicalMemory } from '../memory/physical-memory';
import type { BootRow, LoopRow } from './measurement';
import { MEMORY_MIB, readRow } from './workload';

type Backend = GuestConfig['backend'];

const MEMORY = MEMORY_MIB << 20;
const PAGE = 4096;
const SLICE = 1e9;

const cpuSeconds = (): number => {
  const u = process.cpuUsage();
  return (u.user + u.system) / 1e6;
};
const say = (value: LoopRow | BootRow): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

/** Rows of the bench guest: CPU seconds and guest instructions since the row before. */
function loops(backend: Backend, image: string, commandLine: string): void {
  let line = '';
  let seconds = cpuSeconds();
  let instructions = 0;
  const guest = new Guest({
    image: readFileSync(image),
    memoryBytes: MEMORY,
    backend,
    commandLine,
    serialOutput: (byte) => {
      if (byte !== 10) {
        line += String.fromCharCode(byte);
        return;
      }
      const row = readRow(line);
      line = '';
      const now = cpuSeconds();
      if (row) say({ name: row.name, count: row.count, seconds: now - seconds, instructions: guest.instructions - instructions });
      seconds = now;
      instructions = guest.instructions;
    },
  });
  while (guest.run(guest.time + SLICE).kind === 'limit');
}

function boot(backend: Backend, image: string, initrd: string, commandLine: string, marker: string): void {
  const start = process.hrtime.bigint();
  const before = cpuSeconds();
  let console = '';
  let reached = false;
  const guest: Guest = new Guest({
    image: readFileSync(image),
    initrd: readFileSync(initrd),
    memoryBytes: MEMORY,
    backend,
    commandLine,
    serialOutput: (byte) => {
      console += String.fromCharCode(byte);
      if (!reached && console.endsWith(marker)) {
        reached = true;
        guest.stop();
      }
    },
  });
  while (!reached && guest.run(guest.time + SLICE).kind === 'limit');
  if (!reached) throw new Error(`the kernel ended before "${marker}"; its last words: ${JSON.stringify(console.slice(-300))}`);
  const cost = { wall: Number(process.hrtime.bigint() - start) / 1e9, cpu: cpuSeconds() - before, peakMiB: process.resourceUsage().maxRSS / 1024 };
  const exits = guest.exitRows().reduce((n, r) => n + r.count, 0);
  say({ ...cost, instructions: guest.instructions, exits, touchedMiB: (pagesInUse(guest.machine.memory) * PAGE) / 2 ** 20 });
}

/** Pages of RAM that are not all zeroes. */
function pagesInUse(memory: PhysicalMemory): number {
  const zeroes = Buffer.alloc(PAGE);
  const first = memory.host(0);
  let pages = 0;
  for (let at = first; at < first + memory.ramBytes; at += PAGE) {
    if (Buffer.compare(zeroes, memory.u8.subarray(at, at + PAGE)) !== 0) pages++;
  }
  return pages;
}

const [what, backend, ...rest] = process.argv.slice(2);
if (what === 'loops') loops(backend as Backend, rest[0], rest[1]);
else boot(backend as Backend, rest[0], rest[1], rest[2], rest[3]);
