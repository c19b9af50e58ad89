import { Guest } from '../../hypervisor/guest';

/**
 *   mov ax, cs; mov [gate+2], ax; mov esp, 2000000h; lidt [idtr]; ud2
 *   handler: ud2
 * No instruction ever retires after the first four: the handler of #UD is not an instruction itself.
 */
const LIVELOCK = Buffer.from('668cc8668904252c001000bc000000020f011c25200010000f0b0f0b90909090ff0fcaff0f00000000001a000000008e10000000000000000000', 'hex');

const guest = (backend: 'bare' | 'vmx' | 'svm'): Guest =>
  new Guest({ image: LIVELOCK, format: 'flat64', memoryBytes: 64 << 20, backend, serialOutput: () => {} });

describe('a handler whose first instruction faults', () => {
  it.each(['bare', 'vmx', 'svm'] as const)('%s: virtual time goes on', (backend) => {
    const g = guest(backend);
    expect(g.run(1_000_000)).toEqual({ kind: 'limit' });
    // 100 ticks for each delivery after the first.
    expect([g.instructions, g.time]).toEqual([4, 1_000_004]);
    // Frames of five words each, on a stack that is aligned to 16 bytes first.
    const frames = (g.time - 4) / 100 + 1;
    expect(Number(g.machine.cpu.gpr(4))).toBe(0x2000000 - frames * 48 + 8);
  });
});
