/** Stacks, variables, memory, code, expressions and commands through the adapter. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { image, TestClient } from './client';

let client: TestClient;
beforeEach(async () => void (client = await TestClient.connect()));
afterEach(() => client.stop());

const directory = mkdtempSync(join(tmpdir(), 'vmexit-dap-'));
const tour = image('tour');

/** Three functions with frame pointers, for a flat image anywhere. */
// prettier-ignore
const NESTED = Uint8Array.of(
  0x48, 0xc7, 0xc4, 0x00, 0x00, 0x08, 0x00, // 00: mov rsp, 80000h
  0x31, 0xed,                               // 07: xor ebp, ebp
  0xe8, 0x01, 0x00, 0x00, 0x00,             // 09: call 0Fh
  0xf4,                                     // 0E: hlt
  0x55,                                     // 0F: push rbp
  0x48, 0x89, 0xe5,                         // 10: mov rbp, rsp
  0xe8, 0x02, 0x00, 0x00, 0x00,             // 13: call 1Ah
  0x5d,                                     // 18: pop rbp
  0xc3,                                     // 19: ret
  0x55,                                     // 1A: push rbp
  0x48, 0x89, 0xe5,                         // 1B: mov rbp, rsp
  0x90,                                     // 1E: nop
  0x5d,                                     // 1F: pop rbp
  0xc3,                                     // 20: ret
);
const nested = join(directory, 'nested.bin');
writeFileSync(nested, NESTED);

const disassemble = async (
  memoryReference: string,
  instructionOffset: number,
  instructionCount: number,
  rest = {},
): Promise<DebugProtocol.DisassembledInstruction[]> =>
  (await client.send('disassemble', { memoryReference, instructionOffset, instructionCount, ...rest })).body.instructions;

describe('the stack', () => {
  it('follows frame pointers as long as return addresses stand behind calls', async () => {
    await client.run({ program: nested, format: 'flat64', backend: 'bare', stopOnEntry: true });
    const base = await client.value('rip');
    await client.send('setInstructionBreakpoints', { breakpoints: [{ instructionReference: 'rip', offset: 0x1e }] });
    await client.stopAfter(() => client.continueRequest({ threadId: 1 }));
    const { body } = await client.stackTraceRequest({ threadId: 1 });
    expect(body.stackFrames.map((f) => BigInt(f.instructionPointerReference!) - base)).toEqual([0x1en, 0x18n, 0x0en]);
    expect(body.totalFrames).toBe(3);
    const part = await client.stackTraceRequest({ threadId: 1, startFrame: 1, levels: 1 });
    expect(part.body.stackFrames.map((f) => f.id)).toEqual([2]);
    const scopes = await client.scopesRequest({ frameId: 2 });
    expect(scopes.body.scopes.map((s) => s.name)).toEqual(['Frame']);
    await client.stopAfter(() => client.stepOutRequest({ threadId: 1 }));
    expect((await client.value('rip')) - base).toBe(0x18n);
    await client.stopAfter(() => client.stepBackRequest({ threadId: 1, granularity: 'instruction' }));
    expect((await client.value('rip')) - base).toBe(0x20n);
  });

  it('a function is left with all that it calls, frame pointers or not', async () => {
    await client.run({ program: nested, format: 'flat64', backend: 'vmx', stopOnEntry: true });
    const base = await client.value('rip');
    await client.send('setInstructionBreakpoints', { breakpoints: [{ instructionReference: 'rip', offset: 0x0f }] });
    await client.stopAfter(() => client.continueRequest({ threadId: 1 }));
    await client.stopAfter(() => client.stepOutRequest({ threadId: 1, granularity: 'instruction' }));
    expect((await client.value('rip')) - base).toBe(0x0en);
  });
});

describe('variables', () => {
  it('registers are set, of any width; wrong values are refused in one line', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const { variablesReference } = await client.scopeNamed('General');
    const set = (name: string, value: string) => client.send('setVariable', { variablesReference, name, value });
    expect((await set('rax', 'rip + 1')).body.value).toMatch(/^0x0000000000100001/);
    expect(await client.value('rax')).toBe(0x10_0001n);
    expect(client.events).toContain('invalidated');
    const again = await client.scopeNamed('FPU');
    const wide = await client.send('setVariable', { variablesReference: again.variablesReference, name: 'xmm3', value: '0x112233445566778899aabbccddeeff00' });
    expect(wide.body.value).toBe('0x112233445566778899aabbccddeeff00');
    expect(await client.refusal('setVariable', { variablesReference: again.variablesReference, name: 'xmm3', value: '1' })).toMatch(/there are no variables/);
    const { variablesReference: general } = await client.scopeNamed('General');
    expect(await client.refusal('setVariable', { variablesReference: general, name: 'rax', value: '0x10000000000000000' })).toMatch(/64 bits/);
    expect(await client.refusal('setVariable', { variablesReference: general, name: 'raxx', value: '1' })).toMatch(/no register is called "raxx"/);
    const vmcs = await client.scopeNamed('VMCS control');
    expect(await client.refusal('setVariable', { variablesReference: vmcs.variablesReference, name: 'EXCEPTION_BITMAP', value: '1' })).toMatch(
      /cannot be changed/,
    );
  });

  it.each([
    ['vmx', 'VMCS', ['VMCS guest-state area', 'VMCS host-state area', 'VMCS control fields', 'VMCS VM-exit information fields'], 'GUEST_CR3'],
    ['svm', 'VMCB', ['VMCB control area', 'VMCB state-save area'], 'CR3'],
  ] as const)('%s: the %s stands there by areas', async (backend, _, areas, field) => {
    await client.run({ program: tour, backend, stopOnEntry: true });
    await client.stopAfter(() => client.nextRequest({ threadId: 1 }));
    const { body } = await client.stackTraceRequest({ threadId: 1 });
    const { body: scopes } = await client.scopesRequest({ frameId: body.stackFrames[0].id });
    expect(scopes.scopes.map((s) => s.name)).toEqual(expect.arrayContaining([...areas]));
    const all = await Promise.all(areas.map((area) => client.scope(area)));
    const cr3 = all.find((area) => area.has(field))!.get(field)!;
    // What the guest has in CR3, it has there at an exit.
    expect(BigInt(cr3.value)).toBe(await client.value('cr3'));
    expect(await client.value(field)).toBe(BigInt(cr3.value));
  });
});

describe('memory', () => {
  it('is read and written; the end of what is mapped is said', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const { body } = await client.send('readMemory', { memoryReference: '0x100000', count: 4 });
    // CLI; CLD; MOV ESI, EBX
    expect(body).toEqual({ address: '0x100000', data: Buffer.from([0xfa, 0xfc, 0x89, 0xde]).toString('base64') });
    const memory = client.waitForEvent('memory');
    const written = await client.send('writeMemory', { memoryReference: '0x5000', offset: 2, data: Buffer.from('guest').toString('base64') });
    expect(written.body).toMatchObject({ bytesWritten: 5 });
    expect((await memory).body).toEqual({ memoryReference: '0x5000', offset: 2, count: 5 });
    expect(client.events).toContain('invalidated');
    const again = await client.send('readMemory', { memoryReference: '*0x5000', offset: 2, count: 5 });
    expect(Buffer.from(again.body.data, 'base64').toString()).toBe('guest');
    const last = await client.send('readMemory', { memoryReference: '*0x7fffff', offset: -3, count: 16 });
    expect(last.body).toMatchObject({ unreadableBytes: 12 });
    const none = await client.send('readMemory', { memoryReference: '0xfee00000', count: 16 });
    expect(none.body).toEqual({ address: '0xfee00000', unreadableBytes: 16 });
    expect(await client.refusal('writeMemory', { memoryReference: '0xfee00000', data: 'AAAA' })).toMatch(/not RAM|not mapped/);
    expect(await client.refusal('writeMemory', { memoryReference: '0x5000', data: '?' })).toMatch(/writeMemory: data/);
  });

  it('code is disassembled behind and before an address, always as many rows as asked for', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    // Against objdump of the same image.
    const [first, second] = await disassemble('0x10001d', 0, 2);
    expect(first).toEqual({ address: '0x10001d', instructionBytes: '89 07', instruction: 'mov [edi], eax' });
    expect(second.address).toBe('0x10001f');
    const around = await disassemble('0x10001d', -4, 6);
    expect(around.map((i) => i.address)).toEqual(['0x100004', '0x10000e', '0x100013', '0x100018', '0x10001d', '0x10001f']);
    const offset = await disassemble('0x10000d', -2, 2, { offset: 0x10 });
    expect(offset.map((i) => i.address)).toEqual(['0x100013', '0x100018']);
    const behind = await disassemble('0x100000', 2, 2);
    expect(behind.map((i) => i.address)).toEqual(['0x100002', '0x100004']);
    const nothing = await disassemble('0xfee00000', -2, 5);
    expect(nothing).toHaveLength(5);
    expect(nothing.every((i) => i.presentationHint === 'invalid' && i.instruction === '??')).toBe(true);
    const lowest = await disassemble('0', -3, 4);
    expect(lowest).toHaveLength(4);
    expect(await disassemble('0x100000', -200, 400)).toHaveLength(400);
  });
});

describe('expressions and commands', () => {
  it('hover and watch give values; the console takes commands and expressions', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const { body } = await client.evaluateRequest({ expression: 'rip', context: 'hover' });
    expect(body).toMatchObject({ result: '0x100000  1048576', memoryReference: '0x100000' });
    expect(await client.refusal('evaluate', { expression: 'nothing', context: 'hover' })).toBe('"nothing" is no register, no symbol and no number');
    expect(await client.repl('rip + 2')).toBe('0x100002  1048578');
    expect(await client.repl('info registers rip')).toContain('0x0000000000100000');
    expect(await client.refusal('evaluate', { expression: 'frobnicate', context: 'repl' })).toMatch(/there is no command "frobnicate": help lists them/);
    expect(await client.repl('help')).toContain('break-exit');
    // A command that moves tells of it as any motion does.
    const stop = await client.stopAfter(() => client.repl('seek 15000'));
    expect(stop).toMatchObject({ reason: 'goto', text: 'at instruction 15000' });
    expect(await client.repl('set rbx = 5')).toContain('the history begins here now');
    expect(await client.value('rbx')).toBe(5n);
    const set = await client.send('setExpression', { expression: '[0x5000]', value: '0x1234' });
    expect(set.body.value).toMatch(/^0x1234 /);
    expect(await client.repl('x/1xg 0x5000')).toContain('0x0000000000001234');
  });

  it('completes as the terminal does', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const { body } = await client.completionsRequest({ text: 'info re', column: 8 });
    expect(body.targets).toEqual([{ label: 'registers', start: 6, length: 2 }]);
    const { body: names } = await client.completionsRequest({ text: 'rev', column: 4 });
    expect(names.targets.map((t) => t.label)).toContain('reverse-continue');
  });

  it('pauses a guest that runs; what needs it to stand is refused meanwhile', async () => {
    await client.run({ program: image('bench'), stopOnEntry: true, backend: 'bare', memory: '64M' });
    await client.repl('tbreak 0x123456789');
    await client.continueRequest({ threadId: 1 });
    expect(await client.refusal('stackTrace', { threadId: 1 })).toBe('the guest is running: pause it first');
    expect(await client.refusal('evaluate', { expression: 'info registers', context: 'repl' })).toMatch(/^the guest is running: pause it first/);
    expect(await client.repl('type x')).toBe('');
    await client.setFunctionBreakpointsRequest({ breakpoints: [{ name: '0x77777777' }] });
    const stop = await client.stopAfter(() => client.pauseRequest({ threadId: 1 }));
    expect(stop).toMatchObject({ reason: 'pause', text: expect.stringMatching(/^interrupted after \d+ instructions$/) });
  });

  it('trace on shows exits as output', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    await client.repl('trace on io_instruction');
    await client.stopAfter(() => client.repl('exit 200'));
    expect(client.notes).toMatch(/^exit \d+: IO_INSTRUCTION at RIP .* -> \S+$/m);
    expect(client.notes).not.toMatch(/^exit \d+: EPT_VIOLATION/m);
  });

  it('quit ends the session', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const terminated = client.waitForEvent('terminated');
    await client.repl('quit');
    await terminated;
  });
});
