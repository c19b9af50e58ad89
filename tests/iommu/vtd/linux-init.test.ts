/**
 * What Linux 6.1's drivers (drivers/iommu/intel: dmar.c, irq_remapping.c, iommu.c) do to the registers from the first probe to the first
 * translated request, step by step, in the order in which they do it.
 */
import { Bench, DEVICE, DOMAIN, IRT, QUEUE, ROOT } from './bench';

const b = new Bench();
const STATUS = 0x5_0000;
const QI_DONE = 2;
/** What the driver remembers of GCMD. */
let gcmd = 0;
const enable = (bit: number): void => b.write(0x18, (gcmd |= bit));

/** qi_submit_sync: a descriptor and a wait for it, then polling of the status word. */
function submit(low: bigint, high = 0n): void {
  b.memory.write32(STATUS, 1);
  b.submit([low, high], [5n | 0x20n | (BigInt(QI_DONE) << 32n), BigInt(STATUS)]);
  expect(b.memory.read32(STATUS)).toBe(QI_DONE);
  expect(b.read(0x34) & 0x70).toBe(0);
}

test('1. alloc_iommu: version, CAP, ECAP; the registers fit into the mapping', () => {
  expect(b.read(0x00)).toBe(0x10);
  const [cap, ecap] = [b.read64(0x08), b.read64(0x10)];
  // cap_max_fault_reg_offset and ecap_max_iotlb_offset lie in the first page, so that it is mapped once.
  const faults = Number((cap >> 24n) & 0x3ffn) * 16 + Number((cap >> 40n) & 0xffn) * 16 + 16;
  const iotlb = Number((ecap >> 8n) & 0x3ffn) * 16 + 16;
  expect(Math.max(faults, iotlb)).toBeLessThanOrEqual(4096);
  // cap_sagaw: it takes the widest from 57 bits downwards.
  expect((cap >> 8n) & 0x1fn).toBe(0b01110n);
});
test('2. nothing was enabled before: GSTS and FSTS are 0', () => {
  expect([b.read(0x1c), b.read(0x34)]).toEqual([0, 0]);
});
test('3. dmar_enable_qi: tail 0, queue address, QIE, wait for QIES', () => {
  b.write(0x88, 0);
  b.write64(0x90, BigInt(QUEUE));
  enable(0x0400_0000);
  expect(b.read(0x1c) & 0x0400_0000).not.toBe(0);
});
test('4. iommu_set_irq_remapping: IRTA with EIME and 64 Ki entries, SIRTP, wait for IRTPS, global IEC invalidation', () => {
  b.write64(0xb8, BigInt(IRT) | 0x80fn);
  b.write(0x18, gcmd | 0x0100_0000);
  expect(b.read(0x1c) & 0x0100_0000).not.toBe(0);
  submit(4n);
});
test('5. iommu_enable_irq_remapping: IRE, wait for IRES; CFIS is clear', () => {
  enable(0x0200_0000);
  expect(b.read(0x1c)).toBe(0x0700_0000);
  expect(b.unit.remapInterrupt({ address: 0xfee0_1000, data: 0x31, source: DEVICE })).toBeUndefined();
  b.write(0x22c, 0x8000_0000);
});
test('6. dmar_set_interrupt: data, address, upper address of the fault event, then unmask and read back', () => {
  b.write(0x3c, 0x21);
  b.write(0x40, 0xfee0_1004);
  b.write(0x44, 0);
  b.write(0x38, 0);
  expect(b.read(0x38)).toBe(0);
  b.write(0x34, b.read(0x34));
});
test('7. an I/O APIC pin gets an IRTE, and it is invalidated by index', () => {
  // P, DM logical, vector 30h, destination 1; SVT 1, SID F0:1F.0. The trigger mode is always edge: the I/O APIC knows better.
  b.irte(3, 0x0000_0001_0030_0005n, (1n << 18n) | 0xf0f8n);
  submit(4n | (1n << 4n) | (3n << 32n));
  const message = b.interrupt(3, 0, false, 0xf0f8);
  expect(message).toMatchObject({ address: 0xfee0_1004, data: 0x4030, extendedDestination: 1 });
});
test('8. iommu_set_root_entry: RTADDR, SRTP, wait for RTPS; global context-cache and IOTLB invalidation', () => {
  b.write64(0x20, BigInt(ROOT));
  b.write(0x18, gcmd | 0x4000_0000);
  expect(b.read(0x1c) & 0x4000_0000).not.toBe(0);
  submit(0x11n);
  submit(0xd2n);
});
test('9. iommu_enable_translation: TE, wait for TES; protected memory regions off, wait for PRS to clear', () => {
  enable(0x8000_0000);
  expect(b.read(0x1c)).toBe(0xc700_0000);
  b.write(0x64, b.read(0x64) & ~0x8000_0000);
  expect(b.read(0x64) & 1).toBe(0);
});
test('10. domain_context_mapping_one: a context entry, then device-selective and domain-selective invalidation', () => {
  b.attach(DEVICE, 4);
  submit(0x31n | (BigInt(DOMAIN) << 16n) | (BigInt(DEVICE) << 32n));
  submit(0xe2n | (BigInt(DOMAIN) << 16n));
});
test('11. a page is mapped and translated; unmapped and invalidated, it is gone, with a record and one message', () => {
  const entry = b.map(0xffff_f000, 0x8000, 4);
  expect(b.target(0xffff_f000, true)).toBe('to 8000');
  b.memory.write64(entry, 0n);
  submit(0xf2n | (BigInt(DOMAIN) << 16n), 0xffff_f000n | (1n << 6n));
  expect(b.target(0xffff_f000, true)).toBe('fault 5');
  expect(b.delivered).toMatchObject([{ address: 0xfee0_1004, data: 0x21, extendedDestination: 1 }]);
});
test('12. dmar_fault: reads FSTS, walks the records from FRI, clears F of each and PFO', () => {
  const status = b.read(0x34);
  expect(status & 0x02).not.toBe(0);
  const index = (status >>> 8) & 0xff;
  expect(b.record(index)).toEqual({ address: 0xffff_f000, source: DEVICE, reason: 5, read: false, pending: true });
  b.write(0x220 + 16 * index + 12, 0x8000_0000);
  b.write(0x34, 0x01);
  expect(b.read(0x34) & 0x7f).toBe(0);
});
