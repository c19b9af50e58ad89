/** The configuration space of a PCI function: 256 bytes with write masks. PCI Local Bus Specification, chapter 6. */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  /** Class, subclass, programming interface: 24 bits. */
  readonly classCode: number;
  readonly revision: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  readonly headerType?: number;
}

const COMMAND = 0x04;
const INTERRUPT_LINE = 0x3c;
/** I/O, memory, bus master, SERR, parity, INTx disable. */
const COMMAND_WRITABLE = 0x0547;

export class PciDevice {
  readonly config = new Uint8Array(256);
  /** Bits that software may change. */
  protected readonly writable = new Uint8Array(256);

  constructor(identity: PciIdentity) {
    this.put16(0x00, identity.vendor);
    this.put16(0x02, identity.device);
    this.config[0x08] = identity.revision;
    this.config[0x09] = identity.classCode & 0xff;
    this.put16(0x0a, identity.classCode >>> 8);
    this.config[0x0e] = identity.headerType ?? 0;
    this.put16(0x2c, identity.subsystemVendor ?? 0);
    this.put16(0x2e, identity.subsystem ?? 0);
    this.writable[COMMAND] = COMMAND_WRITABLE & 0xff;
    this.writable[COMMAND + 1] = COMMAND_WRITABLE >>> 8;
    this.writable[INTERRUPT_LINE] = 0xff;
  }

  protected put16(offset: number, value: number): void {
    this.config[offset] = value & 0xff;
    this.config[offset + 1] = (value >>> 8) & 0xff;
  }
  protected put32(offset: number, value: number): void {
    this.put16(offset, value & 0xffff);
    this.put16(offset + 2, value >>> 16);
  }
  protected allow(offset: number, bytes: number, mask = 0xff): void {
    this.writable.fill(mask, offset, offset + bytes);
  }

  /** One byte of configuration space; registers beyond 255 (extended space) read as zero. */
  readConfig(offset: number): number {
    return offset < 256 ? this.config[offset] : 0;
  }
  writeConfig(offset: number, value: number): void {
    if (offset >= 256) return;
    const mask = this.writable[offset];
    this.config[offset] = (this.config[offset] & ~mask) | (value & mask);
  }
}

/** Q35 host bridge (MCH), 8086:29C0. */
export class HostBridge extends PciDevice {
  constructor(ecamBase: number) {
    super({ vendor: 0x8086, device: 0x29c0, classCode: 0x06_0000, revision: 2, subsystemVendor: 0x1af4, subsystem: 0x1100 });
    // PCIEXBAR: enabled, 256 buses.
    this.put32(0x60, (ecamBase | 1) >>> 0);
    // PAM and SMRAM are there for firmware; RAM is everywhere.
    this.allow(0x90, 7, 0x33);
    this.allow(0x9d, 1, 0x78);
  }
}

/** ICH9 LPC bridge, 8086:2918, at 00:1f.0. */
export class LpcBridge extends PciDevice {
  constructor(pmBase: number) {
    super({ vendor: 0x8086, device: 0x2918, classCode: 0x06_0100, revision: 2, subsystemVendor: 0x1af4, subsystem: 0x1100, headerType: 0x80 });
    this.put32(0x40, pmBase | 1);
    // ACPI_CNTL: ACPI enabled, SCI on IRQ 9.
    this.config[0x44] = 0x80;
    // PIRQA-H: routing disabled (APIC mode).
    for (const r of [0x60, 0x61, 0x62, 0x63, 0x68, 0x69, 0x6a, 0x6b]) {
      this.config[r] = 0x80;
      this.writable[r] = 0x8f;
    }
    this.config[0x64] = 0x10;
  }
}
