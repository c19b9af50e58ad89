#!/usr/bin/env node
'use strict';
// The compiled program if it is there and newer than every source file, otherwise the sources themselves.
const { existsSync, readdirSync, statSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const compiled = join(root, 'dist', 'cli', 'entry.js');
const source = join(root, 'cli', 'entry.ts');
const NOT_SOURCE = new Set(['node_modules', 'dist', 'coverage', 'tests', 'docs', '.git']);

function anyNewer(directory, time) {
  return readdirSync(directory, { withFileTypes: true }).some((entry) => {
    if (entry.isDirectory()) return !NOT_SOURCE.has(entry.name) && anyNewer(join(directory, entry.name), time);
    return entry.name.endsWith('.ts') && statSync(join(directory, entry.name)).mtimeMs > time;
  });
}

const useCompiled = existsSync(compiled) && (!existsSync(source) || !anyNewer(root, statSync(compiled).mtimeMs));
if (!useCompiled) require('ts-node').register({ swc: true, cwd: root, project: join(root, 'tsconfig.json') });
require(useCompiled ? compiled : source);
