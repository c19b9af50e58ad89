/** PCI Local Bus Specification 3.0, "Configuration Space", "Configuration Mechanism"; ICH9 and Q35 datasheets for the two functions of the board. */
import fc from 'fast-check';
import type { AccessSize, MmioDevice, PortDevice } from '../../../devices/bus';
import { HostBridge } from '../../../devices/pci/host-bridge';
import { LpcBridge } from '../../../devices/pci/lpc-bridge';
import { ECAM_BASE, PciBus, pirqOf } from '../../../devices/pci/pci-bus';
import { PciDevice } from '../../../devices/pci/pci-device';
import { PhysicalMemory } from '../../../memory/physical-memory';
import { TestBench, Wire } from '../test-bench';
import { runs } from '../../runs';

/** A function with one base address of each kind and INTB#. */
class Sample extends PciDevice {
  readonly log: string[] = [];
  message = false;

  constructor() {
    super({ vendor: 0x1234, device: 0x5678, classCode: 0xff_0102, revision: 7, subsystemVendor: 0x1af4, subsystem: 0x1100, interruptPin: 2 });
    const window = (name: string) => ({
      read: (offset: number, size: AccessSize) => {
        this.log.push(`${name} r${size} ${offset}`);
        return 0xa5;
      },
      write: (offset: number, size: AccessSize, value: number) => void this.log.push(`${name} w${size} ${offset}=${value}`),
    });
    this.addBar(0, { kind: 'io', size: 32, window: window('io') });
    this.addBar(1, { kind: 'memory32', size: 4096, window: window('mem') });
    this.addBar(2, { kind: 'memory64', size: 0x10_0000, prefetchable: true, window: window('big') });
    this.addCapability(0x01, [0x03, 0x00, 0x00, 0x00, 0x00, 0x00], [0, 0, 0x03, 0]);
    this.addCapability(0x09, [0x05, 1, 2]);
    const enabled = (): boolean => this.message;
    this.addMessageCapability({
      get enabled() {
        return enabled();
      },
      signal: () => {},
    });
  }
  raise(level: boolean): void {
    this.setInterrupt(level);
  }
}

function setup() {
  const bench = new TestBench();
  const memory = new PhysicalMemory(1 << 20);
  const pirqs = [0, 1, 2, 3].map(() => new Wire());
  const pci = new PciBus({
    ports: bench.ports,
    memory,
    interrupts: pirqs,
    messages: () => {},
    dma: () => ({ read: () => undefined, write: () => false }),
    scheduler: bench.scheduler,
  });
  const sample = pci.add(2, 0, new Sample());
  pci.attach();
  const address = (slot: number, register: number, bus = 0): number => (0x8000_0000 + bus * 0x1_0000 + slot * 0x800 + (register & 0xfc)) >>> 0;
  const get = (slot: number, register: number, size: AccessSize = 4): number => {
    bench.ports.write(0xcf8, 4, address(slot, register));
    return bench.ports.read(0xcfc + (register & 3), size);
  };
  const set = (slot: number, register: number, value: number, size: AccessSize = 4): void => {
    bench.ports.write(0xcf8, 4, address(slot, register));
    bench.ports.write(0xcfc + (register & 3), size, value);
  };
  return { bench, memory, pirqs, pci, sample, get, set };
}

describe('configuration mechanism #1', () => {
  test('CONFIG_ADDRESS takes dwords only; reserved bits read 0', () => {
    const { bench } = setup();
    bench.ports.write(0xcf8, 4, 0xffff_ffff);
    expect(bench.ports.read(0xcf8, 4)).toBe(0x80ff_fffc);
    bench.ports.write(0xcf8, 1, 0);
    bench.ports.write(0xcfa, 2, 0);
    expect(bench.ports.read(0xcf8, 4)).toBe(0x80ff_fffc);
    expect(bench.ports.read(0xcf8, 1)).toBe(0xff);
  });

  test('the presence test of Linux: 80000000h reads back', () => {
    const { bench } = setup();
    bench.ports.write(0xcfb, 1, 0x01);
    bench.ports.write(0xcf8, 4, 0x8000_0000);
    expect(bench.ports.read(0xcf8, 4)).toBe(0x8000_0000);
  });

  test('dwords, words and bytes of a header', () => {
    const { get } = setup();
    expect(get(2, 0x00)).toBe(0x5678_1234);
    expect([get(2, 0x00, 2), get(2, 0x02, 2)]).toEqual([0x1234, 0x5678]);
    expect(get(2, 0x08)).toBe(0xff01_0207);
    expect([0x08, 0x09, 0x0a, 0x0b].map((r) => get(2, r, 1))).toEqual([0x07, 0x02, 0x01, 0xff]);
    expect([get(2, 0x2c), get(2, 0x3d, 1), get(2, 0x0e, 1)]).toEqual([0x1100_1af4, 2, 0]);
  });

  test('absent functions, other buses and a clear enable bit read as ones', () => {
    const { bench, get } = setup();
    expect([get(5, 0), get(5, 0, 2), get(5, 0, 1)]).toEqual([0xffff_ffff, 0xffff, 0xff]);
    bench.ports.write(0xcf8, 4, 0x8001_1000);
    expect(bench.ports.read(0xcfc, 4)).toBe(0xffff_ffff);
    bench.ports.write(0xcf8, 4, 0x0000_1000);
    expect(bench.ports.read(0xcfc, 4)).toBe(0xffff_ffff);
  });
});

describe('ECAM', () => {
  test('shows the same registers at bus << 20 | device << 15 | function << 12', () => {
    const { memory, get } = setup();
    const at = ECAM_BASE + 2 * 0x8000;
    expect(memory.read32(at)).toBe(0x5678_1234);
    expect(memory.read16(at + 2)).toBe(0x5678);
    memory.write8(at + 0x3c, 0x0b);
    expect(get(2, 0x3c, 1)).toBe(0x0b);
  });

  test('extended space of a conventional function, and other buses, are absent', () => {
    const { memory } = setup();
    expect(memory.read32(ECAM_BASE + 2 * 0x8000 + 0x100)).toBe(0xffff_ffff);
    expect(memory.read32(ECAM_BASE + 0x10_0000)).toBe(0xffff_ffff);
    expect(memory.read32(ECAM_BASE + 0xff0_0000)).toBe(0xffff_ffff);
  });
});

describe('base addresses', () => {
  test('sizing: ones written, the size is the lowest bit that sticks', () => {
    const { get, set } = setup();
    for (let bar = 0; bar < 6; bar++) set(2, 0x10 + 4 * bar, 0xffff_ffff);
    expect([0, 1, 2, 3, 4, 5].map((bar) => get(2, 0x10 + 4 * bar))).toEqual([0xffff_ffe1, 0xffff_f000, 0xfff0_000c, 0xffff_ffff, 0, 0]);
  });

  test('ports are decoded with the I/O enable bit, and move', () => {
    const { bench, sample, set } = setup();
    set(2, 0x10, 0xc001);
    expect(bench.in(0xc004)).toBe(0xff);
    set(2, 0x04, 1, 2);
    expect(bench.in(0xc004)).toBe(0xa5);
    bench.ports.write(0xc01c, 4, 7);
    set(2, 0x10, 0xd000);
    expect([bench.in(0xc004), bench.in(0xd000)]).toEqual([0xff, 0xa5]);
    set(2, 0x04, 0, 2);
    expect(bench.in(0xd000)).toBe(0xff);
    expect(sample.log).toEqual(['io r1 4', 'io w4 28=7', 'io r1 0']);
  });

  test('memory is decoded with the memory enable bit, 64-bit ones anywhere in the windows', () => {
    const { memory, sample, set } = setup();
    set(2, 0x14, 0xf100_0000);
    set(2, 0x18, 0x0010_0000);
    set(2, 0x1c, 0x9);
    expect(memory.read32(0xf100_0010)).toBe(0xffff_ffff);
    set(2, 0x04, 2, 2);
    expect(memory.read32(0xf100_0010)).toBe(0xa5);
    memory.write16(0x9_0010_0002, 0x1234);
    expect(sample.log).toEqual(['mem r4 16', `big w2 2=${0x1234}`]);
  });

  test('nothing is decoded over what the chipset claims, nor at 0, nor over fixed ports', () => {
    const { bench, memory, sample, set } = setup();
    const fixed: PortDevice = { readPort: () => 0x42, writePort: () => {} };
    const apic: MmioDevice = { readMmio: () => 0x43, writeMmio: () => {} };
    bench.ports.register(0x3f8, 8, fixed);
    memory.mapMmio(0xfee0_0000, 0x1000, apic);
    set(2, 0x04, 3, 2);
    set(2, 0x10, 0x3e0);
    expect([bench.in(0x3e0), bench.in(0x3f8)]).toEqual([0xa5, 0x42]);
    set(2, 0x10, 0x400);
    expect(bench.in(0x3f8)).toBe(0x42);
    set(2, 0x14, 0xfee0_0000);
    expect(memory.read32(0xfee0_0000)).toBe(0x43);
    set(2, 0x14, 0);
    expect(sample.log).toEqual(['io r1 0']);
  });

  test('firmware assignment: aligned, disjoint, inside the windows, and decoding', () => {
    const { pci, get } = setup();
    pci.assignResources((pirq) => [10, 11, 10, 11][pirq]);
    const [io, mem, big] = [get(2, 0x10) & ~3, (get(2, 0x14) & ~15) >>> 0, (get(2, 0x18) & ~15) >>> 0];
    expect([io % 32, mem % 4096, big % 0x10_0000]).toEqual([0, 0, 0]);
    expect(io).toBeGreaterThanOrEqual(0x1000);
    expect(Math.abs(mem - big)).toBeGreaterThanOrEqual(4096);
    for (const base of [mem, big]) expect(base).toBeGreaterThanOrEqual(0xf000_0000);
    expect(get(2, 0x04, 2) & 7).toBe(3);
    expect(get(2, 0x3c, 1)).toBe([10, 11, 10, 11][pirqOf(2, 2)]);
  });

  test('a size no register can describe is refused', () => {
    class Wrong extends PciDevice {
      constructor(size: number) {
        super({ vendor: 1, device: 1, classCode: 0, revision: 0 });
        this.addBar(0, {
          kind: 'memory32',
          size,
          window: { read: () => 0, write: () => {} },
        });
      }
    }
    for (const size of [0, 8, 4097, 2 ** 32]) expect(() => new Wrong(size)).toThrow(RangeError);
  });
});

describe('command, status, capabilities', () => {
  test('read-only registers keep their value; reserved command bits read 0', () => {
    const { get, set } = setup();
    set(2, 0x00, 0);
    set(2, 0x08, 0);
    set(2, 0x04, 0xffff, 2);
    expect([get(2, 0x00), get(2, 0x08), get(2, 0x04, 2)]).toEqual([0x5678_1234, 0xff01_0207, 0x0547]);
  });

  test('the list: status bit 4, pointers, bodies, writable bits', () => {
    const { get, set } = setup();
    expect(get(2, 0x06, 2) & 0x10).toBe(0x10);
    const first = get(2, 0x34, 1);
    const second = get(2, first + 1, 1);
    expect([get(2, first, 1), get(2, second, 1), get(2, second + 1, 1), get(2, second + 2, 1)]).toEqual([1, 9, 0, 5]);
    expect([first & 3, second & 3]).toEqual([0, 0]);
    set(2, first + 4, 0xff, 1);
    set(2, first, 0xff, 1);
    expect([get(2, first + 4, 1), get(2, first, 1)]).toEqual([3, 1]);
  });

  test('INTB# of slot 2 is PIRQD#; the disable bit and messages silence it; the status bit tells anyway', () => {
    const { pirqs, sample, get, set } = setup();
    const levels = (): boolean[] => pirqs.map((p) => p.level);
    sample.raise(true);
    expect(levels()).toEqual([false, false, false, true]);
    set(2, 0x04, 0x400, 2);
    expect([levels(), get(2, 0x06, 2) & 8]).toEqual([[false, false, false, false], 8]);
    set(2, 0x04, 0, 2);
    expect(levels()).toEqual([false, false, false, true]);
    sample.message = true;
    sample.raise(true);
    expect(levels()).toEqual([false, false, false, false]);
    sample.raise(false);
    expect(get(2, 0x06, 2) & 8).toBe(0);
  });

  test('two functions on one PIRQ: it is up while one of them asks', () => {
    const { pci, pirqs, sample } = setup();
    const other = pci.add(6, 0, new Sample());
    sample.raise(true);
    other.raise(true);
    sample.raise(false);
    expect(pirqs[3].level).toBe(true);
    other.raise(false);
    expect(pirqs[3].level).toBe(false);
  });

  test('a slot holds one function', () => {
    expect(() => setup().pci.add(2, 0, new Sample())).toThrow('00:2.0');
  });
});

describe('functions of the board', () => {
  function board() {
    const { pci, get, set } = setup();
    const apic = Array.from({ length: 8 }, () => new Wire());
    const isa = Array.from({ length: 16 }, () => new Wire());
    pci.add(0, 0, new HostBridge(ECAM_BASE));
    const sources: Wire[][] = isa.map(() => []);
    const lpc = new LpcBridge({
      pmBase: 0x600,
      apicInputs: apic,
      isaSource: (irq) => {
        const wire = new Wire();
        sources[irq].push(wire);
        return wire;
      },
    });
    pci.add(0x1f, 0, lpc);
    return { get, set, lpc, apic, isaLevel: (irq: number) => sources[irq].some((w) => w.level) };
  }

  test('host bridge: Q35, class 0600h, PCIEXBAR enabled for 256 buses', () => {
    const { get } = board();
    expect([get(0, 0x00), get(0, 0x0a, 2), get(0, 0x60), get(0, 0x64)]).toEqual([0x29c0_8086, 0x0600, 0xe000_0001, 0]);
  });

  test('LPC: ICH9, class 0601h, PMBASE, ACPI enabled on IRQ9, RCBA', () => {
    const { get } = board();
    expect([get(0x1f, 0x00), get(0x1f, 0x0a, 2), get(0x1f, 0x40), get(0x1f, 0x44, 1), get(0x1f, 0xf0)]).toEqual([
      0x2918_8086, 0x0601, 0x601, 0x80, 0xfed1_c001,
    ]);
  });

  test('PIRQs reach the I/O APIC always, the 8259s where PIRQx_ROUT says', () => {
    const { lpc, apic, isaLevel, set } = board();
    lpc.pirqs[0].set(true);
    expect([apic[0].level, isaLevel(10), isaLevel(5)]).toEqual([true, true, false]);
    set(0x1f, 0x60, 5, 1);
    expect([isaLevel(10), isaLevel(5)]).toEqual([false, true]);
    set(0x1f, 0x60, 0x85, 1);
    expect([apic[0].level, isaLevel(5)]).toEqual([true, false]);
    set(0x1f, 0x60, 0x0d, 1); // reserved
    expect(isaLevel(13)).toBe(false);
    lpc.pirqs[0].set(false);
    expect(apic[0].level).toBe(false);
  });
});

test('no configuration access throws or leaves its width, and a snapshot is faithful', () => {
  const access = fc.record({
    register: fc.integer({ min: 0, max: 255 }),
    size: fc.constantFrom<AccessSize[]>(1, 2, 4),
    value: fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constant(0xffff_ffff)),
    port: fc.integer({ min: 0xcf5, max: 0xd02 }),
    direct: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 150 }), (accesses) => {
      const { bench, pci, memory, get, set } = setup();
      for (const { register, size, value, port, direct } of accesses) {
        if (direct) bench.ports.write(port, size, value);
        else set(2, register, value, size);
        for (const read of [bench.ports.read(port, size), get(2, register, size)]) expect(read >= 0 && read < 2 ** (8 * size)).toBe(true);
        memory.write32(ECAM_BASE + register * 4097, value);
      }
      const copy = setup();
      copy.pci.restoreState(JSON.parse(JSON.stringify(pci.saveState())) as ReturnType<PciBus['saveState']>);
      expect(copy.pci.saveState()).toEqual(pci.saveState());
      for (let r = 0; r < 256; r += 4) expect(copy.get(2, r)).toBe(get(2, r));
    }),
    { numRuns: runs(20), seed: 5 },
  );
});
