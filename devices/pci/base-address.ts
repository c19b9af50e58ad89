/** Base address registers: PCI Local Bus Specification, "Base Addresses". Software sizes them by writing ones; decoding follows the command register. */
import type { AccessSize, MmioDevice, PortBus, PortDevice } from '../bus';

/** The registers behind a base address, by offset. */
export interface RegisterWindow {
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
}

export interface BarLayout {
  readonly kind: 'io' | 'memory32' | 'memory64';
  /** Bytes, a power of two: 4 to 256 for I/O, 16 to 2 GiB for memory. */
  readonly size: number;
  readonly prefetchable?: boolean;
  readonly window: RegisterWindow;
}

/** Where windows are decoded. */
export interface PciSpaces {
  readonly ports: PortBus;
  readonly memory: {
    mapMmio(base: number, size: number, device: MmioDevice): void;
    unmapMmio(device: MmioDevice): void;
  };
  /** May a function decode memory here? What the chipset claims for itself is not for functions. */
  memoryDecodable(base: number, size: number): boolean;
}

const IO_FLAG = 1;
const TYPE_64 = 4;
const PREFETCHABLE = 8;
const TWO32 = 0x1_0000_0000;
const PORTS = 0x1_0000;
/** Physical addresses have 52 bits at most. */
const ADDRESS_LIMIT = 2 ** 52;

export class BaseAddress {
  /** Writable bits of the low register. */
  private readonly mask: number;
  private readonly flags: number;
  private low = 0;
  private high = 0;
  /** Address that is decoded now. */
  private decoded: number | undefined;
  private readonly mmio: MmioDevice;
  private readonly port: PortDevice;
  private spaces: PciSpaces | undefined;

  /** Throws RangeError for a size that no register can describe. */
  constructor(readonly layout: BarLayout) {
    const { kind, size, window } = layout;
    const [least, most] = kind === 'io' ? [4, 256] : [16, 0x8000_0000];
    if (!Number.isInteger(Math.log2(size)) || size < least || size > most) {
      throw new RangeError(`a ${kind} base address of ${size} bytes is not a power of two from ${least} to ${most}`);
    }
    this.mask = (TWO32 - size) >>> 0;
    this.flags = kind === 'io' ? IO_FLAG : (kind === 'memory64' ? TYPE_64 : 0) | (layout.prefetchable ? PREFETCHABLE : 0);
    this.mmio = { readMmio: (offset, access) => window.read(offset, access), writeMmio: (offset, access, value) => window.write(offset, access, value) };
    this.port = {
      readPort: (port, access) => window.read(port - (this.decoded ?? 0), access),
      writePort: (port, access, value) => window.write(port - (this.decoded ?? 0), access, value),
    };
  }

  /** Registers it takes in configuration space. */
  get registers(): 1 | 2 {
    return this.layout.kind === 'memory64' ? 2 : 1;
  }

  get address(): number {
    return this.high * TWO32 + this.low;
  }

  attach(spaces: PciSpaces): void {
    this.spaces = spaces;
  }

  read(register: number): number {
    return register === 0 ? (this.low | this.flags) >>> 0 : this.high;
  }

  write(register: number, value: number): void {
    if (register === 0) this.low = (value & this.mask) >>> 0;
    else this.high = value >>> 0;
  }

  /** Brings decoding in line with the address and the enable bit of the command register. */
  settle(enabled: boolean): void {
    const wanted = enabled && this.decodable() ? this.address : undefined;
    if (wanted === this.decoded || this.spaces === undefined) return;
    if (this.decoded !== undefined) this.unmap(this.spaces, this.decoded);
    this.decoded = wanted;
    if (wanted !== undefined) this.map(this.spaces, wanted);
  }

  private decodable(): boolean {
    const { address } = this;
    const { kind, size } = this.layout;
    // "A device does not respond to address 0": the state after reset.
    if (address === 0 || this.spaces === undefined) return false;
    if (kind === 'io') return address + size <= PORTS;
    return address + size <= ADDRESS_LIMIT && this.spaces.memoryDecodable(address, size);
  }

  /** Ports that a fixed device of the board answers stay with it. */
  private map({ ports, memory }: PciSpaces, address: number): void {
    if (this.layout.kind !== 'io') return memory.mapMmio(address, this.layout.size, this.mmio);
    for (let p = address; p < address + this.layout.size; p++) if (ports.at(p) === undefined) ports.register(p, 1, this.port);
  }

  private unmap({ ports, memory }: PciSpaces, address: number): void {
    if (this.layout.kind !== 'io') return memory.unmapMmio(this.mmio);
    for (let p = address; p < address + this.layout.size; p++) if (ports.at(p) === this.port) ports.unregister(p, 1);
  }
}
