/** AMD IOMMU specification, "PCI Resources"; offsets as Linux's driver reads them (MMIO_CAP_HDR_OFFSET, MMIO_RANGE_OFFSET, MMIO_MISC_OFFSET). */
import { PortBus } from '../../../devices/bus';
import type { InterruptMessage } from '../../../devices/interrupt-message';
import { PciBus } from '../../../devices/pci/pci-bus';
import { AmdIommuFunction } from '../../../iommu/amdvi/pci-function';
import { TestBench } from '../../devices/test-bench';
import { IommuBench, dte } from './bench';

const BASE = 0xfed8_0000;
const CAPABILITY = 0x40;

function board() {
  const bench = new IommuBench();
  const { memory } = bench;
  const messages: InterruptMessage[] = [];
  const device = new AmdIommuFunction(bench.iommu, BASE, 46);
  const bus = new PciBus({
    ports: new PortBus(),
    memory,
    interrupts: [],
    messages: (message) => messages.push(message),
    dma: () => ({ read: () => undefined, write: () => false }),
    scheduler: new TestBench().scheduler,
  });
  bus.add(0, 2, device);
  bus.assignResources(() => 0);
  const write = (offset: number, value: number): void => device.writeConfig(offset, 4, value);
  return { bench, memory, device, messages, write };
}

describe('PCI function', () => {
  it('is an AMD IOMMU (class 08 06 00) with the capability block that firmware has filled in', () => {
    const { device } = board();
    expect(device.readConfig(0, 4)).toBe(0x1481_1022);
    expect(device.readConfig(8, 4)).toBe(0x0806_0000);
    expect([device.capability, device.readConfig(0x34, 1)]).toEqual([CAPABILITY, CAPABILITY]);
    const header = device.readConfig(CAPABILITY, 4);
    // Secure device, type 3, revision 1, EFRSup (27), CapExt (28); IotlbSup (24), HtTunnel (25) and NpCache (26) are 0.
    expect(header & 0xff).toBe(0x0f);
    expect(header >>> 16).toBe(0x180b);
    expect([device.readConfig(CAPABILITY + 4, 4), device.readConfig(CAPABILITY + 8, 4)]).toEqual([BASE + 1, 0]);
    // RngValid 0; MsiNum 0, GVAsize 2, PAsize 46, VAsize 64.
    expect([device.readConfig(CAPABILITY + 12, 4), device.readConfig(CAPABILITY + 16, 4)]).toEqual([0, (2 << 5) | (46 << 8) | (64 << 15)]);
  });

  it('has its registers on the bus, and cannot be moved once enabled', () => {
    const { memory, device, write } = board();
    expect(memory.read64(BASE + 0x30)).toBe(0x20_09c5n);
    write(CAPABILITY + 4, 0xfeb8_0000);
    write(CAPABILITY + 8, 0x12);
    expect([device.readConfig(CAPABILITY + 4, 4), device.readConfig(CAPABILITY + 8, 4)]).toEqual([BASE + 1, 0]);
    expect(memory.read64(BASE + 0x30)).toBe(0x20_09c5n);
    // 16 KiB.
    expect(memory.read32(BASE + 0x4000)).toBe(0xffff_ffff);
  });

  it('refuses a base that its registers cannot have', () => {
    expect(() => new AmdIommuFunction(new IommuBench().iommu, 0xfed8_1000, 46)).toThrow('16 KiB');
  });

  it('sends its interrupts by MSI, in its own name, bus master or not', () => {
    const { bench, messages, device, write } = board();
    bench.enable(0x8n);
    bench.setDte(dte({ mode: 0, permissions: 0n }));
    bench.read(0x1000);
    expect(messages).toEqual([]);
    const msi = device.readConfig(CAPABILITY + 1, 1);
    expect([device.readConfig(msi, 1), device.readConfig(msi + 2, 2) & 0x80]).toEqual([5, 0x80]);
    write(msi + 4, 0xfee0_3000);
    device.writeConfig(msi + 12, 2, 0x45);
    device.writeConfig(msi + 2, 2, 1);
    bench.set(0x2020, 2n);
    bench.read(0x1000);
    expect(messages).toEqual([{ address: 0xfee0_3000, data: 0x45, source: 0x0002 }]);
    expect(device.readConfig(4, 2) & 4).toBe(0);
    expect(bench.iommu.counts.blocked).toBe(2);
  });

  it('puts its registers back where a snapshot had them', () => {
    const { device, memory } = board();
    const state = device.saveState();
    device.restoreState(state);
    expect(device.saveState()).toEqual(state);
    expect(memory.read64(BASE + 0x30)).toBe(0x20_09c5n);
  });
});
