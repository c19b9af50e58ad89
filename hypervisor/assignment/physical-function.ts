/** A PCI function of the physical machine in the hands of the hypervisor: configuration space through ECAM, base addresses, reset, messages. */
import type { AccessSize } from '../../devices/bus';
import { MSI_CAPABILITY } from '../../devices/pci/msi';
import { MSIX_CAPABILITY, type MsixPlace } from '../../devices/pci/msix';
import { Command, PciRegister } from '../../devices/pci/pci-device';
import type { PhysicalMemory } from '../../memory/physical-memory';
import type { RemappableMessage } from './iommu-driver';

export interface PhysicalBar {
  /** Register, 0 to 5. */
  readonly index: number;
  readonly kind: 'memory32' | 'memory64';
  readonly size: number;
  readonly prefetchable: boolean;
  /** Where firmware put it. */
  readonly address: number;
}

export const EXPRESS_CAPABILITY = 0x10;
export const DEVICE_CONTROL = 8;
export const INITIATE_FLR = 0x8000;
const DEVICE_CAPABILITIES = 4;
const FLR_CAPABLE = 0x1000_0000;
const BARS = 6;
const BarFlag = { IO: 1, TYPE_64: 4, PREFETCHABLE: 8, FLAGS: 0xf } as const;
const Msi = { CONTROL: 2, ADDRESS: 4, UPPER_ADDRESS: 8, DATA_32: 8, DATA_64: 12, MASK_32: 12, MASK_64: 16 } as const;
const MsiControl = { ENABLE: 0x1, CAPABLE_SHIFT: 1, ENABLED_VECTORS_SHIFT: 4, ADDRESS_64: 0x80, PER_VECTOR_MASKING: 0x100 } as const;
const Msix = { CONTROL: 2, TABLE: 4, PENDING: 8, ENTRY: 16, VECTOR_CONTROL: 12, ENABLE: 0x8000, SIZE: 0x7ff, BIR: 7 } as const;
const TWO32 = 0x1_0000_0000;

export class PhysicalFunction {
  readonly bars: readonly PhysicalBar[];
  /** MSI-X, if the function has it. */
  readonly msix: MsixPlace | undefined;
  /** MSI vectors that the function asks for; 0 without MSI. */
  readonly msiVectors: number;

  /**
   * @param configuration base of ECAM. @param requester bus << 8 | device << 3 | function, on bus 0.
   * Throws Error for a function with I/O ports, which cannot be assigned.
   */
  constructor(
    private readonly memory: PhysicalMemory,
    private readonly configuration: number,
    readonly requester: number,
  ) {
    const command = this.read(PciRegister.COMMAND, 2);
    this.write(PciRegister.COMMAND, 2, command & ~(Command.IO | Command.MEMORY));
    this.bars = this.findBars();
    this.write(PciRegister.COMMAND, 2, command);
    this.msix = this.findMsix();
    const msi = this.capability(MSI_CAPABILITY);
    this.msiVectors = msi === undefined ? 0 : 1 << ((this.read(msi + Msi.CONTROL, 2) >>> MsiControl.CAPABLE_SHIFT) & 7);
  }

  read(offset: number, size: AccessSize): number {
    const at = this.configuration + this.requester * 4096 + offset;
    return size === 4 ? this.memory.read32(at) : size === 2 ? this.memory.read16(at) : this.memory.read8(at);
  }
  write(offset: number, size: AccessSize, value: number): void {
    const at = this.configuration + this.requester * 4096 + offset;
    if (size === 4) this.memory.write32(at, value >>> 0);
    else if (size === 2) this.memory.write16(at, value);
    else this.memory.write8(at, value);
  }

  /** Offsets of the capabilities with their ids, in the order of the list. */
  capabilities(): (readonly [id: number, offset: number])[] {
    const found: (readonly [number, number])[] = [];
    for (let at = this.read(PciRegister.CAPABILITIES, 1); at !== 0 && found.length < 48; at = this.read(at + 1, 1)) found.push([this.read(at, 1), at]);
    return found;
  }
  capability(id: number): number | undefined {
    return this.capabilities().find(([known]) => known === id)?.[1];
  }

  /** Sizes are found by writing ones. Decoding is off. */
  private findBars(): PhysicalBar[] {
    const bars: PhysicalBar[] = [];
    for (let index = 0; index < BARS; index++) {
      const at = PciRegister.BARS + 4 * index;
      const low = this.read(at, 4);
      this.write(at, 4, 0xffff_ffff);
      const ones = this.read(at, 4);
      this.write(at, 4, low);
      if (ones === 0) continue;
      if ((low & BarFlag.IO) !== 0) throw new Error(`PCI function 0x${this.requester.toString(16)} has I/O ports: it cannot be assigned`);
      const wide = (low & BarFlag.TYPE_64) !== 0;
      const high = wide ? this.read(at + 4, 4) : 0;
      const address = high * TWO32 + ((low & ~BarFlag.FLAGS) >>> 0);
      const size = TWO32 - ((ones & ~BarFlag.FLAGS) >>> 0);
      bars.push({ index, kind: wide ? 'memory64' : 'memory32', size, prefetchable: (low & BarFlag.PREFETCHABLE) !== 0, address });
      if (wide) index++;
    }
    return bars;
  }

  private findMsix(): MsixPlace | undefined {
    const at = this.capability(MSIX_CAPABILITY);
    if (at === undefined) return undefined;
    const [table, pending] = [this.read(at + Msix.TABLE, 4), this.read(at + Msix.PENDING, 4)];
    const vectors = (this.read(at + Msix.CONTROL, 2) & Msix.SIZE) + 1;
    // The windows of our MSI-X are behind one base address.
    if ((table & Msix.BIR) !== (pending & Msix.BIR)) throw new Error('MSI-X table and pending bits behind different base addresses: it cannot be assigned');
    return { vectors, bar: table & Msix.BIR, table: (table & ~Msix.BIR) >>> 0, pending: (pending & ~Msix.BIR) >>> 0 };
  }

  // ---- control ----

  /**
   * Function-level reset, and back to what firmware had set up: base addresses decoded, no bus mastering, INTx# off. Throws Error for a
   * function that has no such reset, because nothing of one owner may reach the next. DEVIATION: a function of this machine is reset
   * when the write is; hardware may take 100 ms.
   */
  reset(): void {
    const express = this.capability(EXPRESS_CAPABILITY);
    if (express === undefined || (this.read(express + DEVICE_CAPABILITIES, 4) & FLR_CAPABLE) === 0)
      throw new Error(`PCI function 0x${this.requester.toString(16)} has no function-level reset: it cannot be assigned`);
    this.write(PciRegister.COMMAND, 2, Command.INTX_DISABLE);
    this.write(express + DEVICE_CONTROL, 2, this.read(express + DEVICE_CONTROL, 2) | INITIATE_FLR);
    for (const { index, kind, address } of this.bars) {
      this.write(PciRegister.BARS + 4 * index, 4, address % TWO32);
      if (kind === 'memory64') this.write(PciRegister.BARS + 4 * index + 4, 4, Math.floor(address / TWO32));
    }
    this.setBusMaster(false);
  }

  setBusMaster(on: boolean): void {
    this.write(PciRegister.COMMAND, 2, Command.MEMORY | Command.INTX_DISABLE | (on ? Command.MASTER : 0));
  }

  // ---- registers behind base addresses ----

  readMemory(bar: PhysicalBar, offset: number, size: AccessSize): number {
    const at = bar.address + offset;
    return size === 4 ? this.memory.read32(at) : size === 2 ? this.memory.read16(at) : this.memory.read8(at);
  }
  writeMemory(bar: PhysicalBar, offset: number, size: AccessSize, value: number): void {
    const at = bar.address + offset;
    if (size === 4) this.memory.write32(at, value >>> 0);
    else if (size === 2) this.memory.write16(at, value);
    else this.memory.write8(at, value);
  }

  // ---- messages ----

  /** @param allocated log2 of the vectors that the function may use: they differ in the low bits of the data. */
  enableMsi({ address, data }: RemappableMessage, allocated: number): void {
    const at = this.capability(MSI_CAPABILITY);
    if (at === undefined) throw new Error('a function without MSI was asked to use it');
    const control = this.read(at + Msi.CONTROL, 2) & ~(MsiControl.ENABLE | (7 << MsiControl.ENABLED_VECTORS_SHIFT));
    this.write(at + Msi.CONTROL, 2, control);
    this.write(at + Msi.ADDRESS, 4, address);
    const wide = (control & MsiControl.ADDRESS_64) !== 0;
    if (wide) this.write(at + Msi.UPPER_ADDRESS, 4, 0);
    this.write(at + (wide ? Msi.DATA_64 : Msi.DATA_32), 2, data);
    if ((control & MsiControl.PER_VECTOR_MASKING) !== 0) this.write(at + (wide ? Msi.MASK_64 : Msi.MASK_32), 4, 0);
    this.write(at + Msi.CONTROL, 2, control | (allocated << MsiControl.ENABLED_VECTORS_SHIFT) | MsiControl.ENABLE);
  }

  disableMsi(): void {
    const at = this.capability(MSI_CAPABILITY);
    if (at !== undefined) this.write(at + Msi.CONTROL, 2, this.read(at + Msi.CONTROL, 2) & ~MsiControl.ENABLE);
  }

  setMsixVector(vector: number, { address, data }: RemappableMessage): void {
    const { msix, bars } = this;
    const bar = bars.find(({ index }) => index === msix?.bar);
    if (msix === undefined || bar === undefined) throw new Error('a function without MSI-X was asked to use it');
    const entry = msix.table + vector * Msix.ENTRY;
    [address, 0, data, 0].forEach((value, i) => this.writeMemory(bar, entry + 4 * i, 4, value));
  }

  enableMsix(on: boolean): void {
    const at = this.capability(MSIX_CAPABILITY);
    if (at !== undefined) this.write(at + Msix.CONTROL, 2, on ? Msix.ENABLE : 0);
  }
}
