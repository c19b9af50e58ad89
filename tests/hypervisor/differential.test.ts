import { Guest } from '../../hypervisor/guest';
import { memoryDigest } from '../guest-digest';
import { randomProgram, type Mode, type Style } from './random/random-program';

/**
 * Random programs end in the same state bare and in a VM: the same RAM, registers, instruction count and virtual time. What they do most is
 * to fault, to touch devices in odd ways, and to change the state a hypervisor switches.
 */
const MEMORY = 4 << 20;
const LIMIT = 15_000;
const PROGRAMS = 2;

function outcome(seed: number, mode: Mode, style: Style, backend: 'bare' | 'vmx' | 'svm', cpu: string): Record<string, unknown> {
  const guest = new Guest({
    ...randomProgram(seed, mode, style),
    memoryBytes: MEMORY,
    backend,
    cpu,
    serialOutput: () => {},
    debugExit: { iobase: 0xf4 },
  });
  const stop = guest.run(LIMIT);
  const memory = guest.vm === undefined ? guest.machine.memory.readBytes(0, MEMORY) : guest.vm.memory.readBytes(0, MEMORY);
  // How a shutdown is explained differs.
  return {
    stop: stop.kind === 'ended' ? stop.because : stop.kind,
    instructions: guest.instructions,
    time: guest.time,
    memory: memoryDigest(memory),
  };
}

describe.each(['intel', 'amd'])('random programs on %s', (cpu) => {
  describe.each<[Mode, Style]>([
    [64, 'bytes'],
    [64, 'system'],
    [32, 'bytes'],
    [32, 'system'],
  ])('%i-bit, %s', (mode, style) => {
    it.each(Array.from({ length: PROGRAMS }, (_, i) => i + (cpu === 'amd' ? 1000 : 0)))('seed %i', (seed) => {
      const bare = outcome(seed, mode, style, 'bare', cpu);
      expect(outcome(seed, mode, style, 'vmx', cpu)).toEqual(bare);
      expect(outcome(seed, mode, style, 'svm', cpu)).toEqual(bare);
    });
  });
});
