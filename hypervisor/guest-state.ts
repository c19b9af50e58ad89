/** A whole guest as data: what it was built from, the hardware, the hypervisor if it has one, and RAM. */
import type { EntropySource } from '../cpu/interfaces';
import type { MachineState } from '../machine/machine';
import { partState } from '../machine/part-state';
import type { Platform } from '../machine/platform';
import type { AssignmentState } from './assignment/assignment';
import type { HostFramesState } from './frames';
import type { GuestConfig, GuestStop } from './guest';
import type { VirtualMachineState } from './virtual-machine';

/** What of a configuration shapes the machine. All of it is data; a guest can be built from it without the image, which is in RAM. */
const SETTINGS = [
  'memoryBytes',
  'backend',
  'cpu',
  'debugExit',
  'rtcStart',
  'hpet',
  'devices',
  'assign',
  'iommu',
  'kvmParavirt',
  'frameSeed',
  'poison',
] as const satisfies readonly (keyof GuestConfig)[];
/** What is only good to know. */
const ABOUT = ['imageName', 'commandLine', 'format'] as const satisfies readonly (keyof GuestConfig)[];

export type GuestSettings = Pick<GuestConfig, (typeof SETTINGS)[number] | (typeof ABOUT)[number]>;
/** What a snapshot cannot hold, because it is code: where output goes, and what overrides the hypervisor. */
export type GuestSurroundings = Pick<GuestConfig, 'serialOutput' | 'debugOutput' | 'drives' | 'virtioConsole' | 'entropy' | 'routes' | 'policy' | 'observer'>;

export interface GuestState {
  readonly settings: GuestSettings;
  readonly description: string;
  /** Instructions retired and virtual time, for people and listings. */
  readonly instructions: number;
  readonly time: number;
  readonly machine: MachineState;
  readonly platform: Readonly<Record<string, unknown>>;
  /** Absent when bare. */
  readonly vm: VirtualMachineState | undefined;
  readonly frames: HostFramesState | undefined;
  /** The physical machine's devices, where some are assigned to the VM. */
  readonly host?: { readonly devices: Readonly<Record<string, unknown>>; readonly assignment: AssignmentState };
  readonly entropy: unknown;
  readonly ending: GuestStop | undefined;
}

export function settingsOf(config: GuestConfig): GuestSettings {
  return Object.fromEntries([...SETTINGS, ...ABOUT].filter((key) => config[key] !== undefined).map((key) => [key, config[key]])) as unknown as GuestSettings;
}

/** Throws Error when a snapshot is of a guest that was built otherwise, and names the settings. */
export function requireSameSettings(snapshot: GuestSettings, guest: GuestSettings): void {
  const text = (value: unknown): string => JSON.stringify(value) ?? 'the default';
  const different = SETTINGS.filter((key) => text(snapshot[key]) !== text(guest[key]));
  if (different.length === 0) return;
  const list = different.map((key) => `${key} is ${text(snapshot[key])} there and ${text(guest[key])} here`).join('; ');
  throw new Error(`the snapshot is of another machine (${list}): restore it into a guest of its own with Guest.fromState()`);
}

export function savePlatform({ devices }: Platform): Record<string, unknown> {
  return Object.fromEntries(Object.entries(devices).map(([name, device]) => [name, device.saveState()]));
}

/** In the platform's order. Throws Error when the snapshot has other devices; then nothing was changed. */
export function restorePlatform({ devices }: Platform, saved: Readonly<Record<string, unknown>>): void {
  const [mine, theirs] = [Object.keys(devices).join(', '), Object.keys(saved).join(', ')];
  if (mine !== theirs) throw new Error(`the snapshot has the devices ${theirs}; this machine has ${mine}`);
  for (const [name, device] of Object.entries(devices)) device.restoreState(saved[name]);
}

export const entropyState = (source: EntropySource | undefined) => partState(source, 'the entropy source given to this guest');
