/** Counts the VM exits of a boot by reason: `npx ts-node examples/count-exits.ts`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Computer } from '../index';

const computer = new Computer({ image: readFileSync(join(__dirname, '../guests/bundled/tour/tour.elf')), memory: '64M', backend: 'vmx' });
const counts = new Map<string, number>();
computer.on('exit', ({ reason }) => counts.set(reason, (counts.get(reason) ?? 0) + 1));

const stop = computer.run();
for (const [reason, count] of [...counts].sort((a, b) => b[1] - a[1])) process.stdout.write(`${reason.padEnd(28)}${count}\n`);
process.stdout.write(`${stop.explanation}, after ${computer.position.instructions} instructions\n`);
