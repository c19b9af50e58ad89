/**
 * Physical devices that belong to a VM: the IOMMU lets them reach its memory and nothing else, and raise the interrupts that its guest
 * has set up and no others. Everything the hypervisor does for it is in host memory and in registers, so that the state is there, too.
 */
import type { Machine } from '../../machine/machine';
import type { IommuKind } from '../../machine/iommu';
import type { Platform } from '../../machine/platform';
import type { Stateful } from '../../memory/stateful';
import { LARGE, SMALL, type HostFrames } from '../frames';
import type { GuestMemory } from '../guest-memory';
import type { HostDevices } from '../host-devices';
import { AmdViDriver } from './amdvi';
import { AssignedFunction, type InterruptRoutes } from './assigned-function';
import { amdIommu, configurationBase, vtdRegisters } from './firmware-tables';
import { HostInterrupts } from './host-interrupts';
import { INTERRUPT_ENTRIES, type HostMemory, type IoDomain, type IommuDriver, type ReportedFault } from './iommu-driver';
import { PhysicalFunction } from './physical-function';
import { PostedInterrupts, processorPosts } from './posted-interrupts';
import { VtdDriver } from './vtd';

export interface AssignmentOptions {
  /** The physical machine, its devices, and host memory that nobody has. */
  readonly machine: Machine;
  readonly board: Platform;
  readonly frames: HostFrames;
  readonly iommu: IommuKind;
  /** Requester ids of the functions that the VM gets. */
  readonly requesters: readonly number[];
}

export interface AssignmentState {
  /** A VM has the devices. */
  readonly held: boolean;
  readonly faults: readonly ReportedFault[];
}

/** Faults that are kept for people. */
const KEPT_FAULTS = 256;
const PAGES_OF_BLOCK = LARGE / SMALL;

export class DeviceAssignment implements HostDevices, Stateful<AssignmentState> {
  readonly functions: readonly AssignedFunction[];
  /** What the devices reach, or did when a VM had them last. */
  domain: IoDomain | undefined;
  readonly driver: IommuDriver;
  readonly timers: HostDevices['timers'];
  /** What the IOMMU has reported, the latest last. */
  faults: ReportedFault[] = [];
  private readonly interrupts: HostInterrupts;
  /** undefined: interrupts come in the remapped format. */
  readonly posted: PostedInterrupts | undefined;
  private nextEntry = 0;
  private held = false;

  /** Switches the IOMMU on, and resets the functions: nothing of whoever had them before is left. Throws Error for one that cannot be assigned. */
  constructor({ machine, board, frames, iommu, requesters }: AssignmentOptions) {
    const { memory, cpu } = machine;
    // The firmware of the physical machine.
    for (const { address, bytes } of board.acpi.tables) memory.writeBytes(address, bytes);
    const configuration = configurationBase(memory, board.acpi.rsdp);
    this.timers = machine.scheduler;
    this.driver = DRIVERS[iommu]({ memory, frames }, board.acpi.rsdp, configuration);
    cpu.interrupts = this.interrupts = new HostInterrupts(board.interrupts, cpu.interrupts ?? board.interrupts, memory);
    this.driver.enable(this.interrupts.allocate(() => this.report()));
    if (this.driver.posting !== undefined && processorPosts(cpu))
      this.posted = new PostedInterrupts(
        { memory, frames },
        this.interrupts,
        (vector) => void this.functions.some((assigned) => assigned.deliverPosted(vector)),
      );
    this.functions = requesters.map((requester) => {
      const physical = new PhysicalFunction(memory, configuration, requester);
      physical.reset();
      const assigned: AssignedFunction = new AssignedFunction(
        physical,
        this.routesOf(physical, (vector) => assigned.deliver(vector)),
      );
      return assigned;
    });
  }

  /** Entries of the remapping table and vectors of the host, one of each for every vector of the function. */
  private routesOf({ requester, msix, msiVectors }: PhysicalFunction, deliver: (vector: number) => void): InterruptRoutes {
    const count = Math.max(msix?.vectors ?? 0, msiVectors);
    // MSI vectors take the low bits of the index.
    const alignment = Math.max(1, msiVectors);
    const first = Math.ceil(this.nextEntry / alignment) * alignment;
    this.nextEntry = first + count;
    if (this.nextEntry > INTERRUPT_ENTRIES) throw new RangeError(`the assigned devices have more than ${INTERRUPT_ENTRIES} interrupts: assign fewer`);
    const vectors = Array.from({ length: count }, (_, vector) => this.interrupts.allocate(() => deliver(vector)));
    const { driver } = this;
    const isGiven = (vector: number): boolean => vector < count && driver.isRouted(requester, first + vector);
    return {
      give: (vector) => driver.routeInterrupt(requester, first + vector, vectors[vector]),
      isGiven,
      post: (vector, guestVector) => this.post(requester, first + vector, guestVector, vectors[vector]),
      postedAs: (vector) => driver.posting?.vectorOf(requester, first + vector),
      takeAllBack: () => vectors.forEach((_, vector) => isGiven(vector) && driver.routeInterrupt(requester, first + vector, undefined)),
      message: (vector) => driver.message(first + vector),
    };
  }

  /** Switches an entry between the formats. What was posted as long as the entry said so is taken before. */
  private post(requester: number, entry: number, guestVector: number | undefined, hostVector: number): void {
    const { driver, posted } = this;
    if (posted === undefined || driver.posting!.vectorOf(requester, entry) === guestVector) return;
    posted.drain();
    if (guestVector === undefined) driver.routeInterrupt(requester, entry, hostVector);
    else driver.posting!.route(requester, entry, guestVector, posted.descriptor);
  }

  /**
   * Hands the functions over. A device may reach any page at any time, and cannot wait for one: all RAM of the VM gets its host frames
   * now, and keeps them.
   */
  giveTo(memory: GuestMemory): void {
    const { tables } = (this.domain = this.driver.createDomain());
    for (let gpa = 0; gpa < memory.end; gpa += LARGE) {
      const pages = Array.from({ length: PAGES_OF_BLOCK }, (_, i) => memory.host(gpa + i * SMALL));
      const [host] = pages;
      const large = host !== 0 && host % LARGE === 0 && pages.every((page, i) => page === host + i * SMALL);
      if (large) tables.map(gpa, host, LARGE, true);
      else pages.forEach((page, i) => page !== 0 && tables.map(gpa + i * SMALL, page, SMALL, true));
    }
    for (const { physical } of this.functions) this.driver.attach(physical.requester, this.domain);
    this.held = true;
  }

  /** Takes the functions back: quiet, reset, and cut off from the VM's memory. */
  release(): void {
    const { domain } = this;
    if (!this.held || domain === undefined) return;
    this.held = false;
    for (const assigned of this.functions) {
      const { physical } = assigned;
      physical.setBusMaster(false);
      physical.reset();
      assigned.takeInterruptsBack();
      this.driver.detach(physical.requester, domain);
    }
  }

  takeInterrupts(): void {
    this.interrupts.serve();
  }

  private report(): void {
    this.faults = [...this.faults, ...this.driver.takeFaults()].slice(-KEPT_FAULTS);
  }

  saveState(): AssignmentState {
    return { held: this.held, faults: [...this.faults] };
  }

  /** Host memory and the physical devices are restored elsewhere. */
  restoreState({ held, faults }: AssignmentState): void {
    this.held = held;
    this.faults = [...faults];
  }
}

const DRIVERS: Readonly<Record<IommuKind, (host: HostMemory, rsdp: number, configuration: number) => IommuDriver>> = {
  vtd: (host, rsdp) => new VtdDriver(host, vtdRegisters(host.memory, rsdp)),
  amdvi: (host, rsdp, configuration) => {
    const { registers, requester } = amdIommu(host.memory, rsdp);
    return new AmdViDriver(host, registers, new PhysicalFunction(host.memory, configuration, requester));
  },
};
