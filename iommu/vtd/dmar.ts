/** The DMAR table, by which firmware tells of remapping hardware: VT-d specification, "DMA Remapping Reporting Structure". */
import { TableWriter } from '../../devices/acpi-tables/table-writer';

/** A device that no PCI enumeration finds, by its enumeration id and by the requester id it sends interrupts with. */
export interface ScopedDevice {
  /** APIC id of an I/O APIC; number of an HPET timer block. */
  readonly id: number;
  readonly requester: number;
}

/** Memory that a device must reach before an operating system drives it. */
export interface ReservedRegion {
  readonly base: number;
  /** Last byte. */
  readonly limit: number;
  /** The PCI functions on bus 0 that use it. */
  readonly requesters: readonly number[];
}

export interface DmarOptions {
  readonly registerBase: number;
  readonly hostAddressWidth: number;
  readonly interruptRemapping: boolean;
  /** Firmware asks software not to use x2APIC mode. */
  readonly x2apicOptOut?: boolean;
  readonly ioApics: readonly ScopedDevice[];
  readonly hpets: readonly ScopedDevice[];
  readonly reservedRegions?: readonly ReservedRegion[];
}

const DmarFlags = { INTR_REMAP: 1, X2APIC_OPT_OUT: 2 } as const;
const STRUCTURE = { drhd: 0, rmrr: 1 } as const;
const INCLUDE_PCI_ALL = 1;
const SCOPE = { pciEndpoint: 1, ioApic: 3, hpet: 4 } as const;
const SEGMENT = 0;
const REVISION = 1;

/** One unit for all of segment 0. Throws RangeError for a reserved region that is not made of pages. */
export function dmar(options: DmarOptions): Uint8Array {
  const { registerBase, hostAddressWidth, interruptRemapping, x2apicOptOut, ioApics, hpets, reservedRegions = [] } = options;
  const flags = interruptRemapping ? DmarFlags.INTR_REMAP | (x2apicOptOut ? DmarFlags.X2APIC_OPT_OUT : 0) : 0;
  const w = new TableWriter().u8(hostAddressWidth - 1, flags).zeros(10);
  const scopes = [...ioApics.map((device) => scope(SCOPE.ioApic, device)), ...hpets.map((device) => scope(SCOPE.hpet, device))];
  w.append(structure(STRUCTURE.drhd, new TableWriter().u8(INCLUDE_PCI_ALL, 0).u16(SEGMENT).u64(registerBase), scopes));
  for (const { base, limit, requesters } of reservedRegions) {
    if (base % 0x1000 !== 0 || limit % 0x1000 !== 0xfff || limit < base)
      throw new RangeError(`a reserved region from 0x${base.toString(16)} to 0x${limit.toString(16)} is not made of pages of 4096 bytes`);
    const body = new TableWriter().zeros(2).u16(SEGMENT).u64(base).u64(limit);
    const devices = requesters.map((requester) => scope(SCOPE.pciEndpoint, { id: 0, requester }));
    w.append(structure(STRUCTURE.rmrr, body, devices));
  }
  return w.table('DMAR', REVISION);
}

/** Type and length of two bytes each, then the body and its device scopes. */
function structure(type: number, body: TableWriter, scopes: readonly Uint8Array[]): Uint8Array {
  for (const bytes of scopes) body.append(bytes);
  const bytes = body.raw();
  return new TableWriter()
    .u16(type)
    .u16(4 + bytes.length)
    .append(bytes)
    .raw();
}

/** A path of one step from the start bus. */
function scope(type: number, { id, requester }: ScopedDevice): Uint8Array {
  const length = 8;
  return new TableWriter().u8(type, length, 0, 0, id, requester >>> 8, (requester >>> 3) & 0x1f, requester & 7).raw();
}
