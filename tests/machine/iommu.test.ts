/** A board with VT-d and two physical devices that belong to different owners: what a rogue one can reach, and what is said of it. */
import { EduDevice } from '../../devices/pci/edu';
import { explainFault } from '../../iommu/explain';
import type { RemappingFault, StaleUse } from '../../iommu/remapping';
import { createPlatform } from '../../machine/platform';
import { PhysicalMemory } from '../../memory/physical-memory';
import { TestBench } from '../devices/test-bench';

const VTD = 0xfed9_0000;
const [ROGUE, VICTIM] = [0x20, 0x28];
/** Host frames: tables, then what belongs to whom. */
const [ROOT, CONTEXT, IRT] = [0x1_0000, 0x1_1000, 0x1_2000];
const [ROGUE_TABLE, VICTIM_TABLE] = [0x2_0000, 0x3_0000];
const [ROGUE_FRAME, READ_ONLY_FRAME, VICTIM_FRAME, HYPERVISOR_FRAME] = [0x8_0000, 0x8_1000, 0x9_0000, 0xa_0000];
const SECRET = 0x5ec2e7;
/** Device-side buffer of edu, and how long its DMA takes. */
const BUFFER = 0x4_0000;
const DMA_TIME = 200_000_000;

function board() {
  const bench = new TestBench();
  const memory = new PhysicalMemory(1 << 20);
  const buses = { ports: bench.ports, memory, scheduler: bench.scheduler, attention: () => {}, readTsc: () => BigInt(bench.now), raiseNmi: () => {} };
  const edu = () => new EduDevice({ dmaMask: 2 ** 32 - 1 });
  const platform = createPlatform(buses, {
    ...{ memoryBytes: 1 << 20, serialOutput: () => {}, rtcStart: 1e9, powerOff: () => {}, reset: () => {}, iommu: 'vtd' as const },
    pciDevices: [
      { slot: ROGUE >>> 3, device: edu() },
      { slot: VICTIM >>> 3, device: edu() },
    ],
  });
  const faults: RemappingFault[] = [];
  const stale: StaleUse[] = [];
  platform.iommu!.observer = { fault: (f) => void faults.push(f), stale: (s) => void stale.push(s) };

  const config = (devfn: number, at: number): void => bench.ports.write(0xcf8, 4, 0x8000_0000 + devfn * 256 + at);
  const bars = new Map<number, number>();
  for (const devfn of [ROGUE, VICTIM]) {
    config(devfn, 0x10);
    bars.set(devfn, bench.ports.read(0xcfc, 4));
    config(devfn, 0x04);
    bench.ports.write(0xcfc, 2, 6);
  }
  /** Has a device copy between its buffer and what it calls memory. */
  const dma = (devfn: number, source: number, destination: number, count: number, toMemory: boolean): void => {
    const bar = bars.get(devfn)!;
    for (const [register, value] of [
      [0x80, source],
      [0x88, destination],
      [0x90, count],
      [0x98, toMemory ? 3 : 1],
    ])
      memory.write32(bar + register, value);
    bench.advance(DMA_TIME);
  };
  const read = (devfn: number, address: number, count = 4): void => dma(devfn, address, BUFFER, count, false);
  const write = (devfn: number, address: number, count = 4): void => dma(devfn, BUFFER, address, count, true);

  // ---- what a hypervisor does: tables, then everything on ----

  const attach = (devfn: number, table: number, domain: number, pages: readonly bigint[]): void => {
    memory.write64(CONTEXT + 16 * devfn, BigInt(table) | 1n);
    memory.write64(CONTEXT + 16 * devfn + 8, 1n | BigInt(domain << 8));
    memory.write64(table, BigInt(table + 0x1000) | 3n);
    memory.write64(table + 0x1000, BigInt(table + 0x2000) | 3n);
    pages.forEach((entry, i) => memory.write64(table + 0x2000 + 8 * i, entry));
  };
  memory.write64(ROOT, BigInt(CONTEXT) | 1n);
  attach(ROGUE, ROGUE_TABLE, 1, [BigInt(ROGUE_FRAME) | 3n, BigInt(READ_ONLY_FRAME) | 1n]);
  attach(VICTIM, VICTIM_TABLE, 2, [BigInt(VICTIM_FRAME) | 3n]);
  for (const frame of [ROGUE_FRAME, READ_ONLY_FRAME, VICTIM_FRAME, HYPERVISOR_FRAME]) memory.write32(frame, SECRET);
  // Entry 0: vector 51h for the rogue; entry 1: vector 61h, of higher priority, for the victim.
  [ROGUE, VICTIM].forEach((devfn, i) => {
    memory.write64(IRT + 16 * i, 1n | (BigInt(0x51 + 16 * i) << 16n));
    memory.write64(IRT + 16 * i + 8, BigInt(devfn) | (1n << 18n));
  });
  memory.write64(VTD + 0x20, BigInt(ROOT));
  memory.write64(VTD + 0xb8, BigInt(IRT));
  let enabled = 0;
  for (const [command, stays] of [
    [0x4000_0000, 0],
    [0x0100_0000, 0],
    [0x0200_0000, 0x0200_0000],
    [0x8000_0000, 0x8000_0000],
  ]) {
    memory.write32(VTD + 0x18, enabled + command);
    enabled += stays;
  }
  /** The vector that the processor would get now. */
  const vector = (): number | undefined => (platform.lapic.pending() ? platform.lapic.acknowledge() : undefined);
  return { memory, faults, stale, read, write, vector };
}

/** A board whose rogue device holds `value` in its buffer. */
function armed(value: number): ReturnType<typeof board> {
  const b = board();
  b.memory.write32(ROGUE_FRAME, value);
  b.read(ROGUE, 0);
  expect(b.faults).toEqual([]);
  return b;
}

test('each device reaches what its owner gave it, at the owner’s addresses', () => {
  const b = armed(0x1234);
  b.write(ROGUE, 0x800);
  b.read(ROGUE, 0x1000);
  b.write(ROGUE, 0x804);
  expect([b.memory.read32(ROGUE_FRAME + 0x800), b.memory.read32(ROGUE_FRAME + 0x804)]).toEqual([0x1234, SECRET]);
  expect(b.faults).toEqual([]);
});

describe('a rogue device', () => {
  test.each([
    ['another VM’s frame', VICTIM_FRAME, true, 5],
    ['a frame of the hypervisor', HYPERVISOR_FRAME, true, 5],
    ['the hypervisor’s secrets', HYPERVISOR_FRAME, false, 6],
    ['the translation tables', ROGUE_TABLE, true, 5],
    ['a page that it may only read', 0x1000, true, 5],
  ])('does not get at %s', (_name, address, toMemory, reason) => {
    const b = armed(0xbad);
    const before = b.memory.readBytes(0, 1 << 20);
    if (toMemory) b.write(ROGUE, address);
    else b.read(ROGUE, address);
    expect(b.faults).toMatchObject([{ requester: ROGUE, address, code: reason, request: toMemory ? 'write' : 'read', recorded: true }]);
    // FRCD: source id, reason, type.
    expect(b.memory.read32(VTD + 0x228) & 0xffff).toBe(ROGUE);
    expect(b.memory.read32(VTD + 0x22c)).toBe((0x8000_0000 + (toMemory ? 0 : 0x4000_0000) + reason) >>> 0);
    expect(Buffer.compare(b.memory.readBytes(0, 1 << 20), before)).toBe(0);
    // And nothing of it came into the device either.
    b.write(ROGUE, 0x800);
    expect(b.memory.read32(ROGUE_FRAME + 0x800)).toBe(0xbad);
  });

  test('a transfer that runs off its last page stops there', () => {
    const b = board();
    b.write(ROGUE, 0xff0, 32);
    expect(b.faults).toMatchObject([{ address: 0x1000, code: 5 }]);
    expect(b.memory.read32(READ_ONLY_FRAME)).toBe(SECRET);
  });

  test('a message in the old format raises no vector', () => {
    const b = armed(0x4031);
    b.write(ROGUE, 0xfee0_0000);
    expect(b.vector()).toBeUndefined();
    expect(b.faults).toMatchObject([{ request: 'interrupt', requester: ROGUE, code: 0x25 }]);
  });
  test('the other device’s entry is not for it; its own is', () => {
    const b = armed(0);
    b.write(ROGUE, 0xfee0_0030);
    expect(b.vector()).toBeUndefined();
    expect(b.faults).toMatchObject([{ request: 'interrupt', requester: ROGUE, address: 1, code: 0x26, refusedBy: { address: IRT + 16 } }]);
    expect(explainFault(b.faults[0])).toMatch(/interrupt 1 of 00:04.0 was blocked \(0x26\): .*0x20 is not 0x28/);
    b.write(ROGUE, 0xfee0_0010);
    expect(b.vector()).toBe(0x51);
    b.write(VICTIM, 0xfee0_0030);
    expect(b.vector()).toBe(0x61);
  });

  test('a translation that was taken away still works from the IOTLB, is reported, and ends with the invalidation', () => {
    const b = armed(0xbad);
    b.memory.write64(ROGUE_TABLE + 0x2000, 0n);
    b.write(ROGUE, 0x800);
    expect(b.memory.read32(ROGUE_FRAME + 0x800)).toBe(0xbad);
    expect(b.stale).toMatchObject([
      { cache: 'IOTLB', requester: ROGUE, filledBy: ROGUE, cached: { table: 'SL-PTE', address: ROGUE_TABLE + 0x2000 }, now: [0n] },
    ]);
    // Page-selective, domain 1, address 0.
    b.memory.write64(VTD + 0xf0, 0n);
    b.memory.write64(VTD + 0xf8, 0xb000_0001_0000_0000n);
    b.write(ROGUE, 0x900);
    expect(b.memory.read32(ROGUE_FRAME + 0x900)).toBe(0);
    expect(b.faults).toMatchObject([{ address: 0x900, code: 5 }]);
  });
});
