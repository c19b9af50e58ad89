/**
 * A guest ready to run: an image on the physical machine itself (bare), or in a VM under the hypervisor. The same devices, tables and
 * processor identity either way. This is what the command line, the benchmarks and experiments start from.
 */
import { parseProfile } from '../cpu/profiles/profile';
import type { CpuProfile, EntropySource } from '../cpu/interfaces';
import type { BootFormat, BootModule } from '../guests/boot/boot-request';
import { planBoot } from '../guests/boot/plan';
import { Machine } from '../machine/machine';
import { boardMemoryMap } from '../machine/memory-map';
import { platformFactory, type Platform } from '../machine/platform';
import type { StopReason } from './exit';
import { HostFrames, LARGE } from './frames';
import { ROUTES, type Routes } from './routes';
import type { ExitRow } from './statistics';
import type { VcpuObserver } from './vcpu';
import { VirtualMachine } from './virtual-machine';
import { VmxProcessor } from './vmx/processor';

export interface GuestConfig {
  readonly image: Uint8Array;
  readonly imageName?: string;
  readonly format?: 'auto' | BootFormat;
  readonly initrd?: Uint8Array;
  /** Further modules, for PVH and multiboot. */
  readonly modules?: readonly BootModule[];
  readonly commandLine?: string;
  /** RAM of the guest in bytes, a multiple of 4096. */
  readonly memoryBytes: number;
  /** 'bare' runs the image in root mode on the physical machine; 'vmx' in a VM. */
  readonly backend: 'bare' | 'vmx';
  /** Processor identity as the guest sees it: a preset with +feature and -feature (cpu/profiles). Default 'intel'. */
  readonly cpu?: string;
  readonly serialOutput: (byte: number) => void;
  readonly debugOutput?: (byte: number) => void;
  /** isa-debug-exit at this port base. */
  readonly debugExit?: { readonly iobase: number };
  /** Seconds since 1970 at tick 0. */
  readonly rtcStart?: number;
  readonly hpet?: boolean;
  /** Show a VM KVM's CPUID leaves and paravirtual clock. Default false: no hypervisor is to be seen. */
  readonly kvmParavirt?: boolean;
  /** What RDRAND answers, if the processor has it. Default: a generator seeded with 0. */
  readonly entropy?: EntropySource;
  /** Permutes the host frames behind guest memory; 0 keeps them in order. */
  readonly frameSeed?: number;
  /** Fills every host frame that is not given out, to show that a guest never sees or touches one. */
  readonly poison?: number;
  readonly routes?: Routes;
  readonly observer?: VcpuObserver;
}

export type GuestStop =
  /** Virtual time reached the limit; a stop was asked for; or the guest is halted with nothing that could wake it but input. */
  | { readonly kind: 'limit' | 'stopped' | 'idle' }
  | { readonly kind: 'ended'; readonly because: StopReason; readonly explanation: string; readonly status?: number };

/** RAM of the physical machine beyond the guest's: root program, VMCS, nested paging structures, room to permute frames. */
const HOST_OVERHEAD = 32 << 20;
const HOST_RESERVED = LARGE;
const DEFAULT_RTC_START = 1_767_225_600;

export class Guest {
  readonly machine: Machine;
  readonly vm: VirtualMachine | undefined;
  readonly platform: Platform;
  readonly description: string;
  private readonly frames: HostFrames | undefined;
  private ending: GuestStop | undefined;

  constructor(config: GuestConfig) {
    const profile = parseProfile(config.cpu ?? 'intel');
    let platform: Platform | undefined;
    const factory = platformFactory(
      {
        memoryBytes: config.memoryBytes,
        serialOutput: config.serialOutput,
        debugOutput: config.debugOutput,
        debugExit: config.debugExit && {
          iobase: config.debugExit.iobase,
          exit: (status) => this.end('debug-exit', `isa-debug-exit with status ${status}`, status),
        },
        rtcStart: config.rtcStart ?? DEFAULT_RTC_START,
        hpet: config.hpet,
        profile,
        powerOff: () => this.end('power-off', 'the guest powered off'),
        reset: (kind) => this.end('reset', `the guest asked for a reset (${kind})`),
      },
      (p) => (platform = p),
    );
    if (config.backend === 'bare') {
      this.machine = new Machine({ ramBytes: config.memoryBytes, profile, platform: factory });
    } else {
      this.machine = new Machine({ ramBytes: Math.ceil(config.memoryBytes / LARGE) * LARGE + HOST_OVERHEAD, profile: hostProfile(config.cpu ?? 'intel') });
      const { machine } = this;
      if (machine.vmx === undefined) throw new Error('the processor has no VMX');
      this.frames = new HostFrames(hostRanges(machine.memory.lowRam, machine.memory.highRam), config.frameSeed ?? 0);
      if (config.poison !== undefined)
        for (const { base, size } of this.frames.free()) machine.memory.writeBytes(base, new Uint8Array(size).fill(config.poison));
      const processor = new VmxProcessor(machine.cpu, machine.engine, machine.vmx, this.frames);
      this.vm = new VirtualMachine({
        cpu: machine.cpu,
        engine: machine.engine,
        processor,
        frames: this.frames,
        memoryBytes: config.memoryBytes,
        profile,
        platform: factory,
        routes: config.routes ?? ROUTES,
        kvmParavirt: config.kvmParavirt ? { startEpochSeconds: config.rtcStart ?? DEFAULT_RTC_START } : undefined,
      });
      this.vm.memory.dirtyFrames = config.poison !== undefined;
      this.vm.vcpu.observer = config.observer;
    }
    this.platform = platform!;
    const entropy = config.entropy ?? seededEntropy(0);
    this.machine.cpu.entropy = entropy;
    if (this.vm) this.vm.vcpu.model().entropy = entropy;
    const { acpi } = this.platform;
    const plan = planBoot(config.image, {
      memoryBytes: config.memoryBytes,
      e820: boardMemoryMap(config.memoryBytes),
      initrd: config.initrd,
      modules: config.modules,
      commandLine: config.commandLine,
      rsdp: acpi.rsdp,
      imageName: config.imageName,
      format: config.format,
    });
    this.description = plan.description;
    const withTables = { ...plan, writes: [...acpi.tables, ...plan.writes] };
    (this.vm ?? this.machine).boot(withTables);
  }

  private end(because: StopReason, explanation: string, status?: number): void {
    this.ending ??= { kind: 'ended', because, explanation, status };
    if (this.vm) this.vm.vcpu.end(because, explanation);
    else this.machine.engine.stop();
  }

  /** Runs until virtual time `limit` (ticks), or until the guest ends. */
  run(limit: number): GuestStop {
    if (this.ending) return this.ending;
    const stop = this.vm ? this.vm.run(limit) : this.runBare(limit);
    return this.ending ?? stop;
  }

  private runBare(limit: number): GuestStop {
    const stop = this.machine.run(limit);
    if (stop === 'shutdown') return { kind: 'ended', because: 'triple-fault', explanation: 'the processor shut down (triple fault)' };
    if (stop === 'gate') throw new Error('a bare machine has no gates');
    return { kind: stop };
  }

  /** Ends the current run() at the next boundary, from a device or timer callback. */
  stop(): void {
    this.machine.engine.stop();
  }

  /** Types bytes at COM1. */
  sendSerial(bytes: Uint8Array): void {
    this.platform.uart.receive(bytes);
  }

  /** Guest instructions retired, and virtual time in ticks. */
  get instructions(): number {
    return this.machine.cpu.retired();
  }
  get time(): number {
    return this.machine.cpu.now();
  }
  /** VM exits by reason; empty when bare. */
  exitRows(details = 3): ExitRow[] {
    return this.vm ? this.vm.vcpu.statistics.rows(details) : [];
  }
  /** Host frames that nobody was given: for tests that poison them. */
  freeFrames(): readonly { readonly base: number; readonly size: number }[] {
    return this.frames?.free() ?? [];
  }
}

/** SplitMix64: random bits that follow from the seed. */
export function seededEntropy(seed: number): EntropySource {
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

/** The physical processor under a VM: the guest's identity with VMX added. */
function hostProfile(cpu: string): CpuProfile {
  return parseProfile(`${cpu.replace(/,-vmx\b/g, '')},+vmx`);
}

function hostRanges(lowRam: number, highRam: number): { base: number; size: number }[] {
  const ranges = [{ base: HOST_RESERVED, size: lowRam - HOST_RESERVED }];
  if (highRam > 0) ranges.push({ base: 0x1_0000_0000, size: highRam });
  return ranges;
}
