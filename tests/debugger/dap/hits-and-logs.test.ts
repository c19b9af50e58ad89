/** Breakpoints that stop at some of the times only, and those that tell instead of stopping. */
import { parseHitCondition } from '../../../debugger/hit-counts';
import { image, TestClient } from './client';

let client: TestClient;
beforeEach(async () => void (client = await TestClient.connect()));
afterEach(() => client.stop());

/** MOV [RDI], EAX, executed with RCX = 4, 3, 2, 1; and a place behind that loop. */
const FILL = { instructionReference: '0x10001d' };
const tour = image('tour');

const go = (): Promise<unknown> => client.continueRequest({ threadId: 1 });
const back = (): Promise<unknown> => client.reverseContinueRequest({ threadId: 1 });
const set = (...breakpoints: readonly object[]) => client.send('setInstructionBreakpoints', { breakpoints });

describe('hit counts', () => {
  it.each([
    ['3', [3]],
    ['== 3', [3]],
    ['>2', [3, 4]],
    [' >= 2', [2, 3, 4]],
    ['<2', [1]],
    ['<= 2', [1, 2]],
    ['%2', [2, 4]],
  ])('"%s" of four', (text, expected) => {
    expect([1, 2, 3, 4].filter(parseHitCondition(text).holds)).toEqual(expected);
  });

  it('count where the condition holds', async () => {
    await client.run({ program: tour }, () => set({ ...FILL, condition: 'rcx < 4', hitCondition: '2' }));
    expect(await client.value('rcx')).toBe(2n);
  });

  it('a place that is visited again has its number: forward, backward, and after a change', async () => {
    await client.run({ program: tour }, () => set({ ...FILL, hitCondition: '>= 2' }));
    await client.stopAfter(go);
    expect(await client.value('rcx')).toBe(2n);
    await client.stopAfter(back);
    expect(await client.value('rcx')).toBe(3n);
    // The first time is no hit backward either.
    expect((await client.stopAfter(back)).reason).toBe('entry');
    await client.stopAfter(go);
    expect(await client.value('rcx')).toBe(3n);
    // Another history from here on: this place, and then the third time.
    await client.repl('set rcx = 9');
    await client.stopAfter(go);
    expect(await client.value('rcx')).toBe(8n);
  });

  it('function breakpoints have them too', async () => {
    await client.run({ program: tour }, () => client.setFunctionBreakpointsRequest({ breakpoints: [{ name: '0x10001d', hitCondition: '4' }] }));
    expect(await client.value('rcx')).toBe(1n);
  });

  it('what is none is refused', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const wrong = ['often', '0x5', '% 0', '> -1', '1.5'];
    const { body } = await set(...wrong.map((hitCondition) => ({ ...FILL, hitCondition })));
    const refused = (text: string): object => ({ verified: false, message: expect.stringContaining(`"${text}" is no hit count: give 5`), reason: 'failed' });
    expect(body.breakpoints).toEqual(wrong.map(refused));
  });
});

describe('log points', () => {
  it('tell what the expressions are, and do not stop', async () => {
    await client.run({ program: tour }, () =>
      set({ ...FILL, logMessage: 'at {rip}: {rcx, d} left, \\{{rcx*16}\\}' }, { ...FILL, condition: 'rcx == 1', logMessage: '' }),
    );
    expect(await client.value('rcx')).toBe(1n);
    expect(client.notes).toContain([4, 3, 2, 1].map((n) => `at 0x10001d: ${n} left, {0x${n}0}\n`).join(''));
  });

  it('have conditions and hit counts, and say what cannot be looked at', async () => {
    const log = { ...FILL, condition: 'rcx < 4', hitCondition: '2', logMessage: 'second: {rcx} {[0x7f0000000000]}' };
    await client.run({ program: tour }, () => set(log, { instructionReference: '0x100030' }));
    expect(client.notes.match(/second.*/g)).toEqual([expect.stringMatching(/^second: 0x2 \{.*0x7f0000000000 is not mapped.*\}$/)]);
  });

  it('are silent backward', async () => {
    await client.run({ program: tour }, () => set({ ...FILL, logMessage: 'here {rcx}' }, { instructionReference: '0x100030' }));
    const before = client.notes;
    expect((await client.stopAfter(back)).reason).toBe('entry');
    expect(client.notes).toBe(before);
  });

  it('watch data', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const { body } = await client.send('dataBreakpointInfo', { name: '*0x104000', bytes: 8 });
    await client.send('setDataBreakpoints', { breakpoints: [{ dataId: body.dataId, accessType: 'write', logMessage: 'stored by {rip}' }] });
    await set({ instructionReference: '0x100030' });
    await client.stopAfter(go);
    expect(client.notes).toContain('stored by 0x1000');
  });

  it('are refused with braces that do not match, and expressions that are none', async () => {
    await client.run({ program: tour, stopOnEntry: true });
    const { body } = await set(...['rcx is {rcx', 'rcx}', '{}', '{rcx +}'].map((logMessage) => ({ ...FILL, logMessage })));
    const reasons = ['the braces do not match', 'the braces do not match', 'an expression is missing', 'ends too early'];
    expect(body.breakpoints).toEqual(reasons.map((because) => ({ verified: false, message: expect.stringContaining(because), reason: 'failed' })));
  });
});
