/**
 * The board: the devices of a Q35-like PC wired together on any buses, those of the physical machine or those of a VM. Addresses,
 * tables and routing are the same for both, so that a guest cannot tell them apart by its devices.
 */
import { LocalApic } from '../cpu/apic/local-apic';
import type { InterruptController } from '../cpu/interfaces';
import { A20Gate } from '../devices/a20-gate';
import { AcpiPm } from '../devices/acpi-pm';
import { buildAcpiTables, type AcpiTables } from '../devices/acpi-tables/tables';
import type { InterruptLine } from '../devices/bus';
import { DebugConsole, DebugExit } from '../devices/debug-ports';
import { HPET_BASE, HPET_SIZE, Hpet } from '../devices/hpet';
import { I8042 } from '../devices/i8042';
import { decodeMessage, type InterruptSink } from '../devices/interrupt-message';
import { IOAPIC_BASE, IOAPIC_SIZE, IoApic } from '../devices/ioapic';
import { ECAM_BASE, ECAM_SIZE, PciBus } from '../devices/pci/pci-bus';
import { HostBridge, LpcBridge } from '../devices/pci/pci-device';
import { PicPair } from '../devices/pic8259';
import { Pit8254 } from '../devices/pit8254';
import { Ps2Keyboard } from '../devices/ps2-keyboard';
import { RtcCmos } from '../devices/rtc-cmos';
import { SystemPorts } from '../devices/system-ports';
import { Uart16550 } from '../devices/uart16550';
import { ACPI_PM_BASE } from '../devices/acpi-pm';
import type { PlatformBuses, PlatformFactory } from './machine';

export interface PlatformOptions {
  readonly memoryBytes: number;
  /** Bytes that COM1 sends. */
  readonly serialOutput: (byte: number) => void;
  /** Ports E9h and 402h. */
  readonly debugOutput?: (byte: number) => void;
  /** isa-debug-exit: present when given; called with the process status (value << 1) | 1. */
  readonly debugExit?: { readonly iobase: number; readonly exit: (status: number) => void };
  /** Seconds since 1970 that the RTC shows at tick 0. */
  readonly rtcStart: number;
  readonly hpet?: boolean;
  readonly powerOff: () => void;
  readonly reset: (kind: string) => void;
}

/** Handles of a built platform. */
export interface Platform {
  readonly interrupts: InterruptController;
  readonly uart: Uart16550;
  readonly lapic: LocalApic;
  readonly acpi: AcpiTables;
}

const LOW_RAM_LIMIT = 0xc000_0000;
const APIC_PAGE = 0x1000;
const COM1 = 0x3f8;
const COM1_IRQ = 4;
const SCI_IRQ = 9;
const HPET_INPUTS = [20, 21, 22, 23];
const DEBUG_CONSOLE_BOCHS = 0xe9;
const DEBUG_CONSOLE_SEABIOS = 0x402;

/** Builds the devices on `buses`; `built` gets their handles. */
export function platformFactory(options: PlatformOptions, built: (platform: Platform) => void): PlatformFactory {
  return (buses) => {
    const platform = createPlatform(buses, options);
    built(platform);
    return platform.interrupts;
  };
}

export function createPlatform(buses: PlatformBuses, options: PlatformOptions): Platform {
  const { ports, memory, scheduler, attention } = buses;
  const lapic: LocalApic = new LocalApic({
    timers: scheduler,
    readTsc: buses.readTsc,
    onChange: attention,
    raiseNmi: buses.raiseNmi,
    acknowledgeExternal: () => pic.acknowledge(),
    onEoi: (vector) => ioapic.endOfInterrupt(vector),
    onMove: (base) => {
      memory.unmapMmio(lapic);
      if (base !== undefined) memory.mapMmio(base, APIC_PAGE, lapic);
    },
  });
  const pic = new PicPair(lapic.lint0);
  const deliver: InterruptSink = (message) => {
    const request = decodeMessage(message);
    if (request !== undefined && lapic.matches(request.destination, request.logical)) lapic.accept(request.vector, request.deliveryMode, request.level);
  };
  const ioapic = new IoApic(deliver);
  /** An ISA interrupt reaches the 8259s and the I/O APIC; IRQ 0 is on input 2 there. */
  const irq = (n: number): InterruptLine => {
    const both = [pic.inputs[n], ioapic.inputs[n === 0 ? 2 : n]];
    return { set: (level) => both.forEach((line) => line.set(level)) };
  };

  lapic.reset();
  lapic.enterVirtualWireMode();
  memory.mapMmio(IOAPIC_BASE, IOAPIC_SIZE, ioapic);
  pic.attach(ports);
  const hpet = options.hpet === false ? undefined : new Hpet({ scheduler, irq0: irq(0), irq8: irq(8), routes: new Map(HPET_INPUTS.map((i) => [i, ioapic.inputs[i]])) });
  if (hpet) memory.mapMmio(HPET_BASE, HPET_SIZE, hpet);
  new Pit8254(scheduler, hpet ? hpet.pitInput : irq(0)).attach(ports);
  new RtcCmos({
    scheduler,
    interrupt: hpet ? hpet.rtcInput : irq(8),
    startEpochSeconds: options.rtcStart,
    lowRam: Math.min(options.memoryBytes, LOW_RAM_LIMIT),
    highRam: Math.max(0, options.memoryBytes - LOW_RAM_LIMIT),
  }).attach(ports);
  const a20 = new A20Gate();
  new I8042({ irq1: irq(1), irq12: irq(12), a20, reset: () => options.reset('keyboard controller'), keyboard: new Ps2Keyboard() }).attach(ports);
  const uart = new Uart16550({ base: COM1, interrupt: irq(COM1_IRQ), scheduler, transmit: options.serialOutput });
  uart.attach(ports);
  new AcpiPm({ scheduler, sci: irq(SCI_IRQ), powerOff: options.powerOff }).attach(ports);

  const pci = new PciBus();
  pci.add(0, 0, new HostBridge(ECAM_BASE));
  pci.add(0x1f, 0, new LpcBridge(ACPI_PM_BASE));
  pci.attach(ports);
  memory.mapMmio(ECAM_BASE, ECAM_SIZE, pci);
  // CF9h lies inside CONFIG_ADDRESS: after PCI.
  new SystemPorts({ a20, reset: (kind) => options.reset(kind) }).attach(ports);

  const debug = options.debugOutput ?? ((): void => {});
  new DebugConsole(DEBUG_CONSOLE_BOCHS, debug).attach(ports);
  new DebugConsole(DEBUG_CONSOLE_SEABIOS, debug).attach(ports);
  if (options.debugExit) new DebugExit(options.debugExit.exit, options.debugExit.iobase).attach(ports);

  return { interrupts: lapic, uart, lapic, acpi: buildAcpiTables({ processors: [0], hpet: hpet !== undefined }) };
}
