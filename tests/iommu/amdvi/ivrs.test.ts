/** AMD IOMMU specification, "I/O Virtualization Reporting Structure (IVRS)"; parsed as Linux's driver does (struct ivhd_header, struct ivhd_entry). */
import { ivrs } from '../../../iommu/amdvi/ivrs';

const table = ivrs({
  requester: 2,
  capability: 0x40,
  registerBase: 0xfed8_0000,
  physicalAddressWidth: 46,
  ioApics: [{ id: 15, requester: 0xa0 }],
  hpets: [{ id: 0, requester: 0xa0 }],
});
const view = new DataView(table.buffer, table.byteOffset);
const IVRS_HEADER_LENGTH = 48;

interface Ivhd {
  readonly at: number;
  readonly type: number;
  readonly length: number;
}

function blocks(): Ivhd[] {
  const found: Ivhd[] = [];
  for (let at = IVRS_HEADER_LENGTH; at < table.length; at += found.at(-1)!.length) {
    const length = view.getUint16(at + 2, true);
    if (length === 0) throw new Error('a block without length');
    found.push({ at, type: view.getUint8(at), length });
  }
  return found;
}

describe('IVRS', () => {
  it('has a header that ACPI takes, and says what the IOMMU can do before its registers are mapped (EFRSup)', () => {
    expect(Buffer.from(table.subarray(0, 4)).toString()).toBe('IVRS');
    expect(view.getUint32(4, true)).toBe(table.length);
    expect(table.reduce((sum, byte) => (sum + byte) & 0xff, 0)).toBe(0);
    const info = view.getUint32(36, true);
    expect(info & 1).toBe(1);
    expect([(info >>> 5) & 7, (info >>> 8) & 0x7f, (info >>> 15) & 0x7f]).toEqual([2, 46, 64]);
  });

  it('describes one IOMMU in each of the three types, in ascending order, and ends where the last one ends', () => {
    const found = blocks();
    expect(found.map(({ type }) => type)).toEqual([0x10, 0x11, 0x40]);
    expect(found.at(-1)!.at + found.at(-1)!.length).toBe(table.length);
    for (const { at } of found) {
      expect([view.getUint16(at + 4, true), view.getUint16(at + 6, true), view.getBigUint64(at + 8, true), view.getUint16(at + 16, true)]).toEqual([
        2,
        0x40,
        0xfed8_0000n,
        0,
      ]);
    }
  });

  it('repeats the Extended Feature Register', () => {
    const [legacy, ...extended] = blocks();
    // XTSup 0, IASup 5, GASup 6, HESup 7, HATS 31:30.
    expect(view.getUint32(legacy.at + 20, true)).toBe((1 | (1 << 5) | (1 << 6) | (1 << 7) | (2 << 30)) >>> 0);
    for (const { at } of extended) expect([view.getBigUint64(at + 24, true), view.getBigUint64(at + 32, true)]).toEqual([0x20_09c5n, 0n]);
  });

  it('covers all devices, the I/O APIC as 00:14.0 with INIT, ExtINT and NMI passing, the HPET beside it', () => {
    for (const { at, type, length } of blocks()) {
      const entries = table.subarray(at + (type === 0x10 ? 24 : 40), at + length);
      expect([...entries]).toEqual([
        ...[0x01, 0, 0, 0],
        // Special device: type, reserved, DTE setting, handle, requester, variety.
        ...[0x48, 0, 0, 0xc7, 15, 0xa0, 0, 1],
        ...[0x48, 0, 0, 0x00, 0, 0xa0, 0, 2],
      ]);
    }
  });
});
