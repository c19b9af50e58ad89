/** NVM Express Base Specification 1.4, "Controller Registers", "Memory Structures", "Interrupts". */
import { memoryDisk } from '../../../../devices/block-backend';
import { NvmeController } from '../../../../devices/pci/nvme/nvme-controller';
import { ASQ, BAR, CQ, DATA, ENABLE, NvmeDriver, Reg, SOON, SQ } from './nvme-driver';

const RDY = 1;
const CFS = 2;
const SHST = 0xc;

describe('registers', () => {
  test('CAP, VS: 1.4, NVM command set, contiguous queues, 4-byte doorbells, pages from 4 KiB', () => {
    const { bench } = new NvmeDriver();
    const [low, high] = [bench.read(BAR, Reg.CAP), bench.read(BAR, Reg.CAP + 4)];
    expect(low & 0xffff).toBeGreaterThanOrEqual(1);
    expect((low >>> 16) & 1).toBe(1);
    expect(high & 0xf).toBe(0);
    expect((high >>> 5) & 0xff).toBe(1);
    expect((high >>> 16) & 0xf).toBe(0);
    expect(bench.read(BAR, Reg.VS)).toBe(0x0001_0400);
    expect(bench.device.readConfig(0x08, 4) >>> 8).toBe(0x01_0802);
    expect(bench.read(BAR, Reg.VS + 2, 2)).toBe(1);
  });

  test('CC.EN brings CSTS.RDY, clearing it takes it away; the admin queue registers stay', () => {
    const { bench } = new NvmeDriver().start();
    expect(bench.read(BAR, Reg.CSTS)).toBe(RDY);
    bench.write(BAR, Reg.CC, ENABLE & ~1);
    expect([bench.read(BAR, Reg.CSTS), bench.read(BAR, Reg.ASQ)]).toEqual([0, ASQ]);
  });

  test.each([
    ['an I/O command set that is not there', ENABLE | (1 << 4)],
    ['pages that are too large', ENABLE | (5 << 7)],
    ['an arbitration that is not there', ENABLE | (1 << 11)],
  ])('%s: the controller never becomes ready', (_, cc) => {
    expect(new NvmeDriver().start(cc).bench.read(BAR, Reg.CSTS) & (RDY | CFS)).toBe(CFS);
  });

  test('normal shutdown flushes and completes; a later reset makes the controller usable again', () => {
    let flushes = 0;
    const driver = new NvmeDriver({ size: 1 << 20, readOnly: false, read: () => undefined, write: () => true, flush: () => ++flushes > 0 }).start();
    driver.bench.write(BAR, Reg.CC, ENABLE | (1 << 14));
    expect([driver.bench.read(BAR, Reg.CSTS) & SHST, flushes]).toEqual([0x8, 1]);
    driver.bench.write(BAR, Reg.CC, 0);
    driver.start();
    expect([driver.bench.read(BAR, Reg.CSTS), driver.identify(1).completion.status]).toEqual([RDY, 0]);
  });

  test('function-level reset forgets everything', () => {
    const { bench } = new NvmeDriver().start();
    bench.device.functionLevelReset();
    bench.device.writeConfig(0x10, 4, 0xf000_0000);
    bench.command(6);
    expect([Reg.CC, Reg.CSTS, Reg.AQA, Reg.ASQ, Reg.ACQ].map((r) => bench.read(BAR, r))).toEqual([0, 0, 0, 0, 0]);
  });
});

describe('queues', () => {
  test('completions carry identifier, queue, head; the phase tag turns at each wrap', () => {
    const driver = new NvmeDriver().start();
    for (let i = 1; i <= 20; i++) {
      const { completion } = driver.identify(1);
      expect([completion.queue, completion.head, completion.status]).toEqual([0, i % 8, 0]);
    }
  });

  test('nothing happens before the doorbell, and nothing at once after it', () => {
    const driver = new NvmeDriver().start();
    driver.submit(0, { opcode: 0x06, prp1: DATA, cdw: [1] });
    expect(driver.poll(0)).toBeUndefined();
    driver.bench.bench.advance(SOON);
    expect(driver.poll(0)?.status).toBe(0);
  });

  test('commands wait while the completion queue is full', () => {
    const driver = new NvmeDriver().startIo();
    const cids: number[] = [];
    for (let i = 0; i < 3; i++) cids.push(driver.submit(1, { opcode: 0, nsid: 1 }));
    driver.bench.bench.advance(SOON);
    // Three completions fill a queue of four; the next commands wait, though the submission queue is empty again.
    for (let i = 0; i < 2; i++) cids.push(driver.submit(1, { opcode: 0, nsid: 1 }));
    driver.bench.bench.advance(SOON);
    expect(driver.bench.memory.readBytes(CQ + 3 * 16, 16).every((byte) => byte === 0)).toBe(true);
    const seen: number[] = [];
    for (let i = 0; i < 5; i++) {
      seen.push(driver.poll(1)!.cid);
      driver.bench.bench.advance(SOON);
    }
    expect(seen).toEqual(cids);
  });

  test.each([
    ['create CQ: identifier 0', { opcode: 5, prp1: CQ, cdw: [3 << 16, 3] }, 0x101],
    ['create CQ: identifier beyond the limit', { opcode: 5, prp1: CQ, cdw: [(3 << 16) | 17, 3] }, 0x101],
    ['create CQ: identifier taken', { opcode: 5, prp1: CQ, cdw: [(3 << 16) | 1, 3] }, 0x101],
    ['create CQ: a queue of one entry', { opcode: 5, prp1: CQ, cdw: [2, 3] }, 0x102],
    ['create CQ: larger than CAP.MQES', { opcode: 5, prp1: CQ, cdw: [(1024 << 16) | 2, 3] }, 0x102],
    ['create CQ: not contiguous', { opcode: 5, prp1: CQ, cdw: [(3 << 16) | 2, 2] }, 0x002],
    ['create CQ: an address inside a page', { opcode: 5, prp1: CQ + 8, cdw: [(3 << 16) | 2, 3] }, 0x013],
    ['create CQ: a vector that the pin has not', { opcode: 5, prp1: CQ, cdw: [(3 << 16) | 2, (1 << 16) | 3] }, 0x108],
    ['create SQ: completion queue 0', { opcode: 1, prp1: SQ, cdw: [(3 << 16) | 2, 1] }, 0x101],
    ['create SQ: no such completion queue', { opcode: 1, prp1: SQ, cdw: [(3 << 16) | 2, (2 << 16) | 1] }, 0x100],
    ['create SQ: identifier taken', { opcode: 1, prp1: SQ, cdw: [(3 << 16) | 1, (1 << 16) | 1] }, 0x101],
    ['create SQ: a queue of one entry', { opcode: 1, prp1: SQ, cdw: [2, (1 << 16) | 1] }, 0x102],
    ['delete CQ: in use', { opcode: 4, cdw: [1] }, 0x10c],
    ['delete CQ: the admin queue', { opcode: 4, cdw: [0] }, 0x101],
    ['delete SQ: the admin queue', { opcode: 0, cdw: [0] }, 0x101],
    ['delete SQ: no such queue', { opcode: 0, cdw: [5] }, 0x101],
    ['an opcode that is not there', { opcode: 0x7f }, 0x001],
    ['keep alive, which PCIe has not', { opcode: 0x18 }, 0x001],
    ['a fused operation', { opcode: 6, flags: 1, prp1: DATA, cdw: [1] }, 0x002],
    ['SGLs', { opcode: 6, flags: 0x40, prp1: DATA, cdw: [1] }, 0x002],
  ])('%s', (_, command, status) => {
    const driver = new NvmeDriver().startIo();
    const completion = driver.admin(command);
    expect([completion.status, completion.doNotRetry]).toEqual([status, true]);
  });

  test('deleted queues can be created again, and their doorbells are then invalid', () => {
    const driver = new NvmeDriver().startIo();
    expect(driver.admin({ opcode: 0, cdw: [1] }).status).toBe(0);
    expect(driver.admin({ opcode: 4, cdw: [1] }).status).toBe(0);
    expect(driver.admin({ opcode: 5, prp1: CQ, cdw: [(3 << 16) | 1, 3] }).status).toBe(0);
  });

  test('an admin queue that memory refuses is fatal: CSTS.CFS until the reset', () => {
    const driver = new NvmeDriver().start();
    driver.bench.refused.add(ASQ / 4096);
    driver.submit(0, { opcode: 6, prp1: DATA, cdw: [1] });
    driver.bench.bench.advance(SOON);
    expect(driver.bench.read(BAR, Reg.CSTS)).toBe(RDY | CFS);
    driver.bench.refused.clear();
    driver.bench.write(BAR, Reg.CC, 0);
    expect(driver.start().identify(1).completion.status).toBe(0);
  });
});

describe('interrupts', () => {
  test('the pin follows the completions that wait, and INTMS and INTMC', () => {
    const driver = new NvmeDriver().start();
    const { bench } = driver;
    driver.submit(0, { opcode: 6, prp1: DATA, cdw: [1] });
    expect(bench.pin).toBe(false);
    bench.bench.advance(SOON);
    expect(bench.pin).toBe(true);
    bench.write(BAR, Reg.INTMS, 1);
    expect([bench.pin, bench.read(BAR, Reg.INTMS), bench.read(BAR, Reg.INTMC)]).toEqual([false, 1, 1]);
    bench.write(BAR, Reg.INTMC, 1);
    expect(bench.pin).toBe(true);
    driver.poll(0);
    expect(bench.pin).toBe(false);
  });

  test('with MSI-X each queue has its vector; a queue without interrupts has none', () => {
    const driver = new NvmeDriver();
    driver.bench.enableMsix(BAR, 0x2000, 17);
    driver.startIo(5);
    expect([driver.bench.takeVectors(), driver.bench.pin]).toEqual([[0x40, 0x40], false]);
    driver.io({ opcode: 0 });
    expect(driver.bench.takeVectors()).toEqual([0x45]);
    driver.admin({ opcode: 0, cdw: [1] });
    driver.admin({ opcode: 4, cdw: [1] });
    expect(driver.admin({ opcode: 5, prp1: CQ, cdw: [(3 << 16) | 1, (17 << 16) | 3] }).status).toBe(0x108);
  });
});

describe('asynchronous events', () => {
  const AER = { opcode: 0x0c };

  test('a doorbell of no queue, and a value beyond a queue, are error events; the log unmasks the next', () => {
    const driver = new NvmeDriver().start();
    const { bench } = driver;
    const first = driver.submit(0, AER);
    bench.bench.advance(SOON);
    expect(driver.poll(0)).toBeUndefined();
    bench.write(BAR, 0x1000 + 8 * 9, 1);
    bench.bench.advance(SOON);
    expect(driver.poll(0)).toMatchObject({ cid: first, status: 0, result: 0x01_0000 });
    const second = driver.submit(0, AER);
    bench.write(BAR, 0x1000, 8);
    bench.bench.advance(SOON);
    expect(driver.poll(0)).toBeUndefined();
    expect(driver.admin({ opcode: 2, nsid: 0xffff_ffff, prp1: DATA, cdw: [(15 << 16) | 1] }).status).toBe(0);
    bench.write(BAR, 0x1000, 8);
    bench.bench.advance(SOON);
    expect(driver.poll(0)).toMatchObject({ cid: second, result: 0x01_0100 });
  });

  test('the fifth request is one too many; aborted ones complete', () => {
    const driver = new NvmeDriver().start();
    const cids = [1, 2, 3, 4].map(() => driver.submit(0, AER));
    expect(driver.admin(AER).status).toBe(0x105);
    expect(driver.admin({ opcode: 8, cdw: [(0x7777 << 16) >>> 0] })).toMatchObject({ status: 0, result: 1 });
    driver.submit(0, { opcode: 8, cdw: [(cids[1] << 16) >>> 0] });
    driver.bench.bench.advance(SOON);
    expect([driver.poll(0), driver.poll(0)]).toMatchObject([
      { cid: cids[1], status: 0x007 },
      { status: 0, result: 0 },
    ]);
  });
});

test('bad options have a message', () => {
  const odd = { size: 1000, readOnly: true, read: () => undefined, write: () => false, flush: () => true };
  expect(() => new NvmeController({ backend: odd, serial: 'x' })).toThrow('1000 bytes is not a whole number of 512-byte sectors');
  expect(() => new NvmeController({ backend: memoryDisk(512), serial: 'x'.repeat(21) })).toThrow('1 to 20 printable ASCII');
});
