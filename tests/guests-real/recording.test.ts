/** Debian's boot recorded by one process, with a hand at the keyboard, and replayed by another. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordingText } from '../../debugger/recording';
import { QUIET, some } from './debian';

const ROOT = join(__dirname, '../..');
const GUESTS = join(ROOT, '.cache/guests');
const directory = mkdtempSync(join(tmpdir(), 'vmexit-recording-'));
const PROMPT = 'guest# ';

interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** A process of its own. `typing` types each line when the prompt shows, at whatever moment that is on this machine. */
function vmexit(args: readonly string[], typing: readonly string[] = []): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['-r', 'ts-node/register', 'cli/entry.ts', ...args], { cwd: ROOT });
    const out: Buffer[] = [];
    let [tail, stderr, typed] = ['', '', 0];
    child.stdout.on('data', (bytes: Buffer) => {
      out.push(bytes);
      tail = (tail + bytes.toString('latin1')).slice(-4096);
      // The shell asks for the cursor behind its prompt.
      if (typed >= typing.length || !tail.includes(PROMPT)) return;
      tail = '';
      child.stdin.write(typing[typed++]);
    });
    child.stderr.on('data', (bytes: Buffer) => (stderr += String(bytes)));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout: Buffer.concat(out), stderr }));
  });
}

describe.each(
  some(2, [
    ['vmx', ['--backend', 'vmx']],
    ['svm', ['--backend', 'svm']],
    ['bare', ['--bare']],
  ] as const),
)('%s', (name, backend) => {
  const log = join(directory, `${name}.log`);
  let console: Buffer;

  it('records a boot with typing', async () => {
    const images = [join(GUESTS, 'vmlinuz'), '--initrd', join(GUESTS, 'initramfs.cpio.gz'), '--append', QUIET, '--memory', '256M'];
    const run = await vmexit(['run', ...images, ...backend, '--record', log], ['echo one two\n', 'cat /proc/interrupts\n', 'poweroff -f\n']);
    expect({ code: run.code, stderr: run.stderr }).toEqual({ code: 0, stderr: '' });
    console = run.stdout;
    expect(console.toString('latin1')).toContain('\none two');
    // Two bytes a moment.
    expect(statSync(log).size).toBeLessThan(4 << 20);
  });

  it('replays in a fresh process: the same console, exits and count', async () => {
    const replay = await vmexit(['replay', log, '--json']);
    const result = JSON.parse(replay.stdout.toString().trim().split('\n').at(-1)!) as Record<string, unknown>;
    const { end } = JSON.parse(readFileSync(log, 'utf8').trimEnd().split('\n').at(-1)!) as { end: Record<string, unknown> };
    const { because: _, ...expected } = end;
    expect(result).toMatchObject({ same: true, incomplete: false, ...expected });
    // run ends a line that the guest left open.
    expect([console, console.subarray(0, -1)].map((text) => createHash('sha256').update(text).digest('hex'))).toContain(result.consoleSha256);
    if (name !== 'bare') expect(result.exits).toBeGreaterThan(50_000);
  });

  it('names the instruction at which a run parts that is given another letter', async () => {
    const changed = readFileSync(log, 'utf8').split('\n');
    const at = changed.findIndex((line) => line.startsWith('{"input"'));
    const { input, sum: _, ...moment } = JSON.parse(changed[at]) as { input: string; byte: number; sum: string };
    const letters = Buffer.from(input, 'base64');
    letters[0] ^= 1;
    changed[at] = recordingText({ input: letters.toString('base64'), ...moment }).trimEnd();
    const path = join(directory, `${name}.changed`);
    writeFileSync(path, changed.join('\n'));
    const { stderr } = await vmexit(['replay', path]);
    // The kernel's driver reads the receiver buffer with IN: that instruction, and none before it.
    expect(stderr).toMatch(
      name === 'bare'
        ? /the runs part at instruction \d+: what was read from port 0x3f8 at RIP 0xf{8}[0-9a-f]{8} differs/
        : /the runs part at instruction \d+: what came of the VM exit IO(_INSTRUCTION|IO) at RIP 0xf{8}[0-9a-f]{8} differs/,
    );
  });
});
