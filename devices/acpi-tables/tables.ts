/** All ACPI tables of the board, at their addresses. */
import { dsdt, type DsdtOptions } from './dsdt';
import { facs, fadt, hpetTable, madt, mcfg, rsdp, rsdt, xsdt } from './fixed-tables';

export interface AcpiTable {
  /** Physical address. */
  readonly address: number;
  readonly bytes: Uint8Array;
}

export interface AcpiTables {
  /** Physical address of the root pointer. */
  readonly rsdp: number;
  readonly tables: readonly AcpiTable[];
}

/** COM1 is what there is unless `serialPorts` says otherwise. */
export interface AcpiOptions extends Omit<DsdtOptions, 'serialPorts'>, Partial<Pick<DsdtOptions, 'serialPorts'>> {
  /** Finished tables of parts that devices do not know, such as an IOMMU's. */
  readonly more?: readonly Uint8Array[];
}

/** Where software looks for the RSDP, on 16-byte boundaries. The memory map says reserved. */
export const ACPI_AREA = { base: 0xf_0000, end: 0x10_0000 } as const;
const RSDP_LENGTH = 36;
const COM1 = { base: 0x3f8, irq: 4 };

/** Throws RangeError when the tables do not fit into the area. */
export function buildAcpiTables(options: AcpiOptions): AcpiTables {
  const tables: AcpiTable[] = [];
  let next = ACPI_AREA.base + RSDP_LENGTH;
  const place = (bytes: Uint8Array, alignment = 16): number => {
    const address = Math.ceil(next / alignment) * alignment;
    next = address + bytes.length;
    if (next > ACPI_AREA.end) throw new RangeError(`the ACPI tables need more than ${ACPI_AREA.end - ACPI_AREA.base} bytes`);
    tables.push({ address, bytes });
    return address;
  };
  const facsAddress = place(facs(), 64);
  const dsdtAddress = place(dsdt({ serialPorts: [COM1], ...options }));
  const { more = [] } = options;
  const hpet = options.hpet ? [hpetTable()] : [];
  const listed = [fadt(facsAddress, dsdtAddress), madt(options.processors), mcfg(), ...hpet, ...more].map((bytes) => place(bytes));
  const root = rsdp(place(rsdt(listed)), place(xsdt(listed)));
  return {
    rsdp: ACPI_AREA.base,
    tables: [{ address: ACPI_AREA.base, bytes: root }, ...tables],
  };
}
