/** A guest that is told another processor's name, by a CPUID policy of one's own: `npx ts-node examples/cpuid-policy.ts`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Computer, type ProcessorPolicy } from '../index';

/** "GenuineVexx" in EBX, EDX, ECX of leaf 0, four letters a register. */
const NAME = Buffer.from('TotallyReal!');
const asked: number[] = [];

const computer = new Computer({
  image: readFileSync(join(__dirname, '../guests/bundled/tour/tour.elf')),
  policy: (usual): ProcessorPolicy => ({
    cpuid: (leaf, subleaf) => {
      asked.push(leaf);
      const [eax, ebx, ecx, edx] = usual.cpuid(leaf, subleaf);
      return leaf === 0 ? [eax, NAME.readUInt32LE(0), NAME.readUInt32LE(8), NAME.readUInt32LE(4)] : [eax, ebx, ecx, edx];
    },
    readMsr: (index) => usual.readMsr(index),
    writeMsr: (index, value) => usual.writeMsr(index, value),
  }),
});
computer.run();
process.stdout.write(`leaves asked for: ${[...new Set(asked)].map((leaf) => `0x${leaf.toString(16)}`).join(' ')}\n`);
process.stdout.write(`the guest says: ${computer.console.split('\n').find((line) => line.includes('TotallyReal!'))}\n`);
