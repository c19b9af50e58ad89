import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Guest } from '../../hypervisor/guest';

const IMAGE = readFileSync(join(__dirname, 'lower-half-end.bin'));

it.each(['bare', 'vmx', 'svm'] as const)(
  '%s: an instruction that exits at the end of the lower half: the fetch behind it is #GP(0) in the guest',
  (backend) => {
    const guest = new Guest({ image: IMAGE, format: 'flat64', memoryBytes: 64 << 20, backend, serialOutput: () => {}, debugExit: { iobase: 0xf4 } });
    expect(guest.run(100_000)).toMatchObject({ kind: 'ended', because: 'debug-exit' });
    const register = (n: number): bigint => (guest.vm === undefined ? guest.machine.cpu.gpr(n) : guest.vm.processor.gpr(n));
    // RSI: RIP on the handler's stack; RDI: the error code.
    expect([register(6), register(7)]).toEqual([0x8000_0000_0000n, 0n]);
  },
);
