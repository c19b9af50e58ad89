/**
 * Executes one guest instruction in software: a processor model of its own (the CPU's decoder and definitions, nothing rewritten) is
 * loaded with the guest's state, sees the VM's memory and devices, makes one step, and its state goes back.
 */
import { Activity, Flag, type Cpu } from '../cpu/cpu';
import type { Engine } from '../cpu/engine';
import { deliverEvent } from '../cpu/exceptions';
import { EventType, type CpuEvent, type NestedTranslation } from '../cpu/interfaces';
import { R } from '../cpu/layout';
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

export type EmulationResult =
  /** `retired`: the instruction counts (INT n does not: it ends in the delivery of its event). */
  { readonly kind: 'done' | 'halted'; readonly retired: boolean } | { readonly kind: 'fault'; readonly event: CpuEvent } | { readonly kind: 'shutdown' };

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

  /** One instruction of the state in `model`. A fault leaves the state as it was; the events of INT n and its kind are delivered. */
  step(): EmulationResult {
    const { model } = this;
    const before = model.retired();
    let fault: CpuEvent | undefined;
    // Its instruction breakpoint came before the exit.
    this.setResumeFlag(true);
    this.engine.onFault = (event) => {
      if (event.type === EventType.HardwareException) fault = event;
      else this.setResumeFlag(false);
      return fault !== undefined;
    };
    this.engine.step();
    this.engine.onFault = undefined;
    if (fault !== undefined) return { kind: 'fault', event: fault };
    if (model.activity === Activity.Shutdown) return { kind: 'shutdown' };
    return { kind: model.activity === Activity.Halted ? 'halted' : 'done', retired: model.retired() !== before };
  }

  private setResumeFlag(on: boolean): void {
    const flags = this.model.get32(R.RFLAGS_SYSTEM);
    this.model.set32(R.RFLAGS_SYSTEM, on ? flags | Flag.RF : flags & ~Flag.RF);
  }

  /** Delivers an event through the IDT of the state in `model`. */
  deliver(event: CpuEvent): EmulationResult {
    const { model } = this;
    deliverEvent(model, event);
    return model.activity === Activity.Shutdown ? { kind: 'shutdown' } : { kind: 'done', retired: false };
  }
}
