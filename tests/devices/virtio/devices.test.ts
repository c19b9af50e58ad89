/** VIRTIO 1.2, "Block Device", "Console Device", "Entropy Device". */
import { memoryDisk, type BlockBackend } from '../../../devices/block-backend';
import { VirtioBlock } from '../../../devices/virtio/block';
import { VirtioConsole } from '../../../devices/virtio/console';
import { VirtioEntropy } from '../../../devices/virtio/entropy';
import { DATA, F, VirtioDriver } from './virtio-driver';

const NEEDS_RESET = 0x40;
const BLK_F = { RO: 2 ** 5, FLUSH: 2 ** 9, DISCARD: 2 ** 13, WRITE_ZEROES: 2 ** 14 } as const;
const HEADER = DATA;
const STATUS = DATA + 0x100;
const BODY = DATA + 0x1000;

describe('block', () => {
  function loggedDisk(log: string[], fails: ReadonlySet<string> = new Set(), readOnly = false): BlockBackend {
    const disk = memoryDisk(1 << 20);
    const note = (what: string): boolean => {
      log.push(what);
      return !fails.has(what);
    };
    return {
      size: disk.size,
      readOnly,
      read: (offset, length) => (note('read') ? disk.read(offset, length) : undefined),
      write: (offset, bytes) => note('write') && disk.write(offset, bytes),
      flush: () => note('flush'),
    };
  }

  const start = (disk: BlockBackend = memoryDisk(1 << 20), features = BLK_F.FLUSH + BLK_F.DISCARD + BLK_F.WRITE_ZEROES) =>
    new VirtioDriver(new VirtioBlock(disk, 'serial-7')).start(F.VERSION_1 + features);

  /** A request as Linux makes them: header, data, status; answers status and used length. */
  function request(
    driver: VirtioDriver,
    type: number,
    sector: number,
    data: { readonly length: number; readonly write?: boolean } = { length: 0 },
  ): [number, number] {
    const header = new DataView(new ArrayBuffer(16));
    header.setUint32(0, type, true);
    header.setBigUint64(8, BigInt(sector), true);
    driver.bench.memory.writeBytes(HEADER, new Uint8Array(header.buffer));
    driver.bench.memory.write8(STATUS, 0xff);
    const body = data.length > 0 ? [{ address: BODY, ...data }] : [];
    const [used] = driver.request(0, [{ address: HEADER, length: 16 }, ...body, { address: STATUS, length: 1, write: true }]);
    return [driver.bench.memory.read8(STATUS), used?.length];
  }

  test('configuration: capacity in sectors, block size, limits', () => {
    const driver = new VirtioDriver(new VirtioBlock(memoryDisk(1 << 20), 'x'));
    const at = (offset: number) => driver.bench.read(4, driver.config.offset + offset);
    expect([at(0), at(4), at(20)]).toEqual([2048, 0, 512]);
    expect(at(12)).toBeLessThanOrEqual(254);
    expect(driver.bench.device.readConfig(0, 4)).toBe(0x1042_1af4);
  });

  test('write, read; the used length is what the device wrote', () => {
    const driver = start();
    const data = Uint8Array.from({ length: 1024 }, (_, i) => i & 0xff);
    driver.bench.memory.writeBytes(BODY, data);
    expect(request(driver, 1, 4, { length: 1024 })).toEqual([0, 1]);
    driver.bench.memory.writeBytes(BODY, new Uint8Array(1024));
    expect(request(driver, 0, 5, { length: 512, write: true })).toEqual([0, 513]);
    expect(driver.bench.memory.readBytes(BODY, 512)).toEqual(data.subarray(512));
  });

  test('any framing: header cut in two, data and status in one buffer', () => {
    const disk = memoryDisk(1 << 20);
    disk.write(
      0,
      Uint8Array.from({ length: 512 }, () => 0x5a),
    );
    const driver = start(disk);
    driver.bench.memory.writeBytes(HEADER, new Uint8Array(16));
    const used = driver.request(0, [
      { address: HEADER, length: 5 },
      { address: HEADER + 5, length: 11 },
      { address: BODY, length: 513, write: true },
    ]);
    expect(used).toMatchObject([{ length: 513 }]);
    expect([driver.bench.memory.read8(BODY), driver.bench.memory.read8(BODY + 511), driver.bench.memory.read8(BODY + 512)]).toEqual([0x5a, 0x5a, 0]);
  });

  test.each([
    ['read beyond the end', 0, 2048, { length: 512, write: true }, 1],
    ['read far beyond it', 0, 2 ** 60, { length: 512, write: true }, 1],
    ['part of a sector', 0, 0, { length: 100, write: true }, 1],
    ['write beyond the end', 1, 2047, { length: 1024 }, 1],
    ['a type that is not there', 99, 0, { length: 0 }, 2],
    ['SCSI commands, which are gone', 2, 0, { length: 0 }, 2],
  ])('%s', (_, type, sector, data, status) => {
    expect(request(start(), type, sector, data)[0]).toBe(status);
  });

  test('identification: 20 bytes, padded with zeroes', () => {
    const driver = start();
    expect(request(driver, 8, 0, { length: 20, write: true })).toEqual([0, 21]);
    expect(Buffer.from(driver.bench.memory.readBytes(BODY, 20)).toString('latin1')).toBe('serial-7'.padEnd(20, '\0'));
  });

  test('discard and write zeroes both leave zeroes: ranges, flags, limits', () => {
    const disk = memoryDisk(1 << 20);
    disk.write(0, new Uint8Array(8192).fill(7));
    const driver = start(disk);
    const ranges = (...list: [sector: number, count: number, flags: number][]): number => {
      list.forEach(([sector, count, flags], i) =>
        driver.bench.memory.writeBytes(BODY + 16 * i, new Uint8Array(Uint32Array.of(sector, 0, count, flags).buffer)),
      );
      return 16 * list.length;
    };
    expect(request(driver, 13, 0, { length: ranges([1, 2, 1], [8, 1, 0]) })[0]).toBe(0);
    expect([0, 1, 2, 3, 8].map((sector) => disk.read(sector * 512, 1)![0])).toEqual([7, 0, 0, 7, 0]);
    expect(request(driver, 11, 0, { length: ranges([5, 1, 0], [2047, 2, 0]) })[0]).toBe(1);
    expect([4, 5].map((sector) => disk.read(sector * 512, 1)![0])).toEqual([7, 7]);
    expect(request(driver, 11, 0, { length: ranges([4, 1, 0], [6, 2, 0]) })[0]).toBe(0);
    expect([3, 4, 5, 6, 7].map((sector) => disk.read(sector * 512, 1)![0])).toEqual([7, 0, 7, 0, 0]);
    expect(request(driver, 11, 0, { length: ranges([0, 8, 1]) })[0]).toBe(2);
    expect(request(driver, 13, 0, { length: ranges([0, 8, 2]) })[0]).toBe(2);
    expect(request(driver, 13, 0, { length: ranges([2047, 2, 0]) })[0]).toBe(1);
    expect(request(driver, 13, 0, { length: 8 })[0]).toBe(1);
    expect(request(start(disk, 0), 11, 0, { length: 16 })[0]).toBe(2);
  });

  test('flush completes after the store has; without the feature every write is durable', () => {
    const log: string[] = [];
    const disk = loggedDisk(log);
    expect([request(start(disk), 4, 0), log.splice(0)]).toEqual([[0, 1], ['flush']]);
    request(start(disk), 1, 0, { length: 512 });
    expect(log.splice(0)).toEqual(['write']);
    request(start(disk, 0), 1, 0, { length: 512 });
    expect(log).toEqual(['write', 'flush']);
  });

  test('what the host cannot do is IOERR', () => {
    const driver = start(loggedDisk([], new Set(['read', 'write', 'flush'])));
    expect([request(driver, 0, 0, { length: 512, write: true })[0], request(driver, 1, 0, { length: 512 })[0], request(driver, 4, 0)[0]]).toEqual([1, 1, 1]);
  });

  test('a read-only disk offers RO, and fails writes', () => {
    const log: string[] = [];
    const driver = start(loggedDisk(log, new Set(), true), BLK_F.RO);
    expect([request(driver, 1, 0, { length: 512 })[0], log]).toEqual([1, []]);
    expect((driver.features() % 2 ** 14) & (BLK_F.FLUSH | BLK_F.DISCARD)).toBe(0);
  });

  test.each([
    ['a header that is too short', [{ address: HEADER, length: 15 }, { address: STATUS, length: 1, write: true }]],
    ['no room for the status', [{ address: HEADER, length: 16 }]],
    ['data that memory refuses', [{ address: HEADER, length: 16 }, { address: 0x7000_0000, length: 512, write: true }, { address: STATUS, length: 1, write: true }]],
  ])('%s: needs reset', (_, buffers) => {
    const driver = start();
    driver.bench.memory.writeBytes(HEADER, new Uint8Array(16));
    expect([driver.request(0, buffers), driver.status & NEEDS_RESET]).toEqual([[], NEEDS_RESET]);
  }); // prettier-ignore

  test('an enormous write is an error, not a transfer', () => {
    const driver = start();
    driver.bench.memory.writeBytes(HEADER, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    const used = driver.request(0, [{ address: HEADER, length: 16 }, { address: 0, length: 0xffff_fe00 }, { address: STATUS, length: 1, write: true }]); // prettier-ignore
    expect([used, driver.bench.memory.read8(STATUS)]).toEqual([[{ id: expect.any(Number) as number, length: 1 }], 1]);
  });

  test('a snapshot holds an overlay, nothing of a read-only disk, and is refused for a file that is written', () => {
    const overlay = memoryDisk(1 << 20);
    const block = new VirtioBlock(overlay, 'x');
    const before = block.saveState();
    overlay.write(0, new Uint8Array(512).fill(1));
    block.restoreState(before);
    expect(overlay.read(0, 1)).toEqual(Uint8Array.of(0));
    expect(new VirtioBlock(loggedDisk([], new Set(), true), 'x').saveState()).toBeUndefined();
    expect(() => new VirtioBlock(loggedDisk([]), 'x').saveState()).toThrow('--snapshot-disk');
  });
});

describe('console', () => {
  function setup() {
    const sent: number[] = [];
    const console = new VirtioConsole((byte) => void sent.push(byte));
    return { console, driver: new VirtioDriver(console), text: () => Buffer.from(sent).toString('latin1') };
  }

  test('output through the transmit queue, and by emergency write before there are queues', () => {
    const { driver, text } = setup();
    driver.bench.write(4, driver.config.offset + 8, 0x21);
    driver.start();
    driver.bench.memory.writeBytes(DATA, Buffer.from('hello'));
    expect(driver.request(1, [{ address: DATA, length: 5 }])).toMatchObject([{ length: 0 }]);
    expect(text()).toBe('!hello');
  });

  test('input waits for buffers, and fills them as far as it goes', () => {
    const { driver, console } = setup();
    driver.start();
    console.receive(Buffer.from('abcdef'));
    const first = driver.queue(0, [{ address: DATA, length: 4, write: true }]);
    driver.kick(0);
    expect(driver.used(0)).toEqual([{ id: first, length: 4 }]);
    driver.request(0, [{ address: DATA + 16, length: 8, write: true }]);
    expect(Buffer.from(driver.bench.memory.readBytes(DATA + 16, 2)).toString()).toBe('ef');
    // A buffer that waits is filled when input comes, without another notification.
    expect(driver.request(0, [{ address: DATA, length: 8, write: true }])).toEqual([]);
    console.receive(Buffer.from('z'));
    driver.bench.bench.advance(1_000_000);
    expect(driver.used(0)).toMatchObject([{ length: 1 }]);
  });

  test.each([
    ['a writable buffer to transmit', 1, { address: DATA, length: 4, write: true }],
    ['a readable buffer to receive into', 0, { address: DATA, length: 4 }],
    ['more output than any memory holds', 1, { address: 0, length: 0xffff_ffff }],
  ])('%s: needs reset', (_, queue, buffer) => {
    const { driver } = setup();
    driver.start();
    driver.request(queue, [buffer]);
    expect(driver.status & NEEDS_RESET).toBe(NEEDS_RESET);
  });

  test('input that waits is part of the state', () => {
    const [one, other] = [setup(), setup()];
    one.console.receive(Buffer.from('xy'));
    other.console.restoreState(one.console.saveState());
    other.driver.start();
    expect(other.driver.request(0, [{ address: DATA, length: 8, write: true }])).toMatchObject([{ length: 2 }]);
  });
});

describe('entropy', () => {
  test('fills what there is room for, up to its limit', () => {
    const driver = new VirtioDriver(new VirtioEntropy({ next: () => 0x0102_0304_0506_0708n })).start();
    driver.request(0, [{ address: DATA, length: 11, write: true }]);
    expect([...driver.bench.memory.readBytes(DATA, 12)]).toEqual([8, 7, 6, 5, 4, 3, 2, 1, 8, 7, 6, 0]);
    const [{ length }] = driver.request(0, [{ address: DATA, length: 0x10_0000, write: true }]);
    expect(length).toBeGreaterThan(0);
    expect(length).toBeLessThanOrEqual(0x10_0000);
  });

  test('a source that has run dry leaves the buffer with the driver until it asks again', () => {
    const words: (bigint | undefined)[] = [undefined, 5n, undefined];
    const driver = new VirtioDriver(new VirtioEntropy({ next: () => words.shift() })).start();
    expect(driver.request(0, [{ address: DATA, length: 16, write: true }])).toEqual([]);
    driver.kick(0);
    expect(driver.used(0)).toMatchObject([{ length: 8 }]);
  });
});
