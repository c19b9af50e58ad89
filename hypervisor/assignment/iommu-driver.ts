/**
 * What VT-d and AMD-Vi have in common for a hypervisor, and nothing else. The drivers behind it program the physical IOMMU as a kernel
 * does: tables in host memory, registers over the bus, commands in a queue.
 */
import type { PhysicalMemory } from '../../memory/physical-memory';
import type { HostFrames } from '../frames';
import type { IoPageTables } from './io-page-tables';

/** Host memory, for tables; and the bus, for registers. */
export interface HostMemory {
  readonly memory: PhysicalMemory;
  readonly frames: HostFrames;
}

/** What the devices of one VM may reach: an address space of guest-physical addresses. */
export interface IoDomain {
  readonly id: number;
  readonly tables: IoPageTables;
}

/** What software writes into a message capability, so that the interrupt is looked up in the remapping table. */
export interface RemappableMessage {
  readonly address: number;
  readonly data: number;
}

/** A refused request as the unit recorded it for software. */
export interface ReportedFault {
  readonly requester: number;
  /** As far as the record tells. */
  readonly request: 'read' | 'write' | 'interrupt';
  /** Of DMA the address (VT-d: its page); of an interrupt what the unit records for it. */
  readonly address: number;
  /** Fault reason (VT-d) or event code (AMD-Vi). */
  readonly code: number;
}

/** Entries of the remapping table that post interrupts instead of sending them. */
export interface InterruptPosting {
  /** Entry `index` puts `vector` into the posted-interrupt descriptor at a physical address. */
  route(requester: number, index: number, vector: number, descriptor: number): void;
  /** The vector that an entry posts; undefined: it is not there, or in the remapped format. */
  vectorOf(requester: number, index: number): number | undefined;
}

export interface IommuDriver {
  /** undefined: the unit has no interrupt posting (or none that this hypervisor uses). */
  readonly posting: InterruptPosting | undefined;
  /** Switches translation and interrupt remapping on; no device may do anything yet. Faults are announced by a host interrupt. */
  enable(faultVector: number): void;
  createDomain(): IoDomain;
  /** The device gets the address space. */
  attach(requester: number, domain: IoDomain): void;
  /** ... and loses it: from now on it reaches nothing. */
  detach(requester: number, domain: IoDomain): void;
  /** Entries of the tables for [address, address + size) changed; both are multiples of 4096, size is a power of two. */
  invalidate(domain: IoDomain, address: number, size: number): void;
  /** Entry `index` of the remapping table, for interrupts of this device only, becomes a host vector, or nothing (undefined). */
  routeInterrupt(requester: number, index: number, vector: number | undefined): void;
  /** The entry is there. */
  isRouted(requester: number, index: number): boolean;
  /** The message that asks for entry `index`; of several MSI vectors, the first. */
  message(index: number): RemappableMessage;
  /** Reads what the unit has recorded, and clears it. */
  takeFaults(): ReportedFault[];
}

/** Physical APIC id of the processor that serves interrupts. */
export const HOST_APIC = 0;
/** Entries of an interrupt remapping table of ours. */
export const INTERRUPT_ENTRIES = 256;
