/** PCI Local Bus Specification 3.0, "MSI and MSI-X Capability Structures"; PCI Express Base Specification, "Function-Level Reset"; PCI-PM 1.2, "PMCSR". */
import { EduDevice } from '../../../devices/pci/edu';
import { NvmeController } from '../../../devices/pci/nvme/nvme-controller';
import { Command } from '../../../devices/pci/pci-device';
import { memoryDisk } from '../../../devices/block-backend';
import { FunctionBench, REQUESTER } from './function-bench';

const edu = () => new FunctionBench(new EduDevice());
const nvme = () => new FunctionBench(new NvmeController({ backend: memoryDisk(1 << 20), serial: 'x' }));

/** Registers of the test device that make it interrupt. */
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;

function enableMsi({ device }: ReturnType<typeof edu>, at: number): void {
  device.writeConfig(at + 4, 4, 0xfee0_1004);
  device.writeConfig(at + 8, 4, 0);
  device.writeConfig(at + 12, 2, 0x4031);
  device.writeConfig(at + 2, 2, 1);
}

describe('MSI', () => {
  test('a message instead of the pin: address, data, requester', () => {
    const bench = edu();
    const at = bench.capability(0x05);
    bench.write(0, RAISE, 1);
    expect([bench.pin, bench.messages]).toEqual([true, []]);
    enableMsi(bench, at);
    expect(bench.pin).toBe(false);
    bench.write(0, RAISE, 2);
    expect(bench.messages).toEqual([{ address: 0xfee0_1004, data: 0x4031, source: REQUESTER }]);
    bench.device.writeConfig(at + 2, 2, 0);
    expect(bench.pin).toBe(true);
    bench.write(0, ACKNOWLEDGE, 3);
    expect(bench.pin).toBe(false);
  });

  test('Message Control: 64-bit addresses, per-vector masking, one vector; only enable and multiple message enable can be written', () => {
    const bench = edu();
    const { device } = bench;
    const at = bench.capability(0x05);
    expect(device.readConfig(at + 2, 2)).toBe(0x0180);
    device.writeConfig(at + 2, 2, 0xffff);
    expect(device.readConfig(at + 2, 2)).toBe(0x01f1);
    device.writeConfig(at + 4, 4, 0xffff_ffff);
    expect(device.readConfig(at + 4, 4)).toBe(0xffff_fffc);
  });

  test('a masked vector is pending, and is sent when the mask goes', () => {
    const bench = edu();
    const at = bench.capability(0x05);
    enableMsi(bench, at);
    bench.device.writeConfig(at + 16, 4, 1);
    bench.write(0, RAISE, 1);
    expect([bench.messages.length, bench.device.readConfig(at + 20, 4)]).toEqual([0, 1]);
    bench.device.writeConfig(at + 16, 4, 0);
    expect([bench.messages.length, bench.device.readConfig(at + 20, 4)]).toEqual([1, 0]);
  });

  test('a function that is no bus master sends nothing', () => {
    const bench = edu();
    enableMsi(bench, bench.capability(0x05));
    bench.command(Command.MEMORY);
    bench.write(0, RAISE, 1);
    expect(bench.messages).toEqual([]);
  });
});

describe('MSI-X', () => {
  const TABLE = 0x2000;
  const PENDING = 0x3000;

  test('table size, offsets; every vector masked after reset; reserved bits read 0', () => {
    const bench = nvme();
    const at = bench.capability(0x11);
    expect(bench.device.readConfig(at + 2, 2)).toBe(16);
    expect([bench.device.readConfig(at + 4, 4), bench.device.readConfig(at + 8, 4)]).toEqual([TABLE, PENDING]);
    expect(bench.read(0, TABLE + 12)).toBe(1);
    bench.write(0, TABLE, 0xffff_ffff);
    bench.write(0, TABLE + 12, 0xffff_ffff);
    expect([bench.read(0, TABLE), bench.read(0, TABLE + 12)]).toEqual([0xffff_fffc, 1]);
  });

  test('vector mask and function mask hold messages back in the pending bits', () => {
    const bench = nvme();
    const at = bench.capability(0x11);
    const { msix } = bench.device as unknown as { msix: { signal(vector: number): void } };
    bench.enableMsix(0, TABLE, 17);
    msix.signal(16);
    expect(bench.takeVectors()).toEqual([0x50]);
    bench.write(0, TABLE + 16 * 16 + 12, 1);
    msix.signal(16);
    expect([bench.takeVectors(), bench.read(0, PENDING)]).toEqual([[], 0x1_0000]);
    bench.write(0, PENDING, 0);
    expect(bench.read(0, PENDING)).toBe(0x1_0000);
    bench.device.writeConfig(at + 2, 2, 0xc000);
    bench.write(0, TABLE + 16 * 16 + 12, 0);
    msix.signal(3);
    expect([bench.takeVectors(), bench.read(0, PENDING)]).toEqual([[], 0x1_0008]);
    bench.device.writeConfig(at + 2, 2, 0x8000);
    expect([bench.takeVectors(), bench.read(0, PENDING)]).toEqual([[0x43, 0x50], 0]);
  });
});

test('the state of a bus with other functions is refused, and they are named', () => {
  const state = edu().pci.saveState();
  expect(() => nvme().pci.restoreState(state)).toThrow('the snapshot has the PCI functions 00:04.0 1234:11e8; this machine has 00:04.0 1234:1108');
  expect(() => edu().pci.restoreState(state)).not.toThrow();
});

describe('power management and reset', () => {
  test('in D3hot a function answers configuration accesses only; its state stays', () => {
    const bench = edu();
    const at = bench.capability(0x01);
    bench.write(0, 0x04, 5);
    bench.device.writeConfig(at + 4, 2, 3);
    expect([bench.read(0, 0x04), bench.device.readConfig(0, 4)]).toEqual([0xffff_ffff, 0x11e8_1234]);
    bench.device.writeConfig(at + 4, 2, 0);
    expect(bench.read(0, 0x04)).toBe(0xffff_fffa);
  });

  test('the express capability is that of a root complex integrated endpoint with FLR', () => {
    const bench = nvme();
    const at = bench.capability(0x10);
    expect(bench.device.readConfig(at + 2, 2)).toBe(0x0092);
    expect(bench.device.readConfig(at + 4, 4) & 0x1000_0000).toBe(0x1000_0000);
    // Extended configuration space is there, and empty.
    expect(bench.device.readConfig(0x100, 4)).toBe(0);
  });

  test('function-level reset: command, base addresses, messages and the device are as after power-on; the bit reads 0', () => {
    const bench = edu();
    const [express, msi] = [bench.capability(0x10), bench.capability(0x05)];
    enableMsi(bench, msi);
    bench.write(0, 0x04, 5);
    const bar = bench.device.readConfig(0x10, 4);
    bench.device.writeConfig(express + 8, 2, 0x8000);
    expect(bench.device.readConfig(express + 8, 2)).toBe(0x2810);
    expect([bench.device.readConfig(0x04, 2), bench.device.readConfig(0x10, 4), bench.device.readConfig(msi + 2, 2)]).toEqual([0, 0, 0x0180]);
    bench.device.writeConfig(0x10, 4, bar);
    bench.command(Command.MEMORY);
    expect(bench.read(0, 0x04)).toBe(0);
  });
});
