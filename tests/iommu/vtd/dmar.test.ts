/** The DMAR table, byte by byte as the specification has it: "DMA Remapping Reporting Structure". */
import { dmar, type DmarOptions } from '../../../iommu/vtd/dmar';

const OPTIONS: DmarOptions = {
  registerBase: 0xfed9_0000,
  hostAddressWidth: 46,
  interruptRemapping: true,
  ioApics: [{ id: 15, requester: 0xf0f8 }],
  hpets: [{ id: 0, requester: 0xf078 }],
};
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('header, width less one, flags, one unit for all with its I/O APIC and HPET', () => {
  const bytes = dmar(OPTIONS);
  expect(Buffer.from(bytes.subarray(0, 4)).toString()).toBe('DMAR');
  expect(new DataView(bytes.buffer).getUint32(4, true)).toBe(bytes.length);
  expect(bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0)).toBe(0);
  expect(hex(bytes.subarray(36, 48))).toBe(`2d01${'00'.repeat(10)}`);
  // DRHD: type 0, length 32, INCLUDE_PCI_ALL, segment 0, base.
  expect(hex(bytes.subarray(48, 64))).toBe('0000' + '2000' + '01' + '00' + '0000' + '0000d9fe00000000');
  // Scopes: type, length, reserved, enumeration id, start bus, device, function.
  expect(hex(bytes.subarray(64))).toBe('0308' + '0000' + '0ff0' + '1f00' + '0408' + '0000' + '00f0' + '0f00');
});

test.each([
  [{ interruptRemapping: false }, 0],
  [{ x2apicOptOut: true }, 3],
  [{ interruptRemapping: false, x2apicOptOut: true }, 0],
])('flags for %j', (options, flags) => {
  expect(dmar({ ...OPTIONS, ...options })[37]).toBe(flags);
});

test('reserved memory regions name their devices', () => {
  const bytes = dmar({ ...OPTIONS, ioApics: [], hpets: [], reservedRegions: [{ base: 0x10_0000, limit: 0x10_1fff, requesters: [0x20] }] });
  // RMRR: type 1, length 32, reserved, segment, base, limit; scope of 00:04.0.
  expect(hex(bytes.subarray(64))).toBe('0100' + '2000' + '0000' + '0000' + '0000100000000000' + 'ff1f100000000000' + '0108' + '0000' + '0000' + '0400');
});

test('a region that is not made of pages is refused in words', () => {
  const region = { base: 0x10_0000, limit: 0x10_1000, requesters: [] };
  expect(() => dmar({ ...OPTIONS, reservedRegions: [region] })).toThrow('a reserved region from 0x100000 to 0x101000 is not made of pages of 4096 bytes');
});
