/**
 * PCI bus 0 and the ways to its configuration space: configuration mechanism #1 (CF8h, CFCh) and the enhanced mechanism of PCI Express
 * (ECAM). There are no bridges to other buses yet; what is not there reads as all ones.
 */
import type { Stateful } from '../../memory/stateful';
import type { AccessSize, InterruptLine, MmioDevice, PortBus, PortDevice, Scheduler } from '../bus';
import type { DmaPort } from '../dma';
import type { InterruptSink } from '../interrupt-message';
import { SharedLine } from '../shared-line';
import type { PciSpaces } from './base-address';
import { Command, PciRegister, type PciDevice, type PciDeviceState } from './pci-device';

const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
const ENABLE = 0x8000_0000;
/** Bus, device, function and register; bits 30:24 and 1:0 are reserved and read 0. */
const ADDRESS_BITS = 0x80ff_fffc;

/** 256 buses of 1 MiB, as MCFG and the host bridge's PCIEXBAR say. */
export const ECAM_BASE = 0xe000_0000;
export const ECAM_SIZE = 0x1000_0000;
/** What functions may decode: [first, last]. The ACPI _CRS of the host bridge repeats these. */
export const PCI_MEMORY_WINDOWS = [
  [0xc000_0000, 0xdfff_ffff],
  [0xf000_0000, 0xfebf_ffff],
] as const;
/** Above the RAM of any machine; ends where 36 address bits end. */
export const PCI_HIGH_WINDOW = [0x8_0000_0000, 0xf_ffff_ffff] as const;
const PCI_IO_WINDOW = [0xc000, 0xffff] as const;
const FIRST_ASSIGNED_MEMORY = PCI_MEMORY_WINDOWS[1][0];
const PINS = 4;

export interface PciBusOptions {
  readonly ports: PortBus;
  readonly memory: PciSpaces['memory'];
  /** PIRQA# to PIRQD#. */
  readonly interrupts: readonly InterruptLine[];
  readonly messages: InterruptSink;
  /** The way to memory of a requester (bus << 8 | device << 3 | function). */
  readonly dma: (requester: number) => DmaPort;
  readonly scheduler: Scheduler;
}

export interface PciBusState {
  address: number;
  functions: [devfn: number, state: PciDeviceState][];
  /** Levels of the sources on PIRQA# to PIRQD#. */
  lines: boolean[][];
}

/** Which of PIRQA#-PIRQD# (0 to 3) a slot's pin (1 to 4) is wired to: one step further for each slot. */
export function pirqOf(slot: number, pin: number): number {
  return (slot + pin - 1) % PINS;
}

export class PciBus implements PortDevice, MmioDevice, Stateful<PciBusState> {
  private readonly functions = new Map<number, PciDevice>();
  private readonly lines: readonly SharedLine[];
  private readonly spaces: PciSpaces;
  private address = 0;

  constructor(private readonly options: PciBusOptions) {
    this.lines = options.interrupts.map((line) => new SharedLine(line));
    const windows = [...PCI_MEMORY_WINDOWS, PCI_HIGH_WINDOW];
    this.spaces = {
      ports: options.ports,
      memory: options.memory,
      memoryDecodable: (base, size) => windows.some(([first, last]) => base >= first && base + size - 1 <= last),
    };
  }

  /** Puts a function into `slot` (0-31), function number `fn` (0-7). Throws RangeError if the place is taken. */
  add<T extends PciDevice>(slot: number, fn: number, device: T): T {
    const devfn = slot * 8 + fn;
    if (this.functions.has(devfn)) throw new RangeError(`PCI 00:${slot.toString(16)}.${fn} is taken`);
    this.functions.set(devfn, device);
    const pin = device.readConfig(PciRegister.INTERRUPT_PIN, 1);
    const interrupt = pin === 0 ? { set: (): void => {} } : this.lines[pirqOf(slot, pin)].source();
    const { messages, dma, scheduler } = this.options;
    device.attach({ spaces: this.spaces, interrupt, messages, dma: dma(devfn), scheduler, requester: devfn });
    return device;
  }

  attach(): void {
    this.options.ports.register(CONFIG_ADDRESS, 8, this);
    this.options.memory.mapMmio(ECAM_BASE, ECAM_SIZE, this);
  }

  /**
   * What firmware does before it starts an operating system: gives every base address a place, largest first, writes the interrupt
   * line for `irqOf` (index of the PIRQ), and turns decoding on. Throws RangeError when the windows are too small.
   */
  assignResources(irqOf: (pirq: number) => number): void {
    const bars = [...this.functions.values()].flatMap((device) => device.baseAddresses().map(([index, bar]) => ({ device, index, bar })));
    bars.sort((a, b) => b.bar.layout.size - a.bar.layout.size);
    let memory: number = FIRST_ASSIGNED_MEMORY;
    let io: number = PCI_IO_WINDOW[0];
    for (const { device, index, bar } of bars) {
      const { kind, size } = bar.layout;
      const next = Math.ceil((kind === 'io' ? io : memory) / size) * size;
      if (next + size - 1 > (kind === 'io' ? PCI_IO_WINDOW[1] : PCI_MEMORY_WINDOWS[1][1]))
        throw new RangeError(`the PCI ${kind} window has no room for ${size} bytes more`);
      device.writeConfig(PciRegister.BARS + 4 * index, 4, next);
      if (kind === 'io') io = next + size;
      else memory = next + size;
    }
    for (const [devfn, device] of this.functions) {
      const pin = device.readConfig(PciRegister.INTERRUPT_PIN, 1);
      if (pin !== 0) device.writeConfig(PciRegister.INTERRUPT_LINE, 1, irqOf(pirqOf(devfn >>> 3, pin)));
      device.writeConfig(PciRegister.COMMAND, 2, device.readConfig(PciRegister.COMMAND, 2) | Command.IO | Command.MEMORY);
    }
  }

  private read(bus: number, devfn: number, offset: number, size: AccessSize): number {
    const device = bus === 0 ? this.functions.get(devfn) : undefined;
    return device === undefined ? (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff) : device.readConfig(offset, size);
  }

  private write(bus: number, devfn: number, offset: number, size: AccessSize, value: number): void {
    if (bus === 0) this.functions.get(devfn)?.writeConfig(offset, size, value);
  }

  // ---- configuration mechanism #1 ----

  /** "Only full DWORD accesses" reach CONFIG_ADDRESS; a narrower one is an ordinary I/O access, and nothing is there. */
  readPort(port: number, size: AccessSize): number {
    if (port === CONFIG_ADDRESS && size === 4) return this.address;
    if (port < CONFIG_DATA || (this.address & ENABLE) === 0) return 0xffff_ffff >>> (32 - 8 * size);
    return this.read((this.address >>> 16) & 0xff, (this.address >>> 8) & 0xff, (this.address & 0xfc) + (port & 3), size);
  }

  writePort(port: number, size: AccessSize, value: number): void {
    if (port === CONFIG_ADDRESS && size === 4) this.address = (value & ADDRESS_BITS) >>> 0;
    if (port < CONFIG_DATA || (this.address & ENABLE) === 0) return;
    this.write((this.address >>> 16) & 0xff, (this.address >>> 8) & 0xff, (this.address & 0xfc) + (port & 3), size, value);
  }

  // ---- ECAM: bus 27:20, device 19:15, function 14:12, register 11:0 ----

  readMmio(offset: number, size: AccessSize): number {
    return this.read((offset >>> 20) & 0xff, (offset >>> 12) & 0xff, offset & 0xfff, size);
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    this.write((offset >>> 20) & 0xff, (offset >>> 12) & 0xff, offset & 0xfff, size, value);
  }

  saveState(): PciBusState {
    const functions = [...this.functions].map(([devfn, device]): [number, PciDeviceState] => [devfn, device.saveState()]);
    return { address: this.address, functions, lines: this.lines.map((line) => line.saveState()) };
  }

  /** Throws Error for the state of a bus with other functions; then nothing was changed. */
  restoreState(state: PciBusState): void {
    const [saved, mine] = [
      describe(state.functions),
      describe([...this.functions].map(([devfn, device]) => [devfn, { config: [0, 1, 2, 3].map((at) => device.readConfig(at, 1)) }])),
    ];
    if (saved !== mine) throw new Error(`the snapshot has the PCI functions ${saved}; this machine has ${mine}: build it with the same disks and devices`);
    this.address = state.address;
    for (const [devfn, saved] of state.functions) this.functions.get(devfn)?.restoreState(saved);
    // What the functions drove on the way does not count.
    state.lines.forEach((levels, i) => this.lines[i].restoreState(levels));
  }
}

/** `00:1f.0 8086:2918` of each function, in order. */
function describe(functions: readonly (readonly [devfn: number, { readonly config: readonly number[] }])[]): string {
  const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
  const id = (config: readonly number[]): string => `${hex(config[0] | (config[1] << 8), 4)}:${hex(config[2] | (config[3] << 8), 4)}`;
  return functions.map(([devfn, { config }]) => `00:${hex(devfn >>> 3, 2)}.${devfn & 7} ${id(config)}`).join(', ');
}
