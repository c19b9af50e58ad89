/** NVM Express Base Specification 1.4, "Admin Command Set", "NVM Command Set", "Physical Region Page Entry and List". */
import fc from 'fast-check';
import { memoryDisk, type BlockBackend } from '../../../../devices/block-backend';
import { BAR, DATA, NvmeDriver, Reg, SOON } from './nvme-driver';
import { runs } from '../../../runs';

const text = (bytes: Uint8Array, from: number, length: number): string => Buffer.from(bytes.subarray(from, from + length)).toString('latin1');

describe('identify', () => {
  test('controller', () => {
    const { bytes, view, completion } = new NvmeDriver().start().identify(1);
    expect(completion.status).toBe(0);
    expect(text(bytes, 4, 20)).toBe('TEST1'.padEnd(20));
    expect(view.getUint32(80, true)).toBe(0x0001_0400);
    expect(bytes[111]).toBe(1); // I/O controller: 1.4 wants it said
    expect([bytes[512], bytes[513]]).toEqual([0x66, 0x44]);
    expect(view.getUint32(516, true)).toBe(1);
    expect(bytes[525] & 1).toBe(1);
    expect(text(bytes, 768, 4)).toBe('nqn.');
  });

  test('namespace 1: size, 512-byte blocks; others are invalid', () => {
    const driver = new NvmeDriver().start();
    const { view, bytes } = driver.identify(0, 1);
    expect([view.getBigUint64(0, true), view.getBigUint64(8, true), bytes[25], bytes[26], bytes[130]]).toEqual([2048n, 2048n, 0, 0, 9]);
    expect(driver.identify(0, 2).completion.status).toBe(0x00b);
    expect(driver.identify(0, 0).completion.status).toBe(0x00b);
  });

  test('active namespaces: those greater than NSID', () => {
    const driver = new NvmeDriver().start();
    expect(driver.identify(2, 0).view.getUint32(0, true)).toBe(1);
    expect(driver.identify(2, 1).view.getUint32(0, true)).toBe(0);
    expect(driver.identify(2, 0xffff_ffff).completion.status).toBe(0x00b);
  });

  test('descriptors: an EUI-64, then the end', () => {
    const { bytes } = new NvmeDriver().start().identify(3, 1);
    expect([bytes[0], bytes[1], bytes[12], bytes[13]]).toEqual([1, 8, 0, 0]);
  });

  test('a structure that is not there', () => {
    expect(new NvmeDriver().start().identify(6).completion.status).toBe(0x002);
  });
});

describe('features', () => {
  const get = (id: number, select = 0) => ({ opcode: 0x0a, cdw: [id | (select << 8), 0] });
  const set = (id: number, value: number, more: { save?: boolean; nsid?: number } = {}) => ({
    opcode: 0x09,
    nsid: more.nsid,
    cdw: [(id | (more.save ? 0x8000_0000 : 0)) >>> 0, value],
  });

  test('number of queues: what is allocated, at most what there is, before any queue', () => {
    const driver = new NvmeDriver().start();
    expect(driver.admin(set(7, 0x0002_0001)).result).toBe(0x0002_0001);
    expect(driver.admin(set(7, 0x0100_0100)).result).toBe(0x000f_000f);
    expect(driver.admin(set(7, 0xffff_0000)).status).toBe(0x002);
    expect(driver.admin(get(7)).result).toBe(0x000f_000f);
    expect(new NvmeDriver().startIo().admin(set(7, 0)).status).toBe(0x00c);
  });

  test('current, default and capabilities', () => {
    const driver = new NvmeDriver().start();
    expect(driver.admin(get(6)).result).toBe(1);
    driver.admin(set(6, 0));
    expect([0, 1, 2, 3].map((select) => driver.admin(get(6, select)).result)).toEqual([0, 1, 1, 4]);
    driver.bench.write(BAR, Reg.CC, 0);
    expect(driver.start().admin(get(6)).result).toBe(1);
  });

  test.each([
    ['unknown', set(0x7f, 0), 0x002],
    ['not saveable', set(6, 0, { save: true }), 0x10d],
    ['not namespace specific', set(6, 0, { nsid: 1 }), 0x10f],
    ['a power state that is not there', set(2, 1), 0x002],
    ['a vector that is not there', set(9, 17), 0x002],
    ['unknown, get', get(0x7f), 0x002],
    ['select beyond capabilities', get(6, 4), 0x002],
  ])('%s', (_, command, status) => {
    expect(new NvmeDriver().start().admin(command).status).toBe(status);
  });
});

describe('log pages', () => {
  const log = (page: number, dwords: number, offset = 0, nsid = 0xffff_ffff) => ({
    opcode: 2,
    nsid,
    prp1: DATA,
    cdw: [((dwords - 1) << 16) | page, 0, offset],
  });

  test('SMART counts reads, writes and bytes; temperature in kelvins', () => {
    const driver = new NvmeDriver().startIo();
    for (let i = 0; i < 3; i++) driver.io({ opcode: 1, prp1: DATA, cdw: [0, 0, 7] });
    driver.io({ opcode: 2, prp1: DATA, cdw: [0, 0, 7] });
    expect(driver.admin(log(2, 128)).status).toBe(0);
    const view = new DataView(driver.bench.memory.readBytes(DATA, 512).buffer);
    expect([view.getBigUint64(64, true), view.getBigUint64(80, true), view.getBigUint64(48, true)]).toEqual([1n, 3n, 1n]);
    expect(view.getUint16(1, true)).toBeGreaterThan(273);
  });

  test('the error log has the latest failure first: queue, command, status, block', () => {
    const driver = new NvmeDriver().startIo();
    const { cid } = driver.io({ opcode: 2, prp1: DATA, cdw: [5000, 0, 0] });
    driver.admin(log(1, 32));
    const view = new DataView(driver.bench.memory.readBytes(DATA, 128).buffer);
    expect([view.getBigUint64(0, true), view.getUint16(8, true), view.getUint16(10, true)]).toEqual([1n, 1, cid]);
    expect((view.getUint16(12, true) >>> 1) & 0x7ff).toBe(0x080);
    expect([view.getBigUint64(16, true), view.getUint32(24, true), view.getBigUint64(64, true)]).toEqual([5000n, 1, 0n]);
  });

  test('commands supported and effects: what executes, and nothing else', () => {
    const driver = new NvmeDriver().start();
    driver.admin({ ...log(5, 1024), prp1: DATA });
    const bytes = driver.bench.memory.readBytes(DATA, 2048);
    const supported = (from: number) => Array.from({ length: 256 }, (_, opcode) => opcode).filter((opcode) => (bytes[from + 4 * opcode] & 1) !== 0);
    expect(supported(0)).toEqual([0, 1, 2, 4, 5, 6, 8, 9, 0x0a, 0x0c]);
    expect(supported(1024)).toEqual([0, 1, 2, 5, 8, 9]);
    for (const opcode of [0x7f, 0x10, 0x80]) expect(driver.admin({ opcode }).status).toBe(0x001);
  });

  test('offsets, and a page or an offset that is not there', () => {
    const driver = new NvmeDriver().start();
    driver.admin(log(3, 2, 8));
    expect(text(driver.bench.memory.readBytes(DATA, 8), 0, 8)).toBe('1.0     ');
    expect(driver.admin(log(0x7f, 1)).status).toBe(0x109);
    expect(driver.admin(log(3, 1, 516)).status).toBe(0x002);
    expect(driver.admin(log(3, 1, 2)).status).toBe(0x002);
    expect(driver.admin(log(2, 1, 0, 7)).status).toBe(0x00b);
  });
});

describe('read, write and their kind', () => {
  const PATTERN = Uint8Array.from({ length: 4096 }, (_, i) => (i * 7) & 0xff);

  test('what was written is read, and is on the disk', () => {
    const driver = new NvmeDriver().startIo();
    driver.bench.memory.writeBytes(DATA, PATTERN);
    expect(driver.io({ opcode: 1, prp1: DATA, cdw: [3, 0, 7] }).status).toBe(0);
    expect(driver.disk.read(3 * 512, 4096)).toEqual(PATTERN);
    expect(driver.io({ opcode: 2, prp1: DATA + 0x1000, cdw: [4, 0, 0] }).status).toBe(0);
    expect(driver.bench.memory.readBytes(DATA + 0x1000, 512)).toEqual(PATTERN.subarray(512, 1024));
    expect(driver.io({ opcode: 5, prp1: DATA, cdw: [3, 0, 7] }).status).toBe(0);
    driver.bench.memory.write8(DATA + 4095, 0);
    expect(driver.io({ opcode: 5, prp1: DATA, cdw: [3, 0, 7] }).status).toBe(0x285);
    expect(driver.io({ opcode: 8, cdw: [4, 0, 1] }).status).toBe(0);
    expect(driver.disk.read(3 * 512, 2048)).toEqual(Uint8Array.from([...PATTERN.subarray(0, 512), ...new Uint8Array(1024), ...PATTERN.subarray(1536, 2048)]));
  });

  test.each([
    ['the last block', [2047, 0, 0], 0],
    ['one block beyond the end', [2047, 0, 1], 0x080],
    ['far beyond it', [0, 0xffff_ffff, 0], 0x080],
    ['more than MDTS', [0, 0, 1024], 0x002],
  ])('%s', (_, cdw, status) => {
    expect(new NvmeDriver().startIo().io({ opcode: 2, prp1: DATA, prp2: 0x3_0000, cdw }).status).toBe(status);
  });

  test('namespaces: 1, and all of them for flush', () => {
    const driver = new NvmeDriver().startIo();
    for (const nsid of [0, 2, 0xffff_ffff]) expect(driver.io({ opcode: 2, nsid, prp1: DATA, cdw: [0, 0, 0] }).status).toBe(0x00b);
    expect(driver.io({ opcode: 0, nsid: 0xffff_ffff }).status).toBe(0);
  });

  describe('dataset management', () => {
    const start = (disk = memoryDisk(1 << 20)) => {
      const driver = new NvmeDriver(disk).startIo();
      disk.write(0, PATTERN);
      /** Pairs of first block and number of blocks. */
      const manage = (attributes: number, ...list: (readonly [lba: number, blocks: number])[]): number => {
        driver.bench.memory.writeBytes(DATA, new Uint8Array(Uint32Array.from(list.flatMap(([lba, blocks]) => [0, blocks, lba, 0])).buffer));
        return driver.io({ opcode: 9, prp1: DATA, cdw: [list.length - 1, attributes] }).status;
      };
      return { driver, manage };
    };

    test('deallocated blocks read as zeroes, as DLFEAT says; their neighbours stay', () => {
      const { driver, manage } = start();
      expect(driver.identify(0, 1).bytes[33] & 7).toBe(1);
      expect(manage(4, [1, 2], [6, 1])).toBe(0);
      const expected = PATTERN.slice().fill(0, 512, 1536).fill(0, 3072, 3584);
      expect(driver.disk.read(0, 4096)).toEqual(expected);
    });

    test('without AD nothing changes', () => {
      const { driver, manage } = start();
      expect(manage(3, [0, 8])).toBe(0);
      expect(driver.disk.read(0, 4096)).toEqual(PATTERN);
    });

    test('a range beyond the end: none is deallocated', () => {
      const { driver, manage } = start();
      expect(manage(4, [0, 8], [2040, 9])).toBe(0x080);
      expect(driver.disk.read(0, 4096)).toEqual(PATTERN);
    });

    test('of a read-only disk: the namespace is write protected', () => {
      const driver = new NvmeDriver(loggedDisk([], new Set(), true)).startIo();
      driver.bench.memory.writeBytes(DATA, new Uint8Array(Uint32Array.of(0, 1, 0, 0).buffer));
      expect(driver.io({ opcode: 9, prp1: DATA, cdw: [0, 4] }).status).toBe(0x020);
    });
  });

  /** A disk that says in which order it was asked, and fails on demand. */
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

  test('flush, FUA and a write cache that is off make durable before the completion', () => {
    const log: string[] = [];
    const driver = new NvmeDriver(loggedDisk(log)).startIo();
    driver.submit(1, { opcode: 0, nsid: 1 });
    expect(log).toEqual([]);
    driver.bench.bench.advance(SOON);
    expect([driver.poll(1)?.status, log.splice(0)]).toEqual([0, ['flush']]);
    driver.io({ opcode: 1, prp1: DATA, cdw: [0, 0, 0] });
    expect(log.splice(0)).toEqual(['write']);
    driver.io({ opcode: 1, prp1: DATA, cdw: [0, 0, 0x4000_0000] });
    expect(log.splice(0)).toEqual(['write', 'flush']);
    driver.admin({ opcode: 9, cdw: [6, 0] });
    driver.bench.memory.writeBytes(DATA, PATTERN);
    driver.io({ opcode: 1, prp1: DATA, cdw: [0, 0, 0] });
    expect(log.splice(0)).toEqual(['write', 'flush']);
    driver.io({ opcode: 8, cdw: [0, 0, 0] });
    expect(log.splice(0)).toEqual(['read', 'write', 'flush']);
    // What reads as zeroes already is not written again.
    driver.io({ opcode: 8, cdw: [0, 0, 0] });
    expect(log.splice(0)).toEqual(['read', 'flush']);
  });

  test('what the host cannot do is a media error', () => {
    const driver = new NvmeDriver(loggedDisk([], new Set(['read', 'write', 'flush']))).startIo();
    const statuses = [2, 1, 0, 8, 5].map((opcode) => driver.io({ opcode, prp1: DATA, cdw: [0, 0, 0] }).status);
    expect(statuses).toEqual([0x281, 0x280, 0x280, 0x280, 0x281]);
  });

  test('a read-only disk says so, and is not written', () => {
    const log: string[] = [];
    const driver = new NvmeDriver(loggedDisk(log, new Set(), true)).startIo();
    expect(driver.identify(0, 1).bytes[99]).toBe(1);
    expect([driver.io({ opcode: 1, prp1: DATA, cdw: [0, 0, 0] }).status, driver.io({ opcode: 8, cdw: [0, 0, 0] }).status, log]).toEqual([0x020, 0x020, []]);
  });

  test('a transfer that memory refuses is a data transfer error, which may be tried again', () => {
    const driver = new NvmeDriver().startIo();
    driver.bench.refused.add(DATA / 4096);
    for (const opcode of [1, 2]) expect(driver.io({ opcode, prp1: DATA, cdw: [0, 0, 0] })).toMatchObject({ status: 0x004, doNotRetry: false });
    expect(driver.io({ opcode: 2, prp1: 2 ** 60, cdw: [0, 0, 0] }).status).toBe(0x004);
    expect(driver.disk.read(0, 512)).toEqual(new Uint8Array(512));
  });
});

describe('PRPs', () => {
  const LIST = 0x4_0000;
  const putList = (driver: NvmeDriver, at: number, entries: readonly number[]): void =>
    driver.bench.memory.writeBytes(at, new Uint8Array(BigUint64Array.from(entries, BigInt).buffer));

  test.each([
    ['PRP1 not on a dword', { prp1: DATA + 2 }, 0x013],
    ['PRP2 as a page, with an offset', { prp1: DATA + 0x800, prp2: DATA + 0x1008 }, 0x013],
    ['an offset in PRP1 only', { prp1: DATA + 0x800, prp2: DATA + 0x1000 }, 0],
  ])('two pages: %s', (_, prps, status) => {
    expect(new NvmeDriver().startIo().io({ opcode: 2, ...prps, cdw: [0, 0, 7] }).status).toBe(status);
  });

  test.each([
    ['list pointer not on a qword', LIST + 4, [DATA], 0x013],
    ['an entry with an offset', LIST, [DATA, DATA + 8], 0x013],
    ['a list that memory refuses', 0x7f_0000, [], 0x004],
  ])('a list: %s', (_, prp2, entries, status) => {
    const driver = new NvmeDriver().startIo();
    putList(driver, LIST, entries);
    expect(driver.io({ opcode: 2, prp1: DATA, prp2, cdw: [0, 0, 23] }).status).toBe(status);
  });

  test('a list that begins at the last entry of a page is a pointer to the next one; so is the last entry of any that is too short', () => {
    const driver = new NvmeDriver().startIo();
    const pages = [0x5_0000, 0x7_0000, 0x6_0000];
    putList(driver, LIST + 0xff8, [0x4_2000]);
    putList(driver, 0x4_2000, pages);
    const data = Uint8Array.from({ length: 4 * 4096 }, (_, i) => (i >>> 8) + i);
    driver.disk.write(0, data);
    expect(driver.io({ opcode: 2, prp1: DATA, prp2: LIST + 0xff8, cdw: [0, 0, 31] }).status).toBe(0);
    [DATA, ...pages].forEach((page, i) => expect(driver.bench.memory.readBytes(page, 4096)).toEqual(data.subarray(i * 4096, (i + 1) * 4096)));
  });

  test('property: any transfer through any pages is the bytes in order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 0, max: 1023 }), fc.integer({ min: 0, max: 511 }), (blocks, dword, slot) => {
        const driver = new NvmeDriver(memoryDisk(1 << 20)).startIo();
        const offset = dword * 4;
        const length = blocks * 512;
        const data = Uint8Array.from({ length }, (_, i) => (i * 31 + (i >>> 9)) & 0xff);
        driver.disk.write(512, data);
        const count = Math.ceil((offset + length) / 4096);
        // Pages downwards, so that none follows the one before.
        const pages = Array.from({ length: count }, (_, i) => 0x20_0000 + (count - i) * 0x2000);
        const rest = pages.slice(1);
        let prp2 = rest[0] ?? 0;
        if (rest.length > 1) {
          const at = LIST + slot * 8;
          const room = 512 - slot;
          if (rest.length <= room) putList(driver, at, rest);
          else {
            putList(driver, at, [...rest.slice(0, room - 1), LIST + 0x1000]);
            putList(driver, LIST + 0x1000, rest.slice(room - 1));
          }
          prp2 = at;
        }
        expect(driver.io({ opcode: 2, prp1: pages[0] + offset, prp2, cdw: [1, 0, blocks - 1] }).status).toBe(0);
        const seen: number[] = [];
        pages.forEach((page, i) => {
          const from = i === 0 ? offset : 0;
          seen.push(...driver.bench.memory.readBytes(page + from, Math.min(4096 - from, length - seen.length)));
        });
        expect(Buffer.compare(Buffer.from(seen), Buffer.from(data))).toBe(0);
      }),
      { numRuns: runs(12) },
    );
  });
});

describe('hostile drivers', () => {
  test('property: whatever stands in the queues and is written to registers, the controller goes on, and a reset makes it work', () => {
    const write = fc.tuple(fc.integer({ min: 0, max: 0x1100 / 4 }), fc.oneof(fc.nat({ max: 9 }), fc.nat({ max: 0xffff_ffff })));
    const commands = fc.array(fc.uint8Array({ minLength: 64, maxLength: 64 }), { maxLength: 4 });
    fc.assert(
      fc.property(fc.array(write, { maxLength: 12 }), commands, fc.boolean(), (writes, entries, io) => {
        const driver = new NvmeDriver().startIo();
        const { bench } = driver;
        entries.forEach((entry, i) => {
          entry[0] %= 16;
          entry[1] = 0;
          bench.memory.writeBytes((io ? 0x1_2000 : 0x1_0000) + ((i + (io ? 0 : 2)) % 8) * 64, entry);
        });
        bench.write(BAR, io ? 0x1008 : 0x1000, io ? Math.min(3, entries.length) : (2 + entries.length) % 8);
        bench.bench.advance(SOON);
        for (const [register, value] of writes) bench.write(BAR, register * 4, value);
        bench.bench.advance(SOON);
        bench.device.functionLevelReset();
        bench.device.writeConfig(0x10, 4, 0xf000_0000);
        bench.command(6);
        expect(driver.start().identify(1).completion.status).toBe(0);
      }),
      { numRuns: runs(50) },
    );
  });
});

describe('state', () => {
  test('a machine restored in the middle of a command goes on as the first one does, disk included', () => {
    const play = (driver: NvmeDriver): unknown => {
      driver.bench.bench.advance(SOON);
      const first = driver.poll(1);
      const second = driver.io({ opcode: 2, prp1: DATA + 0x1000, cdw: [0, 0, 0] });
      return [first, second, [...driver.bench.memory.readBytes(DATA + 0x1000, 4)], driver.bench.takeVectors()];
    };
    const prepare = (): NvmeDriver => {
      const driver = new NvmeDriver();
      driver.bench.enableMsix(BAR, 0x2000, 17);
      driver.startIo(2);
      driver.bench.takeVectors();
      driver.bench.memory.writeBytes(DATA, Uint8Array.of(1, 2, 3, 4));
      return driver;
    };
    const [one, other] = [prepare(), prepare()];
    for (const driver of [one, other]) driver.submit(1, { opcode: 1, nsid: 1, prp1: DATA, cdw: [0, 0, 0] });
    const state = structuredClone(one.bench.device.saveState());
    const timers = one.bench.bench.scheduler.saveState();
    // The other one is driven away from there first.
    other.bench.device.functionLevelReset();
    other.disk.write(0, new Uint8Array(512).fill(9));
    other.bench.device.restoreState(state);
    other.bench.bench.scheduler.restoreState(timers);
    expect(play(other)).toEqual(play(one));
  });
});
