/** The checker of layers (.dependency-cruiser.cjs) sees what it is for, shown on a tree of files that do nothing but import. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const ROOT = join(__dirname, '../..');

/** Imports from -> to, and whether docs/architecture.md allows them. */
const IMPORTS: readonly (readonly [from: string, to: string, allowed: boolean])[] = [
  ['cpu/a.ts', 'memory/leaf.ts', true],
  ['hypervisor/a.ts', 'vmx/leaf.ts', true],
  ['cli/a.ts', 'cpu/leaf.ts', true],
  ['index.ts', 'hypervisor/leaf.ts', true],
  ['examples/a.ts', 'index.ts', true],
  ['scripts/a.ts', 'guests/leaf.ts', true],
  ['ept/a.ts', 'cpu/interfaces.ts', true],
  ['memory/b.ts', 'cpu/leaf.ts', false],
  ['cpu/b.ts', 'ept/leaf.ts', false],
  ['ept/b.ts', 'cpu/leaf.ts', false],
  ['ept/c.ts', 'devices/leaf.ts', false],
  ['devices/b.ts', 'cpu/leaf.ts', false],
  ['iommu/b.ts', 'devices/leaf.ts', false],
  ['vmx/b.ts', 'svm/leaf.ts', false],
  ['svm/b.ts', 'vmx/leaf.ts', false],
  ['vmx/c.ts', 'machine/leaf.ts', false],
  ['guests/b.ts', 'machine/leaf.ts', false],
  ['hypervisor/b.ts', 'cli/leaf.ts', false],
  ['hypervisor/c.ts', 'scripts/leaf.ts', false],
  ['cpu/d.ts', 'index.ts', false],
  ['examples/b.ts', 'cli/leaf.ts', false],
  ['scripts/b.ts', 'tests/leaf.ts', false],
];

interface Report {
  readonly summary: { readonly violations: readonly { readonly from: string; readonly to: string }[] };
}

describe('imports', () => {
  const broken = new Set<string>();
  beforeAll(() => {
    const tree = mkdtempSync(join(tmpdir(), 'layers-'));
    try {
      const write = (file: string, text: string): void => {
        mkdirSync(join(tree, dirname(file)), { recursive: true });
        writeFileSync(join(tree, file), text);
      };
      write('tsconfig.json', '{}');
      for (const [, to] of IMPORTS) write(to, 'export const x = 1;\n');
      for (const [from, to] of IMPORTS) {
        const path = `${from.includes('/') ? '../' : './'}${to.replace(/\.ts$/, '')}`;
        write(from, `import { x } from '${path}';\nexport const y = x;\n${to === 'index.ts' ? '' : 'export { x };\n'}`);
      }
      const program = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
      const config = join(ROOT, '.dependency-cruiser.cjs');
      const { stdout, stderr } = spawnSync(process.execPath, [program, '--config', config, '--output-type', 'json', '.'], { cwd: tree, encoding: 'utf8' });
      if (stdout === '') throw new Error(stderr);
      for (const { from, to } of (JSON.parse(stdout) as Report).summary.violations) broken.add(`${from} -> ${to}`);
    } finally {
      rmSync(tree, { recursive: true });
    }
  });

  it.each(IMPORTS)('%s -> %s: allowed %s', (from, to, allowed) => {
    expect(broken.has(`${from} -> ${to}`)).toBe(!allowed);
  });
});
