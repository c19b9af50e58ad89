/** The PCI functions that a user gives a guest: disks and devices by name. */
import type { BlockBackend } from '../devices/block-backend';
import { EduDevice } from '../devices/pci/edu';
import { NvmeController } from '../devices/pci/nvme/nvme-controller';
import type { PciDevice } from '../devices/pci/pci-device';
import { VirtioBlock } from '../devices/virtio/block';
import { type VirtioConsole } from '../devices/virtio/console';
import { VirtioEntropy, type RandomBits } from '../devices/virtio/entropy';
import { VirtioPciDevice } from '../devices/virtio/virtio-pci';

export interface DriveConfig {
  readonly kind: 'nvme' | 'virtio-blk';
  /** Where the blocks are. Snapshots need one that is Stateful, as OverlayDisk is, or read-only. */
  readonly backend: BlockBackend;
}

/** What needs nothing but its name. */
export const DEVICE_NAMES = ['edu', 'virtio-rng'] as const;
export type DeviceName = (typeof DEVICE_NAMES)[number];

export interface PciFunctionsConfig {
  readonly drives?: readonly DriveConfig[];
  readonly devices?: readonly DeviceName[];
  readonly virtioConsole?: VirtioConsole;
}

/** Slots 1 to 3 stay free for what boards have there; 1Fh is the board's. */
const FIRST_SLOT = 4;
const LAST_SLOT = 0x1e;
export const MOST_FUNCTIONS = LAST_SLOT - FIRST_SLOT + 1;

/** More disks and devices than slots. */
export class TooManyFunctions extends RangeError {
  override readonly name = 'TooManyFunctions';
}

/** In slots from 4 on, in this order: disks, devices, the console. Throws TooManyFunctions, and RangeError for a disk that cannot be. */
export function pciFunctions({ drives = [], devices = [], virtioConsole }: PciFunctionsConfig, entropy: RandomBits): { slot: number; device: PciDevice }[] {
  const functions = [
    ...drives.map(({ kind, backend }, i) => DRIVES[kind](backend, `vmexit-${i}`)),
    ...devices.map((name) => DEVICES[name](entropy)),
    ...(virtioConsole ? [new VirtioPciDevice(virtioConsole)] : []),
  ];
  if (functions.length > MOST_FUNCTIONS)
    throw new TooManyFunctions(`${functions.length} disks and devices: the PCI bus has room for ${MOST_FUNCTIONS}; leave some out`);
  return functions.map((device, i) => ({ slot: FIRST_SLOT + i, device }));
}

const DRIVES: Readonly<Record<DriveConfig['kind'], (backend: BlockBackend, serial: string) => PciDevice>> = {
  nvme: (backend, serial) => new NvmeController({ backend, serial }),
  'virtio-blk': (backend, serial) => new VirtioPciDevice(new VirtioBlock(backend, serial)),
};

const DEVICES: Readonly<Record<DeviceName, (entropy: RandomBits) => PciDevice>> = {
  edu: () => new EduDevice(),
  'virtio-rng': (entropy) => new VirtioPciDevice(new VirtioEntropy(entropy)),
};
