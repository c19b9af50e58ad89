/** The model does not lean on the JavaScript engine: other versions of Node, with other versions of V8, run the same. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { some } from './debian';

const ROOT = join(__dirname, '../..');
const OWN = Number(process.versions.node.split('.')[0]);
const OTHERS = [20, 22, 24].filter((major) => major !== OWN);

interface Digest {
  readonly node: string;
  readonly lines: number;
  readonly exits: number;
}

/** The npm package `node` brings the binary; it is no dependency of ours, so npx fetches it. */
function bootUnder(major: number): Promise<Digest> {
  const script = ['-r', 'ts-node/register/transpile-only', join(__dirname, 'boot-digest.ts')];
  const [command, args] = major === OWN ? [process.execPath, script] : ['npx', ['-y', `node@${major}`, ...script]];
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, complaints] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(JSON.parse(out) as Digest) : reject(new Error(`Node ${major} ended with status ${code}: ${complaints}`)),
    );
  });
}

describe(`a boot of Linux under VMX, Node ${OWN} and others`, () => {
  let own: Digest;
  beforeAll(async () => {
    own = await bootUnder(OWN);
    expect(own.lines).toBeGreaterThan(200);
    expect(own.exits).toBeGreaterThan(50_000);
  });

  it.each(some(1, OTHERS))('same console, same exits, same instruction count on Node %i', async (major) => {
    const other = await bootUnder(major);
    expect(other.node).toMatch(new RegExp(`^v${major}\\.`));
    expect({ ...other, node: '' }).toEqual({ ...own, node: '' });
  });
});
