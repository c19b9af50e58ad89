import { BootError } from '../../../guests/boot/boot-error';
import { planBoot } from '../../../guests/boot/plan';
import { Applied, MIB, bzImage, options } from './sample-images';

describe('Linux 64-bit boot protocol', () => {
  const initrd = new Uint8Array(5000).fill(7);
  const plan = planBoot(bzImage(), options({ initrd, commandLine: 'console=ttyS0', rsdp: 0xf_0000 }));
  const memory = new Applied(plan);
  const zeroPage = plan.entry.gprs[6];

  test('the CPU is in 64-bit mode at load address + 0x200 with RSI = boot_params', () => {
    const { entry } = plan;
    expect(plan.format).toBe('linux');
    expect(entry.mode).toBe('long64');
    expect(entry.rip).toBe(0x100_0200);
    expect(entry.rflags & 0x200).toBe(0);
    expect(entry.cr0 & 0x8000_0001).toBe(0x8000_0001 | 0);
    expect(entry.cr4 & 0x20).toBe(0x20);
    expect(entry.efer & 0x500).toBe(0x500);
    expect(entry.segments.cs).toEqual({ selector: 0x10, base: 0, limit: 0xffff_ffff, access: 0xa09b });
    for (const s of ['ds', 'es', 'ss'] as const) expect(entry.segments[s]).toMatchObject({ selector: 0x18, base: 0, access: 0xc093 });
  });

  test('the GDT holds what the selectors say', () => {
    expect(memory.u64(plan.entry.gdtr.base + 0x10)).toBe(0x00af_9b00_0000_ffffn);
    expect(memory.u64(plan.entry.gdtr.base + 0x18)).toBe(0x00cf_9300_0000_ffffn);
    expect(plan.entry.gdtr.limit).toBeGreaterThanOrEqual(0x1f);
  });

  test('page tables map the first 4 GiB one to one', () => {
    const walk = (va: number): number => {
      const entry = (table: number, index: number): bigint => memory.u64(table + index * 8);
      const pml4e = entry(plan.entry.cr3, 0);
      const pdpte = entry(Number(pml4e & ~0xfffn), Math.floor(va / 2 ** 30));
      const pde = entry(Number(pdpte & ~0xfffn), Math.floor(va / 2 ** 21) % 512);
      for (const e of [pml4e, pdpte, pde]) expect(e & 3n).toBe(3n);
      expect(pde & 0x80n).toBe(0x80n);
      return Number(pde & ~0x1f_ffffn) + (va % 2 ** 21);
    };
    for (const va of [0, 0x100_0200, 0x7fff_ffff, 0xfee0_0030, 0xffff_ffff]) expect(walk(va)).toBe(va);
  });

  test('the zero page has the setup header, command line, ramdisk, memory map and ACPI root pointer', () => {
    expect(memory.u32(zeroPage + 0x202)).toBe(0x5372_6448);
    expect(memory.u8(zeroPage + 0x210)).toBe(0xff);
    expect(memory.u8(zeroPage + 0x1ef)).toBe(0); // sentinel
    expect(memory.text(memory.u32(zeroPage + 0x228))).toBe('console=ttyS0');
    expect(memory.u32(zeroPage + 0x21c)).toBe(5000);
    const ramdisk = memory.u32(zeroPage + 0x218);
    expect(memory.bytes(ramdisk, 5000)).toEqual(initrd);
    expect(memory.u64(zeroPage + 0x070)).toBe(0xf_0000n);
    expect(memory.u8(zeroPage + 0x1e8)).toBe(4);
    expect([memory.u64(zeroPage + 0x2d0), memory.u64(zeroPage + 0x2d8), memory.u32(zeroPage + 0x2e0)]).toEqual([0n, 0x9_fc00n, 1]);
    const fourth = zeroPage + 0x2d0 + 3 * 20;
    expect([memory.u64(fourth), memory.u64(fourth + 8), memory.u32(fourth + 16)]).toEqual([0x10_0000n, BigInt(63 * MIB), 1]);
  });

  test('the ramdisk is page aligned, above the kernel and below initrd_addr_max', () => {
    const ramdisk = memory.u32(zeroPage + 0x218);
    expect(ramdisk % 4096).toBe(0);
    expect(ramdisk).toBe(64 * MIB - 8192);
    const low = planBoot(
      bzImage((v) => v.setUint32(0x22c, 0x2ff_ffff, true)),
      options({ initrd }),
    );
    expect(new Applied(low).u32(low.entry.gprs[6] + 0x218)).toBe(0x300_0000 - 8192);
  });

  test('nothing overlaps', () => {
    const ranges = plan.writes.map((w) => [w.address, w.address + w.bytes.length]).sort((a, b) => a[0] - b[0]);
    for (let i = 1; i < ranges.length; i++) expect(ranges[i][0]).toBeGreaterThanOrEqual(ranges[i - 1][1]);
  });

  test('a relocatable kernel whose preferred place is taken goes higher, aligned', () => {
    const e820 = [
      { address: 0, size: 0x9_0000, type: 1 },
      { address: 0x10_0000, size: 0x100_0000, type: 1 },
      { address: 0x210_0000, size: 0x400_0000, type: 1 },
    ];
    expect(planBoot(bzImage(), { memoryBytes: 128 * MIB, e820 }).entry.rip).toBe(0x220_0200);
  });

  const refused: readonly [string, Uint8Array, Parameters<typeof options>, RegExp][] = [
    ['an old protocol', bzImage((v) => v.setUint16(0x206, 0x020b, true)), [], /2\.11.*2\.12/],
    ['a 32-bit kernel', bzImage((v) => v.setUint16(0x236, 0, true)), [], /32-bit kernel/],
    ['a zImage', bzImage((v) => v.setUint8(0x211, 0)), [], /zImage/],
    ['a truncated kernel', bzImage().subarray(0, 0x4000), [], /truncated.*65536/],
    ['a kernel without kernel', bzImage().subarray(0, 0x280), [], /truncated/],
    ['a payload beyond the file', bzImage((v) => v.setUint32(0x248, 0xffff_fff0, true)), [], /payload/],
    ['too little memory for the kernel', bzImage(), [{}, 16], /does not fit.*16 MiB/],
    ['too little memory for a kernel that cannot move', bzImage((v) => v.setUint8(0x234, 0)), [{}, 16], /0x1000000.*16 MiB.*--memory/],
    ['too big a ramdisk', bzImage(), [{ initrd: new Uint8Array(60 * MIB) }], /initial ramdisk \(60 MiB\) does not fit/],
    ['a long command line', bzImage(), [{ commandLine: 'x'.repeat(2048) }], /2048 bytes.*2047/],
    ['a NUL in the command line', bzImage(), [{ commandLine: 'a\0b' }], /NUL character at position 1/],
    ['modules', bzImage(), [{ modules: [{ bytes: new Uint8Array(1) }] }], /no modules/],
    ['a bad alignment', bzImage((v) => v.setUint32(0x230, 3, true)), [], /kernel_alignment/],
  ];
  test.each(refused)('%s --> BootError', (_name, image, args, message) => {
    expect(() => planBoot(image, options(...args))).toThrow(BootError);
    expect(() => planBoot(image, options(...args))).toThrow(message);
  });

  test('a command line of exactly cmdline_size bytes is accepted', () => {
    const long = planBoot(bzImage(), options({ commandLine: 'x'.repeat(2047) }));
    expect(new Applied(long).text(new Applied(long).u32(long.entry.gprs[6] + 0x228))).toHaveLength(2047);
  });
});
