/** QEMU's specification of the educational device ("EDU device"): what its driver exercises look for. */
import { EduDevice } from '../../../devices/pci/edu';
import { Command } from '../../../devices/pci/pci-device';
import { FunctionBench } from './function-bench';

const MS = 1_000_000;
const setup = (dmaMask?: number) => new FunctionBench(new EduDevice({ dmaMask }));

test('PCI id, revision, a BAR of 1 MiB', () => {
  const { device } = setup();
  expect([device.readConfig(0, 4), device.readConfig(8, 4)]).toEqual([0x11e8_1234, 0x00ff_0010]);
  device.writeConfig(0x10, 4, 0xffff_ffff);
  expect(device.readConfig(0x10, 4)).toBe(0xfff0_0000);
});

test('identification and liveness', () => {
  const bench = setup();
  expect(bench.read(0, 0)).toBe(0x0100_00ed);
  bench.write(0, 4, 0x1234_5678);
  expect(bench.read(0, 4)).toBe(0xedcb_a987);
  expect([bench.read(0, 0, 1), bench.read(0, 0x1000)]).toEqual([0xff, 0xffff_ffff]);
});

test('a factorial takes time, shows itself in the status, and ends with interrupt 1 when asked to', () => {
  const bench = setup();
  bench.write(0, 0x20, 0x80);
  bench.write(0, 0x08, 10);
  expect(bench.read(0, 0x20)).toBe(0x81);
  bench.write(0, 0x08, 3);
  bench.bench.advance(MS);
  expect([bench.read(0, 0x20), bench.read(0, 0x08), bench.read(0, 0x24), bench.pin]).toEqual([0x80, 3_628_800, 1, true]);
  bench.write(0, 0x64, 1);
  expect([bench.read(0, 0x24), bench.pin]).toEqual([0, false]);
  bench.write(0, 0x20, 0);
  bench.write(0, 0x08, 0xffff_ffff);
  bench.bench.advance(MS);
  expect([bench.read(0, 0x08), bench.pin]).toEqual([0, false]);
});

describe('DMA', () => {
  const run = (bench: ReturnType<typeof setup>, source: number, destination: number, count: number, command: number): void => {
    bench.write(0, 0x80, source);
    bench.write(0, 0x88, destination);
    bench.write(0, 0x90, count);
    bench.write(0, 0x98, command);
    bench.bench.advance(200 * MS);
  };

  test('RAM to buffer and back, with interrupt 100h', () => {
    const bench = setup();
    bench.memory.writeBytes(0x1000, Uint8Array.of(1, 2, 3, 4, 5));
    run(bench, 0x1000, 0x4_0000, 5, 1);
    expect([bench.read(0, 0x98), bench.read(0, 0x24)]).toEqual([0, 0]);
    run(bench, 0x4_0001, 0x2000, 4, 7);
    expect([...bench.memory.readBytes(0x2000, 5)]).toEqual([2, 3, 4, 5, 0]);
    expect([bench.read(0, 0x24), bench.pin, bench.read(0, 0x98)]).toEqual([0x100, true, 6]);
  });

  test('registers stay while it runs, for 100 ms; a command without the run bit is nothing', () => {
    const bench = setup();
    bench.write(0, 0x98, 6);
    expect(bench.read(0, 0x98)).toBe(0);
    bench.write(0, 0x90, 4);
    bench.write(0, 0x98, 1);
    bench.write(0, 0x90, 8);
    bench.bench.advance(99 * MS);
    expect([bench.read(0, 0x90), bench.read(0, 0x98)]).toEqual([4, 1]);
    bench.bench.advance(2 * MS);
    expect(bench.read(0, 0x98)).toBe(0);
  });

  test('addresses lose what is beyond the mask: 28 bits by default', () => {
    const bench = setup();
    bench.memory.writeBytes(0x1000, Uint8Array.of(7));
    run(bench, 0x1000_1000, 0x4_0000, 1, 1);
    run(bench, 0x4_0000, 0x3000, 1, 3);
    expect(bench.memory.read8(0x3000)).toBe(7);
    const wide = setup(2 ** 32 - 1);
    wide.memory.writeBytes(0x1000, Uint8Array.of(7));
    run(wide, 0x1000_1000, 0x4_0000, 1, 1);
    run(wide, 0x4_0000, 0x3000, 1, 3);
    expect(wide.memory.read8(0x3000)).toBe(0);
  });

  test.each([
    ['before the buffer', 0x3_ffff, 2],
    ['behind it', 0x4_0ffe, 3],
    ['around it', 0x4_0000, 0xffff_ffff],
  ])('a transfer %s moves nothing', (_, buffer, count) => {
    const bench = setup();
    bench.memory.write32(0x1000, 0x1111_1111);
    run(bench, buffer, 0x1000, count, 3);
    expect(bench.memory.read32(0x1000)).toBe(0x1111_1111);
  });

  test('refused on the bus, or without bus mastering: nothing is written', () => {
    const bench = setup();
    bench.memory.write32(0x1000, 0x1111_1111);
    bench.refused.add(1);
    run(bench, 0x4_0000, 0x1000, 4, 3);
    bench.refused.clear();
    bench.command(Command.MEMORY);
    run(bench, 0x4_0000, 0x1000, 4, 3);
    expect(bench.memory.read32(0x1000)).toBe(0x1111_1111);
  });
});

test('state: a transfer under way goes on in another machine', () => {
  const [one, other] = [setup(), setup()];
  one.memory.writeBytes(0x1000, Uint8Array.of(9));
  other.memory.writeBytes(0x1000, Uint8Array.of(9));
  for (const [register, value] of [[0x80, 0x1000], [0x88, 0x4_0000], [0x90, 1], [0x98, 5]]) one.write(0, register, value); // prettier-ignore
  one.bench.advance(50 * MS);
  other.bench.advance(50 * MS);
  other.device.restoreState(structuredClone(one.device.saveState()));
  other.bench.scheduler.restoreState(one.bench.scheduler.saveState());
  other.bench.advance(51 * MS);
  expect([other.read(0, 0x98), other.read(0, 0x24), other.pin]).toEqual([4, 0x100, true]);
  expect([...other.device.saveState().buffer.slice(0, 1)]).toEqual([9]);
});
