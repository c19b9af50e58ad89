/** How the coverage page finds names in sources and DEVIATION comments. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { deviations } from '../../scripts/coverage/deviations';
import { section, summary, type CoverageTable } from '../../scripts/coverage/markdown';
import { SourceNames, typescriptFiles } from '../../scripts/coverage/source-names';

let root: string;
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'coverage-'))));
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, text: string): string {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  return path;
}

describe('names in sources', () => {
  const of = (text: string): SourceNames => new SourceNames(root, [write('a.ts', text)]);

  it('are found in titles, keys, table rows and property accesses', () => {
    expect(of(`it('an EPT violation exits', f);`).find(/EPT violation/)).toBe('a.ts');
    expect(of(`const rows = { 'guest.cs.type': 1 };`).mention(['guest.cs.type'])).toBe('a.ts');
    expect(of(`write({ GUEST_CR0: 1 });`).mention(['GUEST_CR0'])).toBe('a.ts');
    expect(of(`exit(ExitReason.Hlt);`).mention(['ExitReason.Hlt'])).toBe('a.ts');
  });
  it('are whole names: neither a longer id nor a part of one counts', () => {
    expect(of(`const id = 'guest.cs.type.accessed';`).mention(['guest.cs.type'])).toBeUndefined();
    expect(of(`const id = 'not-guest.cs';`).mention(['guest.cs'])).toBeUndefined();
    expect(of(`f(GUEST_CR0_MASK)`).mention(['GUEST_CR0'])).toBeUndefined();
  });
  it('are found in templates that yield them', () => {
    expect(of('const id = `pdpe${i}.reserved`;').mention(['pdpe3.reserved'])).toBe('a.ts');
    expect(of('const id = `pdpe${i}.reserved`;').mention(['pdpe3.present'])).toBeUndefined();
    expect(of('const id = `${a}${b}`;').mention(['anything'])).toBeUndefined();
  });
  it('do not come from imports and comments', () => {
    expect(of(`import { ExitCode } from './exit-code';`).mention(['ExitCode'])).toBeUndefined();
    expect(of(`// VMEXIT_HLT\n/* VMEXIT_HLT */`).mention(['VMEXIT_HLT'])).toBeUndefined();
  });
  it('include numbers, however they are written', () => {
    expect(of(`expect(read('EXIT_REASON')).toBe(0x8000_0021n);`).mention([`#${0x8000_0021}`])).toBe('a.ts');
    expect(of(`rdmsr(0x480)`).mention(['#1152'])).toBe('a.ts');
    expect(of(`rdmsr(0x4800)`).mention(['#1152'])).toBeUndefined();
  });
  it('are looked for in files in the order of their paths, declarations left out', () => {
    for (const path of ['x/b.ts', 'x/a/c.ts', 'x/d.d.ts', 'x/e.js']) write(path, '');
    expect(typescriptFiles(root, ['x'])).toEqual(['x/a/c.ts', 'x/b.ts']);
  });
});

describe('deviations', () => {
  const of = (text: string): unknown => deviations(root, [write('a.ts', text)]).map(({ line, text: words }) => [line, words]);

  it('go on to the end of their comment', () => {
    expect(of('/**\n * What it is.\n * DEVIATION: one thing\n * and the rest of it.\n */\ncode();')).toEqual([[3, 'one thing and the rest of it.']]);
    expect(of('  // DEVIATION: one thing\n  // and the rest.\n  code();')).toEqual([[1, 'one thing and the rest.']]);
    expect(of('/** DEVIATION: short. */\n/** Other. */')).toEqual([[1, 'short.']]);
  });
  it('end at an empty comment line, a tag, the next deviation, or code', () => {
    expect(of('/*\n * DEVIATION: a\n *\n * b\n */')).toEqual([[2, 'a']]);
    expect(of('/*\n * DEVIATION: a\n * @param b\n */')).toEqual([[2, 'a']]);
    expect(of('/*\n * DEVIATION: a\n * DEVIATION: b\n */')).toEqual([
      [2, 'a'],
      [3, 'b'],
    ]);
    expect(of('const a = 1; // DEVIATION: a\n// b')).toEqual([[1, 'a']]);
  });
});

describe('the page', () => {
  const table: CoverageTable = {
    title: 'Things',
    columns: ['Name'],
    rows: [
      { cells: ['a | b'], test: 'tests/a.test.ts', present: true },
      { cells: ['c'], test: undefined, present: true },
      { cells: ['d'], test: undefined, present: false },
    ],
  };
  it('names the test of a row, and says which rows have none', () =>
    expect(section(table)).toEqual([
      '### Things',
      '',
      '| Name | Test |',
      '|---|---|',
      '| a \\| b | tests/a.test.ts |',
      '| c | **none** |',
      '| d | absent |',
      '',
    ]));
  it('counts only what is present', () => expect(summary([table])[2]).toBe('| Things | 3 | 2 | 1 | 1 |'));
});
