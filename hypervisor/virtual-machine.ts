/** One VM with one virtual processor on a physical machine: memory, devices, virtual processor and the run loop put together. */
import { Cpu } from '../cpu/cpu';
import { Engine, type EngineState } from '../cpu/engine';
import { delivered } from '../cpu/exceptions';
import type { CpuProfile, TimerQueue } from '../cpu/interfaces';
import { resetSystemRegisters } from '../cpu/system/msr';
import { readTsc } from '../cpu/system/tsc';
import { PortBus, Scheduler, type SchedulerState } from '../devices/bus';
import type { BootPlan } from '../guests/boot/boot-request';
import { firmwareMsrs } from '../machine/firmware';
import { busesOf, type PlatformFactory } from '../machine/machine';
import { partState } from '../machine/part-state';
import type { Stateful } from '../memory/stateful';
import { DeviceMoves } from './device-move';
import { Emulator } from './emulator';
import type { HostFrames } from './frames';
import { GuestMemory, type GuestMemoryState } from './guest-memory';
import type { VirtualProcessor } from './port';
import { KvmParavirt } from './kvm-paravirt';
import { ModelPolicy } from './processor-policy';
import { ROUTES, type Routes } from './routes';
import { Vcpu, type ProcessorPolicy, type VcpuState, type VcpuStop, type VirtualTime } from './vcpu';

export interface VirtualMachineOptions {
  /** The physical processor, in root mode, and its step loop. */
  readonly cpu: Cpu;
  readonly engine: Engine;
  readonly processor: VirtualProcessor;
  readonly frames: HostFrames;
  /** RAM of the VM in bytes, a multiple of 4096. */
  readonly memoryBytes: number;
  /** What the guest's CPUID and MSRs show. */
  readonly profile: CpuProfile;
  readonly platform: PlatformFactory;
  readonly routes?: Routes;
  /** What CPUID and MSRs do, made from what they do by themselves. */
  readonly policy?: (own: ProcessorPolicy) => ProcessorPolicy;
  /** Show the guest KVM's CPUID leaves and paravirtual clock, with this many seconds since 1970 at tick 0. */
  readonly kvmParavirt?: { readonly startEpochSeconds: number };
}

/** The model has no timers of its own: it makes single steps. */
const NO_TIMERS: TimerQueue = { next: Infinity, run: () => {}, onChange: () => {} };
/** Processor number of the emulator's model in the machine's linear memory. */
const MODEL_INDEX = 1;

/** The VM without its platform, whose state the builder of the platform keeps, and without host RAM. */
export interface VirtualMachineState {
  readonly memory: GuestMemoryState;
  readonly scheduler: SchedulerState;
  /** The emulator's processor model: the VM's MSRs are in it. */
  readonly model: EngineState;
  readonly vcpu: VcpuState;
  readonly processor: unknown;
  readonly paravirt: unknown;
}

export class VirtualMachine implements Stateful<VirtualMachineState> {
  readonly memory: GuestMemory;
  readonly ports = new PortBus();
  readonly scheduler: Scheduler;
  readonly vcpu: Vcpu;
  readonly processor: VirtualProcessor;
  private readonly model: Engine;
  private readonly paravirt: KvmParavirt | undefined;

  constructor(options: VirtualMachineOptions) {
    const { cpu, engine, processor, frames } = options;
    this.processor = processor;
    this.memory = new GuestMemory(options.memoryBytes, cpu.memory, frames, (gpa, host, size) => processor.map(gpa, host, size, true));
    this.scheduler = new Scheduler({ now: () => cpu.now() });

    const model = new Cpu(cpu.memory, options.profile, MODEL_INDEX);
    resetSystemRegisters(model);
    model.now = () => cpu.now();
    this.model = new Engine(model, { ...NO_TIMERS }, engine.sharing);
    const emulator = new Emulator(model, this.model, cpu.memory, this.memory);
    const interrupts = options.platform({
      ...busesOf(model, this.ports, this.memory, this.scheduler),
      raiseNmi: () => void (this.vcpu.nmiPending = true),
    });
    model.interrupts = interrupts;
    model.ports = this.ports;

    const time: VirtualTime = {
      now: () => cpu.now(),
      skipTo: (tick) => void (cpu.skew += tick - cpu.now()),
      retireOne: () => void cpu.retiredBase++,
      delivered: () => delivered(cpu),
      retired: () => cpu.retired(),
    };
    const moves = new DeviceMoves(cpu.memory, this.memory);
    const own = new ModelPolicy(model, cpu, () => processor);
    const { kvmParavirt } = options;
    this.paravirt =
      kvmParavirt === undefined
        ? undefined
        : new KvmParavirt(
            own,
            this.memory,
            () => cpu.now(),
            () => readTsc(model),
            kvmParavirt.startEpochSeconds,
          );
    const usual = this.paravirt ?? own;
    const policy = options.policy?.(usual) ?? usual;
    this.vcpu = new Vcpu(processor, this.memory, this.ports, interrupts, this.scheduler, time, emulator, moves, policy, options.routes ?? ROUTES);
  }

  /** Puts an image into guest memory and the processor at its entry. */
  boot(plan: BootPlan): void {
    for (const { address, bytes } of plan.writes) this.memory.writeBytes(address, bytes);
    firmwareMsrs(this.vcpu.model().profile, (index, value) => this.vcpu.writeMsr(index, value));
    this.processor.load(plan.entry);
  }

  /** Runs until virtual time `limit` (ticks), or until the guest ends. */
  run(limit: number): VcpuStop {
    return this.vcpu.run(limit);
  }

  // ---- snapshots ----

  saveState(): VirtualMachineState {
    return {
      memory: this.memory.saveState(),
      scheduler: this.scheduler.saveState(),
      model: this.model.saveState(),
      vcpu: this.vcpu.saveState(),
      processor: this.virtualProcessorState.saveState(),
      paravirt: this.paravirt?.saveState(),
    };
  }

  /** Devices and physical machine have been restored before. */
  restoreState(state: VirtualMachineState): void {
    this.virtualProcessorState.restoreState(state.processor);
    this.memory.restoreState(state.memory);
    this.scheduler.restoreState(state.scheduler);
    this.model.restoreState(state.model);
    this.vcpu.restoreState(state.vcpu);
    partState(this.paravirt, 'the paravirtual clock').restoreState(state.paravirt);
  }

  private get virtualProcessorState(): Stateful {
    return partState(this.processor, 'the virtual processor of this backend');
  }
}
