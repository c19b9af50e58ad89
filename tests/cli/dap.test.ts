/** `vmexit dap` as a process, over stdio and over a port. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { DebugClient } from '@vscode/debugadapter-testsupport';
import { file, vmexit } from './fake-machine';

const program = join(__dirname, '../../bin/vmexit.js');
const tour = join(__dirname, '../../guests/bundled/tour/tour.elf');
/** Of a process that compiles its sources first. */
const START = 60_000;

const message = (body: unknown): string => {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
};

const adapters: Adapter[] = [];
afterEach(() => {
  for (const { child } of adapters.splice(0)) child.kill();
});

/** A process, with what it wrote. */
class Adapter {
  stdout = '';
  stderr = '';
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<number | null>;

  constructor(...args: readonly string[]) {
    this.child = spawn(process.execPath, [program, 'dap', ...args]);
    adapters.push(this);
    this.child.stdout.on('data', (data) => (this.stdout += String(data)));
    this.child.stderr.on('data', (data) => (this.stderr += String(data)));
    this.ended = new Promise((done) => this.child.on('close', done));
  }

  send(body: unknown): void {
    this.child.stdin.write(message(body));
  }

  async until(text: RegExp, where: 'stdout' | 'stderr' = 'stdout'): Promise<RegExpExecArray> {
    for (;;) {
      const match = text.exec(this[where]);
      if (match !== null) return match;
      if (this.child.exitCode !== null) throw new Error(`ended without ${text}: ${this.stdout}${this.stderr}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  }
}

test(
  'over stdio: messages that are none are told of, and requests go on; disconnect ends the process',
  async () => {
    const adapter = new Adapter();
    adapter.child.stdin.write('Content-Type: nonsense\r\n\r\n');
    adapter.send('{"type":');
    adapter.send('null');
    adapter.send('[1,2]');
    adapter.send({ type: 'request' });
    adapter.send({ type: 'request', seq: 'one', command: 'initialize' });
    adapter.send({ type: 'request', seq: 5, command: 'initialize', arguments: 'none' });
    await adapter.until(/"request_seq":5,"command":"initialize","success":false|"success":false[^}]*"request_seq":5/);
    adapter.send({ type: 'request', seq: 6, command: 'initialize', arguments: { adapterID: 'vmexit' } });
    await adapter.until(/"supportsStepBack":true/);
    expect(adapter.stdout.match(/a message was not understood/g)).toHaveLength(4);
    adapter.send({ type: 'request', seq: 7, command: 'threads' });
    adapter.send({ type: 'request', seq: 8, command: 'continue', arguments: { threadId: 1 } });
    await adapter.until(/there is no guest yet: launch one, or attach to a recording or a snapshot/);
    adapter.send({ type: 'request', seq: 9, command: 'launch', arguments: { program: tour, memory: '8M' } });
    await adapter.until(/"event":"initialized"/);
    adapter.send({ type: 'request', seq: 10, command: 'configurationDone' });
    await adapter.until(/"event":"terminated"/);
    expect(adapter.stdout).toContain('"exitCode":0');
    adapter.send({ type: 'request', seq: 11, command: 'disconnect' });
    expect(await adapter.ended).toBe(0);
    expect(adapter.stderr).toBe('');
  },
  START,
);

test(
  'over stdio: the end of the input ends the process, whatever the guest does',
  async () => {
    const adapter = new Adapter();
    adapter.send({
      type: 'request',
      seq: 1,
      command: 'launch',
      arguments: { program: file('loop', Uint8Array.of(0xeb, 0xfe)), format: 'flat64', memory: '8M' },
    });
    adapter.send({ type: 'request', seq: 2, command: 'configurationDone' });
    await adapter.until(/"command":"configurationDone"/);
    adapter.child.stdin.end();
    expect(await adapter.ended).toBe(0);
  },
  START,
);

test(
  'over a port: every connection has a guest of its own',
  async () => {
    const adapter = new Adapter('--port', '0');
    const port = Number((await adapter.until(/a debug adapter listens on 127\.0\.0\.1:(\d+)\n/, 'stderr'))[1]);
    // Whoever goes away in the middle of a message hurts nobody.
    await new Promise<void>((done) => {
      const socket = connect(port, '127.0.0.1', () => socket.end('Content-Length: 100\r\n\r\n{'));
      socket.on('close', () => done());
    });
    const clients = [new DebugClient('', '', 'vmexit'), new DebugClient('', '', 'vmexit')];
    for (const [n, client] of clients.entries()) {
      await client.start(port);
      await client.initializeRequest();
      const initialized = client.waitForEvent('initialized', 10_000);
      await client.launchRequest({ program: tour, memory: '8M', stopOnEntry: true, backend: n === 0 ? 'vmx' : 'svm' } as never);
      await initialized;
      await client.configurationDoneRequest();
    }
    for (const [n, client] of clients.entries()) {
      const { body } = await client.evaluateRequest({ expression: 'info exits names', context: 'repl' });
      expect(body.result).toContain(n === 0 ? 'EPT_VIOLATION' : 'NPF');
      await client.stop();
    }
    adapter.child.kill('SIGINT');
    expect(await adapter.ended).toBe(0);
  },
  START,
);

describe('wrong arguments', () => {
  test.each([
    [['--port', 'many'], /^vmexit: --port many: not a number from 0 to 65535\n$/],
    [['--port', '70000'], /^vmexit: --port 70000: not a number/],
    [['image'], /too many arguments/],
  ])('%j', async (args, refusal) => {
    const { code, stderr } = await vmexit(['dap', ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(refusal);
  });
});
