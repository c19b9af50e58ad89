import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');
const EXAMPLES = readdirSync(join(ROOT, 'examples')).filter((file) => file.endsWith('.ts'));

/** As the comment at the head of each example tells its reader to run it. */
function run(example: string): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-r', 'ts-node/register', join('examples', example)], { cwd: ROOT, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

it.each(EXAMPLES)('%s runs and has something to say', (example) => {
  expect(run(example).trim()).not.toBe('');
});

it('count-exits.ts counts the exits that the tour makes on purpose', () => {
  const counts = new Map(
    run('count-exits.ts')
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/) as [string, string]),
  );
  // The tour waits three times for its local APIC timer and once for the 8254.
  expect(counts.get('HLT')).toBe('4');
  for (const reason of ['CPUID', 'RDMSR', 'EPT_VIOLATION', 'VMCALL', 'XSETBV']) expect([reason, Number(counts.get(reason)) > 0]).toEqual([reason, true]);
});
