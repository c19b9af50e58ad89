/** Out of functions: recursion, calls and jumps through pointers, a retpoline, and code that cannot be followed. */
import { stepOut } from '../../debugger/step-out';
import { Session } from '../../debugger/session';
import { complete } from '../../debugger/target';
import { BACKENDS, guestConfig, type Backend } from './debug-guests';

const CODE = Uint8Array.from(
  [
    'bc00001800', // 00 mov esp, 0x180000
    'e806000000', // 05 call f
    'e850000000', // 0a call far
    'f4', // 0f hlt
    // f, which ends with a jump to g
    '5553', // 10 push rbp; push rbx
    'b9a0860100', // 12 mov ecx, 100000
    'ffc975fc', // 17 dec ecx; jnz 17
    'bf03000000', // 1b mov edi, 3
    'e82f000000', // 20 call recursive
    '488d1527000000', // 25 lea rdx, [h]
    '488d0504000000', // 2c lea rax, [g]
    '5b5d', // 33 pop rbx; pop rbp
    'ffe0', // 35 jmp rax
    // g, which ends with a jump to h by way of a return
    '4883ec28', // 37 sub rsp, 0x28
    'ff1529000000', // 3b call [6a]: leaf
    '4883c428', // 41 add rsp, 0x28
    'e804000000', // 45 call 4e
    'f390ebfc', // 4a pause; jmp 4a
    '48891424', // 4e mov [rsp], rdx
    'c3', // 52 ret
    'c3', // 53 h: ret
    'ffcf', // 54 recursive: dec edi
    '7405', // 56 jz 5d
    'e8f7ffffff', // 58 call recursive
    'c3', // 5d ret
    'c3', // 5e leaf: ret
    '31c0', // 5f far: xor eax, eax
    '85c0', // 61 test eax, eax
    '0f85faffff03', // 63 jnz 4000063, where no memory is
    'c3', // 69 ret
    '5e00100000000000', // 6a address of leaf
  ].flatMap((hex) => [...Buffer.from(hex, 'hex')]),
);
const BASE = 0x10_0000n;
const STACK = 0x18_0000n;

const guest = (backend: Backend): Session => new Session({ ...guestConfig(backend), image: CODE, format: 'flat64', serialOutput: () => {} });

/** Where and with what stack the guest stands after it has come to `from` for the `count`-th time and out of the function there. */
function out(session: Session, from: bigint, count = 1): [offset: number, rsp: bigint] {
  const { id } = session.addBreakpoint({ kind: 'execution', address: BASE + from });
  for (let n = 0; n < count; n++) expect(complete(session.resume()).kind).toBe('breakpoint');
  session.removeBreakpoint(id);
  expect(complete(stepOut(session)).kind).toBe('step');
  return [Number(session.readRegister('rip') - BASE), session.readRegister('rsp')];
}

describe('out of a function', () => {
  it.each([
    ['from its first instruction, through tail calls', 0x10n, 1, 0x0a, STACK],
    ['with registers pushed', 0x12n, 1, 0x0a, STACK],
    ['from the tail call itself', 0x35n, 1, 0x0a, STACK],
    ['from what was called last', 0x37n, 1, 0x0a, STACK],
    ['from inside a retpoline', 0x4en, 1, 0x0a, STACK],
    ['from its return', 0x53n, 1, 0x0a, STACK],
    ['from the first of several incarnations', 0x54n, 1, 0x25, STACK - 24n],
    ['from the second one', 0x54n, 2, 0x5d, STACK - 32n],
    ['called through a pointer', 0x5en, 1, 0x41, STACK - 48n],
    ['that might branch to where nothing is', 0x5fn, 1, 0x0f, STACK],
  ] as const)('%s', (_, from, count, offset, rsp) => {
    expect(out(guest('bare'), from, count)).toEqual([offset, rsp]);
  });
});

describe.each(BACKENDS)('on the way out, %s', (backend) => {
  it('the guest runs instead of being stepped', () => {
    const session = guest(backend);
    const { engine } = session.timeline.guest.machine;
    complete(session.step(2));
    const before = engine.slowSteps;
    complete(stepOut(session));
    expect(session.position.instructions).toBeGreaterThan(200_000);
    expect(engine.slowSteps - before).toBeLessThan(1000);
  });

  it('a breakpoint on the way stops there, and nothing of ours is left', () => {
    const session = guest(backend);
    complete(session.step(2));
    const { id } = session.addBreakpoint({ kind: 'execution', address: BASE + 0x5dn });
    expect(complete(stepOut(session))).toMatchObject({ kind: 'breakpoint', id });
    session.removeBreakpoint(id);
    expect(complete(session.resume()).kind).not.toBe('breakpoint');
  });

  it('next() takes a call through a pointer as one', () => {
    const session = guest(backend);
    const { id } = session.addBreakpoint({ kind: 'execution', address: BASE + 0x3bn });
    complete(session.resume());
    session.removeBreakpoint(id);
    complete(session.next());
    expect(session.readRegister('rip')).toBe(BASE + 0x41n);
  });
});
