/** VIRTIO 1.2, "Virtio Over PCI Bus", "Basic Facilities of a Virtio Device", "Split Virtqueues". */
import fc from 'fast-check';
import { VirtioEntropy } from '../../../devices/virtio/entropy';
import { AVAILABLE, Common, DATA, F, RINGS, SIZE, SOON, USED, VirtioDriver } from './virtio-driver';

const NEEDS_RESET = 0x40;
const WRITE = 2;

/** Counts up: 0, 1, 2 … in 64-bit words. */
const entropy = () => {
  let word = 0n;
  return new VirtioDriver(new VirtioEntropy({ next: () => word++ }));
};
const buffer = (length: number, address = DATA) => ({ address, length, write: true });

describe('PCI', () => {
  test('a modern device only: 1AF4:1040h + type, revision 1 or more; five structures', () => {
    const driver = entropy();
    const { device } = driver.bench;
    expect(device.readConfig(0, 4)).toBe(0x1044_1af4);
    expect(device.readConfig(8, 1)).toBeGreaterThanOrEqual(1);
    expect(driver.common.length).toBe(0x38);
    expect([driver.common, driver.notify, driver.isr, driver.config].map(({ bar }) => bar)).toEqual([4, 4, 4, 4]);
    expect(driver.notify.multiplier).toBeGreaterThanOrEqual(2);
  });

  test('registers through configuration space: the PCI configuration access capability', () => {
    const driver = entropy();
    const { device } = driver.bench;
    const at = driver.bench.capability(0x09, (offset) => device.readConfig(offset + 3, 1) === 5);
    const access = (offset: number, length: number): void => {
      device.writeConfig(at + 4, 1, 4);
      device.writeConfig(at + 8, 4, offset);
      device.writeConfig(at + 12, 4, length);
    };
    access(Common.NUM_QUEUES, 2);
    expect(device.readConfig(at + 16, 2)).toBe(1);
    access(Common.STATUS, 1);
    device.writeConfig(at + 16, 1, 3);
    expect(driver.status).toBe(3);
    // Lengths and offsets that are not valid reach nothing.
    access(Common.STATUS, 3);
    device.writeConfig(at + 16, 4, 0xffff_ffff);
    access(0xffff_fffc, 4);
    device.writeConfig(at + 16, 4, 0xffff_ffff);
    expect(driver.status).toBe(3);
  });
});

describe('initialization', () => {
  test('features are offered in halves; VERSION_1 is one of them, RING_RESET is not', () => {
    const features = BigInt(entropy().features());
    expect([28n, 29n, 32n, 33n, 40n, 34n].map((bit) => (features >> bit) & 1n)).toEqual([1n, 1n, 1n, 1n, 0n, 0n]);
    const driver = entropy();
    driver.set(Common.DEVICE_FEATURE_SELECT, 2, 4);
    expect(driver.get(Common.DEVICE_FEATURE, 4)).toBe(0);
  });

  test.each([
    ['what is offered', F.VERSION_1 + F.INDIRECT, true],
    ['without VERSION_1', F.INDIRECT, false],
    ['a feature that was not offered', F.VERSION_1 + 1, false],
    ['one in the high half', F.VERSION_1 + 2 ** 40, false],
  ])('FEATURES_OK: %s', (_, features, accepted) => {
    expect(entropy().negotiate(features)).toBe(accepted);
  });

  test('after FEATURES_OK features stay; writing 0 to the status resets everything', () => {
    const driver = entropy().start();
    driver.set(Common.DRIVER_FEATURE, 0, 4);
    driver.set(Common.DRIVER_FEATURE_SELECT, 1, 4);
    expect(driver.get(Common.DRIVER_FEATURE, 4)).toBe(1);
    driver.status = 0;
    expect([driver.status, driver.get(Common.QUEUE_ENABLE, 2), driver.get(Common.QUEUE_SIZE, 2), driver.get(Common.QUEUE_DESC, 4)]).toEqual([0, 0, 64, 0]);
  });

  test('queue sizes are powers of two up to the maximum; a queue that is not there has size 0', () => {
    const driver = entropy();
    for (const size of [0, 3, 128, 0xffff]) driver.set(Common.QUEUE_SIZE, size, 2);
    expect(driver.get(Common.QUEUE_SIZE, 2)).toBe(64);
    driver.set(Common.QUEUE_SIZE, 16, 2);
    expect(driver.get(Common.QUEUE_SIZE, 2)).toBe(16);
    driver.set(Common.QUEUE_SELECT, 7, 2);
    expect([driver.get(Common.QUEUE_SIZE, 2), driver.get(Common.QUEUE_VECTOR, 2)]).toEqual([0, 0xffff]);
    driver.set(Common.QUEUE_ENABLE, 1, 2);
    expect(driver.get(Common.QUEUE_ENABLE, 2)).toBe(0);
  });

  test('a vector that the function has not reads back as NO_VECTOR', () => {
    const driver = entropy();
    driver.set(Common.QUEUE_VECTOR, 2, 2);
    driver.set(Common.CONFIG_VECTOR, 9, 2);
    expect([driver.get(Common.QUEUE_VECTOR, 2), driver.get(Common.CONFIG_VECTOR, 2)]).toEqual([0xffff, 0xffff]);
    driver.set(Common.QUEUE_VECTOR, 1, 2);
    expect(driver.get(Common.QUEUE_VECTOR, 2)).toBe(1);
  });

  test('an enabled queue stays as it is', () => {
    const driver = entropy().start();
    driver.set(Common.QUEUE_DESC, 0x5000, 4);
    driver.set(Common.QUEUE_SIZE, 4, 2);
    driver.set(Common.QUEUE_ENABLE, 0, 2);
    expect([driver.get(Common.QUEUE_DESC, 4), driver.get(Common.QUEUE_SIZE, 2), driver.get(Common.QUEUE_ENABLE, 2)]).toEqual([RINGS, SIZE, 1]);
  });

  test('fields are read in parts, too', () => {
    const driver = entropy().start();
    driver.set(Common.QUEUE_DESC, 0x1234_5678, 4);
    expect([1, 2].map((i) => driver.get(Common.QUEUE_DESC + i, 1))).toEqual([0, 1]);
    expect(driver.get(Common.STATUS, 4)).toBe(15);
    expect(driver.get(Common.CONFIG_VECTOR, 4)).toBe(0x0001_ffff);
  });

  test('nothing is consumed before DRIVER_OK', () => {
    const driver = entropy().start();
    driver.status = 0;
    driver.negotiate(F.VERSION_1);
    driver.queue(0, [buffer(8)]);
    driver.kick(0);
    expect(driver.used(0)).toEqual([]);
  });
});

describe('the split queue', () => {
  test('buffers are used in order, with their lengths, a while after the notification', () => {
    const driver = entropy().start();
    const heads = [driver.queue(0, [buffer(8)]), driver.queue(0, [buffer(3, DATA + 8), buffer(13, DATA + 0x100)])];
    expect(driver.used(0)).toEqual([]);
    driver.kick(0);
    expect(driver.used(0)).toEqual([
      { id: heads[0], length: 8 },
      { id: heads[1], length: 16 },
    ]);
    expect([...driver.bench.memory.readBytes(DATA + 8, 4)]).toEqual([1, 0, 0, 0]);
    expect([...driver.bench.memory.readBytes(DATA + 0x105, 1)]).toEqual([2]);
  });

  test('indices run on beyond 65535', () => {
    const driver = entropy().start();
    const { device } = driver.bench;
    const state = device.saveState();
    Object.assign(state.common.queues[0], { nextAvailable: 0xfffe, nextUsed: 0xfffe, signalled: 0xfffe });
    device.restoreState(state);
    for (const ring of [AVAILABLE, USED]) driver.bench.memory.write16(RINGS + ring + 2, 0xfffe);
    const internals = driver as unknown as { available: Map<number, number>; seen: Map<number, number> };
    internals.available.set(0, 0xfffe);
    internals.seen.set(0, 0xfffe);
    for (let i = 0; i < 4; i++) expect(driver.request(0, [buffer(8)])).toHaveLength(1);
  });

  test('indirect tables', () => {
    const driver = entropy().start(F.VERSION_1 + F.INDIRECT);
    driver.putDescriptor(0x9_0000, DATA, 8, WRITE | 1, 1);
    driver.putDescriptor(0x9_0010, DATA + 64, 8, WRITE, 0);
    driver.descriptor(0, 0, 0x9_0000, 32, 4);
    driver.offer(0, 0);
    driver.kick(0);
    expect(driver.used(0)).toEqual([{ id: 0, length: 16 }]);
  });

  describe('interrupts', () => {
    test('the pin with ISR, which clears when it is read; the available flags suppress', () => {
      const driver = entropy().start();
      driver.request(0, [buffer(8)]);
      expect(driver.bench.pin).toBe(true);
      const isr = () => driver.bench.read(4, driver.isr.offset, 1);
      expect([isr(), driver.bench.pin, isr()]).toEqual([1, false, 0]);
      driver.bench.memory.write16(RINGS + AVAILABLE, 1);
      driver.request(0, [buffer(8)]);
      expect(driver.bench.pin).toBe(false);
    });

    test('MSI-X by queue, none without a vector', () => {
      const driver = entropy();
      driver.enableMsix();
      driver.start();
      driver.request(0, [buffer(8)]);
      expect([driver.bench.takeVectors(), driver.bench.pin]).toEqual([[0x41], false]);
      driver.set(Common.QUEUE_VECTOR, 0xffff, 2);
      driver.request(0, [buffer(8)]);
      expect(driver.bench.takeVectors()).toEqual([]);
    });

    test('event index: an interrupt when used_event is passed; avail_event asks for the next chain', () => {
      const driver = entropy();
      driver.enableMsix();
      driver.start(F.VERSION_1 + F.EVENT_IDX);
      const usedEvent = (value: number): void => driver.bench.memory.write16(RINGS + AVAILABLE + 4 + 2 * SIZE, value);
      const availEvent = (): number => driver.bench.memory.read16(RINGS + USED + 4 + 8 * SIZE);
      usedEvent(1);
      driver.request(0, [buffer(8)]);
      expect([driver.bench.takeVectors(), availEvent()]).toEqual([[], 1]);
      driver.request(0, [buffer(8)]);
      expect([driver.bench.takeVectors(), availEvent()]).toEqual([[0x41], 2]);
      usedEvent(1);
      driver.request(0, [buffer(8)]);
      expect(driver.bench.takeVectors()).toEqual([]);
      usedEvent(3);
      for (let i = 0; i < 3; i++) driver.queue(0, [buffer(8)]);
      driver.kick(0);
      expect(driver.bench.takeVectors()).toEqual([0x41]);
    });
  });
});

describe('drivers that break the rules: the device needs a reset, says so, and works after it', () => {
  const broken: readonly [string, (driver: VirtioDriver) => void][] = [
    ['a loop', (d) => {
      d.descriptor(0, 0, DATA, 8, WRITE | 1, 1);
      d.descriptor(0, 1, DATA, 8, WRITE | 1, 0);
      d.offer(0, 0);
    }],
    ['a head beyond the queue', (d) => d.offer(0, SIZE)],
    ['a next beyond the queue', (d) => {
      d.descriptor(0, 0, DATA, 8, WRITE | 1, SIZE);
      d.offer(0, 0);
    }],
    ['more available than the queue has', (d) => d.bench.memory.write16(RINGS + AVAILABLE + 2, SIZE + 1)],
    ['memory that is not there', (d) => void d.queue(0, [buffer(8, 0x7000_0000)])],
    ['an address beyond all memory', (d) => void d.queue(0, [buffer(8, 2 ** 60)])],
    ['a buffer of 4 GiB', (d) => void d.queue(0, [buffer(0xffff_ffff, 0x3f_fff8)])],
    ['no buffer to write', (d) => void d.queue(0, [{ address: DATA, length: 8 }])],
    ['zero bytes', (d) => void d.queue(0, [buffer(0)])],
    ['readable behind writable', (d) => void d.queue(0, [buffer(8), { address: DATA, length: 8 }])],
    ['an indirect table without the feature', (d) => {
      d.descriptor(0, 0, DATA, 16, 4);
      d.offer(0, 0);
    }],
    ['a descriptor table that memory refuses', (d) => {
      d.queue(0, [buffer(8)]);
      d.bench.refused.add(RINGS / 4096);
    }],
    ['a used ring that memory refuses', (d) => {
      d.queue(0, [buffer(8)]);
      d.bench.refused.add((RINGS + USED) / 4096);
    }],
  ]; // prettier-ignore

  test.each(broken)('%s', (_, act) => {
    const driver = entropy().start();
    act(driver);
    driver.kick(0);
    expect([driver.status & NEEDS_RESET, driver.bench.read(4, driver.isr.offset, 1) & 2, driver.used(0)]).toEqual([NEEDS_RESET, 2, []]);
    driver.bench.refused.clear();
    driver.start();
    expect(driver.request(0, [buffer(8)])).toHaveLength(1);
  });

  test.each([
    ['with NEXT', (d: VirtioDriver) => d.descriptor(0, 0, 0x9_0000, 16, 4 | 1, 1)],
    ['not of whole descriptors', (d: VirtioDriver) => d.descriptor(0, 0, 0x9_0000, 24, 4)],
    ['empty', (d: VirtioDriver) => d.descriptor(0, 0, 0x9_0000, 0, 4)],
    ['in an indirect table', (d: VirtioDriver) => {
      d.putDescriptor(0x9_0000, 0x9_0000, 16, 4, 0);
      d.descriptor(0, 0, 0x9_0000, 16, 4);
    }],
    ['with a loop', (d: VirtioDriver) => {
      d.putDescriptor(0x9_0000, DATA, 8, WRITE | 1, 0);
      d.descriptor(0, 0, 0x9_0000, 16, 4);
    }],
    ['that points out of itself', (d: VirtioDriver) => {
      d.putDescriptor(0x9_0000, DATA, 8, WRITE | 1, 1);
      d.descriptor(0, 0, 0x9_0000, 16, 4);
    }],
  ])('an indirect table %s', (_, act) => {
    const driver = entropy().start(F.VERSION_1 + F.INDIRECT);
    act(driver);
    driver.offer(0, 0);
    driver.kick(0);
    expect(driver.status & NEEDS_RESET).toBe(NEEDS_RESET);
  }); // prettier-ignore

  test('property: rings full of anything never stop the machine, and a reset always helps', () => {
    const descriptor = fc.tuple(
      fc.oneof(fc.constant(DATA), fc.constant(0x9_0000), fc.constant(RINGS), fc.nat({ max: 0xffff_ffff })),
      fc.oneof(fc.nat({ max: 64 }), fc.constant(32), fc.nat({ max: 0xffff_ffff })),
      fc.nat({ max: 7 }),
      fc.oneof(fc.nat({ max: SIZE }), fc.nat({ max: 0xffff })),
    );
    const driver = entropy();
    fc.assert(
      fc.property(
        fc.array(descriptor, { minLength: 12, maxLength: 12 }),
        fc.array(fc.nat({ max: SIZE }), { minLength: 1, maxLength: SIZE }),
        fc.boolean(),
        (descriptors, heads, events) => {
          driver.start(F.VERSION_1 + F.INDIRECT + (events ? F.EVENT_IDX : 0));
          descriptors.forEach((d, i) => (i < SIZE ? driver.descriptor(0, i, ...d) : driver.putDescriptor(0x9_0000 + (i - SIZE) * 16, ...d)));
          for (const head of heads) driver.offer(0, head);
          driver.kick(0);
          driver.bench.bench.advance(SOON);
          driver.start();
          expect(driver.request(0, [buffer(8)])).toHaveLength(1);
        },
      ),
      { numRuns: 300 },
    );
  });
});

test('state: a request under way is done by the restored device', () => {
  const [one, other] = [entropy().start(), entropy()];
  one.queue(0, [buffer(8)]);
  one.bench.write(4, one.notify.offset, 0, 2);
  other.start();
  other.queue(0, [buffer(8)]);
  other.bench.device.functionLevelReset();
  other.bench.device.restoreState(structuredClone(one.bench.device.saveState()));
  other.bench.bench.scheduler.restoreState(one.bench.bench.scheduler.saveState());
  other.bench.bench.advance(SOON);
  expect([other.used(0), other.bench.pin]).toEqual([[{ id: 0, length: 8 }], true]);
});
