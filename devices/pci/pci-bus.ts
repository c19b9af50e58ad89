/** Configuration access to bus 0: mechanism #1 through CF8h/CFCh, and ECAM. Absent functions read as all ones. */
import type { AccessSize, MmioDevice, PortBus, PortDevice } from '../bus';
import type { PciDevice } from './pci-device';

const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
const ENABLE = 0x8000_0000;
export const ECAM_BASE = 0xe000_0000;
export const ECAM_SIZE = 0x1000_0000;

export class PciBus implements PortDevice, MmioDevice {
  private readonly functions = new Map<number, PciDevice>();
  private address = 0;

  /** Puts a function at bus 0, `device` (0-31), `fn` (0-7). */
  add(device: number, fn: number, function_: PciDevice): void {
    this.functions.set(device * 8 + fn, function_);
  }
  attach(ports: PortBus): void {
    ports.register(CONFIG_ADDRESS, 8, this);
  }

  private readByte(bus: number, devfn: number, offset: number): number {
    const f = bus === 0 ? this.functions.get(devfn) : undefined;
    return f === undefined ? 0xff : f.readConfig(offset);
  }
  private writeByte(bus: number, devfn: number, offset: number, value: number): void {
    if (bus === 0) this.functions.get(devfn)?.writeConfig(offset, value);
  }

  readPort(port: number, size: AccessSize): number {
    if (port < CONFIG_DATA) return port === CONFIG_ADDRESS && size === 4 ? this.address : (this.address >>> (8 * (port & 3))) & (size === 1 ? 0xff : 0xffff);
    if ((this.address & ENABLE) === 0) return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.readByte((this.address >>> 16) & 0xff, (this.address >>> 8) & 0xff, (this.address & 0xfc) + (port & 3) + i);
    return value;
  }

  writePort(port: number, size: AccessSize, value: number): void {
    if (port < CONFIG_DATA) {
      // Only dword writes reach CONFIG_ADDRESS.
      if (port === CONFIG_ADDRESS && size === 4) this.address = (value & 0x80ff_fffc) >>> 0;
      return;
    }
    if ((this.address & ENABLE) === 0) return;
    for (let i = 0; i < size; i++) this.writeByte((this.address >>> 16) & 0xff, (this.address >>> 8) & 0xff, (this.address & 0xfc) + (port & 3) + i, (value >>> (8 * i)) & 0xff);
  }

  readMmio(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.readByte((offset >>> 20) & 0xff, (offset >>> 12) & 0xff, (offset & 0xfff) + i);
    return value;
  }
  writeMmio(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.writeByte((offset >>> 20) & 0xff, (offset >>> 12) & 0xff, (offset & 0xfff) + i, (value >>> (8 * i)) & 0xff);
  }
}
