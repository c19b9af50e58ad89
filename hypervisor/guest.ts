/**
 * A guest ready to run: an image on the physical machine itself (bare), or in a VM under the hypervisor. The same devices, tables and
 * processor identity either way. This is what the command line, the benchmarks and experiments start from.
 */
import { explainFault, explainStale as explainStaleTranslation } from '../iommu/explain';
import { parseProfile } from '../cpu/profiles/profile';
import type { CpuProfile, EntropySource } from '../cpu/interfaces';
import type { BootFormat, BootModule } from '../guests/boot/boot-request';
import { VirtioConsole } from '../devices/virtio/console';
import { BootError } from '../guests/boot/boot-error';
import { planBoot } from '../guests/boot/plan';
import { Machine } from '../machine/machine';
import { iommuKind, type Iommu } from '../machine/iommu';
import { boardMemoryMap } from '../machine/memory-map';
import { platformFactory, type Platform } from '../machine/platform';
import type { Stateful } from '../memory/stateful';
import { DeviceAssignment } from './assignment/assignment';
import { physicalBoard, physicalFunctions } from './assignment/physical-board';
import { pciFunctions, type PciFunctionsConfig } from './pci-functions';
import type { StopReason } from './exit';
import { HostFrames, LARGE } from './frames';
import {
  entropyState,
  requireSameSettings,
  restorePlatform,
  savePlatform,
  settingsOf,
  type GuestSettings,
  type GuestState,
  type GuestSurroundings,
} from './guest-state';
import { ROUTES, type Routes } from './routes';
import type { ExitRow } from './statistics';
import type { ProcessorPolicy, VcpuObserver } from './vcpu';
import { VirtualMachine } from './virtual-machine';
import { VmxProcessor } from './vmx/processor';
import type { VirtualProcessor } from './port';
import { explainStale } from '../svm/vmcb/explain-stale';
import { SvmProcessor } from './svm/processor';

export interface GuestConfig {
  readonly image: Uint8Array;
  readonly imageName?: string;
  readonly format?: 'auto' | BootFormat;
  readonly initrd?: Uint8Array;
  /** What a multiboot kernel is told of where the initial ramdisk, its first module, comes from. */
  readonly initrdName?: string;
  /** Further modules, for PVH and multiboot. */
  readonly modules?: readonly BootModule[];
  readonly commandLine?: string;
  /** RAM of the guest in bytes, a multiple of 4096. */
  readonly memoryBytes: number;
  /** 'bare' runs the image in root mode on the physical machine; 'vmx' and 'svm' in a VM, on a processor with that extension. */
  readonly backend: 'bare' | 'vmx' | 'svm';
  /** Processor identity as the guest sees it: a preset with +feature and -feature (cpu/profiles). Default 'intel'. */
  readonly cpu?: string;
  readonly serialOutput: (byte: number) => void;
  readonly debugOutput?: (byte: number) => void;
  /** isa-debug-exit at this port base; default 4 ports. */
  readonly debugExit?: { readonly iobase: number; readonly iosize?: number };
  /** Seconds since 1970 at tick 0. */
  readonly rtcStart?: number;
  readonly hpet?: boolean;
  /** The machine has the IOMMU of its processor's vendor. Default false. */
  readonly iommu?: boolean;
  /** Disks, in the order in which the guest finds them. */
  readonly drives?: PciFunctionsConfig['drives'];
  /** Further PCI functions. */
  readonly devices?: PciFunctionsConfig['devices'];
  /**
   * Names of disks and devices above that are physical ones, behind an IOMMU, and assigned to the VM: nvme0 is the first NVMe disk, edu0
   * the first edu.
   */
  readonly assign?: readonly string[];
  /** A virtio console: gets the bytes that the guest sends there; Guest.virtioConsole takes bytes for it. */
  readonly virtioConsole?: (byte: number) => void;
  /** Show a VM KVM's CPUID leaves and paravirtual clock. Default false: no hypervisor is to be seen. */
  readonly kvmParavirt?: boolean;
  /** What RDRAND answers, if the processor has it. Default: a generator seeded with 0. Snapshots need one that is Stateful. */
  readonly entropy?: EntropySource;
  /** Permutes the host frames behind guest memory; 0 keeps them in order. */
  readonly frameSeed?: number;
  /** Fills every host frame that is not given out, to show that a guest never sees or touches one. */
  readonly poison?: number;
  /**
   * A processor with AMD-V compares, at every VMRUN, the VMCB fields whose clean bit is 1 with what it has cached: told of each field that
   * the hypervisor changed and called clean.
   */
  readonly checkVmcb?: (explanation: string) => void;
  /** With an IOMMU: told of every request that it refuses, and of every use of a translation whose entry has changed since. */
  readonly explainIommu?: (explanation: string) => void;
  /** Asked now and then between VM exits: true ends the current run() as stop() does. */
  readonly pause?: () => boolean;
  readonly routes?: Routes;
  /** What a VM's CPUID and MSRs do, made from what they do by themselves. */
  readonly policy?: (own: ProcessorPolicy) => ProcessorPolicy;
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

export class Guest implements Stateful<GuestState> {
  readonly machine: Machine;
  readonly vm: VirtualMachine | undefined;
  readonly platform: Platform;
  readonly virtioConsole: VirtioConsole | undefined;
  /** The physical devices that the VM has, and the IOMMU that guards them. */
  readonly assignment: DeviceAssignment | undefined;
  private readonly board: Platform | undefined;
  readonly description: string;
  private readonly frames: HostFrames | undefined;
  private readonly settings: GuestSettings;
  private ending: GuestStop | undefined;
  private running = false;

  /** @param from goes on from a snapshot instead of booting the image: see fromState(). */
  constructor(config: GuestConfig, from?: GuestState) {
    this.settings = settingsOf(config);
    const identity = parseProfile(config.cpu ?? 'intel');
    // A VM is not shown what its hypervisor uses: nested virtualization is not modelled.
    const profile = config.backend === 'bare' ? identity : withoutExtensions(config.cpu ?? 'intel', identity);
    const entropy = config.entropy ?? seededEntropy(0);
    this.virtioConsole = config.virtioConsole && new VirtioConsole(config.virtioConsole);
    const functions = pciFunctions({ ...config, virtioConsole: this.virtioConsole }, entropy);
    const physical = physicalFunctions(config, functions);
    let platform: Platform | undefined;
    const factory = platformFactory(
      {
        memoryBytes: config.memoryBytes,
        serialOutput: config.serialOutput,
        debugOutput: config.debugOutput,
        debugExit: config.debugExit && {
          iobase: config.debugExit.iobase,
          iosize: config.debugExit.iosize,
          exit: (status) => this.end('debug-exit', `isa-debug-exit with status ${status}`, status),
        },
        rtcStart: config.rtcStart ?? DEFAULT_RTC_START,
        hpet: config.hpet,
        iommu: config.iommu ? iommuKind(profile) : undefined,
        profile,
        pciDevices: functions,
        powerOff: () => this.end('power-off', 'the guest powered off'),
        reset: (kind) => this.end('reset', `the guest asked for a reset (${kind})`),
      },
      (p) => (platform = p),
    );
    if (config.backend === 'bare') {
      this.machine = new Machine({ ramBytes: config.memoryBytes, profile, platform: factory });
    } else {
      const ramBytes = Math.ceil(config.memoryBytes / LARGE) * LARGE + HOST_OVERHEAD;
      const host = withExtension(profile, config.backend);
      const iommu = config.backend === 'vmx' ? 'vtd' : 'amdvi';
      let board: Platform | undefined;
      const boardFactory = physical.length === 0 ? undefined : platformFactory(physicalBoard(ramBytes, host, iommu, physical), (p) => (board = p));
      this.machine = new Machine({ ramBytes, profile: host, platform: boardFactory });
      this.board = board;
      const { machine } = this;
      this.frames = new HostFrames(hostRanges(machine.memory.lowRam, machine.memory.highRam), config.frameSeed ?? 0);
      if (config.poison !== undefined)
        for (const { base, size } of this.frames.free()) machine.memory.writeBytes(base, new Uint8Array(size).fill(config.poison));
      const processor = virtualProcessor(machine, config.backend, this.frames, profile);
      if (this.board !== undefined) {
        const requesters = physical.map(({ slot }) => slot * 8);
        const { board, frames } = this;
        this.assignment = new DeviceAssignment({ machine, board, frames, iommu, requesters });
        // The guest finds them where it would find emulated ones.
        for (const [i, { slot }] of physical.entries()) functions[functions.findIndex((f) => f.slot === slot)] = { slot, device: this.assignment.functions[i] };
      }
      this.vm = new VirtualMachine({
        cpu: machine.cpu,
        engine: machine.engine,
        processor,
        frames: this.frames,
        memoryBytes: config.memoryBytes,
        profile,
        platform: factory,
        routes: config.routes ?? ROUTES,
        policy: config.policy,
        kvmParavirt: config.kvmParavirt ? { startEpochSeconds: config.rtcStart ?? DEFAULT_RTC_START } : undefined,
      });
      this.vm.memory.dirtyFrames = config.poison !== undefined;
      this.vm.vcpu.host = this.assignment;
      this.assignment?.giveTo(this.vm.memory);
      this.vm.vcpu.observer = config.observer;
      this.vm.vcpu.pause = config.pause;
    }
    this.watchCleanBits(config);
    this.platform = platform!;
    this.watchIommu(config);
    this.machine.cpu.entropy = entropy;
    if (this.vm) this.vm.vcpu.model().entropy = entropy;
    if (from !== undefined) {
      this.description = from.description;
      this.restoreState(from);
      return;
    }
    const { acpi } = this.platform;
    const plan = planBoot(config.image, {
      memoryBytes: config.memoryBytes,
      e820: boardMemoryMap(config.memoryBytes),
      initrd: config.initrd,
      initrdName: config.initrdName,
      modules: config.modules,
      commandLine: config.commandLine,
      rsdp: acpi.rsdp,
      imageName: config.imageName,
      format: config.format,
    });
    if (plan.entry.mode === 'long64' && !profile.has('lm'))
      throw new BootError(`the image starts in 64-bit mode, which the CPU "${config.cpu ?? 'intel'}" does not have: leave lm in, or use a 32-bit image`);
    this.description = plan.description;
    const withTables = { ...plan, writes: [...acpi.tables, ...plan.writes] };
    (this.vm ?? this.machine).boot(withTables);
  }

  /** A guest that goes on where a snapshot was taken, of this process or another. */
  static fromState(state: GuestState, surroundings: GuestSurroundings): Guest {
    return new Guest({ ...state.settings, ...surroundings, image: new Uint8Array(0) }, state);
  }

  private watchIommu({ explainIommu }: GuestConfig): void {
    const { iommu } = this.board ?? this.platform;
    if (iommu === undefined || explainIommu === undefined) return;
    iommu.observer = { fault: (fault) => explainIommu(explainFault(fault)), stale: (use) => explainIommu(explainStaleTranslation(use)) };
  }

  private watchCleanBits({ checkVmcb }: GuestConfig): void {
    const { svm } = this.machine;
    if (svm === undefined || checkVmcb === undefined) return;
    svm.checkVmcb = true;
    svm.observer.staleVmcb = ({ vmcbAddress }, stale) => checkVmcb(explainStale(vmcbAddress, stale));
  }

  private end(because: StopReason, explanation: string, status?: number): void {
    this.ending ??= { kind: 'ended', because, explanation, status };
    if (this.vm) this.vm.vcpu.end(because, explanation);
    else this.machine.engine.stop();
  }

  /** Runs until virtual time `limit` (ticks), or until the guest ends. */
  run(limit: number): GuestStop {
    if (this.ending) return this.ending;
    this.running = true;
    try {
      const stop = this.vm ? this.vm.run(limit) : this.runBare(limit);
      const end = this.ending ?? stop;
      if (end.kind === 'ended') this.assignment?.release();
      return end;
    } finally {
      this.running = false;
    }
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

  /**
   * The whole machine between two calls of run(). RAM is shared with the snapshot before: the cost is what was written since.
   * Throws Error in a callback during run(), and for a guest with parts that keep no state.
   */
  saveState(): GuestState {
    this.requireStopped('taken');
    return {
      settings: this.settings,
      description: this.description,
      instructions: this.instructions,
      time: this.time,
      machine: this.machine.saveState(),
      platform: savePlatform(this.platform),
      vm: this.vm?.saveState(),
      frames: this.frames?.saveState(),
      host: this.board && this.assignment && { devices: savePlatform(this.board), assignment: this.assignment.saveState() },
      entropy: entropyState(this.machine.cpu.entropy).saveState(),
      ending: this.ending,
    };
  }

  /** Puts this guest where the snapshot was taken. Throws Error for a snapshot of a guest with other settings; then nothing was changed. */
  restoreState(state: GuestState): void {
    this.requireStopped('restored');
    requireSameSettings(state.settings, this.settings);
    restorePlatform(this.platform, state.platform);
    if (this.board && this.assignment && state.host) {
      restorePlatform(this.board, state.host.devices);
      this.assignment.restoreState(state.host.assignment);
    }
    this.machine.restoreState(state.machine);
    if (this.vm && state.vm) this.vm.restoreState(state.vm);
    if (this.frames && state.frames) this.frames.restoreState(state.frames);
    entropyState(this.machine.cpu.entropy).restoreState(state.entropy);
    this.ending = state.ending;
  }

  private requireStopped(what: string): void {
    if (this.running) throw new Error(`a snapshot cannot be ${what} while the guest runs: call stop(), and do it when run() has returned`);
  }

  /** Types bytes at COM1. */
  sendSerial(bytes: Uint8Array): void {
    this.platform.uart.receive(bytes);
  }

  /** The guest takes serial input as it comes: by interrupt, or polling. */
  get listening(): boolean {
    return this.platform.uart.listening;
  }

  /** Guest instructions retired, and virtual time in ticks. */
  get instructions(): number {
    return this.machine.cpu.retired();
  }
  get time(): number {
    return this.machine.cpu.now();
  }
  /** The IOMMU in front of assigned devices. */
  get physicalIommu(): Iommu | undefined {
    return this.board?.iommu;
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
export function seededEntropy(seed: number): EntropySource & Stateful<bigint> {
  let state = BigInt(seed);
  return {
    next: () => {
      state = BigInt.asUintN(64, state + 0x9e37_79b9_7f4a_7c15n);
      let z = state;
      z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
      z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn);
      return z ^ (z >> 31n);
    },
    saveState: () => state,
    restoreState: (saved) => void (state = saved),
  };
}

/** The same identity without VT-x and AMD-V. */
function withoutExtensions(text: string, identity: CpuProfile): CpuProfile {
  const there = ['vmx', 'svm'].filter((feature) => identity.has(feature));
  return there.length === 0 ? identity : parseProfile([text, ...there.map((feature) => `-${feature}`)].join(','));
}

/** What AMD-V has stands in CPUID; an identity that is not AMD's has no such leaf, but the processor under its VM does. */
const SVM_HOST = parseProfile('amd-svm');
const SVM_LEAF = 0x8000_000a;

/** The hypervisor's root program runs in 64-bit mode, whatever its guest's processor lacks. */
const NEEDED_BY_THE_HOST = new Set(['lm', 'pae', 'msr', 'nx', 'fxsr', 'sse', 'sse2', 'syscall', 'xsave']);

/** The physical processor under a VM: the guest's identity, with one extension and not the other. */
function withExtension(guest: CpuProfile, extension: 'vmx' | 'svm'): CpuProfile {
  return {
    name: `${guest.name} with ${extension}`,
    vendor: guest.vendor,
    physicalAddressWidth: guest.physicalAddressWidth,
    cpuid: (leaf, subleaf) => (extension === 'svm' && leaf === SVM_LEAF ? SVM_HOST.cpuid(leaf, subleaf) : guest.cpuid(leaf, subleaf)),
    has: (feature) => {
      if (feature === 'vmx' || feature === 'svm') return feature === extension;
      return NEEDED_BY_THE_HOST.has(feature) || guest.has(feature);
    },
  };
}

function virtualProcessor(machine: Machine, backend: 'vmx' | 'svm', frames: HostFrames, guest: CpuProfile): VirtualProcessor {
  const { cpu, engine, vmx, svm, scheduler } = machine;
  if (backend === 'vmx' && vmx !== undefined) return new VmxProcessor(cpu, engine, vmx, frames, guest);
  if (backend === 'svm' && svm !== undefined) return new SvmProcessor(cpu, engine, svm, frames, guest, scheduler);
  throw new Error(`the processor has no ${backend.toUpperCase()}`);
}

function hostRanges(lowRam: number, highRam: number): { base: number; size: number }[] {
  const ranges = [{ base: HOST_RESERVED, size: lowRam - HOST_RESERVED }];
  if (highRam > 0) ranges.push({ base: 0x1_0000_0000, size: highRam });
  return ranges;
}
