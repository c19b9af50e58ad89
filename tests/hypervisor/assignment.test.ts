/** Devices of the physical machine in the hands of a VM, and what a rogue one can do: on VT-d and on AMD-Vi. */
import { PortBus, Scheduler } from '../../devices/bus';
import { EduDevice } from '../../devices/pci/edu';
import { parseProfile } from '../../cpu/profiles/profile';
import { AssignmentError, assignedIndexes } from '../../hypervisor/assignment/assignable';
import { DeviceAssignment } from '../../hypervisor/assignment/assignment';
import { physicalBoard, physicalFunctions } from '../../hypervisor/assignment/physical-board';
import { HostFrames, LARGE, SMALL } from '../../hypervisor/frames';
import { GuestMemory } from '../../hypervisor/guest-memory';
import { explainFault } from '../../iommu/explain';
import type { RemappingFault, StaleUse } from '../../iommu/remapping';
import { Machine } from '../../machine/machine';
import { createPlatform, platformFactory, type Platform } from '../../machine/platform';

const MIB = 1 << 20;
const HOST_BYTES = 24 * MIB;
/** Two blocks of 2 MiB, and three pages. */
const VM_BYTES = 4 * MIB + 3 * SMALL;
const OUTSIDE = 8 * MIB;
/** Requester ids: the device under test, and one of the same VM. */
const [ROGUE, OTHER] = [0x20, 0x28];
const EDU = { SOURCE: 0x80, DESTINATION: 0x88, COUNT: 0x90, COMMAND: 0x98, RAISE: 0x60, LIVENESS: 0x04 } as const;
const [BUFFER, FROM_MEMORY, TO_MEMORY] = [0x4_0000, 1, 3];
const DMA_TIME = 200_000_000;
const IA32_APIC_SVR = 0xfee0_00f0;
const MSI_CAPABILITY = 5;

function laboratory(iommu: 'vtd' | 'amdvi', seed = 0, processor = iommu === 'vtd' ? 'intel' : 'amd') {
  const profile = parseProfile(processor);
  const edus = [new EduDevice({ dmaMask: 2 ** 32 - 1 }), new EduDevice({ dmaMask: 2 ** 32 - 1 })];
  const physical = edus.map((device, i) => ({ slot: (ROGUE >>> 3) + i, device }));
  let board!: Platform;
  const factory = platformFactory(physicalBoard(HOST_BYTES, profile, iommu, physical), (p) => (board = p));
  const machine = new Machine({ ramBytes: HOST_BYTES, profile, platform: factory });
  const { memory: host, cpu } = machine;
  const faults: RemappingFault[] = [];
  const stale: StaleUse[] = [];
  board.iommu!.observer = { fault: (f) => void faults.push(f), stale: (s) => void stale.push(s) };
  const frames = new HostFrames([{ base: LARGE, size: HOST_BYTES - LARGE }], seed);

  // Whoever had the device before has left something in it.
  const ecam = (requester: number, at: number): number => 0xe000_0000 + requester * 4096 + at;
  const barOf = (requester: number): number => host.read32(ecam(requester, 0x10));
  host.write32(barOf(ROGUE) + EDU.LIVENESS, 0x1234_5678);

  const assignment = new DeviceAssignment({ machine, board, frames, iommu, requesters: [ROGUE, OTHER] });
  const [mine, theirs] = [0, 1].map(() => new GuestMemory(VM_BYTES, host, frames, () => {}));
  const ports = new PortBus();
  const clock = { now: () => cpu.now() };
  const vm = createPlatform(
    { ports, memory: mine, scheduler: new Scheduler(clock), attention: () => {}, readTsc: () => 0n, raiseNmi: () => {} },
    {
      ...{ memoryBytes: VM_BYTES, serialOutput: () => {}, rtcStart: 0, powerOff: () => {}, reset: () => {}, profile },
      pciDevices: assignment.functions.map((device, i) => ({ slot: (ROGUE >>> 3) + i, device })),
    },
  );
  assignment.giveTo(mine);
  // The other VM, and what is nobody's.
  const pattern = (byte: number): Uint8Array => new Uint8Array(SMALL).fill(byte);
  for (let gpa = 0; gpa < VM_BYTES; gpa += SMALL) theirs.writeBytes(gpa, pattern(0x77));
  for (const { base, size } of frames.free()) host.writeBytes(base, new Uint8Array(size).fill(0x99));

  // ---- the guest's side ----

  const config = {
    read: (requester: number, at: number, size: 1 | 2 | 4 = 4): number => {
      ports.write(0xcf8, 4, 0x8000_0000 + requester * 256 + (at & ~3));
      return ports.read(0xcfc + (at & 3), size);
    },
    write: (requester: number, at: number, size: 1 | 2 | 4, value: number): void => {
      ports.write(0xcf8, 4, 0x8000_0000 + requester * 256 + (at & ~3));
      ports.write(0xcfc + (at & 3), size, value);
    },
  };
  const capability = (requester: number, id: number): number => {
    let at = config.read(requester, 0x34, 1);
    while (config.read(requester, at, 1) !== id) at = config.read(requester, at + 1, 1);
    return at;
  };
  const bar = (requester: number): number => config.read(requester, 0x10);
  const register = (at: number, value: number, requester = ROGUE): void => mine.writeMmio(bar(requester) + at, 4, value);
  const advance = (ticks: number): void => {
    cpu.skew += ticks;
    machine.scheduler.run(cpu.now());
    assignment.takeInterrupts();
  };
  const dma = (source: number, destination: number, count: number, command: number): void => {
    register(EDU.SOURCE, source);
    register(EDU.DESTINATION, destination);
    register(EDU.COUNT, count);
    register(EDU.COMMAND, command);
    advance(DMA_TIME);
  };
  /** The device reads and writes what it calls memory. */
  const deviceRead = (address: number, count: number): void => dma(address, BUFFER, count, FROM_MEMORY);
  const deviceWrite = (address: number, count: number): void => dma(BUFFER, address, count, TO_MEMORY);
  /** The device writes these bytes: it gets them from memory of its VM first. */
  const deviceWrites = (address: number, bytes: Uint8Array): void => {
    mine.writeBytes(0x1000, bytes);
    deviceRead(0x1000, bytes.length);
    deviceWrite(address, bytes.length);
  };
  const enableMsi = (requester: number, vector: number): void => {
    const msi = capability(requester, MSI_CAPABILITY);
    config.write(requester, msi + 4, 4, 0xfee0_0000);
    config.write(requester, msi + 8, 4, 0);
    config.write(requester, msi + 12, 2, vector);
    config.write(requester, msi + 2, 2, config.read(requester, msi + 2, 2) | 1);
  };
  /** Vectors that the guest's APIC has, highest first. */
  const vectors = (): number[] => {
    const got: number[] = [];
    while (vm.lapic.pending()) {
      got.push(vm.lapic.acknowledge());
      mine.writeMmio(0xfee0_00b0, 4, 0);
    }
    return got;
  };
  mine.writeMmio(IA32_APIC_SVR, 4, 0x1ff);
  for (const requester of [ROGUE, OTHER]) config.write(requester, 0x04, 2, 6);

  // ---- what must not change ----

  const ofVm = new Set<number>();
  for (let gpa = 0; gpa < VM_BYTES; gpa += SMALL) ofVm.add(mine.hostOf(gpa)!);
  /** The page where AMD-Vi logs events is the one that it may write. */
  const log = iommu === 'amdvi' ? Number(host.read64(0xfed8_0010) & 0xf_ffff_ffff_f000n) : -1;
  const others = (): Map<number, Uint8Array> => {
    const pages = new Map<number, Uint8Array>();
    for (let at = 0; at < HOST_BYTES; at += SMALL) if (!ofVm.has(at) && at !== log) pages.set(at, host.readBytes(at, SMALL));
    return pages;
  };
  const changed = (before: ReadonlyMap<number, Uint8Array>): number[] =>
    [...before].filter(([at, bytes]) => Buffer.compare(bytes, host.readBytes(at, SMALL)) !== 0).map(([at]) => at);

  return { host, machine, board, assignment, mine, theirs, frames, faults, stale, config, capability, bar, barOf, register, advance, deviceRead, deviceWrite, deviceWrites, enableMsi, vectors, others, changed }; // prettier-ignore
}

const SECRET = Uint8Array.of(0xde, 0xad, 0xbe, 0xef);

describe.each(['vtd', 'amdvi'] as const)('%s', (iommu) => {
  const intel = iommu === 'vtd';

  it('shows the VM the function: ids, base address and capabilities of the real one, and no interrupt pin', () => {
    const { config, capability, bar } = laboratory(iommu);
    expect(config.read(ROGUE, 0x00)).toBe(0x11e8_1234);
    expect(config.read(ROGUE, 0x08)).toBe(0x00ff_0010);
    expect(config.read(ROGUE, 0x3d, 1)).toBe(0);
    expect([0x01, 0x10, 0x05].map((id) => capability(ROGUE, id))).toEqual([0x40, 0x48, 0x84]);
    const address = bar(ROGUE);
    config.write(ROGUE, 0x10, 4, 0xffff_ffff);
    expect(config.read(ROGUE, 0x10)).toBe(0xfff0_0000);
    config.write(ROGUE, 0x10, 4, address);
    expect(bar(ROGUE)).toBe(address);
  });

  it('resets the device on hand-over, forwards its registers wherever the guest puts them', () => {
    const { mine, bar, config, barOf } = laboratory(iommu);
    const real = barOf(ROGUE);
    expect(mine.readMmio(bar(ROGUE), 4)).toBe(0x0100_00ed);
    expect(mine.readMmio(bar(ROGUE) + EDU.LIVENESS, 4)).toBe(0);
    config.write(ROGUE, 0x10, 4, 0xd000_0000);
    mine.writeMmio(0xd000_0000 + EDU.LIVENESS, 4, 0x1234_5678);
    expect(mine.readMmio(0xd000_0000 + EDU.LIVENESS, 4)).toBe(0xedcb_a987);
    // Base addresses of the physical machine are not the guest's.
    expect(barOf(ROGUE)).toBe(real);
  });

  it.each([0, 7])('lets the device reach all of its VM, whose pages are where they are (frames in order %i)', (seed) => {
    const { mine, deviceWrites, deviceRead, deviceWrite, faults } = laboratory(iommu, seed);
    for (const address of [0, LARGE - 2, 0x30_0ffe, VM_BYTES - 4]) {
      deviceWrites(address, SECRET);
      expect([...mine.readBytes(address, 4)]).toEqual([...SECRET]);
    }
    mine.writeBytes(0x5000, Uint8Array.of(1, 2, 3));
    deviceRead(0x5000, 3);
    deviceWrite(0x6000, 3);
    expect([...mine.readBytes(0x6000, 3)]).toEqual([1, 2, 3]);
    expect(faults).toEqual([]);
  });

  it('brings the interrupt that the guest set up, by an entry of the remapping table, to its APIC', () => {
    const { enableMsi, register, advance, vectors, board, config, capability } = laboratory(iommu);
    enableMsi(ROGUE, 0x55);
    enableMsi(OTHER, 0x66);
    register(EDU.RAISE, 1);
    advance(0);
    expect(vectors()).toEqual([0x55]);
    register(EDU.RAISE, 1, OTHER);
    register(EDU.RAISE, 1);
    advance(0);
    expect(vectors()).toEqual([0x66, 0x55]);
    expect(board.iommu!.counts.interrupts).toBe(3);
    // Another vector takes nothing but the guest's own capability.
    const msi = capability(ROGUE, MSI_CAPABILITY);
    config.write(ROGUE, msi + 12, 2, 0x41);
    register(EDU.RAISE, 1);
    advance(0);
    expect(vectors()).toEqual([0x41]);
    // Masked: it waits in the guest's pending bits.
    config.write(ROGUE, msi + 16, 4, 1);
    register(EDU.RAISE, 1);
    advance(0);
    expect([vectors(), config.read(ROGUE, msi + 20)]).toEqual([[], 1]);
    config.write(ROGUE, msi + 16, 4, 0);
    expect([vectors(), config.read(ROGUE, msi + 20)]).toEqual([[0x41], 0]);
  });

  it('stops DMA outside the VM, both ways: nobody else has changed, and the record says so', () => {
    const { deviceRead, deviceWrite, deviceWrites, mine, faults, assignment, others, changed } = laboratory(iommu);
    deviceWrites(0x2000, SECRET);
    const before = others();
    for (const address of [VM_BYTES, OUTSIDE, 0xa000_0000]) deviceWrite(address, 4);
    deviceRead(OUTSIDE, 4);
    // The read has brought nothing: the buffer is as it was.
    deviceWrite(0x3000, 4);
    expect([...mine.readBytes(0x3000, 4)]).toEqual([...SECRET]);
    expect(changed(before)).toEqual([]);
    const [write, read] = intel ? [5, 6] : [2, 2];
    expect(assignment.faults).toEqual([
      { requester: ROGUE, request: 'write', address: VM_BYTES, code: write },
      { requester: ROGUE, request: 'write', address: OUTSIDE, code: write },
      { requester: ROGUE, request: 'write', address: 0xa000_0000, code: write },
      { requester: ROGUE, request: 'read', address: OUTSIDE, code: read },
    ]);
    expect(faults.map(explainFault)[1]).toMatch(/write of 0x800000 by 00:04\.0 was blocked/);
  });

  it('stops a transfer at the end of the VM: what goes before is written, nothing behind', () => {
    const { deviceWrites, mine, others, changed, assignment } = laboratory(iommu);
    const before = others();
    deviceWrites(VM_BYTES - 2, SECRET);
    expect([...mine.readBytes(VM_BYTES - 2, 2)]).toEqual([0xde, 0xad]);
    expect(changed(before)).toEqual([]);
    expect(assignment.faults).toHaveLength(1);
  });

  it('stops a forged interrupt message: the host gets none of its vectors, nor does the guest', () => {
    const { deviceWrites, vectors, board, assignment, others, changed } = laboratory(iommu);
    const before = others();
    // Vector 77h, fixed; then an NMI; then INIT.
    for (const data of [0x77, 0x400, 0x500]) deviceWrites(0xfee0_0000, Uint8Array.of(data & 0xff, data >>> 8, 0, 0));
    expect(board.lapic.pending()).toBe(false);
    expect(vectors()).toEqual([]);
    expect(changed(before)).toEqual([]);
    expect(board.iommu!.counts.blockedInterrupts).toBe(3);
    // VT-d: "compatibility format blocked". AMD-Vi: an interrupt table entry that is not enabled; INIT and NMI do not pass.
    expect(assignment.faults.map(({ requester, request, code }) => [requester, request, code])).toEqual(
      new Array(3).fill([ROGUE, 'interrupt', intel ? 0x25 : 2]),
    );
  });

  it("stops a message that names another function's entry", () => {
    const { deviceWrites, enableMsi, vectors, assignment, host } = laboratory(iommu);
    enableMsi(OTHER, 0x66);
    // What the hypervisor wrote into the other function: anybody can guess it.
    const at = 0xe000_0000 + OTHER * 4096 + 0x84;
    const [address, data] = [host.read32(at + 4), host.read16(at + 12)];
    deviceWrites(address, Uint8Array.of(data & 0xff, data >>> 8, 0, 0));
    expect(vectors()).toEqual([]);
    expect(assignment.faults).toMatchObject([{ requester: ROGUE, request: 'interrupt', code: intel ? 0x26 : 2 }]);
  });

  it.each([
    ['not set up yet', () => {}],
    [
      'switched off again',
      (lab: ReturnType<typeof laboratory>) => {
        lab.enableMsi(ROGUE, 0x55);
        const control = lab.capability(ROGUE, MSI_CAPABILITY) + 2;
        lab.config.write(ROGUE, control, 2, lab.config.read(ROGUE, control, 2) & ~1);
      },
    ],
    [
      'lost by a function-level reset',
      (lab: ReturnType<typeof laboratory>) => {
        const bar = lab.bar(ROGUE);
        lab.enableMsi(ROGUE, 0x55);
        lab.config.write(ROGUE, 0x48 + 8, 2, 0x8000);
        lab.config.write(ROGUE, 0x10, 4, bar);
        lab.config.write(ROGUE, 4, 2, 6);
      },
    ],
  ] as const)('stops an interrupt of its own that the guest has %s', (_, prepare) => {
    const lab = laboratory(iommu);
    prepare(lab);
    // The message of the first function's first vector: entry 0.
    lab.deviceWrites(intel ? 0xfee0_0018 : 0xfee0_0000, new Uint8Array(4));
    expect(lab.vectors()).toEqual([]);
    // VT-d: "the present field in the IRTE is clear".
    expect(lab.assignment.faults).toMatchObject([{ requester: ROGUE, request: 'interrupt', code: intel ? 0x22 : 2 }]);
  });

  it('stops a write to a page that is read-only', () => {
    const { assignment, mine, deviceRead, deviceWrite, deviceWrites } = laboratory(iommu);
    const page = 4 * MIB + SMALL;
    mine.writeBytes(page, Uint8Array.of(1, 2, 3, 4));
    assignment.domain!.tables.map(page, mine.hostOf(page)!, SMALL, false);
    assignment.driver.invalidate(assignment.domain!, page, SMALL);
    deviceWrites(page, SECRET);
    expect([...mine.readBytes(page, 4)]).toEqual([1, 2, 3, 4]);
    deviceRead(page, 4);
    deviceWrite(0x3000, 4);
    expect([...mine.readBytes(0x3000, 4)]).toEqual([1, 2, 3, 4]);
    expect(assignment.faults).toEqual([{ requester: ROGUE, request: 'write', address: page, code: intel ? 5 : 2 }]);
  });

  it.each([
    [SMALL, 4 * MIB],
    [LARGE, LARGE],
  ])('a stale translation of a page of %i bytes goes through, is reported, and stops after the invalidation', (size, page) => {
    const { assignment, mine, deviceWrites, faults, stale } = laboratory(iommu);
    deviceWrites(page, SECRET);
    assignment.domain!.tables.unmap(page, size);
    deviceWrites(page + 8, SECRET);
    expect([...mine.readBytes(page + 8, 4)]).toEqual([...SECRET]);
    expect(faults).toEqual([]);
    expect(stale).toMatchObject([{ requester: ROGUE, address: page + 8, filledBy: ROGUE }]);
    expect(stale[0].missing).toMatch(intel ? /iotlb/i : /INVALIDATE_IOMMU_PAGES/);
    assignment.driver.invalidate(assignment.domain!, page, size);
    deviceWrites(page + 16, SECRET);
    expect([...mine.readBytes(page + 16, 4)]).toEqual([0, 0, 0, 0]);
    expect(assignment.faults).toMatchObject([{ request: 'write' }]);
    // What was not invalidated is as it was.
    expect(stale).toHaveLength(1);
  });

  it('one invalidation is enough for a range of pages', () => {
    const { assignment, mine, deviceWrites } = laboratory(iommu);
    const pages = [4 * MIB, 4 * MIB + SMALL];
    for (const page of pages) deviceWrites(page, SECRET);
    for (const page of pages) assignment.domain!.tables.unmap(page, SMALL);
    assignment.driver.invalidate(assignment.domain!, pages[0], 2 * SMALL);
    for (const page of pages) deviceWrites(page + 8, SECRET);
    expect(pages.map((page) => [...mine.readBytes(page + 8, 4)])).toEqual([
      [0, 0, 0, 0],
      [0, 0, 0, 0],
    ]);
    expect(assignment.faults.map(({ address }) => address - (address % SMALL))).toEqual(pages);
  });

  it("carries out the guest's function-level reset, and keeps the physical machine's resources", () => {
    const { config, mine, bar, barOf, enableMsi, register, advance, vectors, host } = laboratory(iommu);
    const [address, real] = [bar(ROGUE), barOf(ROGUE)];
    enableMsi(ROGUE, 0x55);
    mine.writeMmio(address + EDU.LIVENESS, 4, 5);
    config.write(ROGUE, 0x48 + 8, 2, 0x8000);
    expect([bar(ROGUE), config.read(ROGUE, 4, 2), barOf(ROGUE)]).toEqual([0, 0, real]);
    expect(host.read32(real + EDU.LIVENESS)).toBe(0);
    config.write(ROGUE, 0x10, 4, address);
    config.write(ROGUE, 4, 2, 6);
    register(EDU.RAISE, 1);
    advance(0);
    expect(vectors()).toEqual([]);
    enableMsi(ROGUE, 0x56);
    register(EDU.RAISE, 1);
    advance(0);
    expect(vectors()).toEqual([0x56]);
  });

  it('on the way back: what was under way is lost, the device is reset, and it reaches the VM no more', () => {
    const { assignment, mine, register, advance, enableMsi, vectors, host, barOf, board } = laboratory(iommu);
    enableMsi(ROGUE, 0x55);
    for (const [at, value] of [[EDU.SOURCE, BUFFER], [EDU.DESTINATION, 0x7000], [EDU.COUNT, 4], [EDU.COMMAND, TO_MEMORY | 4]]) register(at, value); // prettier-ignore
    mine.writeBytes(0x7000, SECRET);
    assignment.release();
    advance(DMA_TIME);
    expect([...mine.readBytes(0x7000, 4)]).toEqual([...SECRET]);
    expect(vectors()).toEqual([]);
    // The next owner, or somebody who has got hold of it, without a domain of its own.
    const real = barOf(ROGUE);
    const command = 0xe000_0000 + ROGUE * 4096 + 4;
    host.write16(command, 0x406);
    for (const [at, value] of [[EDU.SOURCE, BUFFER], [EDU.DESTINATION, 0x7000], [EDU.COUNT, 4], [EDU.COMMAND, TO_MEMORY]]) host.write32(real + at, value); // prettier-ignore
    advance(DMA_TIME);
    expect([...mine.readBytes(0x7000, 4)]).toEqual([...SECRET]);
    // VT-d: "context entry not present"; AMD-Vi: IO_PAGE_FAULT.
    expect(assignment.faults).toMatchObject([{ requester: ROGUE, request: 'write', code: 2 }]);
    expect(board.iommu!.counts.blocked).toBe(1);
  });

  it('the next VM that gets the device has it to itself: the memory of the first is out of reach', () => {
    const { assignment, mine, theirs, host, barOf, advance } = laboratory(iommu);
    mine.writeBytes(0x7000, SECRET);
    assignment.release();
    assignment.giveTo(theirs);
    host.write16(0xe000_0000 + ROGUE * 4096 + 4, 0x406);
    for (const [at, value] of [[EDU.SOURCE, BUFFER], [EDU.DESTINATION, 0x7000], [EDU.COUNT, 4], [EDU.COMMAND, TO_MEMORY]]) host.write32(barOf(ROGUE) + at, value); // prettier-ignore
    advance(DMA_TIME);
    expect([...theirs.readBytes(0x7000, 4)]).toEqual([0, 0, 0, 0]);
    expect([...mine.readBytes(0x7000, 4)]).toEqual([...SECRET]);
  });

  it('survives a storm of faults: the log overflows, is read, and goes on', () => {
    const { assignment, board, register, machine, advance } = laboratory(iommu);
    // Faster than anybody serves interrupts.
    for (let i = 0; i < 300; i++) board.iommu!.translate(ROGUE, OUTSIDE + i * SMALL, 4, true);
    machine.scheduler.run(machine.cpu.now());
    assignment.takeInterrupts();
    expect(assignment.faults.length).toBe(intel ? 8 : 255);
    board.iommu!.translate(ROGUE, OUTSIDE, 4, true);
    register(EDU.LIVENESS, 0);
    advance(0);
    expect(assignment.faults.at(-1)).toMatchObject({ requester: ROGUE, address: OUTSIDE });
  });
});

describe('interrupts are posted on a processor with virtual-interrupt delivery', () => {
  const posting = (): ReturnType<typeof laboratory> => laboratory('vtd', 0, 'intel-vmx');
  /** The descriptor: offsets and bits of VT-d specification, "Posted Interrupt Descriptor (PID)". */
  const CONTROL = 32,
    ON = 1;
  const descriptorOf = ({ host, assignment }: ReturnType<typeof laboratory>): { pir: number[]; control: number; ndst: number } => {
    const { descriptor } = assignment.posted!;
    const requested = (v: number): boolean => ((host.read32(descriptor + (v >>> 5) * 4) >>> (v & 31)) & 1) !== 0;
    return {
      pir: Array.from({ length: 256 }, (_, v) => v).filter(requested),
      control: host.read32(descriptor + CONTROL),
      ndst: host.read32(descriptor + CONTROL + 4),
    };
  };

  it('a vector that the guest sets up goes into the descriptor; the notification brings it to the APIC of the VM', () => {
    const lab = posting();
    const { enableMsi, register, advance, vectors, board } = lab;
    enableMsi(ROGUE, 0x55);
    enableMsi(OTHER, 0x66);
    const { control } = descriptorOf(lab);
    expect(control & 0xffff).toBe(0);
    register(EDU.RAISE, 1);
    register(EDU.RAISE, 1, OTHER);
    // The second finds a notification outstanding.
    expect(descriptorOf(lab)).toEqual({ pir: [0x55, 0x66], control: control + ON, ndst: 0 });
    expect(vectors()).toEqual([]);
    advance(0);
    expect(descriptorOf(lab)).toMatchObject({ pir: [], control });
    expect([vectors(), board.iommu!.counts]).toMatchObject([[0x66, 0x55], { posted: 2, interrupts: 0, blockedInterrupts: 0 }]);
  });

  it('follows the guest: another vector, masked and unmasked, as in the remapped format', () => {
    const { enableMsi, register, advance, vectors, config, capability, assignment } = posting();
    const vectorOf = (): number | undefined => assignment.driver.posting!.vectorOf(ROGUE, 0);
    enableMsi(ROGUE, 0x55);
    expect(vectorOf()).toBe(0x55);
    const msi = capability(ROGUE, MSI_CAPABILITY);
    config.write(ROGUE, msi + 12, 2, 0x41);
    expect(vectorOf()).toBe(0x41);
    register(EDU.RAISE, 1);
    advance(0);
    expect(vectors()).toEqual([0x41]);
    // What was posted before the mask, and is taken after it, waits like what comes later.
    register(EDU.RAISE, 1);
    config.write(ROGUE, msi + 16, 4, 1);
    expect([vectorOf(), config.read(ROGUE, msi + 20)]).toEqual([undefined, 1]);
    register(EDU.RAISE, 1);
    advance(0);
    expect([vectors(), config.read(ROGUE, msi + 20)]).toEqual([[], 1]);
    config.write(ROGUE, msi + 16, 4, 0);
    expect([vectors(), vectorOf()]).toEqual([[0x41], 0x41]);
    config.write(ROGUE, msi + 2, 2, 0);
    expect(vectorOf()).toBeUndefined();
  });

  it.each([
    ['an NMI', 0xfee0_0000, 0x402],
    ['lowest priority', 0xfee0_0000, 0x155],
    ['level-triggered', 0xfee0_0000, 0xc055],
    ['an illegal vector', 0xfee0_0000, 0x0f],
    ['a message that the IOMMU of the VM remaps', 0xfee0_0010, 0x55],
    ['no interrupt message', 0x1000, 0x55],
  ])('%s stays in the remapped format', (_what, address, data) => {
    const { enableMsi, config, capability, assignment } = posting();
    enableMsi(ROGUE, 0x55);
    const msi = capability(ROGUE, MSI_CAPABILITY);
    config.write(ROGUE, msi + 4, 4, address);
    config.write(ROGUE, msi + 12, 2, data);
    expect([assignment.driver.posting!.vectorOf(ROGUE, 0), assignment.driver.isRouted(ROGUE, 0)]).toEqual([undefined, true]);
  });

  it('not on a processor without, nor on AMD-Vi', () => {
    expect([laboratory('vtd').assignment.posted, laboratory('amdvi').assignment.posted]).toEqual([undefined, undefined]);
  });
});

it('says what cannot be assigned, and what to give', () => {
  const config = { drives: [], devices: ['virtio-rng', 'edu', 'edu'] as const };
  expect(assignedIndexes(['edu1', 'edu0'], config)).toEqual([2, 1]);
  for (const [assign, message] of [
    [['nvme0'], 'there is no nvme0 to assign: give --drive FILE,if=nvme too'],
    [['edu2'], 'there is no edu2 to assign: give --device edu too'],
    [['sound'], 'there is no device "sound" to assign; there are nvme0 (the first NVMe disk), edu0, and so on'],
    [['edu0', 'edu0'], 'edu0, edu0: each device can be assigned once'],
  ] as const)
    expect(() => assignedIndexes(assign, config)).toThrow(new AssignmentError(message));
  expect(() => physicalFunctions({ ...config, assign: ['edu0'], backend: 'bare' }, [])).toThrow(/bare machine/);
  expect(() => physicalFunctions({ ...config, assign: ['edu0'], backend: 'vmx', iommu: true }, [])).toThrow(/own IOMMU/);
});
