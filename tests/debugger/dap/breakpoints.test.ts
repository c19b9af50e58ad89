/** What stops the guest, as editors set it. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EXCEPTION_FILTERS } from '../../../debugger/dap/exception-filters';
import { image, TestClient } from './client';

let client: TestClient;
beforeEach(async () => void (client = await TestClient.connect()));
afterEach(() => client.stop());

const directory = mkdtempSync(join(tmpdir(), 'vmexit-dap-'));
const file = (name: string, contents: string | Uint8Array): string => {
  writeFileSync(join(directory, name), contents);
  return join(directory, name);
};
const tour = image('tour');
/** The 32-bit entry of the PVH note fills page tables: MOV [RDI], EAX at 10001Dh, 4 times. */
const FILL = 0x10_001dn;
const symbols = file('System.map', '0000000000100000 T entry\n000000000010001d T fill\n');

const go = (): Promise<unknown> => client.continueRequest({ threadId: 1 });
const exceptions = (filterOptions: readonly { filterId: string; condition?: string }[]): Promise<unknown> =>
  client.setExceptionBreakpointsRequest({ filters: [], filterOptions: [...filterOptions] });

describe('code', () => {
  it('function breakpoints are symbols or expressions; others are refused by name', async () => {
    let answer: unknown;
    const stop = await client.run({ program: tour, symbols }, async () => {
      const { body } = await client.setFunctionBreakpointsRequest({ breakpoints: [{ name: 'fill' }, { name: 'nowhere' }, { name: 'entry + 4' }] });
      answer = body.breakpoints;
    });
    expect(answer).toEqual([
      { verified: true, id: expect.any(Number), instructionReference: '0x10001d' },
      { verified: false, message: '"nowhere" is no register, no symbol and no number', reason: 'failed' },
      { verified: true, id: expect.any(Number), instructionReference: '0x100004' },
    ]);
    const [, , { id }] = answer as { id: number }[];
    expect(stop).toMatchObject({ reason: 'function breakpoint', hitBreakpointIds: [id] });
    expect(await client.value('rip')).toBe(0x10_0004n);
    await client.stopAfter(go);
    expect((await client.stackTraceRequest({ threadId: 1 })).body.stackFrames[0].name).toBe('fill');
  });

  it('instruction breakpoints have conditions, and those of before are gone', async () => {
    const at = (condition?: string) =>
      client.send('setInstructionBreakpoints', { breakpoints: [{ instructionReference: '0x100000', offset: 0x1d, condition }] });
    await client.run({ program: tour }, () => at('ecx == 2'.replace('ecx', 'rcx')));
    expect(await client.value('rip')).toBe(FILL);
    expect(await client.value('rcx')).toBe(2n);
    const { body } = await at('rcx ==');
    expect(body.breakpoints).toEqual([{ verified: false, message: expect.stringContaining('ends too early'), reason: 'failed' }]);
    await at();
    await client.stopAfter(go);
    expect(await client.value('rcx')).toBe(1n);
    const back = await client.stopAfter(() => client.reverseContinueRequest({ threadId: 1 }));
    expect(back.reason).toBe('instruction breakpoint');
    expect(await client.value('rcx')).toBe(2n);
  });

  it('a condition that cannot be asked stops, and says why', async () => {
    const stop = await client.run({ program: tour, symbols }, () =>
      client.setFunctionBreakpointsRequest({ breakpoints: [{ name: 'fill', condition: '[0xfee00000] == 1' }] }),
    );
    expect(stop).toMatchObject({ reason: 'pause', text: expect.stringMatching(/0xfee00000.*not/) });
    expect(await client.value('rip')).toBeGreaterThan(0n);
  });

  it('source breakpoints are answered: there are no sources', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const { body } = await client.setBreakpointsRequest({ source: { path: '/a.c' }, breakpoints: [{ line: 1 }] });
    expect(body.breakpoints).toEqual([expect.objectContaining({ verified: false, message: expect.stringContaining('no source files') })]);
  });
});

describe('data', () => {
  it('memory is watched at an address, forward and back', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const { body } = await client.send('dataBreakpointInfo', { name: '0x104000', asAddress: true, bytes: 4 });
    expect(body).toMatchObject({ dataId: 'virtual 0x104000 4', accessTypes: ['read', 'write', 'readWrite'] });
    await client.setDataBreakpointsRequest({ breakpoints: [{ dataId: body.dataId!, accessType: 'write' }] });
    const stop = await client.stopAfter(go);
    expect(stop.reason).toBe('data breakpoint');
    // MOV DWORD PTR [RDI], EAX with EAX = 105007h is the first that writes there.
    expect(stop.text).toMatch(/written: 0x0 -> 0x105007, by the instruction at 0x10001d/);
    const back = await client.stopAfter(() => client.reverseContinueRequest({ threadId: 1 }));
    expect(back.reason).toBe('data breakpoint');
    expect(await client.value('rip')).toBe(FILL);
  });

  it('fields of the VMCS are watched; registers are not', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const general = await client.scopeNamed('General');
    const info = await client.dataBreakpointInfoRequest({ variablesReference: general.variablesReference, name: 'rax' });
    expect(info.body).toMatchObject({ dataId: null, description: expect.stringContaining('rax is no memory') });
    const area = await client.scopeNamed('VMCS guest-state area');
    const { body } = await client.dataBreakpointInfoRequest({ variablesReference: area.variablesReference, name: 'GUEST_RIP' });
    expect(body).toMatchObject({ dataId: 'field GUEST_RIP', accessTypes: ['read', 'write', 'readWrite'] });
    await client.setDataBreakpointsRequest({ breakpoints: [{ dataId: 'field GUEST_RIP', accessType: 'write' }] });
    const stop = await client.stopAfter(go);
    expect(stop).toMatchObject({ reason: 'data breakpoint', text: expect.stringMatching(/^VMWRITE of GUEST_RIP/) });
  });

  it('what cannot be watched is refused', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    expect(await client.refusal('dataBreakpointInfo', { name: '0x7f0000000000' })).toContain('0x7f0000000000');
    expect(await client.refusal('dataBreakpointInfo', { name: '0x1000', bytes: 5000 })).toContain('1 to 4096');
    const { body } = await client.setDataBreakpointsRequest({ breakpoints: [{ dataId: 'nonsense' }, { dataId: 'field NO_SUCH' }] });
    expect(body.breakpoints.map((b) => b.verified)).toEqual([false, false]);
  });
});

describe('exception filters', () => {
  it('there is one for each kind of exit, and conditions for all', () => {
    expect(EXCEPTION_FILTERS.map((f) => f.filter)).toEqual(
      expect.arrayContaining(['any', 'cpuid', 'hlt', 'io', 'rdmsr', 'wrmsr', 'cr-access', 'nested-page-fault', 'triple-fault', 'entry-failure']),
    );
    expect(EXCEPTION_FILTERS.every((f) => f.supportsCondition)).toBe(true);
  });

  it.each([
    ['vmx', 'CPUID', /EPT_VIOLATION/],
    ['svm', 'CPUID', /NPF/],
  ] as const)('%s: stop before the handler, with the explanation of the exit', async (backend, reason, fault) => {
    const stop = await client.run({ program: tour, backend }, () => exceptions([{ filterId: 'cpuid' }]));
    expect(stop).toMatchObject({ reason: 'exception', description: `Paused on VM exit ${reason}` });
    expect(stop.text).toMatch(/^exit \d+: CPUID at RIP 0x[0-9a-f]+/);
    // The instruction that left: 0F A2.
    const { body } = await client.send('disassemble', { memoryReference: 'rip', instructionCount: 1 });
    expect(body.instructions[0]).toMatchObject({ instruction: 'cpuid', instructionBytes: '0f a2' });
    expect((await client.scope('Last exit')).get('reason')?.value).toBe(reason);
    const info = await client.exceptionInfoRequest({ threadId: 1 });
    expect(info.body).toMatchObject({ exceptionId: reason, breakMode: 'always', description: expect.stringContaining('why: ') });
    await exceptions([{ filterId: 'nested-page-fault' }]);
    expect((await client.stopAfter(go)).text).toMatch(fault);
  });

  it('a condition knows what the exit carries', async () => {
    await client.run({ program: tour }, () => exceptions([{ filterId: 'io', condition: 'port == 0x3fd && input' }]));
    expect((await client.value('rdx')) & 0xffffn).toBe(0x3fdn);
  });

  it('a guest that triple-faults stops there if somebody wants to see it, and ends then', async () => {
    // UD2 without an IDT.
    const program = file('ud2', Uint8Array.of(0x0f, 0x0b));
    for (const backend of ['bare', 'vmx']) {
      const other = await TestClient.connect();
      const stop = await other.run({ program, backend, format: 'flat64' }, () => other.setExceptionBreakpointsRequest({ filters: ['triple-fault'] }));
      expect(stop.reason).toBe('exception');
      expect(stop.text).toMatch(/triple|TRIPLE/);
      const exited = other.waitForEvent('exited');
      await other.continueRequest({ threadId: 1 });
      expect((await exited).body).toEqual({ exitCode: 4 });
      await other.stop();
    }
  });

  it('a hypervisor inside a bare machine has exits too; a machine without VT-x says that it has none', async () => {
    const stop = await client.run({ program: image('vmx-hypervisor'), backend: 'bare', cpu: 'intel-vmx', memory: '32M' }, () =>
      exceptions([{ filterId: 'cpuid' }]),
    );
    expect(stop).toMatchObject({ reason: 'exception', description: 'Paused on VM exit CPUID' });
    const other = await TestClient.connect();
    await other.run({ program: tour, backend: 'bare', stopOnEntry: true });
    const { body } = await other.setExceptionBreakpointsRequest({ filters: ['cpuid', 'triple-fault', 'sneeze'] });
    expect(body?.breakpoints).toEqual([
      { verified: false, message: 'this machine has neither VT-x nor AMD-V: it makes no VM exits', reason: 'failed' },
      { verified: true },
      { verified: false, message: expect.stringContaining('there is no exception filter "sneeze"'), reason: 'failed' },
    ]);
    await other.stop();
  });
});
