/**
 * Executes one guest instruction in software: a processor model of its own (the CPU's decoder and definitions, nothing rewritten) is
 * loaded with the guest's state, sees the VM's memory and devices, makes one step, and its state goes back.
 */
import { Activity, type Cpu } from '../cpu/cpu';
import type { Engine } from '../cpu/engine';
import type { CpuEvent, NestedTranslation } from '../cpu/interfaces';
import type { PhysicalMemory } from '../memory/physical-memory';
import type { GuestMemory } from './guest-memory';

/** Guest-physical device addresses appear to the model this far up the host's bus, where nothing else is. */
const DEVICE_WINDOW = 2 ** 50;
const DEVICE_WINDOW_SIZE = 2 ** 48;

/** The VM's memory map as a second dimension of paging for the model. */
class VmTranslation implements NestedTranslation {
  readonly active = true;
  readonly root = 1;
  permissions = 7;
  constructor(private readonly memory: GuestMemory) {}
  translate(gpa: number): number {
    return this.memory.back(gpa) ? this.memory.hostOf(gpa)! : DEVICE_WINDOW + gpa;
  }
}

export type EmulationResult = { readonly kind: 'done' } | { readonly kind: 'fault'; readonly event: CpuEvent } | { readonly kind: 'halted' };

export class Emulator {
  constructor(
    readonly model: Cpu,
    private readonly engine: Engine,
    host: PhysicalMemory,
    memory: GuestMemory,
  ) {
    model.nested = new VmTranslation(memory);
    host.mapMmio(DEVICE_WINDOW, DEVICE_WINDOW_SIZE, {
      readMmio: (offset, size) => memory.readMmio(offset, size),
      writeMmio: (offset, size, value) => memory.writeMmio(offset, size, value),
    });
  }

  /** One instruction of the state in `model`. A fault leaves the state as it was. */
  step(): EmulationResult {
    let fault: CpuEvent | undefined;
    this.engine.onFault = (event) => {
      fault = event;
      return true;
    };
    this.engine.step();
    this.engine.onFault = undefined;
    if (fault !== undefined) return { kind: 'fault', event: fault };
    return { kind: this.model.activity === Activity.Halted ? 'halted' : 'done' };
  }
}
