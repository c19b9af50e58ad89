/** Registers that the debugger writes take effect as if an instruction had written them. */
import { Session } from '../../debugger/session';
import { complete } from '../../debugger/target';
import { BACKENDS, guestConfig, type Backend } from './debug-guests';

const WRITTEN = 0x30_0000n;
/** Stores to one place a thousand times, without an IDT: the first exception is the end. */
const CODE = [
  ...[0x31, 0xc9], // xor ecx, ecx
  ...[0xbf, 0x00, 0x00, 0x30, 0x00], // mov edi, 0x300000
  ...[0x89, 0x07], // store: mov [rdi], eax
  ...[0xff, 0xc1], // inc ecx
  ...[0x81, 0xf9, 0xe8, 0x03, 0x00, 0x00], // cmp ecx, 1000
  ...[0x75, 0xf4], // jne store
  0xf4, // hlt
];
const guest = (backend: Backend): Session => new Session({ ...guestConfig(backend), image: Uint8Array.from(CODE), format: 'flat64', serialOutput: () => {} });

describe.each(BACKENDS)('debug registers, %s', (backend) => {
  // SDM "Debug Registers": LEN0 = 3 (4 bytes), R/W0 = 1 (data writes), L0.
  const DR7 = 0xd_0001n;

  it.each([
    ['DR7 after DR0', ['dr0', 'dr7'] as const],
    ['DR0 after DR7', ['dr7', 'dr0'] as const],
  ])('%s: a store that compiled code makes through a cached translation meets the breakpoint', (_, order) => {
    const session = guest(backend);
    complete(session.seek(2000));
    for (const name of order) session.writeRegister(name, name === 'dr0' ? WRITTEN : DR7);
    expect(complete(session.resume())).toMatchObject({ kind: 'ended', because: 'triple-fault' });
    expect(session.readRegister('rcx')).toBeLessThan(1000n);
  });

  it('an address that moves elsewhere frees the old place', () => {
    const session = guest(backend);
    complete(session.seek(2000));
    session.writeRegister('dr0', WRITTEN);
    session.writeRegister('dr7', DR7);
    session.writeRegister('dr0', WRITTEN + 0x1000n);
    expect(complete(session.resume())).not.toMatchObject({ because: 'triple-fault' });
    expect(session.readRegister('rcx')).toBe(1000n);
  });
});
