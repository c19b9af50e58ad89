import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Guest } from '../../hypervisor/guest';

const IMAGE = readFileSync(join(__dirname, 'device-moves.bin'));

function run(backend: 'bare' | 'vmx' | 'svm'): { state: string[]; accesses: string[]; emulated: number } {
  const guest = new Guest({ image: IMAGE, format: 'flat64', memoryBytes: 64 << 20, backend, serialOutput: () => {} });
  const accesses: string[] = [];
  const device = (address: number, size: number, value: number, write: boolean): void =>
    void accesses.push(`${write ? 'write' : 'read'} ${size} ${address.toString(16)} ${value.toString(16)}`);
  const vm = guest.vm;
  if (vm === undefined) guest.machine.memory.onDevice = device;
  else vm.memory.onDevice = device;
  let emulated = 0;
  const emulate = vm?.vcpu.emulate.bind(vm.vcpu);
  if (vm !== undefined) {
    vm.vcpu.emulate = () => {
      emulated++;
      return emulate!();
    };
  }
  guest.run(100_000);
  const registers = Array.from({ length: 16 }, (_, r) => `${r} ${(vm?.processor.gpr(r) ?? guest.machine.cpu.gpr(r)).toString(16)}`);
  const rip = vm?.processor.rip() ?? guest.machine.cpu.rip;
  return { state: [...registers, `rip ${rip.toString(16)}`, `${guest.instructions} instructions`], accesses, emulated };
}

describe('MOV between registers and a device', () => {
  const bare = run('bare');

  it('does what the program says', () => {
    // R9: both halves as written; R10 and RDX: one of them, zero-extended.
    expect(bare.state).toEqual(expect.arrayContaining(['9 8899aabbccddeeff', '10 ccddeeff', '2 8899aabb']));
    // The loop of HLT: everything before it was executed.
    expect(bare.state).toContain('rip 100104');
    expect(bare.accesses.slice(0, 4)).toEqual([
      'write 4 fed000f0 11223344',
      'write 4 fed000f0 ccddeeff',
      'write 4 fed000f4 8899aabb',
      'read 4 fed000f0 ccddeeff',
    ]);
  });

  it.each(['vmx', 'svm'] as const)('%s: the same accesses, registers and instructions', (backend) => {
    const vm = run(backend);
    expect(vm.accesses).toEqual(bare.accesses);
    expect(vm.state).toEqual(bare.state);
    // Left to the emulator: AH, loads of 8 and 16 bits (three), MOVZX, ADD, XCHG, and the instruction over the end of its page.
    expect(vm.emulated).toBe(7);
  });
});
