/** `vmexit run --gdb` with the GDB that people have. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseGdb } from '../../cli/gdb-option';
import { complete } from '../../debugger/target';
import { debugSession, straightRun } from '../debugger/debug-guests';
import { FakeStdin, file, vmexit } from './fake-machine';

const tour = join(__dirname, '../../guests/bundled/tour/tour.elf');
const directory = mkdtempSync(join(tmpdir(), 'vmexit-gdb-'));
const hasGdb = spawnSync('gdb', ['--version']).status === 0;
const withGdb = hasGdb ? test : test.skip;

/** Runs commands in GDB; answers what it printed. */
const gdb = (commands: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const args = ['-batch', '-nx', ...['set confirm off', 'set pagination off', 'set remotetimeout 60', ...commands].flatMap((c) => ['-ex', c])];
    execFile('gdb', args, { timeout: 150_000 }, (error, stdout, stderr) =>
      error !== null && error.killed === true ? reject(error) : resolve(stdout + stderr),
    );
  });

let sockets = 0;
/** A guest that waits for GDB, and a session with it. */
async function debugged(
  args: readonly string[],
  commands: readonly string[],
): Promise<{ readonly out: string; readonly code: number; readonly stderr: string; readonly stdout: string }> {
  const path = join(directory, `gdb${sockets++}.sock`);
  const running = vmexit(['run', tour, '--memory', '8M', '--gdb', `unix:${path}`, '-S', ...args]);
  // It listens when its machine is built; GDB does not wait for sockets that are not there.
  for (let tries = 0; !existsSync(path) && tries < 600; tries++) await new Promise((resolve) => setTimeout(resolve, 100));
  const out = await gdb([`target remote ${path}`, ...commands]);
  const { code, stderr, stdout } = await running;
  return { out, code, stderr, stdout };
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

describe('GDB', () => {
  withGdb.each(['vmx', 'svm'] as const)(
    'breaks, steps, reads, watches, and goes back, %s',
    async (backend) => {
      // Where things are, from a session of our own.
      const { session } = debugSession(backend);
      complete(session.seek(14_000));
      const at = session.readRegister('rip');
      complete(session.step());
      const next = session.readRegister('rip');
      const slot = session.readRegister('rsp') - 8n;
      const bytes = Buffer.from(session.readMemory('virtual', at, 4)).readUInt32LE();
      const { out, code, stderr, stdout } = await debugged(
        ['--backend', backend],
        [
          'info registers rip',
          `break *${hex(at)}`,
          'continue',
          'delete 1',
          'echo AT\\n',
          'info registers rip cs cr0 efer',
          `output/x *(unsigned int *)${hex(at)}`,
          'echo \\nCODE\\n',
          'x/i $pc',
          'stepi',
          'echo NEXT\\n',
          'info registers rip',
          'reverse-stepi',
          'echo BACK\\n',
          'info registers rip',
          `watch *(long *)${hex(slot)}`,
          'continue',
          'echo WATCHED\\n',
          'reverse-continue',
          'echo UNDONE\\n',
          'set var $rdx = 0x1234',
          'print/x $rdx',
          'delete',
          'monitor info exits',
          'monitor fly',
          'info threads',
          'continue',
          'detach',
        ],
      );
      const part = (from: string, to: string): string => out.slice(out.indexOf(`${from}\n`), out.indexOf(`${to}\n`));
      expect(out).toMatch(/rip +0x100000/);
      expect(out).toMatch(new RegExp(`Breakpoint 1, 0x0*${at.toString(16)} in`));
      expect(part('AT', 'CODE')).toMatch(new RegExp(`rip +${hex(at)}`));
      expect(part('AT', 'CODE')).toMatch(/cr0 +.*\[ PE .*PG \]/);
      expect(part('AT', 'CODE')).toMatch(/efer +.*LME LMA/);
      expect(part('AT', 'CODE')).toContain(hex(BigInt(bytes)));
      expect(part('CODE', 'NEXT')).toContain(`=> ${hex(at)}:`);
      expect(part('NEXT', 'BACK')).toMatch(new RegExp(`rip +${hex(next)}`));
      expect(part('BACK', 'WATCHED')).toMatch(new RegExp(`rip +${hex(at)}`));
      const [, oldValue, newValue] = /Hardware watchpoint 2[\s\S]*?Old value = (\S+)\nNew value = (\S+)/.exec(part('BACK', 'WATCHED')) ?? [];
      expect(newValue).toBeDefined();
      // Back over the same write: what was new is old.
      expect(part('WATCHED', 'UNDONE')).toContain(`Old value = ${newValue}\nNew value = ${oldValue}`);
      expect(out).toContain('$1 = 0x1234');
      expect(out).toMatch(/\d+ {2}in \d+ instructions/);
      expect(out).toContain('there is no command "fly"');
      expect(out).toContain('the guest ended: the guest powered off');
      expect({ code, stderr }).toEqual({
        code: 0,
        stderr: expect.stringMatching(/^vmexit: GDB may connect: target remote \/.* \(the guest waits for it\)\n$/),
      });
      expect(stdout.length).toBeGreaterThan(100);
    },
    180_000,
  );

  withGdb(
    'kills, and the run says so',
    async () => {
      const { code, stderr } = await debugged([], ['stepi', 'kill']);
      expect(code).toBe(130);
      expect(stderr).toMatch(/user-quit: the debugger ended the run/);
    },
    180_000,
  );
});

test('a guest with nobody at the socket runs as any other', async () => {
  const { outside } = straightRun('vmx');
  const path = join(directory, 'idle.sock');
  const { code, stdout, stderr } = await vmexit(['run', tour, '--memory', '8M', '--gdb', `unix:${path}`]);
  expect({ code, stdout }).toEqual({ code: 0, stdout: outside.console });
  expect(stderr).toBe(`vmexit: GDB may connect: target remote ${path}\n`);
}, 30_000);

test('-S holds the first instruction back, input or not; a line that breaks does not end the run', async () => {
  const path = join(directory, 'held.sock');
  const stdin = new FakeStdin();
  const running = vmexit(['run', tour, '--memory', '8M', '--gdb', `unix:${path}`, '--wait', '--timeout', '3'], [], stdin);
  await new Promise((resolve) => setTimeout(resolve, 300));
  stdin.emit('data', Buffer.from('typed'));
  const replies = await new Promise<string>((resolve) => {
    const socket = connect(path);
    let heard = '';
    socket.on('data', (bytes) => {
      heard += String(bytes);
      if (heard.includes('T05')) socket.destroy();
    });
    socket.on('close', () => resolve(heard));
    socket.write('garbage\x00$$}#*$?#3f');
  });
  expect(replies).toMatch(/\+\$T05thread:1;#/);
  const { code, stdout, stderr } = await running;
  expect({ code, stdout }).toEqual({ code: 124, stdout: '' });
  expect(stderr).toMatch(/timeout/);
}, 30_000);

test('a second debugger is turned away', async () => {
  const path = join(directory, 'two.sock');
  const running = vmexit(['run', tour, '--memory', '8M', '--gdb', `unix:${path}`, '--wait', '--timeout', '20']);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const first = connect(path);
  await new Promise((resolve) => first.write('$qC#b4', resolve));
  await new Promise((resolve) => first.once('data', resolve));
  const second = connect(path).on('error', () => {});
  await new Promise((resolve) => second.once('close', resolve));
  first.write('$k#6b');
  expect((await running).code).toBe(130);
}, 30_000);

describe('--gdb', () => {
  test.each([
    ['localhost:1234', { kind: 'tcp', host: 'localhost', port: 1234 }],
    ['0.0.0.0:1', { kind: 'tcp', host: '0.0.0.0', port: 1 }],
    ['1234', { kind: 'tcp', host: '127.0.0.1', port: 1234 }],
    [':1234', { kind: 'tcp', host: '127.0.0.1', port: 1234 }],
    ['[::1]:1234', { kind: 'tcp', host: '::1', port: 1234 }],
    ['unix:/run/a:b', { kind: 'unix', path: '/run/a:b' }],
  ])('%s', (text, endpoint) => expect(parseGdb(text)).toEqual(endpoint));

  const image = file('image', 'not really a kernel');
  test.each([
    [['--gdb', 'nowhere'], /^vmexit: --gdb nowhere: write HOST:PORT like localhost:1234/],
    [['--gdb', 'localhost:70000'], /--gdb localhost:70000: write HOST:PORT/],
    [['--gdb', 'unix:'], /--gdb unix:: write/],
    [['--wait'], /--wait: there is no debugger to wait for; give --gdb too/],
    [['--gdb', '1', '--max-instructions', '5'], /--max-instructions with --gdb/],
  ])('%j is refused', async (args, message) => {
    const { code, stderr } = await vmexit(['run', image, ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  test('an address that cannot be listened on is refused', async () => {
    const { code, stderr } = await vmexit(['run', tour, '--gdb', 'unix:/nowhere/gdb']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^vmexit: cannot listen on \/nowhere\/gdb: /);
    const other = await vmexit(['run', tour, '--gdb', '192.0.2.1:1234']);
    expect(other.stderr).toMatch(/^vmexit: cannot listen for GDB on 192\.0\.2\.1:1234: /);
  });
});
