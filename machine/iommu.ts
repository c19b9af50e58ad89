/** The IOMMU of the board: which one, where its registers are, and how firmware tells of it. */
import type { CpuProfile } from '../cpu/interfaces';
import { HPET_REQUESTER } from '../devices/hpet';
import type { Scheduler } from '../devices/bus';
import type { InterruptSink } from '../devices/interrupt-message';
import { IOAPIC_ID, IOAPIC_REQUESTER } from '../devices/ioapic';
import type { PciDevice } from '../devices/pci/pci-device';
import { AmdIommu } from '../iommu/amdvi/amd-iommu';
import { ivrs } from '../iommu/amdvi/ivrs';
import { AmdIommuFunction } from '../iommu/amdvi/pci-function';
import { IOMMU_REQUESTER } from '../iommu/amdvi/spec/capability';
import type { DmaRemapper, IommuObserver, TranslationCounts } from '../iommu/remapping';
import type { IommuReport } from '../iommu/report';
import { TablesInDmaMemory } from '../iommu/table-memory';
import { dmar } from '../iommu/vtd/dmar';
import { VTD_BASE, VTD_SIZE, Vtd } from '../iommu/vtd/vtd';
import type { DmaMemory } from '../iommu/dma';
import type { Stateful } from '../memory/stateful';
import type { MmioSpace } from './machine';

export const IOMMU_KINDS = ['vtd', 'amdvi'] as const;
export type IommuKind = (typeof IOMMU_KINDS)[number];

/** The IOMMU that goes with a processor. */
export function iommuKind({ vendor }: CpuProfile): IommuKind {
  return vendor === 'intel' ? 'vtd' : 'amdvi';
}

/** What is the same whoever makes it. */
export interface Iommu extends DmaRemapper, Stateful {
  /** Hears of what is refused and of what is used stale. */
  observer: IommuObserver;
  readonly counts: TranslationCounts;
  /** Its state for people. */
  report(): IommuReport;
}

export interface IommuSurroundings {
  readonly memory: MmioSpace & DmaMemory;
  readonly scheduler: Scheduler;
  /** Interrupts past the remapping. */
  readonly deliver: InterruptSink;
  readonly profile?: CpuProfile;
  /** There is an HPET to tell of. */
  readonly hpet: boolean;
}

export interface BoardIommu {
  readonly unit: Iommu;
  /** ACPI table that describes it. */
  readonly table: Uint8Array;
  /** It is itself a function of the host bridge's device. */
  readonly hostFunction?: { readonly number: number; readonly device: PciDevice };
  /** Requester id of the I/O APIC, where it is not the chipset's usual one. */
  readonly ioApicRequester?: number;
}

const HPET_NUMBER = 0;

/** Puts the IOMMU on the bus. */
export function createIommu(kind: IommuKind, around: IommuSurroundings): BoardIommu {
  switch (kind) {
    case 'vtd':
      return createVtd(around);
    case 'amdvi':
      return createAmdVi(around);
  }
}

function createVtd({ memory, scheduler, deliver, profile, hpet }: IommuSurroundings): BoardIommu {
  const x2apic = profile?.has('x2apic') ?? true;
  const unit = new Vtd(
    { memory: new TablesInDmaMemory(memory), clock: scheduler.clock, deliver },
    { hostAddressWidth: profile?.physicalAddressWidth, extendedInterruptMode: x2apic },
  );
  memory.mapMmio(VTD_BASE, VTD_SIZE, unit);
  const table = dmar({
    registerBase: VTD_BASE,
    hostAddressWidth: unit.capabilities.hostAddressWidth,
    interruptRemapping: unit.capabilities.interruptRemapping,
    ioApics: [{ id: IOAPIC_ID, requester: IOAPIC_REQUESTER }],
    hpets: hpet ? [{ id: HPET_NUMBER, requester: HPET_REQUESTER }] : [],
  });
  return { unit, table };
}

/** In what the chipset claims for itself. */
const AMDVI_BASE = 0xfed8_0000;
/** "The southbridge I/O APIC is always on this device": 00:14.0. Linux remaps no interrupts without one there. */
const AMD_SOUTHBRIDGE = 0x00a0;
const DEFAULT_ADDRESS_WIDTH = 46;

/** DEVIATION: the processors have no AVIC. Nobody hears the doorbell for a guest that runs; its interrupt waits in the backing page. */
function createAmdVi({ memory, scheduler, profile, hpet }: IommuSurroundings): BoardIommu {
  const physicalAddressWidth = profile?.physicalAddressWidth ?? DEFAULT_ADDRESS_WIDTH;
  const unit = new AmdIommu({ memory: new TablesInDmaMemory(memory), now: () => scheduler.clock.now() });
  const device = new AmdIommuFunction(unit, AMDVI_BASE, physicalAddressWidth);
  const table = ivrs({
    requester: IOMMU_REQUESTER,
    capability: device.capability,
    registerBase: AMDVI_BASE,
    physicalAddressWidth,
    ioApics: [{ id: IOAPIC_ID, requester: AMD_SOUTHBRIDGE }],
    hpets: hpet ? [{ id: HPET_NUMBER, requester: AMD_SOUTHBRIDGE }] : [],
  });
  return { unit, table, hostFunction: { number: IOMMU_REQUESTER & 7, device }, ioApicRequester: AMD_SOUTHBRIDGE };
}
