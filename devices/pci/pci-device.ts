/** A PCI function with a type 0 header: PCI Local Bus Specification, "Configuration Space". Devices extend it. */
import type { Stateful } from '../../memory/stateful';
import type { AccessSize, InterruptLine, Scheduler } from '../bus';
import type { DmaPort } from '../dma';
import type { InterruptSink } from '../interrupt-message';
import { BaseAddress, type BarLayout, type PciSpaces } from './base-address';

export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  /** Base class, sub-class, programming interface: 24 bits. */
  readonly classCode: number;
  readonly revision: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  readonly multifunction?: boolean;
  /** 1 to 4: INTA# to INTD#. Absent: no interrupt pin. */
  readonly interruptPin?: 1 | 2 | 3 | 4;
}

/** What a function gets when it is put on a bus. */
export interface PciAttachment {
  readonly spaces: PciSpaces;
  /** Its INTx# line, as routed by the board. */
  readonly interrupt: InterruptLine;
  /** Where message signalled interrupts go. */
  readonly messages: InterruptSink;
  /** Its way to memory. */
  readonly dma: DmaPort;
  readonly scheduler: Scheduler;
  /** bus << 8 | device << 3 | function. */
  readonly requester: number;
}

/**
 * A capability that can turn a function's interrupts into messages (MSI, MSI-X). While it is enabled the function does not use INTx#.
 */
export interface MessageCapability {
  readonly enabled: boolean;
  /** Sends message `vector`, or notes it as pending while it is masked. */
  signal(vector: number): void;
}

export interface PciDeviceState {
  config: number[];
  /** Both registers of every base address, by index of the first. */
  bars: [index: number, low: number, high: number][];
  interrupt: boolean;
}

export const PciRegister = {
  VENDOR: 0x00, COMMAND: 0x04, STATUS: 0x06, REVISION: 0x08, CLASS: 0x09, HEADER_TYPE: 0x0e, BARS: 0x10,
  SUBSYSTEM_VENDOR: 0x2c, CAPABILITIES: 0x34, INTERRUPT_LINE: 0x3c, INTERRUPT_PIN: 0x3d,
} as const; // prettier-ignore
export const Command = { IO: 0x1, MEMORY: 0x2, MASTER: 0x4, PARITY: 0x40, SERR: 0x100, INTX_DISABLE: 0x400 } as const;
const COMMAND_WRITABLE = Command.IO | Command.MEMORY | Command.MASTER | Command.PARITY | Command.SERR | Command.INTX_DISABLE;
const Status = { INTERRUPT: 0x8, CAPABILITIES: 0x10 } as const;
/** Error bits: cleared by writing 1. */
const STATUS_CLEARABLE = 0xf900;
const MULTIFUNCTION = 0x80;
const BAR_COUNT = 6;
const FIRST_CAPABILITY = 0x40;
const SIZE = 256;

export class PciDevice implements Stateful<PciDeviceState> {
  protected readonly config = new Uint8Array(SIZE);
  /** Bits that software may change. */
  private readonly writable = new Uint8Array(SIZE);
  /** Bits that software clears by writing 1. */
  private readonly clearable = new Uint8Array(SIZE);
  private readonly bars = new Array<BaseAddress | undefined>(BAR_COUNT).fill(undefined);
  protected attachment: PciAttachment | undefined;
  private interrupt = false;
  /** End of the capability list: register that holds the next pointer, and first free byte. */
  private lastPointer: number = PciRegister.CAPABILITIES;
  private nextCapability = FIRST_CAPABILITY;
  private messages: MessageCapability[] = [];

  constructor(identity: PciIdentity) {
    this.set16(PciRegister.VENDOR, identity.vendor);
    this.set16(PciRegister.VENDOR + 2, identity.device);
    this.config[PciRegister.REVISION] = identity.revision;
    this.config[PciRegister.CLASS] = identity.classCode & 0xff;
    this.set16(PciRegister.CLASS + 1, identity.classCode >>> 8);
    this.config[PciRegister.HEADER_TYPE] = identity.multifunction ? MULTIFUNCTION : 0;
    this.set16(PciRegister.SUBSYSTEM_VENDOR, identity.subsystemVendor ?? 0);
    this.set16(PciRegister.SUBSYSTEM_VENDOR + 2, identity.subsystem ?? 0);
    this.config[PciRegister.INTERRUPT_PIN] = identity.interruptPin ?? 0;
    this.allow16(PciRegister.COMMAND, COMMAND_WRITABLE);
    this.allow(PciRegister.INTERRUPT_LINE, 0xff);
    this.clearable[PciRegister.STATUS + 1] = STATUS_CLEARABLE >>> 8;
  }

  // ---- for devices ----

  protected set16(offset: number, value: number): void {
    this.config[offset] = value & 0xff;
    this.config[offset + 1] = (value >>> 8) & 0xff;
  }
  protected set32(offset: number, value: number): void {
    this.set16(offset, value & 0xffff);
    this.set16(offset + 2, value >>> 16);
  }
  /** Makes the bits of `masks`, byte by byte from `offset`, writable. */
  protected allow(offset: number, ...masks: number[]): void {
    this.writable.set(masks, offset);
  }
  protected allow16(offset: number, mask: number): void {
    this.allow(offset, mask & 0xff, mask >>> 8);
  }

  /** Puts a base address at register `index` (0 to 5; a 64-bit one takes two). Throws RangeError if there is no room. */
  protected addBar(index: number, layout: BarLayout): BaseAddress {
    const bar = new BaseAddress(layout);
    for (let i = index; i < index + bar.registers; i++) {
      if (i < 0 || i >= BAR_COUNT || this.bars[i] !== undefined) throw new RangeError(`there is no room for a base address at register ${i}`);
      this.bars[i] = bar;
    }
    return bar;
  }

  /**
   * Appends to the capability list. `body` follows the id and the next pointer, `masks` says which of its bits are writable.
   * Returns the offset of the capability. Throws RangeError when configuration space is full.
   */
  protected addCapability(id: number, body: readonly number[], masks: readonly number[] = []): number {
    const offset = this.nextCapability;
    this.nextCapability = (offset + 2 + body.length + 3) & ~3;
    if (this.nextCapability > SIZE) throw new RangeError(`capability ${id} does not fit into configuration space`);
    this.config[this.lastPointer] = offset;
    this.lastPointer = offset + 1;
    this.config.set([id, 0, ...body], offset);
    this.allow(offset + 2, ...masks);
    this.config[PciRegister.STATUS] |= Status.CAPABILITIES;
    return offset;
  }

  protected addMessageCapability(capability: MessageCapability): void {
    this.messages.push(capability);
  }

  protected get command(): number {
    return this.config[PciRegister.COMMAND] | (this.config[PciRegister.COMMAND + 1] << 8);
  }

  /** The function may write to memory, messages included. */
  get busMaster(): boolean {
    return (this.command & Command.MASTER) !== 0;
  }

  /** Level of the function's interrupt request. INTx# follows it unless it is disabled or replaced by messages. */
  protected setInterrupt(level: boolean): void {
    this.interrupt = level;
    this.driveInterrupt();
  }

  private driveInterrupt(): void {
    if (this.config[PciRegister.INTERRUPT_PIN] === 0) return;
    const status = this.config[PciRegister.STATUS];
    this.config[PciRegister.STATUS] = this.interrupt ? status | Status.INTERRUPT : status & ~Status.INTERRUPT;
    const usable = (this.command & Command.INTX_DISABLE) === 0 && !this.messages.some((m) => m.enabled);
    this.attachment?.interrupt.set(this.interrupt && usable);
  }

  /** Software wrote `size` bytes at `offset`. Devices with registers of their own override this and call it. */
  protected configWritten(_offset: number, _size: number): void {
    this.settleBars();
    this.driveInterrupt();
  }

  // ---- for the bus ----

  attach(attachment: PciAttachment): void {
    this.attachment = attachment;
    for (const bar of new Set(this.bars)) bar?.attach(attachment.spaces);
  }

  /** Base addresses with the index of their first register. */
  baseAddresses(): [index: number, bar: BaseAddress][] {
    return this.bars.flatMap((bar, i): [number, BaseAddress][] => (bar !== undefined && this.bars[i - 1] !== bar ? [[i, bar]] : []));
  }

  readConfig(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.readByte(offset + i);
    return value;
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.writeByte(offset + i, (value >>> (8 * i)) & 0xff);
    this.configWritten(offset, size);
  }

  /** A function without extended configuration space answers there like an absent one. */
  private readByte(offset: number): number {
    if (offset >= SIZE) return 0xff;
    const bar = this.barAt(offset);
    return bar === undefined ? this.config[offset] : (bar.read() >>> (8 * (offset & 3))) & 0xff;
  }

  private writeByte(offset: number, value: number): void {
    if (offset >= SIZE) return;
    const bar = this.barAt(offset);
    if (bar !== undefined) {
      const shift = 8 * (offset & 3);
      return bar.write((bar.read() & ~(0xff << shift)) | (value << shift));
    }
    const writable = this.writable[offset];
    this.config[offset] = ((this.config[offset] & ~writable) | (value & writable)) & ~(value & this.clearable[offset]);
  }

  private barAt(offset: number): { read(): number; write(value: number): void } | undefined {
    const index = (offset - PciRegister.BARS) >> 2;
    const bar = index >= 0 && index < BAR_COUNT ? this.bars[index] : undefined;
    if (bar === undefined) return undefined;
    const register = this.bars[index - 1] === bar ? 1 : 0;
    return { read: () => bar.read(register), write: (value) => bar.write(register, value) };
  }

  private settleBars(): void {
    for (const [, bar] of this.baseAddresses()) bar.settle((this.command & (bar.layout.kind === 'io' ? Command.IO : Command.MEMORY)) !== 0);
  }

  saveState(): PciDeviceState {
    const bars = this.baseAddresses().map(([index, bar]): [number, number, number] => [index, bar.read(0), bar.registers === 2 ? bar.read(1) : 0]);
    return { config: [...this.config], bars, interrupt: this.interrupt };
  }

  restoreState(state: PciDeviceState): void {
    this.config.set(state.config);
    for (const [index, low, high] of state.bars) {
      const bar = this.bars[index];
      bar?.write(0, low);
      if (bar?.registers === 2) bar.write(1, high);
    }
    this.interrupt = state.interrupt;
    this.settleBars();
    this.driveInterrupt();
  }
}
