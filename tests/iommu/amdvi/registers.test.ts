/** AMD IOMMU specification, "IOMMU MMIO Registers"; Linux, drivers/iommu/amd/init.c. */
import { COMMANDS, DEVICE, DEVICE_TABLE, EVENTS, INVALIDATE_ALL, IommuBench, ROOT, STORE, completionWait, dte, pte } from './bench';

const EVENT_OVERFLOW = 0x1;
const EVENT_INT = 0x2;
const COMPLETION_INT = 0x4;
const EVENT_RUN = 0x8;
const COMMAND_RUN = 0x10;
const GA_RUN = 0x100;

describe('registers', () => {
  it('advertise what executes: prefetch, x2APIC, invalidate all, guest virtual APIC with log, hardware errors, six levels', () => {
    const { iommu } = new IommuBench();
    expect(iommu.readMmio(0x30, 4)).toBe((1 << 0) | (1 << 2) | (1 << 6) | (1 << 7) | (1 << 8) | (2 << 10) | (1 << 21));
    expect(iommu.readMmio(0x34, 4)).toBe(0);
    // Extended Feature Register 2: nothing of it.
    expect([iommu.readMmio(0x1a0, 4), iommu.readMmio(0x1a4, 4)]).toEqual([0, 0]);
    // No peripheral page requests: their log stays empty whatever software writes.
    iommu.writeMmio(0x38, 4, 0xffff_ffff);
    expect(iommu.readMmio(0x38, 4)).toBe(0);
  });

  it('keep the bits that exist', () => {
    const bench = new IommuBench();
    const written = (offset: number): bigint => {
      bench.set(offset, 0xffff_ffff_ffff_ffffn);
      return bench.get(offset);
    };
    expect(written(0x00)).toBe(0x000f_ffff_ffff_f1ffn);
    expect(written(0x08)).toBe(0x0f0f_ffff_ffff_f000n);
    expect(written(0x10)).toBe(0x0f0f_ffff_ffff_f000n);
    expect(written(0x20)).toBe(0x000f_ffff_ffff_f003n);
    expect(written(0x28)).toBe(0x000f_ffff_ffff_f000n);
    expect(written(0xe8)).toBe(0x000f_ffff_ffff_fff8n);
    expect(written(0x170)).toBe(0xff00_00ff_ffff_ff04n);
    expect(written(0x2010)).toBe(0x7_fff0n);
    expect(written(0x2040)).toBe(0xfff8n);
    // PPR, guest translation, SMI filter and the rest are absent.
    bench.set(0x18, 0xffff_ffff_ffff_fffen);
    expect(bench.get(0x18)).toBe(0x000c_0000_3e02_1ffen);
  });

  it('take dwords and qwords; narrower writes are dropped, narrower reads are parts', () => {
    const { iommu } = new IommuBench();
    iommu.writeMmio(0x04, 4, 0x000a_bcde);
    iommu.writeMmio(0x04, 2, 0x1111);
    iommu.writeMmio(0x06, 4, 0x1111);
    expect([iommu.readMmio(0x04, 4), iommu.readMmio(0x04, 2), iommu.readMmio(0x06, 1)]).toEqual([0x000a_bcde, 0xbcde, 0x0a]);
  });

  it('are nothing where there is none', () => {
    const { iommu } = new IommuBench();
    const before = iommu.saveState();
    for (const offset of [0x60, 0x100, 0x2030, 0x3ffc]) {
      iommu.writeMmio(offset, 4, 0xffff_ffff);
      expect(iommu.readMmio(offset, 4)).toBe(0);
    }
    expect(iommu.saveState()).toEqual(before);
  });

  it('put the pointers of a ring back when its base is written', () => {
    const { iommu } = new IommuBench();
    for (const [base, head, tail] of [
      [0x08, 0x2000, 0x2008],
      [0x10, 0x2010, 0x2018],
      [0xe0, 0x2040, 0x2048],
    ]) {
      iommu.writeMmio(head, 4, 0x40);
      iommu.writeMmio(tail, 4, 0x80);
      iommu.writeMmio(base, 4, 0x1000);
      expect([iommu.readMmio(head, 4), iommu.readMmio(tail, 4)]).toEqual([0, 0]);
    }
  });

  it('run their parts while these and the IOMMU are enabled', () => {
    const bench = new IommuBench();
    bench.set(0x18, 0x1004n);
    expect(bench.status).toBe(0);
    bench.set(0x18, 0x1005n);
    expect(bench.status).toBe(EVENT_RUN | COMMAND_RUN);
    bench.set(0x18, 0x1000_0005n);
    expect(bench.status).toBe(EVENT_RUN | GA_RUN);
    bench.set(0x18, 0x1000_1004n);
    expect(bench.status).toBe(0);
  });

  it('do nothing to requests while the IOMMU is disabled', () => {
    const bench = new IommuBench();
    expect(bench.read(0x1234_5678)).toBe(0x1234_5678);
    const message = { address: 0xfee0_0000, data: 0x31, source: DEVICE };
    expect(bench.iommu.remapInterrupt(message)).toBe(message);
    expect(bench.iommu.counts.translations).toBe(0);
  });
});

describe("Linux's initialisation", () => {
  it('goes step by step as the driver expects', () => {
    const bench = new IommuBench();
    const { iommu, memory } = bench;
    const feature = (bit: number, on: boolean): void => {
      const mask = 1n << BigInt(bit);
      bench.set(0x18, on ? bench.get(0x18) | mask : bench.get(0x18) & ~mask);
    };
    // 1. init_translation_status: firmware has left translation off.
    expect(bench.get(0x18) & 1n).toBe(0n);
    // 2. iommu_disable: command buffer, event interrupt, event log, GA log and its interrupt, the IOMMU.
    for (const bit of [12, 3, 2, 28, 29, 0]) feature(bit, false);
    // 3. iommu_init_flags: coherent, invalidation timeout of one second.
    for (const bit of [1, 8, 9, 11]) feature(bit, false);
    feature(10, true);
    bench.set(0x18, (bench.get(0x18) & ~0xe0n) | (4n << 5n));
    // 4. iommu_set_device_table: 2 MiB, all of segment 0.
    bench.set(0x00, BigInt(DEVICE_TABLE) | 0x1ffn);
    expect(bench.get(0x00)).toBe(BigInt(DEVICE_TABLE) | 0x1ffn);
    // 5. iommu_enable_command_buffer: 512 commands; head and tail zero.
    bench.set(0x08, BigInt(COMMANDS) | (9n << 56n));
    feature(12, false);
    iommu.writeMmio(0x2000, 4, 0);
    iommu.writeMmio(0x2008, 4, 0);
    feature(12, true);
    expect(bench.status).toBe(0);
    // 6. iommu_enable_event_buffer.
    bench.set(0x10, BigInt(EVENTS) | (9n << 56n));
    iommu.writeMmio(0x2010, 4, 0);
    iommu.writeMmio(0x2018, 4, 0);
    feature(2, true);
    // 7. iommu_enable_ga, iommu_enable_xt, iommu_enable.
    for (const bit of [17, 50, 0]) feature(bit, true);
    expect(bench.status).toBe(EVENT_RUN | COMMAND_RUN);
    // 8. iommu_flush_all_caches with INVALIDATE_IOMMU_ALL (IASup), then iommu_completion_wait: polls a semaphore in memory.
    bench.command(INVALIDATE_ALL, completionWait(STORE, 1n));
    expect(memory.read64(STORE)).toBe(1n);
    expect(bench.get(0x2000)).toBe(0x20n);
    // 9. enable_iommus_vapic: GA log of 512 entries, its tail in memory, polls GALogRun.
    bench.set(0xe0, 0x40_0000n | (8n << 56n));
    bench.set(0xe8, 0x41_0000n);
    iommu.writeMmio(0x2040, 4, 0);
    iommu.writeMmio(0x2048, 4, 0);
    feature(29, true);
    feature(28, true);
    expect(bench.status & GA_RUN).toBe(GA_RUN);
    feature(25, true);
    // 10. iommu_init_irq: interrupts by the x2APIC registers.
    for (const offset of [0x170, 0x178, 0x180]) bench.set(offset, 0x0000_0022_0000_0100n);
    feature(51, true);
    feature(3, true);
    // 11. A blocked device (V, TV, Mode 0, no permissions) faults into the log, and the interrupt says so.
    bench.setDte([3n, 0n, 0n, 0n]);
    expect(bench.read(0x1000)).toBeUndefined();
    expect(bench.messages).toEqual([{ address: 0xfee0_1000, data: 0x4022, source: 0x0002, extendedDestination: 1 }]);
    // 12. amd_iommu_int_thread: clears the status, takes the events.
    iommu.writeMmio(0x2020, 4, EVENT_OVERFLOW | EVENT_INT);
    expect(bench.status & (EVENT_OVERFLOW | EVENT_INT | COMPLETION_INT)).toBe(0);
    expect(bench.takeEvents()).toHaveLength(1);
    // 13. A domain is attached, and the entry flushed: the device reaches what is mapped.
    memory.write64(ROOT + 8, pte(0x5000));
    bench.setDte(dte());
    bench.command([(2n << 60n) | BigInt(DEVICE), 0n], completionWait(STORE, 2n));
    expect([memory.read64(STORE), bench.read(0x1010)]).toEqual([2n, 0x5010]);
    expect(bench.takeEvents()).toEqual([]);
  });
});
