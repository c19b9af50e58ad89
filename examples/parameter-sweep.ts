/** The same image on every backend, with and without features of the processor: exits and instructions of each: `npx ts-node examples/parameter-sweep.ts`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Computer, type ComputerConfiguration } from '../index';

const image = readFileSync(join(__dirname, '../guests/bundled/tour/tour.elf'));
const backends = ['bare', 'vmx', 'svm'] as const;
const processors = ['intel', 'intel,-pcid', 'amd'];
const memories = ['8M', '64M'];

process.stdout.write('backend  cpu          memory  instructions  exits  most frequent\n');
for (const backend of backends) {
  for (const cpu of processors) {
    for (const memory of memories) {
      const configuration: ComputerConfiguration = { image, backend, cpu, memory };
      const computer = new Computer(configuration);
      computer.run();
      const rows = computer.exitCounts();
      const exits = rows.reduce((sum, row) => sum + row.count, 0);
      const columns = [backend.padEnd(8), cpu.padEnd(12), memory.padEnd(7), String(computer.position.instructions).padEnd(13), String(exits).padEnd(6)];
      process.stdout.write(`${columns.join(' ')} ${rows[0]?.reason ?? '-'}\n`);
    }
  }
}
