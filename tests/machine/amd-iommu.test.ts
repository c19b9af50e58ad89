/** The board of an AMD machine with its IOMMU: how software finds it, and the way of an interrupt and of a transfer through it. */
import { EduDevice } from '../../devices/pci/edu';
import type { RemappingFault } from '../../iommu/remapping';
import { createPlatform } from '../../machine/platform';
import { PhysicalMemory } from '../../memory/physical-memory';
import { TestBench } from '../devices/test-bench';

const ECAM = 0xe000_0000;
const IOAPIC = 0xfec0_0000;
const UNIT = 0xfed8_0000;
/** Requester ids: 00:14.0 is the I/O APIC. */
const [IO_APIC, EDU] = [0xa0, 0x20];
const [DEVICE_TABLE, COMMANDS, EVENTS, INTERRUPTS, PAGES, FRAME] = [0x1_0000, 0x2_0000, 0x3_0000, 0x4_0000, 0x5_0000, 0x6_0000];
/** Device-side buffer of edu, and how long its DMA takes. */
const BUFFER = 0x4_0000;
const DMA_TIME = 200_000_000;

function board() {
  const bench = new TestBench();
  const memory = new PhysicalMemory(1 << 20);
  const buses = { ports: bench.ports, memory, scheduler: bench.scheduler, attention: () => {}, readTsc: () => BigInt(bench.now), raiseNmi: () => {} };
  const options = { memoryBytes: 1 << 20, serialOutput: () => {}, rtcStart: 1e9, powerOff: () => {}, reset: () => {}, iommu: 'amdvi' as const };
  const platform = createPlatform(buses, { ...options, pciDevices: [{ slot: EDU >>> 3, device: new EduDevice({ dmaMask: 2 ** 32 - 1 }) }] });
  const faults: RemappingFault[] = [];
  platform.iommu!.observer = { fault: (f) => void faults.push(f) };

  const dte = (requester: number, ...words: bigint[]): void => words.forEach((w, i) => memory.write64(DEVICE_TABLE + 32 * requester + 8 * i, w));
  const interruptTable = (at: number): bigint => 1n | (4n << 1n) | BigInt(at) | (2n << 60n);
  // The I/O APIC: interrupts through 16 entries. edu: one level of pages, and interrupts through entries of its own.
  dte(IO_APIC, 0n, 0n, interruptTable(INTERRUPTS), 0n);
  dte(EDU, 3n | (1n << 9n) | BigInt(PAGES) | (3n << 61n), 1n, interruptTable(INTERRUPTS + 0x100), 0n);
  memory.write64(PAGES + 8, BigInt(FRAME) | (3n << 61n) | 1n);
  memory.write32(INTERRUPTS + 4 * 4, 0x0051_0001);
  memory.write32(INTERRUPTS + 0x100, 0x0061_0001);
  memory.write64(UNIT, BigInt(DEVICE_TABLE) | 1n);
  memory.write64(UNIT + 0x08, BigInt(COMMANDS) | (8n << 56n));
  memory.write64(UNIT + 0x10, BigInt(EVENTS) | (8n << 56n));
  memory.write64(UNIT + 0x18, 0x1005n);

  bench.ports.write(0xcf8, 4, 0x8000_0000 + EDU * 256 + 0x10);
  const bar = bench.ports.read(0xcfc, 4);
  memory.write32(ECAM + EDU * 0x1000 + 4, 6);
  const dma = (source: number, destination: number, toMemory: boolean): void => {
    memory.write32(bar + 0x80, source);
    memory.write32(bar + 0x88, destination);
    memory.write32(bar + 0x90, 4);
    memory.write32(bar + 0x98, toMemory ? 3 : 1);
    bench.advance(DMA_TIME);
  };
  const vector = (): number | undefined => (platform.lapic.pending() ? platform.lapic.acknowledge() : undefined);
  return { bench, memory, platform, faults, dma, vector };
}

test('is the third function of the host bridge’s device, and in the ACPI tables', () => {
  const { memory, platform } = board();
  // Header type of 00:00.0: multifunction.
  expect(memory.read8(ECAM + 0x0e)).toBe(0x80);
  expect(memory.read32(ECAM + 0x2000)).toBe(0x1481_1022);
  expect(memory.read32(ECAM + 0x1000)).toBe(0xffff_ffff);
  const signatures = platform.acpi.tables.map(({ bytes }) => Buffer.from(bytes.subarray(0, 4)).toString());
  expect(signatures).toContain('IVRS');
  expect(signatures).not.toContain('DMAR');
});

test('a board without it has a host bridge of one function', () => {
  const bench = new TestBench();
  const memory = new PhysicalMemory(1 << 20);
  const buses = { ports: bench.ports, memory, scheduler: bench.scheduler, attention: () => {}, readTsc: () => 0n, raiseNmi: () => {} };
  createPlatform(buses, { memoryBytes: 1 << 20, serialOutput: () => {}, rtcStart: 1e9, powerOff: () => {}, reset: () => {} });
  expect([memory.read8(ECAM + 0x0e), memory.read32(ECAM + 0x2000)]).toEqual([0, 0xffff_ffff]);
});

test('an interrupt of the I/O APIC goes through the table of 00:14.0', () => {
  const { memory, platform, vector, faults } = board();
  // Input 4 asks for entry 4 of the table; input 5 for one that is not enabled.
  for (const [pin, index] of [
    [4, 4],
    [5, 5],
  ]) {
    memory.write32(IOAPIC, 0x10 + 2 * pin);
    memory.write32(IOAPIC + 0x10, index);
    platform.ioapic.inputs[pin].set(true);
  }
  expect([vector(), vector()]).toEqual([0x51, undefined]);
  expect(faults).toMatchObject([{ request: 'interrupt', requester: IO_APIC, address: 5, code: 2 }]);
});

test('a level-triggered interrupt is ended by the vector of the I/O APIC’s entry, which is the index', () => {
  const { memory, platform, vector } = board();
  memory.write32(IOAPIC, 0x10 + 2 * 20);
  memory.write32(IOAPIC + 0x10, 0x8004);
  platform.ioapic.inputs[20].set(true);
  expect(vector()).toBe(0x51);
  memory.write32(0xfee0_00b0, 0);
  expect(vector()).toBeUndefined();
  memory.write32(IOAPIC + 0x40, 4);
  expect(vector()).toBe(0x51);
});

test('a device transfers to and from its pages, and nothing else; its message is its own', () => {
  const { memory, dma, faults, vector } = board();
  memory.write32(FRAME, 0);
  dma(0x1000, BUFFER, false);
  memory.write32(FRAME, 0x1234_5678);
  dma(0x1000, BUFFER, false);
  dma(BUFFER, 0x1800, true);
  expect([memory.read32(FRAME + 0x800), faults]).toEqual([0x1234_5678, []]);
  dma(BUFFER, FRAME, true);
  expect(faults).toMatchObject([{ request: 'write', requester: EDU, address: FRAME, code: 2 }]);
  expect([memory.read32(FRAME), memory.read64(EVENTS) & 0xffffn]).toEqual([0x1234_5678, BigInt(EDU)]);
  // A dword written to the interrupt range is a message: 1234_5678h asks for entry 678h.
  dma(BUFFER, 0xfee0_0000, true);
  expect(vector()).toBeUndefined();
  memory.write32(FRAME, 0);
  dma(0x1000, BUFFER, false);
  dma(BUFFER, 0xfee0_0000, true);
  expect(vector()).toBe(0x61);
});
