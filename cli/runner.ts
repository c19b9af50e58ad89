/** What the command line needs of a machine that runs a guest, bare or under the hypervisor. */
import type { BootModule } from '../guests/boot/boot-request';
import type { RecordingLine } from '../debugger/recording';
import type { DeviceName, DriveConfig } from '../hypervisor/pci-functions';
import type { VcpuObserver } from '../hypervisor/vcpu';
import type { RunOutcome } from './exit-codes';
import type { StatsSummary } from './stats-table';

export type RunStop =
  /** Virtual time went on by as many ticks as asked for. */
  | { readonly kind: 'limit' }
  /** Halted with no timer that could wake it; input may. */
  | { readonly kind: 'idle' }
  /** A debugger has it stand still. */
  | { readonly kind: 'held' }
  | { readonly kind: 'ended'; readonly outcome: RunOutcome };

export interface GuestRunner {
  /** Runs for `maxInstructions` ticks at most (one retired instruction, or one idle nanosecond, is a tick). */
  run(maxInstructions: number): RunStop;
  /** Bytes for the receiver of the console port. May be called from inside `serialOutput`. */
  sendSerial(bytes: Uint8Array): void;
  /** Bytes for the guest's virtio console. */
  sendConsole?(bytes: Uint8Array): void;
  /** The guest takes serial input as it comes: by interrupt, or polling. */
  listening(): boolean;
  stats(): StatsSummary;
  /** The run is over; how, in a word. */
  ended?(because: string): void;
}

export interface GuestSpec {
  readonly image: Uint8Array;
  readonly imageName: string;
  readonly initrd?: Uint8Array;
  /** As the user gave it. */
  readonly initrdName?: string;
  readonly modules: readonly BootModule[];
  readonly commandLine: string;
  readonly format: 'auto' | 'flat32' | 'flat64';
  /** A multiple of 4 KiB. */
  readonly memoryBytes: number;
  readonly bare: boolean;
  readonly backend: 'vmx' | 'svm';
  readonly cpu: string;
  /** KVM's paravirtual interface. */
  readonly kvmParavirt: boolean;
  /** The IOMMU of the processor's vendor. */
  readonly iommu?: boolean;
  readonly drives?: readonly DriveConfig[];
  readonly devices?: readonly DeviceName[];
  /** Names of drives and devices that are physical ones, assigned to the VM. */
  readonly assign?: readonly string[];
  /** Ports at which a write ends the run. */
  readonly debugExit?: number;
  /** How many ports. */
  readonly debugExitSize?: number;
  /** Seconds since 1970. */
  readonly rtcStart: number;
  /** Which host frames a guest gets, and what RDRAND answers. */
  readonly seed: number;
  readonly serialOutput: (byte: number) => void;
  /** The guest has a virtio console, which gives this its output. */
  readonly virtioConsole?: (byte: number) => void;
  /** Asked now and then between exits: true ends the slice early. */
  readonly overdue?: () => boolean;
  /** Told of each VMCB field that was changed although its clean bit says otherwise. */
  readonly checkVmcb?: (explanation: string) => void;
  /** Told of what the IOMMU refuses, and of translations that it uses although their entries have changed. */
  readonly explainIommu?: (explanation: string) => void;
  /** Hears of every VM exit. */
  readonly observer?: VcpuObserver;
  /** Gets the lines of a recording of the run. */
  readonly record?: (line: RecordingLine) => void;
}

/** Throws UserError for what cannot be run. */
export type CreateRunner = (spec: GuestSpec) => GuestRunner;
