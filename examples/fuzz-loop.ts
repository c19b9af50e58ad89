/**
 * A fuzz loop: one snapshot, and from it run after run with another register value or another byte of code, to see what each does:
 * `npx ts-node examples/fuzz-loop.ts [RUNS]`. Everything follows from the number of the run, so any of them can be had again.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Computer } from '../index';

const RUNS = Number(process.argv[2] ?? 200);
const BUDGET = 2_000;

const computer = new Computer({ image: readFileSync(join(__dirname, '../guests/bundled/tour/tour.elf')), memory: '8M' });
computer.run({ instructions: 14_000 });
const start = computer.snapshot();

/** A number from 0 to `below` - 1 that follows from the run and the draw. */
function draws(run: number): (below: number) => number {
  let state = Math.imul(run + 1, 0x9e37_79b1) >>> 0;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x85eb_ca6b) + 1) >>> 0;
    return state % below;
  };
}

const outcomes = new Map<string, number[]>();
for (let run = 0; run < RUNS; run++) {
  computer.restore(start);
  const draw = draws(run);
  const at = computer.readRegister('rip') + BigInt(draw(64));
  const [byte] = computer.readMemory('virtual', at, 1);
  computer.writeMemory('virtual', at, Uint8Array.of(byte ^ (1 << draw(8))));
  const faults: number[] = [];
  const silence = computer.on('interrupt', ({ type, vector }) => type === 'exception' && faults.push(vector));
  const stop = computer.run({ instructions: start.position.instructions + BUDGET });
  silence();
  const name = stop.kind === 'ended' ? `ended: ${stop.because}` : faults.length > 0 ? `exception ${faults[0]}` : stop.kind === 'limit' ? 'goes on' : stop.kind;
  outcomes.set(name, [...(outcomes.get(name) ?? []), run]);
}
process.stdout.write(`${RUNS} runs of ${BUDGET} instructions from instruction ${start.position.instructions}\n`);
for (const [name, runs] of [...outcomes].sort((a, b) => b[1].length - a[1].length))
  process.stdout.write(`${name.padEnd(24)}${runs.length}  first: run ${runs[0]}\n`);
