/** One measurement in a process of its own; prints one JSON object a result. See main.ts. */
import { readFileSync } from 'node:fs';
import { Guest } from '../hypervisor/guest';

const cpuSeconds = (): number => {
  const u = process.cpuUsage();
  return (u.user + u.system) / 1e6;
};
const say = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const MEMORY = 256 << 20;

/** Rows of the bench guest: name, count, CPU seconds and guest instructions since the row before. */
function loops(backend: 'bare' | 'vmx', image: string, commandLine: string): void {
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
      const m = /^(\S+) +(\d+) +([0-9a-f]+) +(\d+)\s*$/.exec(line.trim());
      line = '';
      const now = cpuSeconds();
      if (m) say({ name: m[1], count: Number(m[2]), seconds: now - seconds, instructions: guest.instructions - instructions });
      seconds = now;
      instructions = guest.instructions;
    },
  });
  while (guest.run(guest.time + 1e9).kind === 'limit');
}

function boot(backend: 'bare' | 'vmx', image: string, initrd: string, commandLine: string, marker: string): void {
  const start = process.hrtime.bigint();
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
  while (!reached && guest.run(guest.time + 1e9).kind === 'limit');
  if (!reached) return;
  const exits = guest.exitRows().reduce((n, r) => n + r.count, 0);
  say({
    wall: Number(process.hrtime.bigint() - start) / 1e9,
    cpu: cpuSeconds(),
    instructions: guest.instructions,
    exits,
    peakMiB: process.resourceUsage().maxRSS / 1024,
  });
}

const [what, backend, ...rest] = process.argv.slice(2);
if (what === 'loops') loops(backend as 'bare' | 'vmx', rest[0], rest[1]);
else boot(backend as 'bare' | 'vmx', rest[0], rest[1], rest[2], rest[3]);
