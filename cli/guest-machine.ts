/** The machine behind the command line: a guest under the hypervisor, or an image on the bare physical machine. */
import { parseProfile } from '../cpu/profiles/profile';
import type { Cpu } from '../cpu/cpu';
import type { CpuProfile, EntropySource } from '../cpu/interfaces';
import { ECAM_BASE, ECAM_SIZE } from '../devices/pci/pci-bus';
import { BootError } from '../guests/boot/boot-error';
import type { BootPlan } from '../guests/boot/boot-request';
import { E820Type, plainMemoryMap, type E820Entry } from '../guests/boot/e820';
import { planBoot } from '../guests/boot/plan';
import { HostFrames } from '../hypervisor/frames';
import { VirtualMachine } from '../hypervisor/virtual-machine';
import { VmxProcessor } from '../hypervisor/vmx-processor';
import { Machine } from '../machine/machine';
import { platformFactory, type Platform, type PlatformOptions } from '../machine/platform';
import type { RunOutcome } from './exit-codes';
import type { GuestRunner, GuestSpec, RunStop } from './runner';
import type { StatsSummary } from './stats-table';
import { UserError } from './user-error';

const PHYSICAL_CPU = 'intel-vmx';
const MIB = 0x10_0000;
const LARGE = 0x20_0000;
const LOW_RAM_LIMIT = 0xc000_0000;
const FOUR_GIB = 0x1_0000_0000;
/** Host memory for the hypervisor's own structures: root program, VMCSs, EPT tables. */
const HYPERVISOR_MEMORY = 32 * MIB;
/** Host memory below stays free, as firmware would have it. */
const FIRST_FRAME = LARGE;

function profile(text: string): CpuProfile {
  try {
    return parseProfile(text);
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(`--cpu ${text}: ${error.message}`);
    throw error;
  }
}

function memoryMap(memoryBytes: number): E820Entry[] {
  return [...plainMemoryMap(memoryBytes), { address: ECAM_BASE, size: ECAM_SIZE, type: E820Type.Reserved }].sort((a, b) => a.address - b.address);
}

function plan(spec: GuestSpec, rsdp: number): BootPlan {
  const { image, imageName, initrd, modules, commandLine, format, memoryBytes } = spec;
  try {
    return planBoot(image, { memoryBytes, e820: memoryMap(memoryBytes), initrd, modules, commandLine, rsdp, imageName, format });
  } catch (error) {
    if (error instanceof BootError) throw new UserError(`${imageName}: ${error.message}`);
    throw error;
  }
}

/** SplitMix64: random bits that follow from the seed. */
function seededEntropy(seed: number): EntropySource {
  let state = BigInt(seed);
  return {
    next: () => {
      state = BigInt.asUintN(64, state + 0x9e37_79b9_7f4a_7c15n);
      let z = state;
      z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
      z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn);
      return z ^ (z >> 31n);
    },
  };
}

/** What the platform of either kind of machine tells about the end of a run. */
function platformOptions(spec: GuestSpec, end: (outcome: RunOutcome) => void): PlatformOptions {
  return {
    memoryBytes: spec.memoryBytes,
    serialOutput: spec.serialOutput,
    debugExit:
      spec.debugExit === undefined
        ? undefined
        : { iobase: spec.debugExit, exit: (status) => end({ kind: 'debug-exit', status, explanation: `isa-debug-exit, status ${status}` }) },
    rtcStart: spec.rtcStart,
    powerOff: () => end({ kind: 'power-off', explanation: 'ACPI power-off' }),
    reset: (kind) => end({ kind: 'reset', explanation: `the guest asked for a reset (${kind})` }),
  };
}

abstract class MachineRunner implements GuestRunner {
  protected platform!: Platform;
  protected outcome: RunOutcome | undefined;
  protected abstract readonly cpu: Cpu;

  abstract run(maxInstructions: number): RunStop;
  abstract stats(): StatsSummary;

  sendSerial(bytes: Uint8Array): void {
    this.platform.uart.receive(bytes);
  }

  protected ended(outcome: RunOutcome): RunStop {
    this.outcome ??= outcome;
    return { kind: 'ended', outcome: this.outcome };
  }
}

class BareRunner extends MachineRunner {
  private readonly machine: Machine;
  protected readonly cpu: Cpu;

  constructor(spec: GuestSpec) {
    super();
    const platform = platformOptions(spec, (outcome) => {
      this.outcome ??= outcome;
      this.machine.engine.stop();
    });
    this.machine = new Machine({ ramBytes: spec.memoryBytes, profile: profile(spec.cpu), platform: platformFactory(platform, (p) => (this.platform = p)) });
    this.cpu = this.machine.cpu;
    this.cpu.entropy = seededEntropy(spec.seed);
    const { rsdp, tables } = this.platform.acpi;
    for (const { address, bytes } of tables) this.machine.memory.writeBytes(address, bytes);
    this.machine.boot(plan(spec, rsdp));
  }

  run(maxInstructions: number): RunStop {
    const stop = this.machine.run(this.cpu.now() + maxInstructions);
    if (this.outcome) return this.ended(this.outcome);
    switch (stop) {
      case 'limit':
      case 'idle':
        return { kind: stop };
      case 'shutdown':
        return this.ended({ kind: 'triple-fault', explanation: `the processor shut down at RIP 0x${this.cpu.rip.toString(16)}` });
      default:
        return this.ended({ kind: 'internal', explanation: `the bare machine stopped unexpectedly (${stop})` });
    }
  }

  stats(): StatsSummary {
    return { instructions: this.cpu.retired(), ticks: this.cpu.now(), rows: [] };
  }
}

class HostedRunner extends MachineRunner {
  private readonly vm: VirtualMachine;
  protected readonly cpu: Cpu;

  constructor(spec: GuestSpec) {
    super();
    const hostBytes = Math.ceil(spec.memoryBytes / LARGE) * LARGE + HYPERVISOR_MEMORY;
    const host = new Machine({ ramBytes: hostBytes, profile: profile(PHYSICAL_CPU) });
    if (host.vmx === undefined) throw new Error(`the CPU ${PHYSICAL_CPU} has no VMX`);
    this.cpu = host.cpu;
    this.cpu.entropy = seededEntropy(spec.seed);
    const low = Math.min(hostBytes, LOW_RAM_LIMIT);
    const frames = new HostFrames(
      [
        { base: FIRST_FRAME, size: low - FIRST_FRAME },
        { base: FOUR_GIB, size: hostBytes - low },
      ],
      spec.seed,
    );
    const platform = platformOptions(spec, (outcome) => {
      this.outcome ??= outcome;
      const because = outcome.kind === 'power-off' || outcome.kind === 'reset' || outcome.kind === 'debug-exit' ? outcome.kind : 'internal';
      this.vm.vcpu.end(because, outcome.explanation);
    });
    this.vm = new VirtualMachine({
      cpu: host.cpu,
      engine: host.engine,
      processor: new VmxProcessor(host.cpu, host.engine, host.vmx, frames),
      frames,
      memoryBytes: spec.memoryBytes,
      profile: profile(spec.cpu),
      platform: platformFactory(platform, (p) => (this.platform = p)),
    });
    this.vm.vcpu.model().entropy = this.cpu.entropy;
    const { rsdp, tables } = this.platform.acpi;
    for (const { address, bytes } of tables) this.vm.memory.writeBytes(address, bytes);
    this.vm.boot(plan(spec, rsdp));
  }

  run(maxInstructions: number): RunStop {
    const stop = this.vm.run(this.cpu.now() + maxInstructions);
    if (this.outcome) return this.ended(this.outcome);
    switch (stop.kind) {
      case 'limit':
      case 'idle':
        return { kind: stop.kind };
      case 'ended':
        return this.ended(
          stop.because === 'debug-exit' ? { kind: 'internal', explanation: stop.explanation } : { kind: stop.because, explanation: stop.explanation },
        );
      case 'stopped':
        return this.ended({ kind: 'internal', explanation: 'the virtual machine stopped unexpectedly' });
    }
  }

  stats(): StatsSummary {
    return { instructions: this.cpu.retired(), ticks: this.cpu.now(), rows: this.vm.vcpu.statistics.rows() };
  }
}

/** Throws UserError for what cannot be run. */
export function createGuestRunner(spec: GuestSpec): GuestRunner {
  if (spec.bare) return new BareRunner(spec);
  if (spec.backend !== 'vmx') throw new UserError(`--backend ${spec.backend}: there is no such hypervisor backend yet; use --backend vmx`);
  return new HostedRunner(spec);
}
