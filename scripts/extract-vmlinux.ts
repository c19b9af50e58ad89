/** node -r ts-node/register scripts/extract-vmlinux.ts BZIMAGE OUTPUT: the ELF kernel (with its PVH note) out of an LZ4 bzImage. */
import { readFileSync, writeFileSync } from 'node:fs';
import { BootError } from '../guests/boot/boot-error';
import { extractVmlinux } from '../guests/boot/vmlinux';

const [input, output] = process.argv.slice(2);
if (input === undefined || output === undefined) {
  console.error('usage: extract-vmlinux BZIMAGE OUTPUT');
  process.exitCode = 2;
} else {
  try {
    writeFileSync(output, extractVmlinux(readFileSync(input)));
  } catch (error) {
    if (!(error instanceof BootError) && !(error instanceof Error && 'code' in error)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
