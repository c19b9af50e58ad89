import { summarize } from '../../bench/profile';

const ROOT = '/somewhere/dist';
const frame = (functionName: string, url: string): { functionName: string; url: string; lineNumber: number } => ({ functionName, url, lineNumber: 6 });

it('sums self time by folder, file and function, and leaves waiting out', () => {
  const nodes = [
    frame('(idle)', ''),
    frame('walk', `file://${ROOT}/cpu/page-walker.js`),
    frame('', `file://${ROOT}/cpu/page-walker.js`),
    frame('saveGuestState', `file://${ROOT}/vmx/exit/save.js`),
    frame('wasm-function[257]', 'wasm://wasm/1234'),
    frame('wasm-function[5]', 'wasm://wasm/1234'),
    frame('(garbage collector)', ''),
    frame('compare', ''),
    frame('parse', `file:///somewhere/node_modules/zod/index.js`),
  ].map((callFrame, id) => ({ id, callFrame }));
  const samples = [0, 1, 2, 3, 4, 5, 6, 7, 8, 1];
  // Microseconds: 5 s of waiting, 10 s of work.
  const timeDeltas = [5e6, 2e6, 0.5e6, 1e6, 2e6, 1e6, 0.5e6, 0.25e6, 0.25e6, 2.5e6];
  const summary = summarize({ nodes, samples, timeDeltas }, ROOT);
  expect(summary.seconds).toBeCloseTo(10);
  expect(summary.folders.map(({ name, percent }) => [name, percent])).toEqual([
    ['cpu', 50],
    ['(compiled guest code)', 30],
    ['vmx', 10],
    ['(garbage collector)', 5],
    ['(built-in functions)', 2.5],
    ['(packages)', 2.5],
  ]);
  expect(summary.files.slice(0, 3).map(({ name, seconds }) => [name, seconds])).toEqual([
    ['cpu/page-walker.ts', 5],
    ['(compiled guest code)', 3],
    ['vmx/exit/save.ts', 1],
  ]);
  expect(summary.functions.slice(0, 4).map(({ name }) => name)).toEqual([
    'cpu/page-walker.ts: walk',
    '(compiled guest code)',
    'vmx/exit/save.ts: saveGuestState',
    'cpu/page-walker.ts: line 7',
  ]);
});
