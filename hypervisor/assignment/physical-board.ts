/** The physical machine under a VM that has some of its devices: which devices, and the board around them. */
import type { CpuProfile } from '../../cpu/interfaces';
import type { PciDevice } from '../../devices/pci/pci-device';
import type { IommuKind } from '../../machine/iommu';
import type { PlatformOptions } from '../../machine/platform';
import type { PciFunctionsConfig } from '../pci-functions';
import { assignedIndexes, AssignmentError } from './assignable';

export interface AssignmentConfig extends Pick<PciFunctionsConfig, 'drives' | 'devices'> {
  readonly assign?: readonly string[];
  readonly backend: 'bare' | 'vmx' | 'svm';
  /** The VM has an IOMMU of its own. */
  readonly iommu?: boolean;
}

interface SlottedFunction {
  readonly slot: number;
  readonly device: PciDevice;
}

/** Those of `functions` that are assigned to the VM. Throws AssignmentError. */
export function physicalFunctions(config: AssignmentConfig, functions: readonly SlottedFunction[]): SlottedFunction[] {
  const { assign = [], backend, iommu } = config;
  if (assign.length === 0) return [];
  if (backend === 'bare') throw new AssignmentError('a bare machine has all devices already: there is no VM to assign them to');
  if (iommu) throw new AssignmentError("the VM's own IOMMU cannot translate for a physical device: leave it out");
  return assignedIndexes(assign, config).map((index) => functions[index]);
}

/** Nothing but the hypervisor runs on it: nobody hears its serial port, or switches it off. */
export function physicalBoard(memoryBytes: number, profile: CpuProfile, iommu: IommuKind, pciDevices: readonly SlottedFunction[]): PlatformOptions {
  const nobody = (): void => {};
  return { memoryBytes, profile, iommu, pciDevices, serialOutput: nobody, rtcStart: 0, powerOff: nobody, reset: nobody };
}
