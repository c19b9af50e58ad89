/**
 * The board: the devices of a Q35/ICH9 PC wired together on any buses, those of the physical machine or those of a VM. Addresses, tables
 * and routing are the same for both, so that a guest cannot tell them apart by its devices.
 */
import { LocalApic } from '../cpu/apic/local-apic';
import type { CpuProfile, InterruptController } from '../cpu/interfaces';
import { A20Gate } from '../devices/a20-gate';
import { ACPI_PM_BASE, AcpiPm } from '../devices/acpi-pm';
import { SCI_IRQ } from '../devices/acpi-tables/fixed-tables';
import { buildAcpiTables, type AcpiTables } from '../devices/acpi-tables/tables';
import { PortConflict, type InterruptLine, type PortBus } from '../devices/bus';
import { DebugConsole, DebugExit } from '../devices/debug-ports';
import { HPET_BASE, HPET_SIZE, Hpet } from '../devices/hpet';
import { I8042 } from '../devices/i8042';
import { decodeMessage, type InterruptMessage, type InterruptSink } from '../devices/interrupt-message';
import { IOAPIC_BASE, IOAPIC_SIZE, IoApic } from '../devices/ioapic';
import { HostBridge } from '../devices/pci/host-bridge';
import { LpcBridge, PIRQ_ISA } from '../devices/pci/lpc-bridge';
import { ECAM_BASE, PciBus } from '../devices/pci/pci-bus';
import type { PciDevice } from '../devices/pci/pci-device';
import { PicPair } from '../devices/pic8259';
import { Pit8254 } from '../devices/pit8254';
import { Ps2Keyboard } from '../devices/ps2-keyboard';
import { Ps2Mouse } from '../devices/ps2-mouse';
import { RtcCmos } from '../devices/rtc-cmos';
import { SharedLine } from '../devices/shared-line';
import { SystemPorts } from '../devices/system-ports';
import { Uart16550 } from '../devices/uart16550';
import { RequesterDma } from '../iommu/dma';
import type { Stateful } from '../memory/stateful';
import { createIommu, type Iommu, type IommuKind } from './iommu';
import type { PlatformBuses, PlatformFactory } from './machine';

export interface PlatformOptions {
  readonly memoryBytes: number;
  /** Bytes that COM1 sends. */
  readonly serialOutput: (byte: number) => void;
  /** Bytes that COM2 sends; without it there is no COM2. */
  readonly serialOutput2?: (byte: number) => void;
  /** Ports E9h and 402h. */
  readonly debugOutput?: (byte: number) => void;
  /** isa-debug-exit: present when given; called with the process status (value << 1) | 1. */
  readonly debugExit?: { readonly iobase: number; readonly iosize?: number; readonly exit: (status: number) => void };
  /** Bytes written to port 80h. */
  readonly post?: (code: number) => void;
  /** Seconds since 1970 that the RTC shows at tick 0. */
  readonly rtcStart: number;
  /** Default true. */
  readonly hpet?: boolean;
  readonly powerOff: () => void;
  /** `init`, `reset`, `power-cycle` or `keyboard controller`. */
  readonly reset: (kind: string) => void;
  readonly a20Changed?: (enabled: boolean) => void;
  /** What the local APIC follows: x2APIC, TSC-deadline mode, physical address width. Absent: it has everything. */
  readonly profile?: CpuProfile;
  /** Functions for slots 1 to 30 of bus 0. Firmware has given them their addresses when the guest starts. */
  readonly pciDevices?: readonly { readonly slot: number; readonly device: PciDevice }[];
  /** Interrupt remapping between I/O APIC and PCI on one side and the processor on the other; undefined blocks the message. */
  readonly remapInterrupt?: (message: InterruptMessage) => InterruptMessage | undefined;
  /** An IOMMU between PCI functions and memory, and before the processors' interrupts; firmware leaves it switched off. Absent: none. */
  readonly iommu?: IommuKind;
}

/** Handles of a built platform. */
export interface Platform {
  readonly interrupts: InterruptController;
  readonly acpi: AcpiTables;
  readonly lapic: LocalApic;
  readonly ioapic: IoApic;
  readonly pic: PicPair;
  readonly pit: Pit8254;
  readonly hpet: Hpet | undefined;
  readonly rtc: RtcCmos;
  readonly acpiPm: AcpiPm;
  readonly pci: PciBus;
  readonly iommu: Iommu | undefined;
  readonly a20: A20Gate;
  readonly keyboard: Ps2Keyboard;
  readonly mouse: Ps2Mouse;
  /** COM1 and COM2. */
  readonly uart: Uart16550;
  readonly uart2: Uart16550 | undefined;
  /**
   * Everything that has state but the timers, by name. Restore in this order: first those that drive lines, then the lines and the
   * interrupt controllers, for which what happened on the way is gone.
   */
  readonly devices: Readonly<Record<string, Stateful>>;
}

const LOW_RAM_LIMIT = 0xc000_0000;
const APIC_PAGE = 0x1000;
const COM1 = { base: 0x3f8, irq: 4 } as const;
const COM2 = { base: 0x2f8, irq: 3 } as const;
/** ISA IRQ0 is on this input of the I/O APIC; input 0 is the 8259s' (ExtINT). */
const TIMER_INPUT = 2;
const EXTINT_INPUT = 0;
const HPET_INPUTS = [20, 21, 22, 23];
const PIRQ_INPUTS = 16;
const LPC_SLOT = 0x1f;
/** ELCR of the second 8259: IRQ9 (SCI), 10 and 11 (PCI) are level-triggered. */
const ELCR2 = 0x4d1;
const FIRMWARE_ELCR2 = 0x0e;
const DEBUG_CONSOLE_BOCHS = 0xe9;
const DEBUG_CONSOLE_SEABIOS = 0x402;

/** Builds the devices on the buses it is given; `built` gets their handles. */
export function platformFactory(options: PlatformOptions, built: (platform: Platform) => void): PlatformFactory {
  return (buses) => {
    const platform = createPlatform(buses, options);
    built(platform);
    return platform.interrupts;
  };
}

/** The interrupt fabric: 8259s and I/O APIC in front of the local APIC, and the lines that lead to them. */
function createInterruptFabric({ memory, scheduler, attention, readTsc, raiseNmi }: PlatformBuses, options: PlatformOptions) {
  const { profile } = options;
  const lapic: LocalApic = new LocalApic({
    timers: scheduler,
    readTsc,
    onChange: attention,
    raiseNmi,
    acknowledgeExternal: () => pic.acknowledge(),
    onEoi: (vector) => ioapic.endOfInterrupt(vector),
    onMove: (base) => {
      memory.unmapMmio(lapic);
      if (base !== undefined) memory.mapMmio(base, APIC_PAGE, lapic);
    },
    x2apic: profile?.has('x2apic'),
    tscDeadline: profile?.has('tsc-deadline'),
    physicalAddressWidth: profile?.physicalAddressWidth,
  });
  const deliver: InterruptSink = (message) => {
    const request = decodeMessage(message);
    if (request === undefined || !lapic.matches(request.destination, request.logical, request.wide)) return;
    lapic.accept(request.vector, request.deliveryMode, request.level);
  };
  const hpet = options.hpet !== false;
  const iommu = options.iommu && createIommu(options.iommu, { memory, scheduler, deliver, profile, hpet });
  const remap = options.remapInterrupt ?? (iommu && ((message: InterruptMessage) => iommu.unit.remapInterrupt(message)));
  const send: InterruptSink = (message) => {
    const remapped = remap === undefined ? message : remap(message);
    if (remapped !== undefined) deliver(remapped);
  };
  const ioapic: IoApic = new IoApic(send, iommu?.ioApicRequester);
  // INT of the 8259s is on LINT0 and on input 0 of the I/O APIC, of which software enables one.
  const pic = new PicPair({
    set: (level) => {
      lapic.lint0.set(level);
      ioapic.inputs[EXTINT_INPUT].set(level);
    },
  });
  const picLines = pic.inputs.map((line) => new SharedLine(line));
  /** A source on an ISA interrupt of the 8259s. */
  const picSource = (n: number): InterruptLine => picLines[n].source();
  /** A device on an ISA interrupt: it reaches the 8259s and the I/O APIC. */
  const isa = (n: number): InterruptLine => {
    const atPic = picSource(n);
    const atApic = ioapic.inputs[n === 0 ? TIMER_INPUT : n];
    return {
      set: (level) => {
        atPic.set(level);
        atApic.set(level);
      },
    };
  };
  lapic.reset();
  lapic.enterVirtualWireMode();
  memory.mapMmio(IOAPIC_BASE, IOAPIC_SIZE, ioapic);
  /** Sources on the inputs of the 8259s. */
  const isaLines: Stateful<boolean[][]> = {
    saveState: () => picLines.map((line) => line.saveState()),
    restoreState: (levels) => levels.forEach((sources, n) => picLines[n].restoreState(sources)),
  };
  return { lapic, ioapic, pic, send, isa, picSource, isaLines, iommu };
}

export function createPlatform(buses: PlatformBuses, options: PlatformOptions): Platform {
  const { ports, memory, scheduler } = buses;
  const { lapic, ioapic, pic, send, isa, picSource, isaLines, iommu } = createInterruptFabric(buses, options);
  pic.attach(ports);
  ports.write(ELCR2, 1, FIRMWARE_ELCR2);

  const [irq0, irq8] = [isa(0), isa(8)];
  const hpet = options.hpet === false ? undefined : new Hpet({ scheduler, irq0, irq8, routes: new Map(HPET_INPUTS.map((i) => [i, ioapic.inputs[i]])) });
  if (hpet) memory.mapMmio(HPET_BASE, HPET_SIZE, hpet);
  const pit = new Pit8254(scheduler, hpet?.pitInput ?? irq0);
  const rtc = new RtcCmos({
    scheduler,
    interrupt: hpet?.rtcInput ?? irq8,
    startEpochSeconds: options.rtcStart,
    lowRam: Math.min(options.memoryBytes, LOW_RAM_LIMIT),
    highRam: Math.max(0, options.memoryBytes - LOW_RAM_LIMIT),
  });
  const a20 = new A20Gate(options.a20Changed);
  const [keyboard, mouse] = [new Ps2Keyboard(), new Ps2Mouse()];
  const i8042 = new I8042({ irq1: isa(1), irq12: isa(12), a20, reset: () => options.reset('keyboard controller'), keyboard, mouse });
  const serialPort = ({ base, irq }: { readonly base: number; readonly irq: number }, transmit: (byte: number) => void): Uart16550 =>
    new Uart16550({ base, interrupt: isa(irq), scheduler, transmit });
  const uart = serialPort(COM1, options.serialOutput);
  const uart2 = options.serialOutput2 && serialPort(COM2, options.serialOutput2);
  const acpiPm = new AcpiPm({ scheduler, sci: isa(SCI_IRQ), powerOff: options.powerOff });
  for (const device of [pit, rtc, i8042, uart, uart2, acpiPm]) device?.attach(ports);

  const lpc = new LpcBridge({ pmBase: ACPI_PM_BASE, apicInputs: ioapic.inputs.slice(PIRQ_INPUTS), isaSource: picSource });
  const pci = new PciBus({
    ports,
    memory,
    interrupts: lpc.pirqs.slice(0, PIRQ_ISA.length),
    messages: send,
    scheduler,
    dma: (requester) => new RequesterDma(requester, memory, iommu?.unit, send),
  });
  const beside = iommu?.hostFunction;
  pci.add(0, 0, new HostBridge(ECAM_BASE, beside !== undefined));
  if (beside) pci.add(0, beside.number, beside.device);
  for (const { slot, device } of options.pciDevices ?? []) pci.add(slot, 0, device);
  pci.add(LPC_SLOT, 0, lpc);
  pci.attach();
  pci.assignResources((pirq) => PIRQ_ISA[pirq]);
  // CF9h lies inside CONFIG_ADDRESS: after PCI.
  const systemPorts = new SystemPorts({ a20, reset: options.reset, post: options.post });
  systemPorts.attach(ports);

  const debug = options.debugOutput ?? ((): void => {});
  for (const port of [DEBUG_CONSOLE_BOCHS, DEBUG_CONSOLE_SEABIOS]) new DebugConsole(port, debug).attach(ports);
  if (options.debugExit) {
    const { exit, iobase, iosize = DEBUG_EXIT_PORTS } = options.debugExit;
    requireFreePorts(ports, iobase, iosize);
    new DebugExit(exit, iobase, iosize).attach(ports);
  }

  const acpi = buildAcpiTables({
    processors: [0],
    hpet: hpet !== undefined,
    serialPorts: uart2 ? [COM1, COM2] : [COM1],
    more: iommu ? [iommu.table] : [],
  });
  const devices: Record<string, Stateful> = {
    ...(hpet && { hpet }),
    pit,
    rtc,
    i8042,
    uart,
    ...(uart2 && { uart2 }),
    acpiPm,
    systemPorts,
    a20,
    pci,
    isaLines,
    pic,
    ioapic,
    ...(iommu && { iommu: iommu.unit }),
    lapic,
  };
  return { interrupts: lapic, acpi, lapic, ioapic, pic, pit, hpet, rtc, acpiPm, pci, iommu: iommu?.unit, a20, keyboard, mouse, uart, uart2, devices };
}

const DEBUG_EXIT_PORTS = 4;

function requireFreePorts(ports: PortBus, first: number, count: number): void {
  for (let port = first; port < first + count; port++) {
    if (ports.at(port) !== undefined)
      throw new PortConflict(`port 0x${port.toString(16)} belongs to a device of the board; choose another iobase, such as 0xf4`);
  }
}
