/** The debug adapter, driven as editors drive it. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { straightRun } from '../debug-guests';
import { createGuestRunner } from '../../../cli/guest-machine';
import { main } from '../../../cli/main';
import { image, TestClient } from './client';

let client: TestClient;
beforeEach(async () => void (client = await TestClient.connect()));
afterEach(() => client.stop());

const tour = image('tour');
const directory = mkdtempSync(join(tmpdir(), 'vmexit-dap-'));
const file = (name: string, contents: string | Uint8Array): string => {
  writeFileSync(join(directory, name), contents);
  return join(directory, name);
};

describe('a whole run', () => {
  it.each(['vmx', 'svm', 'bare'] as const)("%s: the console is the guest's, and the end has its status", async (backend) => {
    const exited = client.waitForEvent('exited');
    const terminated = client.waitForEvent('terminated');
    await client.initializeRequest();
    const initialized = client.waitForEvent('initialized');
    await client.launchRequest({ program: tour, memory: '8M', backend } as never);
    await initialized;
    await client.configurationDoneRequest();
    expect((await exited).body).toEqual({ exitCode: 0 });
    await terminated;
    expect(client.console).toBe(straightRun(backend).outside.console);
    expect(await client.refusal('continue', { threadId: 1 })).toBe('the guest has ended');
  });

  it('gives the console to the client as it comes, and the end its status, from a guest that exits by isa-debug-exit', async () => {
    // mov al, 5; out F4h, al
    const program = file('debug-exit', Uint8Array.of(0xb0, 0x05, 0xe6, 0xf4));
    const exited = client.waitForEvent('exited');
    await client.initializeRequest();
    const initialized = client.waitForEvent('initialized');
    await client.launchRequest({ program, memory: '8M', format: 'flat64', device: ['isa-debug-exit'] } as never);
    await initialized;
    await client.configurationDoneRequest();
    expect((await exited).body).toEqual({ exitCode: (5 << 1) | 1 });
  });

  it('can stop at its end, and go back from there', async () => {
    const stop = await client.run({ program: tour, stopAtEnd: true });
    expect(stop).toMatchObject({ reason: 'exception', text: 'the guest ended: the guest powered off' });
    const back = await client.stopAfter(() => client.stepBackRequest({ threadId: 1 }));
    expect(back.text).toMatch(/^exit \d+: /);
    const exited = client.waitForEvent('exited');
    await client.stopAfter(() => client.continueRequest({ threadId: 1 }));
    await client.continueRequest({ threadId: 1 });
    expect((await exited).body).toEqual({ exitCode: 0 });
  });
});

describe('standing at the entry', () => {
  it('shows the thread, the stack, and registers as the boot protocol sets them', async () => {
    const stop = await client.run({ program: tour, stopOnEntry: true });
    expect(stop).toMatchObject({ reason: 'entry', threadId: 1, allThreadsStopped: true });
    expect((await client.threadsRequest()).body.threads).toEqual([{ id: 1, name: 'vCPU 0' }]);
    const { body } = await client.stackTraceRequest({ threadId: 1 });
    expect(body.stackFrames).toEqual([expect.objectContaining({ id: 1, instructionPointerReference: '0x100000' })]);
    const general = await client.scope('General');
    expect(general.get('rip')?.value).toMatch(/^0x0000000000100000/);
    expect(general.get('rflags')?.value).toMatch(/^0x0+2 \[IOPL=0\]$/);
    const segments = await client.scope('Segments');
    const cs = await client.variablesRequest({ variablesReference: segments.get('cs')!.variablesReference });
    expect(cs.body.variables.map((v) => v.name)).toEqual(['selector', 'base', 'limit', 'access']);
    expect([...(await client.scope('Control')).keys()]).toEqual(expect.arrayContaining(['cr0', 'cr3', 'efer', 'dr7']));
    expect((await client.scope('FPU')).get('xmm0')?.value).toMatch(/^0x0{32}$/);
  });

  it('steps by instruction and by VM exit, forward and back', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const rip = await client.value('rip');
    const step = await client.stopAfter(() => client.stepInRequest({ threadId: 1, granularity: 'instruction' }));
    expect(step).toMatchObject({ reason: 'step', text: 'stepped to instruction 1' });
    expect(await client.value('rip')).not.toBe(rip);
    const back = await client.stopAfter(() => client.stepBackRequest({ threadId: 1, granularity: 'instruction' }));
    expect(back.text).toBe('back at instruction 0');
    expect(await client.value('rip')).toBe(rip);
    const exit = await client.stopAfter(() => client.nextRequest({ threadId: 1 }));
    expect(exit.reason).toBe('step');
    expect(exit.description).toMatch(/^Paused on VM exit [A-Z_]+$/);
    expect(exit.text).toMatch(/^exit 1: /);
    const second = await client.stopAfter(() => client.nextRequest({ threadId: 1, granularity: 'statement' }));
    expect(second.text).toMatch(/^exit 2: /);
    const first = await client.stopAfter(() => client.stepBackRequest({ threadId: 1 }));
    expect(first.text).toBe(exit.text);
    const begin = await client.stopAfter(() => client.reverseContinueRequest({ threadId: 1 }));
    expect(begin).toMatchObject({ reason: 'entry', text: 'this is where the history begins' });
  });
});

/** A command line with real machines, whose output nobody wants. */
const quietly = (args: readonly string[]): Promise<number> => {
  const stdin = Object.assign(new PassThrough(), { unref: () => {} });
  stdin.end();
  const nowhere = { write: () => true };
  return main(args, { stdin, stdout: nowhere, stderr: nowhere, now: () => 0, onInterrupt: () => () => {} }, createGuestRunner);
};

describe('what was recorded', () => {
  it('a recording is run again with what came in, and stands at its end', async () => {
    const log = join(directory, 'tour.rec');
    expect(await quietly(['run', tour, '--memory', '8M', '--record', log])).toBe(0);
    const stop = await client.run({ recording: log }, undefined, 'attach');
    expect(stop.reason).toBe('entry');
    const end = await client.stopAfter(() => client.continueRequest({ threadId: 1 }));
    expect(end.text).toBe('the guest ended: the guest powered off');
    expect(client.console).toBe(straightRun('vmx').outside.console);
  });

  it('a snapshot goes on where it was taken', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    await client.stopAfter(() => client.repl('seek 20000'));
    const path = join(directory, 'tour.vmx');
    await client.repl(`snapshot ${path}`);
    const registers = await client.repl('info registers all');
    const before = client.console;

    const other = await TestClient.connect();
    const stop = await other.run({ snapshot: path }, undefined, 'attach');
    expect(stop).toMatchObject({ reason: 'entry', text: 'at instruction 20000' });
    expect(await other.repl('info registers all')).toBe(registers);
    await other.stopAfter(() => other.continueRequest({ threadId: 1 }));
    expect(before + other.console).toBe(straightRun('vmx').outside.console);
    const back = await other.stopAfter(() => other.reverseContinueRequest({ threadId: 1 }));
    expect(back.text).toBe('this is where the history begins');
    await other.stop();
  });
});

describe('what cannot be launched is refused in one line, and can be launched better', () => {
  it.each([
    [{}, 'launch: give one of program, recording, snapshot'],
    [{ program: '/nowhere/image' }, 'launch: cannot read image /nowhere/image: there is no such file'],
    [{ program: tour, backend: 'kvm' }, 'launch: backend kvm: not one of vmx, svm'],
    [{ program: tour, memory: 'lots' }, /^launch: memory lots: /],
    [{ program: tour, memory: '8M', snapshot: 'x' }, 'launch: give one of program, recording, snapshot'],
    [{ program: tour, cpu: 'z80' }, /^launch: cpu z80: /],
    [{ program: 7 }, /^launch: program: /],
    [{ program: tour, symbols: tour }, /has no symbols/],
    [{ recording: tour }, /^launch: .*this is not a recording of vmexit$/],
    [{ snapshot: tour }, /^launch: .*this is not a snapshot of vmexit$/],
    [{ program: file('empty', '') }, /^launch: empty: /],
  ])('%j', async (args, message) => {
    await client.initializeRequest();
    const refusal = await client.refusal('launch', args);
    if (typeof message === 'string') expect(refusal).toBe(message);
    else expect(refusal).toMatch(message);
    expect(refusal).not.toContain('\n');
    await client.send('launch', { program: tour, memory: 8, colour: 'red' });
    await client.threadsRequest();
    expect(client.notes).toContain('launch: there is no attribute "colour"; it is ignored');
    expect(await client.refusal('launch', { program: tour })).toBe('there is a guest already: a connection debugs one');
  });

  it('attach is for what is there already', async () => {
    expect(await client.refusal('attach', { program: tour })).toMatch(/^attach: there is nothing of a program to attach to/);
  });
});

describe('requests that make no sense are answered, and the session goes on', () => {
  beforeEach(() => client.run({ program: tour, stopOnEntry: true }));

  it.each([
    ['fly', {}, 'there is no request "fly"'],
    ['__proto__', {}, 'there is no request "__proto__"'],
    ['cancel', {}, /pause stops a motion/],
    ['stackTrace', { threadId: 'x' }, /^stackTrace: threadId: /],
    ['scopes', { frameId: 77 }, /there is no frame 77/],
    ['scopes', { frameId: -1 }, /there is no frame -1/],
    ['variables', { variablesReference: 99999 }, /there are no variables 99999/],
    ['setVariable', { variablesReference: 99999, name: 'rax', value: '1' }, /there are no variables 99999/],
    ['evaluate', {}, /^evaluate: expression: /],
    ['evaluate', { expression: '' }, /an expression is missing/],
    ['evaluate', { expression: '[0xfee00000]' }, /0xfee00000/],
    ['evaluate', { expression: 'x 0xfee00000', context: 'repl' }, /0xfee00000/],
    ['readMemory', { memoryReference: '', count: 1 }, /an expression is missing/],
    ['readMemory', { memoryReference: '0', count: 1e12 }, /at most/],
    ['readMemory', { memoryReference: '***0', count: 1 }, /two are host-physical/],
    ['disassemble', { memoryReference: 'rip', instructionCount: -1 }, /^disassemble: instructionCount: /],
    ['disassemble', { memoryReference: 'rip', instructionCount: 1e9 }, /at most/],
    ['next', { threadId: 1, granularity: 'century' }, /^next: granularity: /],
    ['pause', { threadId: 3 }, /there is one thread: 1/],
    ['reverseContinue', { threadId: 1 }, /nothing has run yet/],
    ['setFunctionBreakpoints', { breakpoints: 'all' }, /^setFunctionBreakpoints: breakpoints: /],
    ['setFunctionBreakpoints', { breakpoints: Array(2000).fill({ name: 'rip' }) }, /2000 are too many/],
    ['setVariable', null, /^setVariable: /],
  ] as const)('%s %j', async (command, args, message) => {
    const refusal = await client.refusal(command, args as never);
    if (typeof message === 'string') expect(refusal).toBe(message);
    else expect(refusal).toMatch(message);
    expect(refusal).not.toContain('\n');
    expect(await client.value('rip')).toBe(0x10_0000n);
  });
});
