/** Boots Debian under VMX in this Node and prints what must not depend on it, as JSON. For node-versions.test.ts. */
import { createHash } from 'node:crypto';
import { bootDebian } from './debian';

const { console: text, exitDigest, exits, instructions, time } = bootDebian('vmx', {}, [], { digest: true });
const consoleDigest = createHash('sha256').update(text, 'latin1').digest('hex');
process.stdout.write(JSON.stringify({ node: process.version, consoleDigest, lines: text.split('\n').length, exitDigest, exits, instructions, time }));
