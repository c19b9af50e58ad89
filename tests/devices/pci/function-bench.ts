/** One PCI function on a bus of its own, with RAM that can refuse DMA, and a record of its interrupts. */
import type { AccessSize } from '../../../devices/bus';
import type { DmaPort } from '../../../devices/dma';
import type { InterruptMessage } from '../../../devices/interrupt-message';
import { PciBus } from '../../../devices/pci/pci-bus';
import { Command, PciRegister, type PciDevice } from '../../../devices/pci/pci-device';
import { PhysicalMemory } from '../../../memory/physical-memory';
import { TestBench, Wire } from '../test-bench';

export const SLOT = 4;
export const REQUESTER = SLOT * 8;
const RAM = 4 << 20;

export class FunctionBench<T extends PciDevice> {
  readonly bench = new TestBench();
  readonly memory = new PhysicalMemory(RAM);
  readonly messages: InterruptMessage[] = [];
  readonly pins = [0, 1, 2, 3].map(() => new Wire());
  readonly pci: PciBus;
  /** Page numbers that DMA may not touch. */
  readonly refused = new Set<number>();

  constructor(readonly device: T) {
    const reachable = (address: number, length: number): boolean => {
      for (let page = Math.floor(address / 4096); page * 4096 < address + length; page++) {
        if (this.refused.has(page) || !this.memory.isRam(page * 4096)) return false;
      }
      return true;
    };
    const dma: DmaPort = {
      read: (address, length) => (reachable(address, length) ? this.memory.readBytes(address, length) : undefined),
      write: (address, bytes) => {
        if (!reachable(address, bytes.length)) return false;
        this.memory.writeBytes(address, bytes);
        return true;
      },
    };
    this.pci = new PciBus({
      ports: this.bench.ports,
      memory: this.memory,
      interrupts: this.pins,
      messages: (message) => void this.messages.push(message),
      dma: () => dma,
      scheduler: this.bench.scheduler,
    });
    this.pci.add(SLOT, 0, device);
    this.pci.assignResources(() => 10);
    this.command(Command.MEMORY | Command.MASTER);
  }

  /** INTA# of slot 4 is PIRQA#. */
  get pin(): boolean {
    return this.pins[0].level;
  }

  command(bits: number): void {
    this.device.writeConfig(PciRegister.COMMAND, 2, bits);
  }

  barAddress(index: number): number {
    return this.device.readConfig(PciRegister.BARS + 4 * index, 4) & ~0xf;
  }

  read(bar: number, offset: number, size: AccessSize = 4): number {
    const address = (this.barAddress(bar) >>> 0) + offset;
    return size === 4 ? this.memory.read32(address) : size === 2 ? this.memory.read16(address) : this.memory.read8(address);
  }

  write(bar: number, offset: number, value: number, size: AccessSize = 4): void {
    const address = (this.barAddress(bar) >>> 0) + offset;
    if (size === 4) this.memory.write32(address, value);
    else if (size === 2) this.memory.write16(address, value);
    else this.memory.write8(address, value);
  }

  /** Offset of a capability in configuration space, the `nth` one with this id. */
  capability(id: number, accept: (offset: number) => boolean = () => true): number {
    for (let at = this.device.readConfig(PciRegister.CAPABILITIES, 1); at !== 0; at = this.device.readConfig(at + 1, 1)) {
      if (this.device.readConfig(at, 1) === id && accept(at)) return at;
    }
    throw new Error(`there is no capability ${id}`);
  }

  /** Lets MSI-X vector v write `data` v + 40h, and switches it on. */
  enableMsix(bar: number, table: number, vectors: number): void {
    for (let v = 0; v < vectors; v++) {
      this.write(bar, table + 16 * v, 0xfee0_0000);
      this.write(bar, table + 16 * v + 4, 0);
      this.write(bar, table + 16 * v + 8, 0x40 + v);
      this.write(bar, table + 16 * v + 12, 0);
    }
    this.device.writeConfig(this.capability(0x11) + 2, 2, 0x8000);
  }

  /** Vectors of the messages since the last call. */
  takeVectors(): number[] {
    return this.messages.splice(0).map(({ data }) => data & 0xff);
  }
}
