import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');
const EXAMPLES = readdirSync(join(ROOT, 'examples')).filter((file) => file.endsWith('.ts'));
const outputs = new Map<string, string>();

/** As the comment at the head of each example tells its reader to run it, without the search for the program. */
function run(example: string): string {
  const known = outputs.get(example);
  if (known !== undefined) return known;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['node_modules/.bin/ts-node', `examples/${example}`], { cwd: ROOT, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  outputs.set(example, stdout);
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

it('cpuid-policy.ts has the guest print a name that no processor has', () => {
  expect(run('cpuid-policy.ts')).toMatch(/the guest says: .*TotallyReal!/);
});

it('ept-write-hook.ts finds writers of the stack', () => {
  expect(Number(/(\d+) writes by/.exec(run('ept-write-hook.ts'))?.[1])).toBeGreaterThan(50);
});

it('fuzz-loop.ts finds runs that go on and runs that do not, the same ones every time', () => {
  const rows = run('fuzz-loop.ts').trim().split('\n').slice(1);
  const counts = rows.map((row) => Number(/^\D+(?:\d+\s+)?\s(\d+) {2}first/.exec(row)?.[1]));
  expect(counts.reduce((a, b) => a + b, 0)).toBe(200);
  expect(rows.length).toBeGreaterThan(2);
  outputs.delete('fuzz-loop.ts');
  expect(run('fuzz-loop.ts').trim().split('\n').slice(1)).toEqual(rows);
});

it('parameter-sweep.ts: the same instructions on every backend', () => {
  const rows = run('parameter-sweep.ts')
    .trim()
    .split('\n')
    .slice(1)
    .map((row) => row.split(/\s+/));
  expect(rows).toHaveLength(18);
  const counts = new Map<string, Set<string>>();
  for (const [, cpu, memory, instructions] of rows) counts.set(`${cpu} ${memory}`, (counts.get(`${cpu} ${memory}`) ?? new Set()).add(instructions));
  for (const [, same] of counts) expect(same.size).toBe(1);
});
