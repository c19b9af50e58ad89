/** The physical machine: one processor, RAM, a bus with devices. It runs any image bare, and is what a hypervisor runs on. */
import { Cpu, type CpuObserver } from '../cpu/cpu';
import { CodeSharing } from '../cpu/code-sharing';
import { Engine, type EngineState, type RunStop } from '../cpu/engine';
import type { CpuProfile, InterruptController } from '../cpu/interfaces';
import { resetSystemRegisters, writeMsr } from '../cpu/system/msr';
import { PortBus, Scheduler, type MmioDevice, type SchedulerState } from '../devices/bus';
import type { BootPlan } from '../guests/boot/boot-request';
import { loadEntryState } from '../guests/boot/load-entry-state';
import type { DmaMemory } from '../iommu/dma';
import { readTsc } from '../cpu/system/tsc';
import { firmwareMsrs } from './firmware';
import { PhysicalMemory } from '../memory/physical-memory';
import { RamTracker, type RamState } from '../memory/ram-state';
import { type Stateful } from '../memory/stateful';
import { partState } from './part-state';
import { Svm } from '../svm/svm';
import { Vmx } from '../vmx/vmx';

/** Where a platform puts its memory-mapped devices: the physical bus, or a VM's. */
export interface MmioSpace {
  mapMmio(base: number, size: number, device: MmioDevice): void;
  unmapMmio(device: MmioDevice): void;
}

/** The buses that a platform is built on. */
export interface PlatformBuses {
  readonly ports: PortBus;
  /** Where memory-mapped devices go, and what DMA reaches. */
  readonly memory: MmioSpace & DmaMemory;
  readonly scheduler: Scheduler;
  /** The processor must look at its interrupts again. */
  readonly attention: () => void;
  /** The processor's time stamp counter now, and the tick at which it will read `tsc`. */
  readonly readTsc: () => bigint;
  readonly raiseNmi: () => void;
}

/** Builds the devices of a machine or VM; returns where interrupts come from. */
export type PlatformFactory = (buses: PlatformBuses) => InterruptController;

export interface MachineOptions {
  /** RAM in bytes, a multiple of 4096, 1 MiB to 3584 MiB. */
  readonly ramBytes: number;
  readonly profile: CpuProfile;
  /** Absent: a machine without devices, as a hypervisor that brings its own root program needs. */
  readonly platform?: PlatformFactory;
}

/** The machine without its platform, whose state the builder of the platform keeps (Platform.devices). */
export interface MachineState {
  readonly ram: RamState;
  readonly engine: EngineState;
  readonly scheduler: SchedulerState;
  /** VMX or SVM; undefined for a processor with neither. */
  readonly extension: unknown;
}

export class Machine implements Stateful<MachineState> {
  readonly memory: PhysicalMemory;
  readonly cpu: Cpu;
  readonly engine: Engine;
  readonly scheduler: Scheduler;
  readonly ports = new PortBus();
  private readonly ram: RamTracker;
  /** Present when the profile has VMX. */
  readonly vmx: Vmx | undefined;
  /** Present when the profile has SVM. */
  readonly svm: Svm | undefined;

  constructor(options: MachineOptions) {
    this.memory = new PhysicalMemory(options.ramBytes);
    const cpu = (this.cpu = new Cpu(this.memory, options.profile));
    resetSystemRegisters(cpu);
    this.scheduler = new Scheduler({ now: () => cpu.now() });
    this.engine = new Engine(cpu, this.scheduler, new CodeSharing(this.memory, options.profile));
    if (options.profile.has('vmx')) this.vmx = new Vmx(cpu).attach();
    else if (options.profile.has('svm')) this.svm = new Svm(cpu).attach();
    this.ram = new RamTracker(this.memory, () => this.markWritable());
    cpu.ports = this.ports;
    cpu.interrupts = options.platform?.(busesOf(cpu, this.ports, this.memory, this.scheduler));
  }

  set observer(observer: CpuObserver) {
    this.cpu.observer = observer;
  }

  /** Puts an image into RAM and the processor at its entry. */
  boot(plan: BootPlan): void {
    for (const { address, bytes } of plan.writes) this.memory.writeBytes(address, bytes);
    firmwareMsrs(this.cpu.profile, (index, value) => writeMsr(this.cpu, index, value));
    loadEntryState(this.cpu, plan.entry);
  }

  /** Runs until virtual time `limit` (ticks), or until the processor can go no further. */
  run(limit: number): RunStop {
    return this.engine.run(limit);
  }

  // ---- snapshots ----

  /** RAM is shared with the snapshot before: this costs the pages written since then. */
  saveState(): MachineState {
    const engine = this.engine.saveState();
    const extension = partState(this.cpu.interception, 'the virtualisation extension of this processor').saveState();
    return { ram: this.ram.saveState(), engine, scheduler: this.scheduler.saveState(), extension };
  }

  /** The devices have been restored before: what they drove or armed on the way does not count. */
  restoreState({ ram, engine, scheduler, extension }: MachineState): void {
    this.ram.restoreState(ram);
    this.scheduler.restoreState(scheduler);
    partState(this.cpu.interception, 'the virtualisation extension of this processor').restoreState(extension);
    this.engine.restoreState(engine);
    this.markWritable();
  }

  /** What compiled code and the processor's extension may write without another word. */
  private markWritable(): void {
    for (const { cpu } of this.engine.sharing.engines) cpu.mmu.markWritable();
    if (this.vmx?.vmcs.present) this.vmx.vmcs.aboutToWrite();
  }
}

/** The buses as a processor model and its memory give them. */
export function busesOf(cpu: Cpu, ports: PortBus, memory: MmioSpace & DmaMemory, scheduler: Scheduler): PlatformBuses {
  return {
    ports,
    memory,
    scheduler,
    attention: () => void (cpu.attention = true),
    readTsc: () => readTsc(cpu),
    raiseNmi: () => {
      cpu.nmiPending = true;
      cpu.attention = true;
    },
  };
}
