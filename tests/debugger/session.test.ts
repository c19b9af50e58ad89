import fc from 'fast-check';
import { complete, DebugError, type Stop } from '../../debugger/target';
import type { Session } from '../../debugger/session';
import { Guest } from '../../hypervisor/guest';
import { guestDigest } from '../guest-digest';
import { BACKENDS, debugSession, guestConfig, runToInstructions, straightRun } from './debug-guests';
import { runs } from '../runs';

const run = (session: Session): Stop => complete(session.resume());
const TOUR_INSTRUCTIONS = 50_000;

describe.each(BACKENDS)('a guest under the debugger, %s', (backend) => {
  it('runs as it does with nobody watching: console, exits, and every byte of the machine', () => {
    const straight = straightRun(backend);
    const { session, outside } = debugSession(backend, 'tour', { interval: 10_000 });
    // Stops of every kind on the way.
    complete(session.step(100));
    complete(session.seek(12_000));
    const rip = session.readRegister('rip');
    session.addBreakpoint({ kind: 'execution', address: rip });
    session.addBreakpoint({ kind: 'watch', space: 'virtual', address: session.readRegister('rsp') - 64n, length: 64, access: 'access' });
    let stops = 0;
    let stop = run(session);
    for (; stop.kind !== 'ended' && stops < 500; stop = run(session)) stops++;
    for (const { id } of session.breakpoints) session.removeBreakpoint(id);
    if (stop.kind !== 'ended') stop = run(session);
    expect(stop).toMatchObject({ kind: 'ended', because: 'power-off' });
    expect(stops).toBeGreaterThan(5);
    expect(outside.console).toBe(straight.outside.console);
    expect([outside.exits, outside.exitDigest]).toEqual([straight.outside.exits, straight.outside.exitDigest]);
    expect(guestDigest(session.timeline.guest)).toBe(guestDigest(straight.guest));
  });

  it('goes back and forth as if it had come there straight', () => {
    const { session, outside } = debugSession(backend, 'tour', { interval: 7_000 });
    run(session);
    const whole = outside.console;
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: TOUR_INSTRUCTIONS }), { minLength: 1, maxLength: 4 }), (places) => {
        for (const place of places) complete(session.seek(place));
        const here = places[places.length - 1];
        expect(session.position.instructions).toBe(here);
        const straight = new Guest({ ...guestConfig(backend), serialOutput: () => {} });
        runToInstructions(straight, here);
        expect(guestDigest(session.timeline.guest)).toBe(guestDigest(straight));
      }),
      { numRuns: runs(2) },
    );
    // Nothing was printed twice.
    run(session);
    expect(outside.console).toBe(whole);
  });

  it('steps back instruction by instruction over what it stepped forward', () => {
    const { session } = debugSession(backend, 'tour', { interval: 5_000 });
    complete(session.seek(14_100));
    const rips: bigint[] = [];
    for (let i = 0; i < 100; i++) {
      rips.push(session.readRegister('rip'));
      complete(session.step());
    }
    for (let i = 99; i >= 0; i--) {
      expect(complete(session.reverseStep())).toMatchObject({ kind: 'step', position: { instructions: 14_100 + i } });
      expect(session.readRegister('rip')).toBe(rips[i]);
    }
    expect(complete(session.reverseStep(20_000))).toMatchObject({ kind: 'history-begin', position: { instructions: 0 } });
  });

  it('finds in reverse the breakpoints that it met forward', () => {
    const { session } = debugSession(backend, 'tour', { interval: 3_000 });
    complete(session.seek(14_000));
    session.addBreakpoint({ kind: 'execution', address: session.readRegister('rip') });
    const forward: number[] = [];
    for (let stop = run(session); stop.kind === 'breakpoint' && forward.length < 20; stop = run(session)) forward.push(stop.position.instructions);
    expect(forward.length).toBeGreaterThan(0);
    // The last stop may be the end, or one hit more.
    const seen: number[] = [];
    for (let i = 0; i < forward.length; i++) {
      const stop = complete(session.reverseResume());
      expect(stop.kind).toBe('breakpoint');
      seen.unshift(stop.position.instructions);
    }
    expect(seen).toEqual(forward);
  });
});

describe('watchpoints', () => {
  it.each(BACKENDS)('tell who wrote, what was there and what is there now; and reverse finds the same write, %s', (backend) => {
    const { session } = debugSession(backend, 'tour', { interval: 3_000 });
    complete(session.seek(14_000));
    const address = session.readRegister('rsp') - 8n;
    const read = (): bigint => Buffer.from(session.readMemory('virtual', address, 8)).readBigUInt64LE();
    session.addBreakpoint({ kind: 'watch', space: 'virtual', address, length: 8, access: 'write' });
    const before = read();
    const stop = run(session);
    expect(stop).toMatchObject({ kind: 'watchpoint', write: true, oldValue: before, newValue: read() });
    const second = run(session);
    expect(second.kind).toBe('watchpoint');
    complete(session.step(5_000));
    const back = complete(session.reverseResume());
    expect(back.kind).toBe('watchpoint');
    // It stands before the instruction: one step makes the access.
    if (back.kind !== 'watchpoint') return;
    expect(read()).toBe(back.oldValue);
    expect(session.readRegister('rip')).toBe(back.rip);
    expect(complete(session.step())).toMatchObject({ kind: 'watchpoint', rip: back.rip });
    expect(read()).toBe(back.newValue);
  });

  it.each(BACKENDS)('on reads stop behind the instruction that reads, and not at writes, %s', (backend) => {
    const { session } = debugSession(backend);
    complete(session.seek(14_000));
    const address = session.readRegister('rsp');
    session.addBreakpoint({ kind: 'watch', space: 'virtual', address, length: 8, access: 'read' });
    const stop = run(session);
    expect(stop).toMatchObject({ kind: 'watchpoint', write: false });
    expect(stop.position.instructions).toBeGreaterThan(14_000);
    // The instruction before this place is the one that read.
    complete(session.reverseStep(2));
    complete(session.step());
    expect(stop.kind === 'watchpoint' && stop.rip).toBe(session.readRegister('rip'));
  });
});

describe('VM exits', () => {
  it.each(['vmx', 'svm'] as const)('are stops before the handler, forward and backward, %s', (backend) => {
    const { session, outside } = debugSession(backend, 'tour', { interval: 3_000 });
    const { id } = session.addBreakpoint({ kind: 'exit', reason: 'cpuid' });
    const stop = run(session);
    expect(stop).toMatchObject({ kind: 'exit', id, exit: { reason: 'CPUID', handler: 'cpuid', outcome: undefined } });
    // The instruction has not executed: CPUID is 0F A2.
    expect([...session.readMemory('virtual', session.readRegister('rip'), 2)]).toEqual([0x0f, 0xa2]);
    const exitsBefore = outside.exits;
    const rip = session.readRegister('rip');
    complete(session.step());
    expect(outside.exits).toBe(exitsBefore + 1);
    expect(session.lastExit).toMatchObject({ reason: 'CPUID', outcome: 'next-instruction' });
    expect(session.readRegister('rip')).toBe(rip + 2n);
    const numbers = [stop.position.exits];
    for (let next = run(session); next.kind === 'exit'; next = run(session)) numbers.push(next.position.exits);
    for (const number of numbers.reverse()) expect(complete(session.reverseResume())).toMatchObject({ kind: 'exit', exit: { number, reason: 'CPUID' } });
    expect(complete(session.reverseResume())).toMatchObject({ kind: 'history-begin' });
  });

  it('match predicates', () => {
    const { session } = debugSession('vmx');
    session.addBreakpoint({ kind: 'exit', reason: 'IO_INSTRUCTION', matches: ({ qualification }) => qualification >> 16n === 0x3f8n });
    const stop = run(session);
    expect(stop.kind === 'exit' && stop.exit.qualification >> 16n).toBe(0x3f8n);
  });

  it('inside a bare machine are stops in the hypervisor that runs there', () => {
    const { session } = debugSession('bare', 'vmx-hypervisor', { cpu: 'intel-vmx' });
    const stop = complete(session.stepExit(3));
    expect(stop).toMatchObject({ kind: 'exit', position: { exits: 3 } });
    expect(session.timeline.guest.machine.cpu.guestMode).toBe(false);
    expect(complete(session.reverseExit())).toMatchObject({ kind: 'exit', position: { exits: 2 } });
  });

  it('do not exist where there is no extension', () => {
    const { session } = debugSession('bare');
    expect(() => session.stepExit()).toThrow(DebugError);
  });
});

describe('fields of the VMCS', () => {
  it('stop at the VMWRITE of the hypervisor, and reverse finds it', () => {
    const { session } = debugSession('vmx', 'tour', { interval: 3_000 });
    complete(session.seek(14_000));
    session.addBreakpoint({ kind: 'field', field: 'GUEST_RIP', access: 'write' });
    const stop = run(session);
    expect(stop).toMatchObject({ kind: 'field', write: true, field: 'GUEST_RIP' });
    if (stop.kind !== 'field') return;
    expect(stop.newValue).toBe(session.readRegister('rip'));
    complete(session.step(3_000));
    const back = complete(session.reverseResume());
    expect(back).toMatchObject({ kind: 'field', field: 'GUEST_RIP' });
    // The target stands at the exit whose handler wrote it.
    expect(session.timeline.atExit).toBeDefined();
  });
});

describe('what cannot be done is said in one line', () => {
  const { session } = debugSession('vmx');
  it.each([
    ['a register that is none', () => session.readRegister('eax64'), /no register is called "eax64"/],
    ['a value that does not fit', () => session.writeRegister('cs', 0x1_0000n), /cs has 16 bits/],
    ['an address that is not mapped', () => session.readMemory('virtual', 0x7f00_0000_0000n, 4), /0x7f0000000000 is not mapped/],
    ['a device', () => session.readMemory('guest-physical', 0xfee0_0000n, 4), /not RAM/],
    ['a reason that is none', () => session.addBreakpoint({ kind: 'exit', reason: 'EPT_VIOLATIONS' }), /EPT_VIOLATION/],
    ['a field that is none', () => session.addBreakpoint({ kind: 'field', field: 'GUEST_RIPS', access: 'write' }), /no field "GUEST_RIPS"/],
    ['code where none can be', () => session.addBreakpoint({ kind: 'execution', address: 0x8000_0000_0000n }), /not canonical/],
    ['a breakpoint that is none', () => session.removeBreakpoint(7), /no breakpoint 7/],
    ['going back before anything ran', () => session.reverseStep(), /nothing has run yet/],
  ])('%s', (_what, act, message) => {
    expect(act).toThrow(DebugError);
    expect(act).toThrow(message);
    expect(session.breakpoints).toEqual([]);
  });
});
