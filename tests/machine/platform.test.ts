/** The board as a whole: wiring, interrupt paths from device to processor, what firmware leaves behind, hostile accesses, snapshots. */
import fc from 'fast-check';
import { createProfile } from '../../cpu/profiles/profile';
import type { AccessSize } from '../../devices/bus';
import { PciDevice } from '../../devices/pci/pci-device';
import type { PlatformBuses } from '../../machine/machine';
import { createPlatform, platformFactory, type Platform, type PlatformOptions } from '../../machine/platform';
import { PhysicalMemory } from '../../memory/physical-memory';
import { TestBench } from '../devices/test-bench';
import { runs } from '../runs';

const LAPIC = 0xfee0_0000;
const IOAPIC = 0xfec0_0000;

class Requester extends PciDevice {
  constructor() {
    super({ vendor: 0x1234, device: 1, classCode: 0xff_0000, revision: 0, interruptPin: 1 });
    this.addBar(0, {
      kind: 'memory32',
      size: 4096,
      window: { read: () => 0x5a, write: () => {} },
    });
  }
  raise(level: boolean): void {
    this.setInterrupt(level);
  }
  message(address: number, data: number): void {
    this.attachment!.messages({ address, data, source: this.attachment!.requester });
  }
}

function board(options: Partial<PlatformOptions> = {}) {
  const bench = new TestBench();
  const memory = new PhysicalMemory(1 << 20);
  const events: string[] = [];
  const sent: number[] = [];
  let attentions = 0;
  const buses: PlatformBuses = {
    ports: bench.ports,
    memory,
    scheduler: bench.scheduler,
    attention: () => void attentions++,
    readTsc: () => BigInt(bench.now),
    raiseNmi: () => void events.push('nmi'),
  };
  const platform = createPlatform(buses, {
    memoryBytes: 1 << 20,
    serialOutput: (byte) => sent.push(byte),
    rtcStart: 1e9,
    powerOff: () => events.push('off'),
    reset: (kind) => events.push(`reset ${kind}`),
    ...options,
  });
  const entry = (pin: number, low: number): void => {
    memory.write32(IOAPIC, 0x10 + 2 * pin);
    memory.write32(IOAPIC + 0x10, low);
  };
  return {
    bench,
    memory,
    platform,
    events,
    sent,
    entry,
    out: (port: number, ...values: number[]) => values.forEach((v) => bench.out(port, v)),
    attentions: () => attentions,
  };
}

/** The 8259s as BIOSes and Linux program them: vectors 20h-2Fh. */
function startPics({ out }: ReturnType<typeof board>, mask1: number, mask2: number): void {
  out(0x20, 0x11);
  out(0x21, 0x20, 0x04, 0x01, mask1);
  out(0xa0, 0x11);
  out(0xa1, 0x28, 0x02, 0x01, mask2);
}

describe('as firmware leaves it', () => {
  test('local APIC in virtual wire mode at FEE0_0000h, BSP', () => {
    const { memory, platform } = board();
    expect([memory.read32(LAPIC + 0xf0), memory.read32(LAPIC + 0x350), memory.read32(LAPIC + 0x360)]).toEqual([0x1ff, 0x700, 0x400]);
    expect(platform.interrupts.readMsr(0x1b)).toBe(0xfee0_0900n);
  });

  test('ELCR: IRQ9, 10 and 11 are level-triggered', () => {
    const { bench } = board();
    expect([bench.in(0x4d0), bench.in(0x4d1)]).toEqual([0, 0x0e]);
  });

  test('I/O APIC, HPET, ECAM, PM timer, RTC answer where the tables say', () => {
    const { bench, memory } = board();
    memory.write32(IOAPIC, 1);
    expect(memory.read32(IOAPIC + 0x10)).toBe(0x0017_0020);
    expect(memory.read32(0xfed0_0000) >>> 16).toBe(0x8086);
    expect(memory.read32(0xe000_0000)).toBe(0x29c0_8086);
    expect(memory.read32(0xe000_0000 + 0x1f * 0x8000)).toBe(0x2918_8086);
    bench.advance(1_000_000_000);
    expect(bench.ports.read(0x608, 4)).toBe(3_579_545);
    bench.out(0x70, 0x0d);
    expect(bench.in(0x71)).toBe(0x80);
  });
});

describe('interrupt paths', () => {
  test('PIT -> 8259 -> LINT0: virtual wire', () => {
    const b = board();
    startPics(b, 0xfe, 0xff);
    b.out(0x43, 0x34);
    b.out(0x40, 0xa9, 0x04); // 1193 cycles: 1 ms
    b.bench.advance(1_100_000);
    expect(b.platform.interrupts.pending()).toBe(true);
    expect(b.attentions()).toBeGreaterThan(0);
    expect(b.platform.interrupts.acknowledge()).toBe(0x20);
    expect(b.platform.interrupts.pending()).toBe(false);
  });

  test('PIT -> input 2 of the I/O APIC, 8259 masked', () => {
    const b = board();
    b.entry(2, 0x30);
    b.out(0x43, 0x34);
    b.out(0x40, 0xa9, 0x04);
    b.bench.advance(1_100_000);
    expect(b.platform.interrupts.acknowledge()).toBe(0x30);
    b.memory.write32(LAPIC + 0xb0, 0);
    b.bench.advance(1_000_000);
    expect(b.platform.interrupts.acknowledge()).toBe(0x30);
  });

  test('8259 -> input 0 as ExtINT message, LINT0 masked', () => {
    const b = board();
    startPics(b, 0xfe, 0xff);
    b.memory.write32(LAPIC + 0x350, 0x1_0700);
    b.entry(0, 0x700);
    b.out(0x43, 0x34);
    b.out(0x40, 0xa9, 0x04);
    b.bench.advance(1_100_000);
    expect(b.platform.interrupts.acknowledge()).toBe(0x20);
  });

  test('COM1 -> IRQ4, by whichever controller is unmasked', () => {
    const b = board();
    b.entry(4, 0x34);
    startPics(b, 0xef, 0xff);
    b.out(0x3fc, 0x0b);
    b.out(0x3f9, 0x01);
    b.platform.uart.receive([0x41]);
    expect([b.platform.interrupts.acknowledge(), b.platform.interrupts.acknowledge()].sort()).toEqual([0x24, 0x34]);
    expect(b.bench.in(0x3f8)).toBe(0x41);
    b.out(0x3f8, 0x42);
    expect(b.sent).toEqual([0x42]);
  });

  test('SCI: input 9, level, until the status is cleared and the EOI has come round', () => {
    const b = board();
    b.entry(9, 0x8039);
    b.bench.ports.write(0x602, 2, 0x100);
    b.platform.acpiPm.pressPowerButton();
    expect(b.platform.interrupts.acknowledge()).toBe(0x39);
    b.memory.write32(LAPIC + 0xb0, 0);
    expect(b.platform.interrupts.acknowledge()).toBe(0x39);
    b.bench.ports.write(0x600, 2, 0x100);
    b.memory.write32(LAPIC + 0xb0, 0);
    expect(b.platform.interrupts.pending()).toBe(false);
  });

  test('PCI INTA# of slot 1 -> input 17 (level), and IRQ11 of the 8259s', () => {
    const device = new Requester();
    const b = board({ pciDevices: [{ slot: 1, device }] });
    b.entry(17, 0x8051);
    startPics(b, 0xfb, 0xf7);
    device.raise(true);
    expect([b.platform.interrupts.acknowledge(), b.platform.interrupts.acknowledge()].sort()).toEqual([0x2b, 0x51]);
    device.raise(false);
    b.memory.write32(LAPIC + 0xb0, 0);
    b.out(0xa0, 0x20);
    b.out(0x20, 0x20);
    expect(b.platform.interrupts.pending()).toBe(false);
  });

  test('a PCI message reaches the processor it names, and remapping can change or block it', () => {
    const device = new Requester();
    const plain = board({ pciDevices: [{ slot: 1, device }] });
    device.message(0xfee0_0000, 0x0061);
    device.message(0xfee0_5000, 0x0062);
    expect([plain.platform.interrupts.acknowledge(), plain.platform.interrupts.pending()]).toEqual([0x61, false]);

    const remapped = new Requester();
    const sources: number[] = [];
    const b = board({
      pciDevices: [{ slot: 3, device: remapped }],
      remapInterrupt: (m) => {
        sources.push(m.source);
        return m.data === 0x61 ? { ...m, data: 0x71 } : undefined;
      },
    });
    remapped.message(0xfee0_0000, 0x61);
    remapped.message(0xfee0_0000, 0x62);
    b.entry(4, 0x34);
    b.platform.ioapic.inputs[4].set(true);
    expect([b.platform.interrupts.acknowledge(), b.platform.interrupts.pending(), sources]).toEqual([0x71, false, [0x18, 0x18, 0xf0f8]]);
  });

  test('HPET in legacy replacement mode takes over input 2', () => {
    const b = board();
    b.entry(2, 0x30);
    b.memory.write32(0xfed0_0100, 0x04);
    b.memory.write32(0xfed0_0108, 1000);
    b.memory.write32(0xfed0_010c, 0);
    b.memory.write32(0xfed0_0010, 3);
    b.bench.advance(10_000);
    expect(b.platform.interrupts.acknowledge()).toBe(0x30);
  });
});

describe('moving and switching off the local APIC', () => {
  test('IA32_APIC_BASE moves the page; disabled and in x2APIC mode there is none', () => {
    const { memory, platform } = board();
    const { lapic } = platform;
    lapic.writeMsr(0x1b, 0xfec8_0900n);
    expect([memory.read32(LAPIC), memory.read32(0xfec8_0030)]).toEqual([0xffff_ffff, memory.read32(0xfec8_0030)]);
    expect(memory.read32(0xfec8_0030)).not.toBe(0xffff_ffff);
    lapic.writeMsr(0x1b, 0xfee0_0100n);
    expect([memory.read32(LAPIC + 0x30), memory.read32(0xfec8_0030)]).toEqual([0xffff_ffff, 0xffff_ffff]);
    lapic.writeMsr(0x1b, 0xfee0_0900n);
    expect(memory.read32(LAPIC + 0xf0)).toBe(0xff);
    lapic.writeMsr(0x1b, 0xfee0_0d00n);
    expect([memory.read32(LAPIC + 0x30), lapic.readMsr(0x80f)]).toEqual([0xffff_ffff, 0xffn]);
  });

  test('it follows the processor: no x2APIC, no TSC deadline on an AMD profile without them', () => {
    const { platform } = board({
      profile: createProfile('amd', { features: { x2apic: false } }),
    });
    expect([platform.lapic.writeMsr(0x1b, 0xfee0_0d00n), platform.lapic.readMsr(0x6e0)]).toEqual([false, undefined]);
  });
});

describe('ends of a run', () => {
  test('S5, reset register, keyboard controller, port 92h', () => {
    const b = board();
    b.bench.ports.write(0x604, 2, 0x3c00);
    b.out(0xcf9, 0x0e);
    b.out(0x64, 0xfe);
    b.out(0x92, 0x01);
    expect(b.events).toEqual(['off', 'reset power-cycle', 'reset keyboard controller', 'reset init']);
  });

  test('debug exit and debug consoles', () => {
    const exits: number[] = [];
    const text: number[] = [];
    const b = board({
      debugExit: { iobase: 0xf4, exit: (status) => exits.push(status) },
      debugOutput: (byte) => text.push(byte),
    });
    b.bench.ports.write(0xf4, 4, 0x10);
    b.out(0xe9, 0x41);
    b.out(0x402, 0x42);
    expect([exits, text]).toEqual([[0x21], [0x41, 0x42]]);
  });
});

test('the firmware has placed the functions that were plugged in, and COM2 is there only when asked for', () => {
  const device = new Requester();
  const b = board({
    pciDevices: [{ slot: 4, device }],
    serialOutput2: () => {},
  });
  const [[, bar]] = device.baseAddresses();
  expect(b.memory.read8(bar.address)).toBe(0x5a);
  expect(b.bench.in(0x2fd)).toBe(0x60);
  expect(board().bench.in(0x2fd)).toBe(0xff);
});

test('two boards are the same to the guest: tables and registers', () => {
  const [a, b] = [board(), board()];
  expect(b.platform.acpi).toEqual(a.platform.acpi);
  for (let port = 0; port < 0x1_0000; port++) expect(b.bench.in(port)).toBe(a.bench.in(port));
});

test('platformFactory hands out the platform and answers with the local APIC', () => {
  const bench = new TestBench();
  let built: Platform | undefined;
  const options: PlatformOptions = {
    memoryBytes: 1 << 20,
    serialOutput: () => {},
    rtcStart: 0,
    powerOff: () => {},
    reset: () => {},
  };
  const memory = new PhysicalMemory(1 << 20);
  const interrupts = platformFactory(
    options,
    (p) => (built = p),
  )({
    ports: bench.ports,
    memory,
    scheduler: bench.scheduler,
    attention: () => {},
    readTsc: () => 0n,
    raiseNmi: () => {},
  });
  expect(interrupts).toBe(built?.lapic);
});

const access = fc.record({
  mmio: fc.boolean(),
  port: fc.oneof(
    fc.integer({ min: 0, max: 0xffff }),
    fc.constantFrom(0xcf8, 0xcfc, 0xcfe, 0x20, 0x21, 0xa0, 0xa1, 0x40, 0x43, 0x61, 0x64, 0x70, 0x71, 0x3f8, 0x3fb, 0x600, 0x604, 0x4d1),
  ),
  address: fc.oneof(
    fc.integer({ min: 0, max: 0xfff }).map((o) => LAPIC + o),
    fc.integer({ min: 0, max: 0x3f }).map((o) => LAPIC + 16 * o),
    fc.integer({ min: 0, max: 0x44 }).map((o) => IOAPIC + o),
    fc.constantFrom(IOAPIC, IOAPIC + 0x10),
    fc.integer({ min: 0, max: 0x3ff }).map((o) => 0xfed0_0000 + o),
    fc.integer({ min: 0, max: 0xf_ffff }).map((o) => 0xe000_0000 + o),
  ),
  size: fc.constantFrom<AccessSize[]>(1, 2, 4),
  value: fc.oneof(fc.integer({ min: 0, max: 0x1ff }), fc.integer({ min: 0, max: 0xffff_ffff })),
  wait: fc.integer({ min: 0, max: 200_000 }),
});
type Access = typeof access extends fc.Arbitrary<infer T> ? T : never;

function perform({ bench, memory, platform }: ReturnType<typeof board>, a: Access): number {
  bench.advance(a.wait);
  if (platform.interrupts.pending() && a.value % 3 === 0) platform.interrupts.acknowledge();
  if (!a.mmio) {
    if (a.value & 1) bench.ports.write(a.port, a.size, a.value);
    return bench.ports.read(a.port, a.size);
  }
  if (a.value & 1) [memory.write8, memory.write16, , memory.write32][a.size - 1]!.call(memory, a.address, a.value);
  return [memory.read8, memory.read16, , memory.read32][a.size - 1]!.call(memory, a.address);
}

test('no access throws or leaves its width', () => {
  fc.assert(
    fc.property(fc.array(access, { minLength: 50, maxLength: 300 }), (accesses) => {
      const b = board({ pciDevices: [{ slot: 1, device: new Requester() }] });
      for (const a of accesses) {
        const value = perform(b, a);
        expect(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * a.size)).toBe(true);
      }
    }),
    { numRuns: runs(8), seed: 6 },
  );
});

test('a snapshot of the whole board goes on like the original', () => {
  const accesses = fc.array(access, { minLength: 20, maxLength: 120 });
  fc.assert(
    fc.property(accesses, accesses, (before, after) => {
      const original = board();
      for (const a of before) perform(original, a);
      const image = Object.fromEntries(
        Object.entries(original.platform.devices).map(([name, d]) => [name, JSON.parse(JSON.stringify(d.saveState())) as unknown]),
      );
      const copy = board();
      copy.bench.advanceTo(original.bench.now);
      for (const [name, device] of Object.entries(copy.platform.devices)) device.restoreState(image[name]);
      for (const a of after) expect(perform(copy, a)).toBe(perform(original, a));
    }),
    { numRuns: runs(10), seed: 7 },
  );
});
