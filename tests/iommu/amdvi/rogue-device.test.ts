/** A device behind the IOMMU that does what it must not: nothing of it arrives, and the log says what it was. */
import { RequesterDma } from '../../../iommu/dma';
import type { InterruptMessage } from '../../../devices/interrupt-message';
import { DEVICE, DOMAIN, IR, IommuBench, ROOT, codeOf, dte, flagsOf, invalidatePages, pte } from './bench';

const BUFFER = 0x50_0000;
const READ_ONLY = 0x51_0000;
const SECRET = 0x60_0000;
const PATTERN = new Uint8Array(0x1000).fill(0xa5);

function assigned() {
  const bench = new IommuBench().enable();
  const { memory, iommu } = bench;
  // Interrupts: IV, 16 entries at 35_0000h of which the first is the device's.
  bench.setDte(dte({ mode: 1, more: [0n, 0n, 1n | (4n << 1n) | 0x35_0000n | (2n << 60n), 0n] }));
  memory.write64(ROOT + 8 * 1, pte(BUFFER));
  memory.write64(ROOT + 8 * 2, pte(BUFFER + 0x8000));
  memory.write64(ROOT + 8 * 3, pte(READ_ONLY, IR));
  memory.write32(0x35_0000, 0x0041_0001);
  memory.writeBytes(SECRET, PATTERN);
  memory.writeBytes(READ_ONLY, PATTERN);
  const sent: InterruptMessage[] = [];
  const messages = (message: InterruptMessage): void => {
    const remapped = iommu.remapInterrupt(message);
    if (remapped !== undefined) sent.push(remapped);
  };
  return { bench, memory, dma: new RequesterDma(DEVICE, memory, iommu, messages), sent };
}

describe('a rogue device', () => {
  it('reaches its own pages, scattered as they are', () => {
    const { dma, memory } = assigned();
    const bytes = Uint8Array.from({ length: 0x1800 }, (_, i) => i % 251);
    expect(dma.write(0x1400, bytes)).toBe(true);
    expect(memory.readBytes(BUFFER + 0x400, 0xc00)).toEqual(bytes.subarray(0, 0xc00));
    expect(memory.readBytes(BUFFER + 0x8000, 0xc00)).toEqual(bytes.subarray(0xc00));
    expect(dma.read(0x1400, 0x1800)).toEqual(bytes);
  });

  it('reaches no physical address that is not mapped for it', () => {
    const { bench, dma, memory } = assigned();
    expect([dma.read(SECRET, 16), dma.write(SECRET, new Uint8Array(16))]).toEqual([undefined, false]);
    expect(memory.readBytes(SECRET, 0x1000)).toEqual(PATTERN);
    expect(bench.takeEvents().map((e) => [codeOf(e), Number(e[1])])).toEqual([
      [2, SECRET],
      [2, SECRET],
    ]);
  });

  it('does not write where it may only read', () => {
    const { bench, dma, memory } = assigned();
    expect([dma.read(0x3000, 16), dma.write(0x3000, new Uint8Array(16))]).toEqual([PATTERN.subarray(0, 16), false]);
    expect(memory.readBytes(READ_ONLY, 0x1000)).toEqual(PATTERN);
    expect(bench.takeEvents().map(flagsOf)).toEqual([0x070]);
  });

  it('raises no vector that it was not given, by whatever message', () => {
    const { bench, dma, sent } = assigned();
    const dword = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
    dma.write(0xfee0_0000, dword(0));
    dma.write(0xfee0_0000, dword(0x0030));
    dma.write(0xfee0_f00c, dword(0x0400));
    dma.write(0xfee0_0000, dword(0x0041));
    dma.write(0xfee0_0000, new Uint8Array(8));
    expect(sent).toMatchObject([{ data: 0x41 }]);
    expect(bench.takeEvents().map(codeOf)).toEqual([2, 2, 2, 8]);
  });

  it('with a stale translation goes through, is reported, and stops after the invalidation', () => {
    const { bench, dma, memory } = assigned();
    expect(dma.write(0x1000, Uint8Array.of(1))).toBe(true);
    memory.write64(ROOT + 8, 0n);
    expect(dma.write(0x1000, Uint8Array.of(2))).toBe(true);
    expect([memory.read8(BUFFER), bench.stale.map((s) => s.missing)]).toEqual([2, ['INVALIDATE_IOMMU_PAGES: domain 7, address 0x1000']]);
    bench.command(invalidatePages(DOMAIN, 0x1000));
    expect(dma.write(0x1000, Uint8Array.of(3))).toBe(false);
    expect(memory.read8(BUFFER)).toBe(2);
  });
});
