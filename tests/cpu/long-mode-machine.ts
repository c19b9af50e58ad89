import { Activity, type Cpu } from '../../cpu/cpu';
import { Cpu as CpuModel } from '../../cpu/cpu';
import { Engine } from '../../cpu/engine';
import type { CpuEvent, CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import { Scheduler } from '../../devices/bus';
import { PhysicalMemory } from '../../memory/physical-memory';

/** A profile with every feature and an empty CPUID, for tests of instructions. */
export const TEST_PROFILE: CpuProfile = { name: 'test', vendor: 'intel', physicalAddressWidth: 40, cpuid: () => [0, 0, 0, 0], has: () => true };

export interface LongModeMachine {
  readonly memory: PhysicalMemory;
  readonly cpu: Cpu;
  readonly engine: Engine;
  /** Runs from `start` until RIP is `end`; returns the first exception, if one was raised. */
  run(start: number, end: number, stepping?: boolean): CpuEvent | undefined;
}

/** A processor in 64-bit mode at CPL 0 with the first `megabytes` of RAM identity-mapped by 2 MiB pages (tables at 1 MiB). */
export function longModeMachine(megabytes = 16, profile: CpuProfile = TEST_PROFILE): LongModeMachine {
  const memory = new PhysicalMemory(megabytes << 20);
  const cpu = new CpuModel(memory, profile);
  const engine = new Engine(cpu, new Scheduler({ now: () => cpu.now() }));
  memory.write64(0x10_0000, 0x10_1007n);
  memory.write64(0x10_1000, 0x10_2007n);
  for (let i = 0; i < megabytes / 2; i++) memory.write64(0x10_2000 + i * 8, BigInt(i * 0x20_0000 + 0x87));
  cpu.set64(R.CR0, 0x8001_0033n);
  cpu.set64(R.CR4, 0x620n);
  cpu.set64(R.EFER, 0xd01n);
  cpu.set64(R.CR3, 0x10_0000n);
  cpu.set64(R.MXCSR, 0x1f80n);
  for (let s = 0; s < 6; s++) cpu.setSegment(s, s === 1 ? 8 : 16, s === 1 ? 0xa09b : 0xc093, 0xffff_ffff, 0n);
  cpu.setRflags(2);
  cpu.modeChanged();
  cpu.mmu.flushAll();

  let gate = -1;
  const run = (start: number, end: number, stepping = false): CpuEvent | undefined => {
    let fault: CpuEvent | undefined;
    engine.onFault = (event) => {
      fault ??= event;
      engine.stop();
      return true;
    };
    cpu.rip = BigInt(start);
    cpu.activity = Activity.Active;
    if (end !== gate) {
      engine.clearGates();
      engine.addGate((gate = end));
    }
    for (let i = 0; i < 10_000 && fault === undefined; i++) {
      if (cpu.rip === BigInt(end)) break;
      if (stepping) engine.step();
      else {
        const stop = engine.run(cpu.now() + 1_000_000);
        if (stop === 'gate') break;
      }
    }
    engine.onFault = undefined;
    return fault;
  };
  return { memory, cpu, engine, run };
}
