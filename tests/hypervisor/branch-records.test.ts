import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Guest } from '../../hypervisor/guest';

/** branch-records.asm, bare and in VMs. What is expected of the bare machine are the words of APM "Control-Transfer Breakpoint Features". */
const IMAGE = readFileSync(join(__dirname, 'branch-records.bin'));
const MEMORY = 8 << 20;
const LOG = 0x20_0000;
const WORDS = 5 * 13 + 3;
type Backend = 'bare' | 'vmx' | 'svm';

interface Result {
  readonly log: number[];
  readonly instructions: number;
  readonly time: number;
}

function run(backend: Backend, cpu: string): Result {
  const guest = new Guest({ image: IMAGE, format: 'flat64', memoryBytes: MEMORY, backend, cpu, serialOutput: () => {}, debugExit: { iobase: 0xf4 } });
  expect(guest.run(100_000)).toMatchObject({ kind: 'ended', because: 'debug-exit' });
  const memory = guest.vm === undefined ? guest.machine.memory : guest.vm.memory;
  const bytes = memory.readBytes(LOG, 8 * WORDS);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const log = Array.from({ length: WORDS }, (_, i) => Number(view.getBigUint64(8 * i, true)));
  return { log, instructions: guest.instructions, time: guest.time };
}

const address = (n: number): number => Number(IMAGE.readBigUInt64LE(8 + 8 * n));
const [jump, jumpTarget, softwareInterrupt, handlerReturn, loopEnd, invalid, invalidHandler, fresh, stepped, steppedTarget, received, receivedHandler] =
  Array.from({ length: 12 }, (_, n) => address(n));

describe('amd', () => {
  const bare = run('bare', 'amd');
  const dumps = (log: readonly number[], from: number, count: number): number[][] =>
    Array.from({ length: count }, (_, i) => log.slice(from + 5 * i, from + 5 * i + 5));

  it('bare: branches, interrupts and exceptions while DebugCtl.LBR is 1', () => {
    const [first, second, third, looped, inUd, afterUd, onFreshStack, inInterrupt, afterInterrupt] = dumps(bare.log, 0, 9);
    expect(first).toEqual([1, jump, jumpTarget, 0, 0]);
    // The last one is the IRET of the handler; the interrupt took along what came before it.
    expect(second).toEqual([1, handlerReturn, softwareInterrupt + 2, jump, jumpTarget]);
    expect(third).toEqual(second);
    expect(looped).toEqual([1, loopEnd, loopEnd - 1, jump, jumpTarget]);
    expect(inUd).toEqual([1, invalid, invalidHandler, loopEnd, loopEnd - 1]);
    expect(afterUd.slice(2)).toEqual([invalid + 2, loopEnd, loopEnd - 1]);
    expect(onFreshStack).toEqual([1, handlerReturn, fresh + 2, afterUd[1], invalid + 2]);
    expect(inInterrupt).toEqual([1, received, receivedHandler, handlerReturn, fresh + 2]);
    expect(afterInterrupt.slice(2)).toEqual([received, handlerReturn, fresh + 2]);
  });
  it('bare: #DB stops recording and stepping', () => {
    const before = bare.log.slice(40, 45);
    // The single-step trap: its rIP, five MSRs in the handler, five behind it.
    expect(dumps(bare.log, 46, 2)).toEqual([
      [0, ...before.slice(1)],
      [0, ...before.slice(1)],
    ]);
    // DebugCtl.BTF: neither NOP nor CPUID nor the branch not taken trap.
    expect(stepped).toBeLessThan(steppedTarget);
    expect(bare.log[56]).toBe(steppedTarget);
    expect(bare.log.slice(57, 62)).toEqual([0, ...before.slice(1)]);
  });
  it.each(['vmx', 'svm'] as const)('%s shows the same', (backend) => expect(run(backend, 'amd')).toEqual(bare));
});

describe('intel', () => {
  const bare = run('bare', 'intel');
  it('bare: the records are in other MSRs, the stepping is the same', () => {
    expect(bare.log.slice(0, 5)).toEqual([1, 0xbad, 0xbad, 0xbad, 0xbad]);
    expect(bare.log[56]).toBe(steppedTarget);
  });
  it.each(['vmx', 'svm'] as const)('%s shows the same', (backend) => expect(run(backend, 'intel')).toEqual(bare));
});
