/** The ACPI tables of the board: RSDP, RSDT, XSDT, FADT, FACS, MADT, MCFG, HPET, DSDT. ACPI specification 6.x, "ACPI Software Programming Model". */
import { ACPI_PM_BASE, GPE0_BLK, PM1A_CNT_BLK, PM1A_EVT_BLK, PM_TMR_BLK, SLEEP_TYPE } from '../acpi-pm';
import { HPET_BASE, HPET_ID } from '../hpet';
import { IOAPIC_BASE } from '../ioapic';
import { ECAM_BASE, ECAM_SIZE } from '../pci/pci-bus';
import { Resource, define, device, eisaId, integer, list, resources, scope, string, type Aml } from './aml';

export interface AcpiTable {
  /** Guest-physical address. */
  readonly address: number;
  readonly bytes: Uint8Array;
}
export interface AcpiTables {
  readonly rsdp: number;
  readonly tables: readonly AcpiTable[];
}
export interface AcpiOptions {
  /** APIC ids of the processors. */
  readonly processors: readonly number[];
  readonly hpet: boolean;
}

/** The tables live in the BIOS area, where E820 says reserved; the RSDP is found by its scan. */
const AREA = 0xf_0000;
const LAPIC_BASE = 0xfee0_0000;
const SCI = 9;
const RESET_PORT = 0xcf9;
const RESET_VALUE = 0x0e;
const CENTURY = 0x32;

class Writer {
  readonly bytes: number[] = [];
  u8(...values: number[]): this {
    for (const v of values) this.bytes.push(v & 0xff);
    return this;
  }
  u16(value: number): this { return this.u8(value, value >>> 8); }
  u32(value: number): this { return this.u16(value & 0xffff).u16(value >>> 16); }
  u64(value: number): this { return this.u32(value % 0x1_0000_0000).u32(Math.floor(value / 0x1_0000_0000)); }
  text(value: string, width: number): this { return this.u8(...Array.from({ length: width }, (_v, i) => (i < value.length ? value.charCodeAt(i) : 0x20))); }
  zero(count: number): this { return this.u8(...new Array<number>(count).fill(0)); }
}

const sum = (bytes: readonly number[]): number => bytes.reduce((a, b) => (a + b) & 0xff, 0);
const checksum = (bytes: number[], at: number): Uint8Array => {
  bytes[at] = 0;
  bytes[at] = (256 - sum(bytes)) & 0xff;
  return Uint8Array.from(bytes);
};

/** A table with the standard header. */
function table(signature: string, revision: number, body: readonly number[]): Uint8Array {
  const w = new Writer().text(signature, 4).u32(36 + body.length).u8(revision, 0).text('VMEXIT', 6).text('VMEXITPC', 8).u32(1).text('VMEX', 4).u32(1);
  return checksum([...w.bytes, ...body], 9);
}

/** Generic address structure: I/O space. */
const gas = (w: Writer, port: number, bits: number): Writer => w.u8(1, bits, 0, bits === 8 ? 1 : bits === 16 ? 2 : 3).u64(port);

function fadt(facs: number, dsdt: number): Uint8Array {
  const pm = (block: { readonly offset: number }): number => ACPI_PM_BASE + block.offset;
  const w = new Writer().u32(facs).u32(dsdt);
  // No SMI command port: the platform is always in ACPI mode.
  w.u8(0, 0).u16(SCI).u32(0).u8(0, 0, 0, 0);
  w.u32(pm(PM1A_EVT_BLK)).u32(0).u32(pm(PM1A_CNT_BLK)).u32(0).u32(0).u32(pm(PM_TMR_BLK)).u32(pm(GPE0_BLK)).u32(0);
  w.u8(PM1A_EVT_BLK.length, PM1A_CNT_BLK.length, 0, PM_TMR_BLK.length, GPE0_BLK.length, 0, 0, 0);
  // C2 and C3 latencies that say "not supported"; no cache flushing by hand; no duty cycle; RTC century.
  w.u16(0x65).u16(0x3e9).u16(0).u16(0).u8(0, 0, 0, 0, CENTURY);
  // IA-PC boot flags: legacy devices and an 8042. Flags: WBINVD, C1, sleep button absent (control method), RTC wake not fixed, reset register.
  w.u16(0x0003).u8(0).u32((1 << 0) | (1 << 2) | (1 << 5) | (1 << 6) | (1 << 10));
  gas(w, RESET_PORT, 8).u8(RESET_VALUE).u16(0).u8(0).u64(facs).u64(dsdt);
  gas(w, pm(PM1A_EVT_BLK), 32);
  w.zero(12);
  gas(w, pm(PM1A_CNT_BLK), 16);
  w.zero(24);
  gas(w, pm(PM_TMR_BLK), 32);
  gas(w, pm(GPE0_BLK), 128);
  w.zero(12 + 24);
  return table('FACP', 5, w.bytes);
}

function facs(): Uint8Array {
  return Uint8Array.from(new Writer().text('FACS', 4).u32(64).zero(24).u8(2).zero(31).bytes);
}

function madt(processors: readonly number[]): Uint8Array {
  const w = new Writer().u32(LAPIC_BASE).u32(1);
  processors.forEach((id, i) => w.u8(0, 8, i, id).u32(1));
  w.u8(1, 12, 0, 0).u32(IOAPIC_BASE).u32(0);
  // ISA IRQ 0 is on input 2; IRQ 9 (SCI) is level-triggered, active high.
  w.u8(2, 10, 0, 0).u32(2).u16(0);
  w.u8(2, 10, 0, SCI).u32(SCI).u16(0x000d);
  // NMI on LINT1 of every processor.
  w.u8(4, 6, 0xff).u16(0).u8(1);
  return table('APIC', 4, w.bytes);
}

const mcfg = (): Uint8Array => table('MCFG', 1, new Writer().zero(8).u64(ECAM_BASE).u16(0).u8(0, 255).u32(0).bytes);
const hpet = (): Uint8Array => table('HPET', 1, new Writer().u32(HPET_ID).u8(0, 64, 0, 0).u64(HPET_BASE).u8(0).u16(128).u8(0).bytes);

/** _PRT: INTA-INTD of every slot swizzled over the I/O APIC inputs 16-19. */
function interruptRouting(): Aml {
  const rows: Aml[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 0; pin < 4; pin++) rows.push(list(integer(slot * 0x1_0000 + 0xffff), integer(pin), integer(0), integer(16 + ((slot + pin) & 3))));
  }
  return define('_PRT', list(...rows.slice(0, 128)));
}

function dsdt(withHpet: boolean): Uint8Array {
  const isa = (id: string, path: string, uid: number, ...resource: Aml[]): Aml => device(path, define('_HID', eisaId(id)), define('_UID', integer(uid)), define('_CRS', resources(...resource)));
  const pci = device(
    'PCI0',
    define('_HID', eisaId('PNP0A08')),
    define('_CID', eisaId('PNP0A03')),
    define('_UID', integer(0)),
    define('_BBN', integer(0)),
    define('_CRS', resources(Resource.busNumbers(0, 255), Resource.io(0xcf8, 8), Resource.ioWindow(0, 0xcf7), Resource.ioWindow(0xd00, 0xffff), Resource.memoryWindow(0xa_0000, 0xb_ffff), Resource.memoryWindow(0xc000_0000, ECAM_BASE - 1), Resource.memoryWindow(0xf000_0000, 0xfebf_ffff))),
    interruptRouting(),
    device(
      'ISA',
      define('_ADR', integer(0x1f_0000)),
      isa('PNP0B00', 'RTC', 0, Resource.io(0x70, 8), Resource.irq(8)),
      isa('PNP0303', 'KBD', 0, Resource.io(0x60, 1), Resource.io(0x64, 1), Resource.irq(1)),
      isa('PNP0F13', 'MOU', 0, Resource.irq(12)),
      isa('PNP0501', 'COM1', 1, Resource.io(0x3f8, 8), Resource.irq(4)),
    ),
  );
  const reserved = device('ECAM', define('_HID', eisaId('PNP0C02')), define('_UID', integer(1)), define('_CRS', resources(Resource.memoryFixed(ECAM_BASE, ECAM_SIZE), Resource.io(ACPI_PM_BASE, 0x80))));
  const timer = withHpet ? device('HPET', define('_HID', eisaId('PNP0103')), define('_UID', integer(0)), define('_CRS', resources(Resource.memoryFixed(HPET_BASE, 0x400)))) : [];
  const processor = device('CPU0', define('_HID', string('ACPI0007')), define('_UID', integer(0)));
  const terms = [define('\\_S5', list(integer(SLEEP_TYPE.S5), integer(SLEEP_TYPE.S5), integer(0), integer(0))), scope('\\_SB', pci, reserved, timer, processor)];
  return table('DSDT', 2, terms.flat());
}

/** All tables at their addresses; the RSDP comes first, on a 16-byte boundary below 1 MiB. */
export function buildAcpiTables(options: AcpiOptions): AcpiTables {
  const tables: AcpiTable[] = [];
  let next = AREA + 64;
  const place = (bytes: Uint8Array, align = 16): number => {
    next = Math.ceil(next / align) * align;
    const address = next;
    tables.push({ address, bytes });
    next += bytes.length;
    return address;
  };
  const facsAt = place(facs(), 64);
  const dsdtAt = place(dsdt(options.hpet));
  const entries = [place(fadt(facsAt, dsdtAt)), place(madt(options.processors)), place(mcfg())];
  if (options.hpet) entries.push(place(hpet()));
  const rsdt = place(table('RSDT', 1, entries.reduce((w, a) => w.u32(a), new Writer()).bytes));
  const xsdt = place(table('XSDT', 1, entries.reduce((w, a) => w.u64(a), new Writer()).bytes));
  const rsdp = new Writer().text('RSD PTR ', 8).u8(0).text('VMEXIT', 6).u8(2).u32(rsdt).u32(36).u64(xsdt).u8(0).zero(3).bytes;
  // Two checksums: over the first 20 bytes, then over all 36.
  rsdp[8] = (256 - sum(rsdp.slice(0, 20))) & 0xff;
  tables.push({ address: AREA, bytes: checksum(rsdp, 32) });
  return { rsdp: AREA, tables };
}
