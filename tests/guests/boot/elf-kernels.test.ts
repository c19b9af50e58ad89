import { readFileSync } from 'node:fs';
import { BootError } from '../../../guests/boot/boot-error';
import { planBoot } from '../../../guests/boot/plan';
import { Applied, MIB, elf, multibootKernel, note, options, pvhKernel, u32 } from './sample-images';

describe('PVH', () => {
  const plan = planBoot(
    pvhKernel(),
    options({ initrd: new Uint8Array(100).fill(5), modules: [{ bytes: new Uint8Array(8), commandLine: 'second' }], commandLine: 'quiet', rsdp: 0xe_0000 }),
  );
  const memory = new Applied(plan);
  const info = plan.entry.gprs[3];

  test('32-bit protected mode, paging off, flat segments, EBX = start info', () => {
    expect(plan.format).toBe('pvh');
    expect(plan.entry).toMatchObject({ mode: 'protected32', rip: 0x10_0004, cr0: 0x11, cr4: 0, efer: 0, rflags: 2 });
    expect(plan.entry.segments.cs).toMatchObject({ base: 0, limit: 0xffff_ffff, access: 0xc09b });
    expect(plan.entry.segments.ds).toMatchObject({ base: 0, limit: 0xffff_ffff, access: 0xc093 });
    expect(plan.entry.segments.tr).toMatchObject({ base: 0, limit: 0x67, access: 0x8b });
  });

  test('hvm_start_info version 1', () => {
    expect(memory.u32(info)).toBe(0x336e_c578);
    expect(memory.u32(info + 4)).toBe(1);
    expect(memory.u32(info + 12)).toBe(2);
    expect(memory.text(Number(memory.u64(info + 24)))).toBe('quiet');
    expect(memory.u64(info + 32)).toBe(0xe_0000n);
    expect(memory.u32(info + 48)).toBe(4);
  });

  test('modules: the ramdisk first; each with its command line', () => {
    const list = Number(memory.u64(info + 16));
    expect(memory.u64(list + 8)).toBe(100n);
    expect(memory.u64(list + 16)).toBe(0n);
    expect(memory.bytes(Number(memory.u64(list)), 100)).toEqual(new Uint8Array(100).fill(5));
    expect(memory.u64(list + 32 + 8)).toBe(8n);
    expect(memory.text(Number(memory.u64(list + 32 + 16)))).toBe('second');
  });

  test('the memory map has 24-byte entries', () => {
    const map = Number(memory.u64(info + 40));
    expect([memory.u64(map + 72), memory.u64(map + 80), memory.u32(map + 88)]).toEqual([0x10_0000n, BigInt(63 * MIB), 1]);
  });

  test('segments go to their physical addresses', () => {
    expect(memory.bytes(0x10_0000, 4096)).toEqual(new Uint8Array(4096).fill(0x90));
  });
});

describe('multiboot 1', () => {
  test('ELF: EAX = 2BADB002h, EBX = information', () => {
    const plan = planBoot(
      multibootKernel(),
      options({ commandLine: 'a=1', imageName: 'kernel.elf', modules: [{ bytes: new Uint8Array(10).fill(9), commandLine: 'mod x' }] }),
    );
    const memory = new Applied(plan);
    const info = plan.entry.gprs[3];
    expect(plan.format).toBe('multiboot');
    expect(plan.entry).toMatchObject({ mode: 'protected32', rip: 0x10_0020, cr0: 0x11 });
    expect(plan.entry.gprs[0]).toBe(0x2bad_b002);
    expect(memory.u32(info) & 0x4d).toBe(0x4d); // memory, command line, modules, memory map
    expect(memory.u32(info + 4)).toBe(639);
    expect(memory.u32(info + 8)).toBe(63 * 1024);
    expect(memory.text(memory.u32(info + 16))).toBe('kernel.elf a=1');
    expect(memory.u32(info + 20)).toBe(1);
    const module = memory.u32(info + 24);
    expect(memory.u32(module) % 4096).toBe(0);
    expect(memory.u32(module + 4) - memory.u32(module)).toBe(10);
    expect(memory.text(memory.u32(module + 8))).toBe('mod x');
    const map = memory.u32(info + 48);
    expect(memory.u32(info + 44)).toBe(4 * 24);
    expect(memory.u32(map)).toBe(20);
    expect([memory.u64(map + 72 + 4), memory.u64(map + 72 + 12), memory.u32(map + 72 + 20)]).toEqual([0x10_0000n, BigInt(63 * MIB), 1]);
  });

  test('the BIOS data area says where conventional memory ends', () => {
    const memory = new Applied(planBoot(multibootKernel(), options()));
    // 40:13 base memory in KiB, 40:0E segment of the extended BIOS data area.
    expect(memory.u32(0x413) & 0xffff).toBe(639);
    expect(memory.u32(0x40e) & 0xffff).toBe(0x9fc0);
  });

  /** header at file offset 16; load_addr is the start of the file. */
  const kludge = (fields: readonly number[]): Uint8Array =>
    new Uint8Array([...new Uint8Array(16), ...u32(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), ...fields), ...new Uint8Array(52).fill(0xf4)]);

  test('address fields in the header: load, bss, entry', () => {
    const image = kludge([0x20_0010, 0x20_0000, 0x20_0064, 0x20_1000, 0x20_0030]);
    const plan = planBoot(image, options());
    expect(plan.entry.rip).toBe(0x20_0030);
    expect(new Applied(plan).bytes(0x20_0000, 0x64)).toEqual(image.subarray(0, 0x64));
  });

  test('load_end_addr 0 means the whole file', () => {
    const image = kludge([0x20_0010, 0x20_0000, 0, 0, 0x20_0030]);
    expect(new Applied(planBoot(image, options())).bytes(0x20_0000, image.length)).toEqual(image);
  });

  const refused: readonly [string, Uint8Array, RegExp][] = [
    ['unknown demands', multibootKernel(0x8003), /demands.*0x8000/],
    ['load_addr behind the header', kludge([0x20_0000, 0x20_0010, 0, 0, 0x20_0030]), /load_addr/],
    ['load_end below load', kludge([0x20_0010, 0x20_0000, 0x10_0000, 0, 0x20_0030]), /load_end_addr/],
    ['more than the file has', kludge([0x20_0010, 0x20_0000, 0x30_0000, 0, 0x20_0030]), /truncated/],
    ['entry outside', kludge([0x20_0010, 0x20_0000, 0, 0, 0x10_0000]), /entry_addr/],
    ['no ELF and no addresses', u32(0x1bad_b002, 3, -(0x1bad_b002 + 3)), /neither ELF/],
  ];
  test.each(refused)('%s --> BootError', (_name, image, message) => {
    expect(() => planBoot(image, options())).toThrow(BootError);
    expect(() => planBoot(image, options())).toThrow(message);
  });

  test('a header with a wrong checksum is none', () => {
    const image = multibootKernel();
    image[92 + 8 + 4] ^= 1;
    expect(() => planBoot(image, options())).toThrow(/without a multiboot header or PVH note/);
  });
});

describe('modules', () => {
  const name = 'boot/initrd.img';
  const given = { initrd: new Uint8Array(8), initrdName: name };

  test('multiboot: the string of the initial ramdisk is the name of its file', () => {
    const plan = planBoot(multibootKernel(), options({ ...given, modules: [{ bytes: new Uint8Array(4), commandLine: 'm' }] }));
    const memory = new Applied(plan);
    const list = memory.u32(plan.entry.gprs[3] + 24);
    expect([memory.text(memory.u32(list + 8)), memory.text(memory.u32(list + 16 + 8))]).toEqual([name, 'm']);
  });

  test('PVH: the initial ramdisk has no command line', () => {
    const plan = planBoot(pvhKernel(), options(given));
    const memory = new Applied(plan);
    expect(memory.u64(Number(memory.u64(plan.entry.gprs[3] + 16)) + 16)).toBe(0n);
  });

  test.each([
    ['multiboot', multibootKernel(), (m: Applied, info: number) => m.u32(m.u32(info + 24))],
    ['PVH', pvhKernel(), (m: Applied, info: number) => Number(m.u64(Number(m.u64(info + 16))))],
  ])('%s: an empty one is at an address of usable RAM', (_name, image, address) => {
    const plan = planBoot(image, options({ modules: [{ bytes: new Uint8Array(0) }] }));
    const start = address(new Applied(plan), plan.entry.gprs[3]);
    expect(start).toBeGreaterThanOrEqual(MIB);
    expect(start).toBeLessThan(64 * MIB);
  });
});

describe('ELF files that are no kernels', () => {
  const code = { physical: 0x40_0000, bytes: new Uint8Array(64) };
  const text = (s: string): Uint8Array => new TextEncoder().encode(`${s}\0`);
  const shared = elf(64, 0x10, [
    { physical: 0, bytes: new Uint8Array(64) },
    { type: 2, physical: 0, bytes: new Uint8Array(16) },
  ]);
  shared[16] = 3; // ET_DYN
  const noted = (name: string, type: number): Uint8Array => elf(64, 0x40_0000, [code, { type: 4, physical: 0, bytes: note(name, type, new Uint8Array(16)) }]);
  const refused: readonly [string, Uint8Array, RegExp][] = [
    [
      'a dynamic program',
      elf(64, 0x40_0000, [code, { type: 3, physical: 0, bytes: text('/lib64/ld-linux-x86-64.so.2') }]),
      /a program for an operating system, whose loader is \/lib64\/ld-linux-x86-64.so.2, not a kernel; give a Linux bzImage/,
    ],
    ['a 32-bit one', elf(32, 0x40_0000, [code, { type: 3, physical: 0, bytes: text('/lib/ld-linux.so.2') }]), /whose loader is \/lib\/ld-linux.so.2,/],
    ['a loader name of rubbish', elf(64, 0x40_0000, [code, { type: 3, physical: 0, bytes: Uint8Array.of(27, 91) }]), /whose loader is unreadable/],
    ['a static program (NT_GNU_ABI_TAG)', noted('GNU', 1), /statically linked program for an operating system, not a kernel/],
    ['a Go program', noted('Go', 4), /Go program/],
    ['a shared library', shared, /shared library/],
    ['vmlinux without PVH', noted('Linux', 0x100), /vmlinux\) without a PVH note.*give its bzImage.*CONFIG_PVH/],
  ];
  test.each(refused)('%s --> BootError', (_name, image, message) => {
    expect(() => planBoot(image, options())).toThrow(BootError);
    expect(() => planBoot(image, options())).toThrow(message);
  });

  test('this program itself', () => {
    expect(() => planBoot(readFileSync(process.execPath).subarray(0, 1 << 20), options())).toThrow(/program for an operating system|shared library/);
  });

  test('a build ID (note GNU, type 3) makes no program of a kernel', () => {
    expect(planBoot(noted('GNU', 3), options()).format).toBe('elf64');
  });
});

describe('plain ELF64 and flat binaries', () => {
  test('ELF64: 64-bit mode at the physical address of the entry point, start info in RDI and RBX', () => {
    const plan = planBoot(elf(64, 0x4000_0010, [{ physical: 0x20_0000, virtual: 0x4000_0000, bytes: new Uint8Array(32) }]), options());
    expect(plan.format).toBe('elf64');
    expect(plan.entry).toMatchObject({ mode: 'long64', rip: 0x20_0010 });
    expect(new Applied(plan).u32(plan.entry.gprs[7])).toBe(0x336e_c578);
    expect(plan.entry.gprs[3]).toBe(plan.entry.gprs[7]);
    expect(plan.entry.gprs[4] % 16).toBe(8); // as after CALL: System V ABI, "The Stack Frame"
  });

  test('flat images are at 1 MiB', () => {
    const bytes = Uint8Array.from([0xf4, 1, 2]);
    expect(planBoot(bytes, options({ format: 'flat64' })).entry).toMatchObject({ mode: 'long64', rip: 0x10_0000 });
    const plan = planBoot(bytes, options({ format: 'flat32' }));
    expect(plan.entry).toMatchObject({ mode: 'protected32', rip: 0x10_0000 });
    expect(new Applied(plan).bytes(0x10_0000, 3)).toEqual(bytes);
  });

  const one = { physical: 0x10_0000, bytes: new Uint8Array(16) };
  const refused: readonly [string, Uint8Array, Parameters<typeof options>, RegExp][] = [
    ['an empty image', new Uint8Array(0), [], /empty/],
    ['an empty flat image', new Uint8Array(0), [{ format: 'flat32' }], /empty/],
    ['text', new TextEncoder().encode('hello world'), [], /not Linux.*--format flat32/],
    ['a gzip file', Uint8Array.from([0x1f, 0x8b, 8, 0]), [], /gzip.*gunzip/],
    ['a .deb', new TextEncoder().encode('!<arch>\n'), [], /dpkg-deb/],
    ['a 32-bit ELF without a protocol', elf(32, 0x10_0000, [one]), [], /32-bit ELF.*nothing says/],
    [
      'a segment over the BIOS area',
      elf(64, 0xf_0000, [{ physical: 0xf_0000, bytes: new Uint8Array(16) }]),
      [],
      /0xf0000.*not all usable RAM.*0xf0000 is not RAM on this machine, however much memory/,
    ],
    ['a segment beyond RAM', elf(64, 0x10_0000, [{ ...one, memorySize: 64 * MIB }]), [], /64 MiB.*--memory/],
    ['overlapping segments', elf(64, 0x10_0000, [one, { physical: 0x10_0008, bytes: new Uint8Array(16) }]), [], /overlaps/],
    ['an entry point nowhere', elf(64, 0x50_0000, [one]), [], /in none of its loadable segments/],
    ['no loadable segment', elf(64, 0, [{ type: 4, physical: 0, bytes: new Uint8Array(0) }]), [], /no loadable segment/],
    ['a flat image bigger than RAM', new Uint8Array(3 * MIB), [{ format: 'flat64' }, 2], /3 MiB.*2 MiB/],
  ];
  test.each(refused)('%s --> BootError', (_name, image, args, message) => {
    expect(() => planBoot(image, options(...args))).toThrow(BootError);
    expect(() => planBoot(image, options(...args))).toThrow(message);
  });
});
