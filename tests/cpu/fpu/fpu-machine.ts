import { Cpu, UNWIND } from '../../../cpu/cpu';
import { decode } from '../../../cpu/decoder/decode';
import { SSE_FLOAT_INSTRUCTIONS } from '../../../cpu/fpu/sse-float';
import { X87_INSTRUCTIONS } from '../../../cpu/fpu/x87';
import type { CpuEvent, CpuProfile } from '../../../cpu/interfaces';
import { R } from '../../../cpu/layout';
import { PhysicalMemory } from '../../../memory/physical-memory';

/** AMD, because the vectors come from one: it decides the pi that FSIN reduces by. */
export const PROFILE: CpuProfile = { name: 'test', vendor: 'amd', physicalAddressWidth: 40, cpuid: () => [0, 0, 0, 0], has: () => true };

/** Where RDI points in the vectors. */
export const OPERAND = 0x1_0000;

export interface FpuMachine {
  readonly cpu: Cpu;
  /** Executes one instruction in 64-bit mode; the fault, if it raises one. */
  execute(bytes: Uint8Array): CpuEvent | undefined;
}

/** A processor in 64-bit mode with linear = physical addresses, without step loop: instructions are decoded and executed one by one. */
export function fpuMachine(profile: CpuProfile = PROFILE): FpuMachine {
  const cpu = new Cpu(new PhysicalMemory(1 << 20), profile);
  cpu.set64(R.CR0, 0x33n);
  cpu.set64(R.CR4, 0x620n);
  cpu.set64(R.EFER, 0x500n);
  for (let s = 0; s < 6; s++) cpu.setSegment(s, s === 1 ? 8 : 16, s === 1 ? 0xa09b : 0xc093, 0xffff_ffff, 0n);
  cpu.setRflags(2);
  cpu.modeChanged();
  cpu.set64(R.RIP, 0x2000n);
  cpu.setGpr(7, BigInt(OPERAND));
  cpu.set32(R.MXCSR, 0x1f80);
  cpu.set32(R.FCW, 0x37f);
  return {
    cpu,
    execute(bytes) {
      const insn = decode(bytes, 0, bytes.length, 64);
      if (!insn) throw new Error('incomplete instruction');
      cpu.memory.writeBytes(0x2000, bytes);
      const instruction = X87_INSTRUCTIONS[insn.op] ?? SSE_FLOAT_INSTRUCTIONS[insn.op];
      if (!instruction) throw new Error(`no ${insn.op}`);
      cpu.insn = insn;
      cpu.fault = undefined;
      try {
        instruction.execute(cpu, insn);
        return undefined;
      } catch (e) {
        if (e !== UNWIND) throw e;
        return cpu.fault;
      }
    },
  };
}
