/** ACPI specification 5.0, table layouts by offset; IA-PC HPET specification; PCI Firmware specification (MCFG). */
import { buildAcpiTables } from '../../../devices/acpi-tables/tables';
import { buffer, define, device, eisaId, integer, list, method, name, scope, when } from '../../../devices/acpi-tables/aml';
import { Resource, template } from '../../../devices/acpi-tables/resources';

const built = buildAcpiTables({ processors: [0], hpet: true });
const sum = (bytes: Uint8Array): number => bytes.reduce((a, b) => (a + b) & 0xff, 0);
/** The first MiB as an operating system finds it. */
const memory = new Uint8Array(0x10_0000);
for (const { address, bytes } of built.tables) memory.set(bytes, address);
const view = new DataView(memory.buffer);
const u16 = (at: number): number => view.getUint16(at, true);
const u32 = (at: number): number => view.getUint32(at, true);
const u64 = (at: number): number => Number(view.getBigUint64(at, true));
const text = (at: number, length: number): string => String.fromCharCode(...memory.subarray(at, at + length));
const tableAt = (at: number): Uint8Array => memory.subarray(at, at + u32(at + 4));

function scan(): number {
  for (let at = 0xe_0000; at < 0x10_0000; at += 16) if (text(at, 8) === 'RSD PTR ') return at;
  throw new Error('no RSDP');
}
const rsdp = scan();
const entries = (root: number, width: 4 | 8): number[] => {
  const count = (u32(root + 4) - 36) / width;
  return Array.from({ length: count }, (_, i) => (width === 4 ? u32(root + 36 + 4 * i) : u64(root + 36 + 8 * i)));
};
const tables = new Map(entries(u64(rsdp + 24), 8).map((at) => [text(at, 4), at]));

test('the tables lie below 1 MiB without overlap', () => {
  const sorted = [...built.tables].sort((a, b) => a.address - b.address);
  sorted.forEach(({ address, bytes }, i) => expect(address + bytes.length).toBeLessThanOrEqual(sorted[i + 1]?.address ?? 0x10_0000));
  expect(sorted[0].address).toBeGreaterThanOrEqual(0xe_0000);
});

test('RSDP: both checksums, revision 2, length 36', () => {
  expect(rsdp).toBe(built.rsdp);
  expect([sum(memory.subarray(rsdp, rsdp + 20)), sum(memory.subarray(rsdp, rsdp + 36)), memory[rsdp + 15], u32(rsdp + 20)]).toEqual([0, 0, 2, 36]);
});

test('RSDT and XSDT list the same tables', () => {
  expect(text(u32(rsdp + 16), 4)).toBe('RSDT');
  expect(text(u64(rsdp + 24), 4)).toBe('XSDT');
  expect(entries(u32(rsdp + 16), 4)).toEqual(entries(u64(rsdp + 24), 8));
  expect([...tables.keys()].sort()).toEqual(['APIC', 'FACP', 'HPET', 'MCFG']);
});

test('every table sums to zero', () => {
  const dsdt = u32(tables.get('FACP')! + 40);
  for (const at of [...tables.values(), dsdt, u32(rsdp + 16), u64(rsdp + 24)]) expect(sum(tableAt(at))).toBe(0);
});

test('FADT', () => {
  const f = tables.get('FACP')!;
  expect([u32(f + 4), memory[f + 8]]).toEqual([268, 5]);
  expect([text(u32(f + 36), 4), u32(u32(f + 36) + 4), u32(f + 36) % 64]).toEqual(['FACS', 64, 0]);
  expect([text(u32(f + 40), 4), u64(f + 140)]).toEqual(['DSDT', u32(f + 40)]);
  expect([u16(f + 46), u32(f + 48), memory[f + 52]]).toEqual([9, 0, 0]); // SCI_INT, SMI_CMD, ACPI_ENABLE
  expect([u32(f + 56), u32(f + 64), u32(f + 76), u32(f + 80)]).toEqual([0x600, 0x604, 0x608, 0x620]);
  expect([...memory.subarray(f + 88, f + 94)]).toEqual([4, 2, 0, 4, 16, 0]);
  expect(u16(f + 96)).toBeGreaterThan(100);
  expect(u16(f + 98)).toBeGreaterThan(1000);
  expect(memory[f + 108]).toBe(0x32);
  const flags = u32(f + 112);
  expect(flags & 1).toBe(1); // WBINVD
  expect((flags >>> 4) & 3).toBe(2); // fixed power button, no fixed sleep button
  expect((flags >>> 10) & 1).toBe(1); // RESET_REG_SUP
  expect((flags >>> 20) & 1).toBe(0); // not hardware-reduced
  expect([memory[f + 116], memory[f + 117], u64(f + 120)]).toEqual([1, 8, 0xcf9]);
  // CF9h: SYS_RST and RST_CPU.
  expect(memory[f + 128] & 6).toBe(6);
  expect([u64(f + 152), u64(f + 176), u64(f + 212), u64(f + 224)]).toEqual([0x600, 0x604, 0x608, 0x620]);
});

test('MADT: one processor, the I/O APIC, IRQ0 on input 2, SCI level and active high, NMI on LINT1', () => {
  const m = tables.get('APIC')!;
  expect([u32(m + 36), u32(m + 40)]).toEqual([0xfee0_0000, 1]);
  const found: number[][] = [];
  for (let at = m + 44; at < m + u32(m + 4); at += memory[at + 1]) found.push([...memory.subarray(at, at + memory[at + 1])]);
  expect(found).toEqual([
    [0, 8, 0, 0, 1, 0, 0, 0],
    [1, 12, 15, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
    [2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
    [2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0],
    [4, 6, 0xff, 0, 0, 1],
  ]);
});

test('MCFG: segment 0, buses 0 to 255 at E000_0000h', () => {
  const m = tables.get('MCFG')!;
  expect([u32(m + 4), u64(m + 44), u16(m + 52), memory[m + 54], memory[m + 55]]).toEqual([60, 0xe000_0000, 0, 0, 255]);
});

test('HPET: memory at FED0_0000h, hardware id of the block', () => {
  const h = tables.get('HPET')!;
  expect([u32(h + 4), memory[h + 40], u64(h + 44)]).toEqual([56, 0, 0xfed0_0000]);
  expect(u32(h + 36) >>> 16).toBe(0x8086);
});

test('without HPET there is neither table nor device', () => {
  const { tables: without } = buildAcpiTables({ processors: [0], hpet: false });
  expect(without.map(({ bytes }) => String.fromCharCode(...bytes.subarray(0, 4)))).not.toContain('HPET');
});

describe('DSDT', () => {
  const at = u32(tables.get('FACP')! + 40);
  const body = text(at + 36, u32(at + 4) - 36);
  const bytes = (...values: readonly number[]): string => String.fromCharCode(...values);

  test('has the names an operating system asks for', () => {
    for (const segment of ['_S5_', '_PIC', '_PRT', '_CRS', 'PCI0', '_BBN']) expect(body).toContain(segment);
    // PNP0A08, PNP0A03, PNP0B00, PNP0501, PNP0303, PNP0F13, PNP0C02 as EISAID() of an ASL compiler gives them.
    for (const id of [0x080a_d041, 0x030a_d041, 0x000b_d041, 0x0105_d041, 0x0303_d041, 0x130f_d041, 0x020c_d041]) {
      expect(body).toContain(bytes(id & 0xff, (id >>> 8) & 0xff, (id >>> 16) & 0xff, id >>> 24));
    }
    expect(body).toContain('ACPI0007');
  });

  test('S5 is the sleep type that the PM block takes for off', () => {
    expect(body).toContain(bytes(0x08) + '\\_S5_' + bytes(0x12, 0x08, 4, 0x0a, 7, 0x0a, 7, 0, 0));
  });

  test('reserves ECAM: Memory32Fixed at E000_0000h, 256 MiB', () => {
    expect(body).toContain(bytes(0x86, 9, 0, 1, 0, 0, 0, 0xe0, 0, 0, 0, 0x10));
  });

  test('COM1: ports 3F8h-3FFh, IRQ4', () => {
    expect(body).toContain(bytes(0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8, 0x22, 0x10, 0, 0x79, 0));
  });

  test('PCI routing: slot 1 INTA# is GSI 17 in APIC mode, ISA 11 in PIC mode', () => {
    const row = (gsi: number): string => bytes(0x12, 0x0b, 4, 0x0c, 0xff, 0xff, 1, 0, 0, 0, 0x0a, gsi);
    expect(body).toContain(row(17));
    expect(body).toContain(row(11));
  });
});

/** Encodings as the ACPI specification's grammar gives them. */
describe('AML', () => {
  test.each([
    [0, [0x00]],
    [1, [0x01]],
    [2, [0x0a, 2]],
    [0xff, [0x0a, 0xff]],
    [0x100, [0x0b, 0, 1]],
    [0x1_0000, [0x0c, 0, 0, 1, 0]],
    [0x1_0000_0000, [0x0e, 0, 0, 0, 0, 1, 0, 0, 0]],
  ])('integer %p', (value, encoded) => expect(integer(value)).toEqual(encoded));

  test('names: padding, root, two and more segments', () => {
    expect(String.fromCharCode(...name('\\_SB'))).toBe('\\_SB_');
    expect(name('A.B')).toEqual([0x2e, 0x41, 0x5f, 0x5f, 0x5f, 0x42, 0x5f, 0x5f, 0x5f]);
    expect(name('\\A.B.C').slice(0, 3)).toEqual([0x5c, 0x2f, 3]);
    for (const wrong of ['', 'TOOLONG', 'low', '1ABC', '\\']) expect(() => name(wrong)).toThrow(RangeError);
  });

  test('package lengths at their borders: 63, 64, 4095 and 4096 bytes', () => {
    const length = (contents: number): number[] => [...buffer(new Array<number>(contents).fill(0))].slice(1, 4);
    expect(length(60)[0]).toBe(63); // length byte + 2-byte size + 60
    expect(length(61).slice(0, 2)).toEqual([0x41, 0x04]); // 65 = 2 + 2 + 61
    const long = buffer(new Array<number>(4090).fill(0)); // 2 + 3 + 4090 = 4095
    expect([long[1], long[2]]).toEqual([0x4f, 0xff]);
    const longer = buffer(new Array<number>(4091).fill(0)); // 3 + 3 + 4091 = 4097
    expect([longer[1], longer[2], longer[3]]).toEqual([0x81, 0x00, 0x01]);
  });

  test('terms', () => {
    expect(eisaId('PNP0A03')).toEqual([0x0c, 0x41, 0xd0, 0x0a, 0x03]);
    expect(() => eisaId('PNPA03')).toThrow(RangeError);
    expect(define('A', integer(5))).toEqual([0x08, 0x41, 0x5f, 0x5f, 0x5f, 0x0a, 5]);
    expect(list(integer(0), integer(1))).toEqual([0x12, 4, 2, 0, 1]);
    expect(scope('A')).toEqual([0x10, 5, 0x41, 0x5f, 0x5f, 0x5f]);
    expect(device('A')).toEqual([0x5b, 0x82, 5, 0x41, 0x5f, 0x5f, 0x5f]);
    expect(method('A', 2)).toEqual([0x14, 6, 0x41, 0x5f, 0x5f, 0x5f, 2]);
    expect(when(integer(1))).toEqual([0xa0, 2, 1]);
  });

  test('resource descriptors', () => {
    expect(Resource.irq(12)).toEqual([0x22, 0x00, 0x10]);
    expect(Resource.busWindow(0, 255)).toEqual([0x88, 13, 0, 2, 0x0c, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 1]);
    expect(Resource.memoryWindow(0xc000_0000, 0xdfff_ffff)).toHaveLength(26);
    expect(Resource.prefetchableWindow64(2 ** 35, 2 ** 36 - 1)).toHaveLength(46);
    expect(template(Resource.irq(1))).toEqual([0x11, 8, 0x0a, 5, 0x22, 2, 0, 0x79, 0]);
  });
});
