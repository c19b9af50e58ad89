/** Nothing forgotten: every field of every device, and of a whole guest, is the same in a fresh instance into which the state was restored. */
import fc from 'fast-check';
import { Guest, type GuestConfig } from '../../hypervisor/guest';
import { createPlatform } from '../../machine/platform';
import { PhysicalMemory } from '../../memory/physical-memory';
import { TestBench } from '../devices/test-bench';
import { differences, dumpFields } from './field-dump';
import { SNAPSHOT_KERNEL } from './snapshot-kernel';
import { runs } from '../runs';

function board() {
  const bench = new TestBench();
  const memory = new PhysicalMemory(1 << 20);
  const buses = { ports: bench.ports, memory, scheduler: bench.scheduler, attention: () => {}, readTsc: () => BigInt(bench.now), raiseNmi: () => {} };
  const platform = createPlatform(buses, {
    memoryBytes: 1 << 20,
    serialOutput: () => {},
    serialOutput2: () => {},
    rtcStart: 1e9,
    hpet: true,
    iommu: 'vtd',
    powerOff: () => {},
    reset: () => {},
  });
  return { bench, memory, platform };
}

type Board = ReturnType<typeof board>;

interface Step {
  readonly kind: 'port' | 'lapic' | 'ioapic' | 'hpet' | 'iommu' | 'config' | 'input';
  readonly at: number;
  readonly value: number;
  readonly wait: number;
}

const PORTS = [
  0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x42, 0x43, 0x61, 0x60, 0x64, 0x70, 0x71, 0x80, 0x92, 0x2f8, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x600, 0x602,
  0x604,
];

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom<Step['kind']>('port', 'port', 'port', 'lapic', 'ioapic', 'hpet', 'iommu', 'config', 'input'),
  at: fc.integer({ min: 0, max: 0xffff }),
  value: fc.oneof(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 0xffff_ffff })),
  wait: fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 20_000_000 })),
});

function perform({ bench, memory, platform }: Board, { kind, at, value, wait }: Step): number {
  bench.advance(wait);
  switch (kind) {
    case 'port': {
      const port = PORTS[at % PORTS.length];
      if ((at & 0x8000) !== 0) bench.out(port, value & 0xff);
      return bench.in(port);
    }
    case 'lapic':
      memory.write32(0xfee0_0000 + (at & 0x3f0), value);
      return platform.interrupts.pending() ? platform.interrupts.acknowledge() : -1;
    case 'ioapic':
      memory.write32(0xfec0_0000, at & 0x3f);
      memory.write32(0xfec0_0010, value);
      return memory.read32(0xfec0_0010);
    case 'hpet':
      memory.write32(0xfed0_0000 + (at & 0x3fc), value);
      return memory.read32(0xfed0_0000 + (at & 0x3fc));
    case 'iommu':
      memory.write32(0xfed9_0000 + (at & 0xfc), value);
      platform.iommu!.translate(at & 0xff, value, 4, true);
      return memory.read32(0xfed9_0000 + (at & 0x2fc));
    case 'config':
      bench.ports.write(0xcf8, 4, 0x8000_f800 + (at & 0xfc));
      bench.ports.write(0xcfc, 1, value & 0xff);
      return bench.ports.read(0xcfc, 4);
    case 'input':
      platform.uart.receive([at & 0xff]);
      platform.keyboard.type([value & 0xff]);
      platform.mouse.move(at & 0x7f, value & 0x7f, at & 7);
      return platform.uart.pendingInput;
  }
}

/** The state of the board goes through structured cloning: it holds nothing that stays behind. */
function copyOf(original: Board, into: Board): Board {
  into.bench.advanceTo(original.bench.now);
  const devices = structuredClone(Object.fromEntries(Object.entries(original.platform.devices).map(([name, device]) => [name, device.saveState()])));
  const timers = structuredClone(original.bench.scheduler.saveState());
  for (const [name, device] of Object.entries(into.platform.devices)) device.restoreState(devices[name]);
  into.bench.scheduler.restoreState(timers);
  return into;
}

/** Options are functions and the other parts of the board; RAM is not a device; the order of ranges on the bus is not state. */
const NOT_STATE = [/^\.memory$/, /\.options$/, /\.spaces$/, /\.attachment$/, /iommu\..*(memory|around)$/];
const fields = ({ platform, bench }: Board) => dumpFields({ devices: platform.devices, scheduler: bench.scheduler, platform }, NOT_STATE);

const steps = fc.array(step, { minLength: 20, maxLength: 150 });

test('each device of a fresh board has the fields of the original after a restore, and goes on like it', () => {
  fc.assert(
    fc.property(steps, steps, (before, after) => {
      const original = board();
      for (const s of before) perform(original, s);
      const copy = copyOf(original, board());
      expect(differences(fields(original), fields(copy))).toEqual([]);
      for (const s of after) expect(perform(copy, s)).toBe(perform(original, s));
      expect(differences(fields(original), fields(copy))).toEqual([]);
    }),
    { numRuns: runs(6), seed: 11, endOnFailure: true },
  );
}, 120_000);

test('the same board goes back to where it was, whatever happened since', () => {
  fc.assert(
    fc.property(steps, steps, (before, after) => {
      const original = board();
      for (const s of before) perform(original, s);
      const witness = copyOf(original, board());
      const used = board();
      for (const s of [...before, ...after].reverse()) perform(used, { ...s, wait: 0 });
      copyOf(original, used);
      expect(differences(fields(witness), fields(used))).toEqual([]);
    }),
    { numRuns: runs(6), seed: 12, endOnFailure: true },
  );
}, 120_000);

test('the dump sees a field that a device forgets', () => {
  const [a, b] = [board(), board()];
  Object.assign(a.platform.devices.uart, { forgotten: 1 });
  expect(differences(fields(a), fields(b))).toEqual(['.devices.uart.forgotten: 1 / undefined']);
});

/**
 * What may differ between a guest and its restored copy, and why: decoded code and what counts it (it follows from RAM), the linear memory
 * (compared by its own test), buffers that one access or one walk fills before it uses them, statistics of the code cache.
 */
const DERIVED = [
  /\.sharing$/,
  /\.code$/,
  /\.interpreter$/,
  /\.memory\.(memory|u8|u16|u32|i32|u64|view|frameFlags)$/,
  /\.(u8|u16|u32|i32|u64|view)$/,
  /\.ram\.(current|slab|slabs|slabUsed)$/,
  /\.profile$/,
  /\.options$/,
  /\.cpu\.insn$/,
  /\.model\.cpu\.insn$/,
  /\.mmu\.(tableAddress|page|userPage|writablePage|executablePage|dirty|large|nestedPermissions|storeLow|storeHigh|storeBytes|devicePhysical)$/,
  /\.(engine|model)\.position\.(savedRipLow|savedRipHigh)$/,
  /\.finder\.(samePage|fetchHosts)$/,
  /\.(ept|npt)\.(permissions|cachedRoot|cachedFrame|cachedPermissions|walker)$/,
  /\.ranges$/,
  /\.exchange\.before$/,
  /\.entryState$/,
  /\.vectoring(ErrorCode)?$/,
  /\.(acpi|writes)$/,
];

describe.each(['bare', 'vmx', 'svm'] as const)('a whole guest (%s)', (backend) => {
  const config: GuestConfig = { image: SNAPSHOT_KERNEL, format: 'flat64', memoryBytes: 16 << 20, backend, serialOutput: () => {} };

  test.each([1, 777, 12_345, 50_000])('after %d instructions a fresh guest has the same fields, and after 10,000 more', (instructions) => {
    const original = new Guest(config);
    original.run(instructions);
    const copy = Guest.fromState(structuredClone(original.saveState()), { serialOutput: () => {} });
    expect(differences(dumpFields(original, DERIVED), dumpFields(copy, DERIVED))).toEqual([]);
    original.run(original.time + 10_000);
    copy.run(copy.time + 10_000);
    expect(differences(dumpFields(original, DERIVED), dumpFields(copy, DERIVED))).toEqual([]);
  });
});
