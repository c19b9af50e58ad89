/** The tables of fixed layout: ACPI specification, "ACPI Software Programming Model"; IA-PC HPET specification; PCI firmware specification. */
import { ACPI_PM_BASE, GPE0_BLK, PM1A_CNT_BLK, PM1A_EVT_BLK, PM_TMR_BLK } from '../acpi-pm';
import { HPET_BASE, HPET_ID } from '../hpet';
import { IOAPIC_BASE, IOAPIC_ID } from '../ioapic';
import { ECAM_BASE } from '../pci/pci-bus';
import { TableWriter, fixChecksum } from './table-writer';

const LOCAL_APIC_BASE = 0xfee0_0000;
export const SCI_IRQ = 9;
const RESET_PORT = 0xcf9;
/** Full reset: RST_CPU, SYS_RST, FULL_RST. */
const RESET_VALUE = 0x0e;
const CMOS_CENTURY = 0x32;
const DESKTOP = 1;
/** Latencies above 100 and 1000 microseconds say that there is no C2 and no C3. */
const NO_C2 = 0x0fff;
const NO_C3 = 0x0fff;
const BOOT_ARCHITECTURE = { legacyDevices: 0x1, i8042: 0x2 } as const;
const FLAGS = { WBINVD: 1 << 0, PROC_C1: 1 << 2, SLP_BUTTON: 1 << 5, FIX_RTC: 1 << 6, RESET_REG_SUP: 1 << 10 } as const;

/** FADT of ACPI 5.0. The fixed power button exists, the sleep button and the RTC wake-up do not; the PM timer has 24 bits. */
export function fadt(facs: number, dsdt: number): Uint8Array {
  const pm1Event = ACPI_PM_BASE + PM1A_EVT_BLK.offset;
  const pm1Control = ACPI_PM_BASE + PM1A_CNT_BLK.offset;
  const timer = ACPI_PM_BASE + PM_TMR_BLK.offset;
  const gpe0 = ACPI_PM_BASE + GPE0_BLK.offset;
  const w = new TableWriter();
  w.u32(facs).u32(dsdt).u8(0, DESKTOP).u16(SCI_IRQ);
  // SMI_CMD, ACPI_ENABLE, ACPI_DISABLE, S4BIOS_REQ, PSTATE_CNT: without an SMI command port the system is in ACPI mode already.
  w.u32(0).u8(0, 0, 0, 0);
  // PM1a and PM1b events, PM1a and PM1b controls, PM2 control, timer, GPE0, GPE1.
  w.u32(pm1Event).u32(0).u32(pm1Control).u32(0).u32(0).u32(timer).u32(gpe0).u32(0);
  w.u8(PM1A_EVT_BLK.length, PM1A_CNT_BLK.length, 0, PM_TMR_BLK.length, GPE0_BLK.length, 0, 0, 0);
  w.u16(NO_C2).u16(NO_C3);
  // FLUSH_SIZE, FLUSH_STRIDE (WBINVD works); DUTY_OFFSET, DUTY_WIDTH; DAY_ALRM, MON_ALRM, CENTURY.
  w.u16(0).u16(0).u8(0, 0, 0, 0, CMOS_CENTURY);
  w.u16(BOOT_ARCHITECTURE.legacyDevices | BOOT_ARCHITECTURE.i8042).u8(0);
  w.u32(FLAGS.WBINVD | FLAGS.PROC_C1 | FLAGS.SLP_BUTTON | FLAGS.FIX_RTC | FLAGS.RESET_REG_SUP);
  w.ioAddress(RESET_PORT, 1, 1).u8(RESET_VALUE).u16(0).u8(0);
  // X_FIRMWARE_CTRL stays 0 because FIRMWARE_CTRL is used.
  w.u64(0).u64(dsdt);
  w.ioAddress(pm1Event, PM1A_EVT_BLK.length, 2).noAddress().ioAddress(pm1Control, PM1A_CNT_BLK.length, 2).noAddress().noAddress();
  w.ioAddress(timer, PM_TMR_BLK.length, 4).ioAddress(gpe0, GPE0_BLK.length, 1).noAddress();
  // SLEEP_CONTROL_REG and SLEEP_STATUS_REG are for hardware-reduced ACPI.
  w.noAddress().noAddress();
  return w.table('FACP', 5);
}

/** The firmware ACPI control structure has a header of its own and no checksum. */
export function facs(): Uint8Array {
  const length = 64;
  const version = 2;
  // Hardware signature, waking vector, global lock, flags, 64-bit waking vector.
  return new TableWriter().text('FACS', 4).u32(length).u32(0).u32(0).u32(0).u32(0).u64(0).u8(version).zeros(31).raw();
}

const MADT_ENTRY = { localApic: 0, ioApic: 1, interruptSourceOverride: 2, localApicNmi: 4 } as const;
const PCAT_COMPAT = 1;
const ENABLED = 1;
const ISA_BUS = 0;
const MPS_INTI = { conforms: 0, activeHigh: 1, levelTriggered: 3 << 2 } as const;
const ALL_PROCESSORS = 0xff;
const LINT1 = 1;

export function madt(processors: readonly number[]): Uint8Array {
  const w = new TableWriter().u32(LOCAL_APIC_BASE).u32(PCAT_COMPAT);
  processors.forEach((apicId, uid) => w.u8(MADT_ENTRY.localApic, 8, uid, apicId).u32(ENABLED));
  w.u8(MADT_ENTRY.ioApic, 12, IOAPIC_ID, 0).u32(IOAPIC_BASE).u32(0);
  w.u8(MADT_ENTRY.interruptSourceOverride, 10, ISA_BUS, 0).u32(2).u16(MPS_INTI.conforms);
  w.u8(MADT_ENTRY.interruptSourceOverride, 10, ISA_BUS, SCI_IRQ)
    .u32(SCI_IRQ)
    .u16(MPS_INTI.activeHigh | MPS_INTI.levelTriggered);
  w.u8(MADT_ENTRY.localApicNmi, 6, ALL_PROCESSORS).u16(MPS_INTI.conforms).u8(LINT1);
  return w.table('APIC', 3);
}

/** Segment 0, buses 0 to 255. */
export function mcfg(): Uint8Array {
  return new TableWriter().zeros(8).u64(ECAM_BASE).u16(0).u8(0, 0xff).zeros(4).table('MCFG', 1);
}

export function hpetTable(): Uint8Array {
  const number = 0;
  /** Shortest period that loses no tick, in counts. */
  const minimumTick = 0x80;
  return new TableWriter().u32(HPET_ID).memoryAddress(HPET_BASE, 64).u8(number).u16(minimumTick).u8(0).table('HPET', 1);
}

export function rsdt(tables: readonly number[]): Uint8Array {
  return tables.reduce((w, address) => w.u32(address), new TableWriter()).table('RSDT', 1);
}

export function xsdt(tables: readonly number[]): Uint8Array {
  return tables.reduce((w, address) => w.u64(address), new TableWriter()).table('XSDT', 1);
}

/** The first checksum covers the 20 bytes of ACPI 1.0, the extended one all 36. */
export function rsdp(rsdtAddress: number, xsdtAddress: number): Uint8Array {
  const revision = 2;
  const length = 36;
  const bytes = new TableWriter().text('RSD PTR ', 8).u8(0).text('VMEXIT', 6).u8(revision).u32(rsdtAddress).u32(length).u64(xsdtAddress).zeros(4).raw();
  fixChecksum(bytes.subarray(0, 20), 8);
  fixChecksum(bytes, 32);
  return bytes;
}
