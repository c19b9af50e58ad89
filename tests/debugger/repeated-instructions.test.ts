/**
 * Repeated string instructions under the debugger. A breakpoint is met once, before the first iteration, as one in DR0-DR3 is; a step is one
 * iteration, because the trap flag traps after each (SDM "Single-Step Exception Condition").
 */
import { Session } from '../../debugger/session';
import { complete, type Stop } from '../../debugger/target';
import { BACKENDS, guestConfig, type Backend } from './debug-guests';

const LOADED = 0x10_0000n;
const BYTES = 0x1800;
const WORDS = 5;
/** Three rounds of: fill 6 KiB from the middle of a page that nobody has touched, and send five words to a port without a device. */
const CODE = [
  ...[0x31, 0xdb], // xor ebx, ebx
  ...[0xbf, 0x00, 0x0c, 0x20, 0x00], // mov edi, 0x200c00
  ...[0xb9, 0x00, BYTES >> 8, 0x00, 0x00], // round: mov ecx, BYTES
  ...[0xf3, 0xaa], // rep stosb
  ...[0xbe, 0x00, 0x00, 0x10, 0x00], // mov esi, 0x100000
  ...[0xb9, WORDS, 0x00, 0x00, 0x00], // mov ecx, WORDS
  ...[0x66, 0xba, 0xe8, 0x02], // mov dx, 0x2e8
  ...[0xf3, 0x66, 0x6f], // rep outsw
  ...[0xff, 0xc3], // inc ebx
  ...[0x83, 0xfb, 0x03], // cmp ebx, 3
  ...[0x75, 0xdf], // jne round
  0xf4, // hlt
];
const STOSB = LOADED + 12n;
const OUTSW = LOADED + 28n;

const guest = (backend: Backend): Session =>
  new Session({ ...guestConfig(backend), image: Uint8Array.from(CODE), format: 'flat64', serialOutput: () => {} }, { interval: 4000 });
const run = (session: Session): Stop => complete(session.resume());

describe.each(BACKENDS)('repeated string instructions, %s', (backend) => {
  it.each([
    ['REP STOSB, over pages that are not there yet', STOSB, BYTES],
    ['REP OUTSW, where each iteration may be a VM exit', OUTSW, WORDS],
  ])('%s: one stop for each time the instruction is come to', (_, address, count) => {
    const session = guest(backend);
    session.addBreakpoint({ kind: 'execution', address });
    const seen: bigint[] = [];
    for (let stop = run(session); stop.kind === 'breakpoint' && seen.length < 9; stop = run(session)) seen.push(session.readRegister('rcx'));
    expect(seen).toEqual([BigInt(count), BigInt(count), BigInt(count)]);
    // Backward the same.
    const back: number[] = [];
    for (let stop = complete(session.reverseResume()); stop.kind === 'breakpoint' && back.length < 9; stop = complete(session.reverseResume())) {
      expect(session.readRegister('rcx')).toBe(BigInt(count));
      back.push(session.position.instructions);
    }
    expect(back.length).toBe(3);
    expect(session.breakpoints[0].hits).toBe(6);
  });

  it('a step is one iteration, next() all of them', () => {
    const session = guest(backend);
    session.addBreakpoint({ kind: 'execution', address: STOSB });
    run(session);
    for (let left = BYTES - 1; left > BYTES - 4; left--) {
      expect(complete(session.step()).kind).toBe('step');
      expect([session.readRegister('rip'), session.readRegister('rcx')]).toEqual([STOSB, BigInt(left)]);
    }
    expect(complete(session.reverseStep()).kind).toBe('step');
    expect(session.readRegister('rcx')).toBe(BigInt(BYTES - 2));
    expect(complete(session.next()).kind).toBe('step');
    expect([session.readRegister('rip'), session.readRegister('rcx')]).toEqual([STOSB + 2n, 0n]);
  });

  it('going on in the middle does not stop again; coming back to it does', () => {
    const session = guest(backend);
    complete(session.seek(7));
    expect([session.readRegister('rip'), session.readRegister('rcx')]).toEqual([STOSB, BigInt(BYTES - 4)]);
    session.addBreakpoint({ kind: 'execution', address: STOSB });
    expect([run(session).kind, session.readRegister('rcx')]).toEqual(['breakpoint', BigInt(BYTES)]);
    expect(session.readRegister('rbx')).toBe(1n);
  });

  it('RIP set to an instruction begins it: a breakpoint of the guest there is met', () => {
    const session = guest(backend);
    complete(session.seek(7));
    session.writeRegister('dr0', OUTSW);
    session.writeRegister('dr7', 1n);
    session.writeRegister('rip', OUTSW);
    // #DB, and there is no IDT.
    expect(complete(session.step())).toMatchObject({ kind: 'ended', because: 'triple-fault' });
    expect([session.readRegister('rip'), session.readRegister('rcx')]).toEqual([OUTSW, BigInt(BYTES - 4)]);
  });
});
