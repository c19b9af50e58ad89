import { Guest } from '../../hypervisor/guest';

/**
 * Every vector leads to a handler that counts in EBX, pops into RAX and ends the run. The stack is on a page that no host frame stands behind
 * yet, so that a VM exits in the middle of the delivery:
 *   mov esp, 1800000h; xor ebx, ebx; <event>; ... handler: inc ebx; pop rax; mov dx, 0f4h; out dx, al
 */
const PROGRAM = Buffer.from(
  'bf00001800b900010000b8410010006689078c4f0266c74704008ec1e810894706c7470a000000004883c710e2dc0f011c2550001000bc0000800131db90909090ffc35866baf400eef4909090909090ff0f0000180000000000',
  'hex',
);
/** Where the event's instruction goes, behind `xor ebx, ebx`. */
const EVENT = 0x3d;
const LOAD = 0x10_0000;
const RAX = 0,
  RBX = 3;

function run(backend: 'bare' | 'vmx' | 'svm', code: readonly number[]): { handled: number; returnsTo: number; instructions: number; time: number } {
  const image = new Uint8Array(PROGRAM);
  image.set(code, EVENT);
  const guest = new Guest({ image, format: 'flat64', memoryBytes: 64 << 20, backend, serialOutput: () => {}, debugExit: { iobase: 0xf4 } });
  expect(guest.run(1_000_000)).toMatchObject({ kind: 'ended', because: 'debug-exit' });
  const register = (n: number): number => Number(guest.vm === undefined ? guest.machine.cpu.gpr(n) : guest.vm.processor.gpr(n));
  return { handled: register(RBX), returnsTo: register(RAX) - LOAD - EVENT, instructions: guest.instructions, time: guest.time };
}

describe('an event whose delivery meets a page without a host frame is delivered once', () => {
  // SDM and APM: faults return to the instruction, traps and software interrupts behind it.
  it.each<[string, readonly number[], number]>([
    ['UD2', [0x0f, 0x0b], 0],
    ['INT 80h', [0xcd, 0x80], 2],
    ['INT3', [0xcc], 1],
    ['INT1', [0xf1], 1],
    ['DIV by zero', [0xf7, 0xf3], 0],
  ])('%s', (_name, code, returnsTo) => {
    const bare = run('bare', code);
    expect([bare.handled, bare.returnsTo]).toEqual([1, returnsTo]);
    for (const backend of ['vmx', 'svm'] as const) expect(run(backend, code)).toEqual(bare);
  });
});
