/** The lint rules that keep clocks, randomness and output out of the core see what they are for. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');
/** One violation a line. */
const VIOLATIONS = [
  "import { performance } from 'node:perf_hooks';",
  "import fs from 'fs';",
  'export const a = Date.now();',
  "export const b = Date['now']();",
  'export const c = new Date();',
  'export const d = Math.random();',
  'const { random } = Math;',
  'const D = Date;',
  "console.log('');",
  'export const e = process.hrtime();',
  'export const f = globalThis.performance;',
  'setTimeout(() => {}, 1);',
];

interface LintMessage {
  readonly line: number;
  readonly ruleId: string;
}

function lint(fileName: string, text: string): LintMessage[] {
  const eslint = join(ROOT, 'node_modules/eslint/bin/eslint.js');
  const { stdout, stderr } = spawnSync(process.execPath, [eslint, '--stdin', '--stdin-filename', fileName, '--format', 'json'], {
    cwd: ROOT,
    input: text,
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  return (JSON.parse(stdout) as { messages: LintMessage[] }[])[0].messages;
}

const restricted = (messages: readonly LintMessage[]): LintMessage[] => messages.filter(({ ruleId }) => /^no-(restricted|console)/.test(ruleId));

it.each(['cpu/stage/x.ts', 'guests/boot/x.ts'])('%s may not use the host', (fileName) => {
  const lines = new Set(restricted(lint(fileName, `${VIOLATIONS.join('\n')}\n`)).map(({ line }) => line));
  expect(VIOLATIONS.filter((_, i) => !lines.has(i + 1))).toEqual([]);
});

it('bench/x.ts may', () => {
  expect(restricted(lint('bench/x.ts', `${VIOLATIONS.join('\n')}\n`))).toEqual([]);
});

it('a date of a given time is no clock', () => {
  expect(restricted(lint('devices/x.ts', 'export const day = (seconds: number): number => new Date(seconds * 1000).getUTCDay();\n'))).toEqual([]);
});
