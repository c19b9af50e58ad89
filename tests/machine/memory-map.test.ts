import { usableRanges } from '../../guests/boot/e820';
import { boardMemoryMap } from '../../machine/memory-map';
import { createProfile } from '../../cpu/profiles/profile';
import { buildAcpiTables } from '../../devices/acpi-tables/tables';

const GIB = 2 ** 30;
const MIB = 2 ** 20;

test.each([16 * MIB, 256 * MIB, 3 * GIB, 3 * GIB + 512 * MIB])('%p bytes: ascending, disjoint, all RAM but the hole below 1 MiB usable', (bytes) => {
  const map = boardMemoryMap(bytes);
  map.forEach(({ address, size }, i) => {
    expect(size).toBeGreaterThan(0);
    if (i > 0) expect(address).toBeGreaterThanOrEqual(map[i - 1].address + map[i - 1].size);
  });
  const usable = usableRanges(map).reduce((sum, [start, end]) => sum + end - start, 0);
  expect(usable).toBe(bytes - MIB + 0x9_fc00);
});

test('RAM beyond 3 GiB is seen from 4 GiB on', () => {
  expect(usableRanges(boardMemoryMap(3 * GIB + 512 * MIB)).at(-1)).toEqual([4 * GIB, 4 * GIB + 512 * MIB]);
});

test('tables and chipset ranges are reserved', () => {
  const map = boardMemoryMap(256 * MIB);
  const { tables } = buildAcpiTables({ processors: [0], hpet: true });
  const reserved = (first: number, last: number): boolean => map.some((e) => e.type === 2 && e.address <= first && last < e.address + e.size);
  for (const { address, bytes } of tables) expect(reserved(address, address + bytes.length - 1)).toBe(true);
  for (const [first, last] of [[0xe000_0000, 0xefff_ffff], [0xfec0_0000, 0xfec0_0fff], [0xfed0_0000, 0xfed0_03ff], [0xfee0_0000, 0xfee0_0fff]]) expect(reserved(first, last)).toBe(true); // prettier-ignore
});

test('the PCI window above 4 GiB fits into the address width of every profile', () => {
  for (const preset of ['intel', 'amd']) expect(createProfile(preset).physicalAddressWidth).toBeGreaterThanOrEqual(36);
});
