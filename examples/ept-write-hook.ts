/** Who writes to a page of the guest? EPT makes it read-only, and every write is heard of first: `npx ts-node examples/ept-write-hook.ts`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Computer } from '../index';

const computer = new Computer({ image: readFileSync(join(__dirname, '../guests/bundled/tour/tour.elf')), backend: 'vmx' });
computer.run({ instructions: 14_000 });

// The page of the stack, as both dimensions of paging lead to it.
const stack = computer.translate(computer.readRegister('rsp') - 8n);
const page = stack.guestPhysical! & ~0xfff;
process.stdout.write(`stack page: guest-physical 0x${page.toString(16)}, ${stack.references} memory references to walk there\n`);

const writers = new Map<bigint, number>();
const remove = computer.onWrite(page, 4096, ({ rip }) => writers.set(rip, (writers.get(rip) ?? 0) + 1));
computer.run({ instructions: 20_000 });
remove();

const total = [...writers.values()].reduce((a, b) => a + b, 0);
process.stdout.write(`${total} writes by ${writers.size} instructions in 6000; the busiest:\n`);
for (const [rip, count] of [...writers].sort((a, b) => b[1] - a[1]).slice(0, 3)) process.stdout.write(`  0x${rip.toString(16)}  ${count}\n`);
