/** Images made by hand, with offsets and numbers as the protocols' documents print them. */
import { plainMemoryMap } from '../../../guests/boot/e820';
import type { BootOptions, BootPlan } from '../../../guests/boot/boot-request';

export const MIB = 1 << 20;

export const options = (more: Partial<BootOptions> = {}, mib = 64): BootOptions => ({ memoryBytes: mib * MIB, e820: plainMemoryMap(mib * MIB), ...more });

/** A bzImage of protocol 2.15 with four setup sectors and 64 KiB of kernel. */
export function bzImage(change: (view: DataView) => void = () => {}): Uint8Array {
  const setup = 5 * 512;
  const kernel = 0x1_0000;
  const image = new Uint8Array(setup + kernel);
  const v = new DataView(image.buffer);
  v.setUint8(0x1f1, 4); // setup_sects
  v.setUint32(0x1f4, kernel / 16, true); // syssize
  v.setUint16(0x1fe, 0xaa55, true); // boot_flag
  v.setUint16(0x200, 0x6aeb, true); // jump: header ends at 0x202 + 0x6a
  v.setUint32(0x202, 0x53726448, true); // "HdrS"
  v.setUint16(0x206, 0x020f, true);
  v.setUint8(0x211, 0x01); // LOADED_HIGH
  v.setUint32(0x22c, 0x7fff_ffff, true); // initrd_addr_max
  v.setUint32(0x230, 0x20_0000, true); // kernel_alignment
  v.setUint8(0x234, 1); // relocatable_kernel
  v.setUint16(0x236, 0x7f, true); // xloadflags
  v.setUint32(0x238, 2047, true); // cmdline_size
  v.setBigUint64(0x258, 0x100_0000n, true); // pref_address
  v.setUint32(0x260, 0x100_0000, true); // init_size
  image.fill(0x90, setup);
  change(v);
  return image;
}

export interface Segment {
  readonly type?: number;
  readonly physical: number;
  readonly virtual?: number;
  readonly bytes: Uint8Array;
  readonly memorySize?: number;
}

/** An ELF executable; the segments' bytes follow the headers. */
export function elf(bits: 32 | 64, entry: number, segments: readonly Segment[]): Uint8Array {
  const wide = bits === 64;
  const [headerSize, phSize] = wide ? [64, 56] : [52, 32];
  let offset = Math.ceil((headerSize + phSize * segments.length) / 16) * 16;
  const image = new Uint8Array(offset + segments.reduce((n, s) => n + Math.ceil(s.bytes.length / 16) * 16, 0));
  const v = new DataView(image.buffer);
  const word = (at: number, value: number): void => (wide ? v.setBigUint64(at, BigInt(value), true) : v.setUint32(at, value, true));
  image.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  v.setUint16(16, 2, true); // ET_EXEC
  v.setUint16(18, wide ? 62 : 3, true); // EM_X86_64, EM_386
  v.setUint32(20, 1, true);
  word(24, entry);
  word(wide ? 32 : 28, headerSize); // e_phoff
  v.setUint16(wide ? 54 : 42, phSize, true);
  v.setUint16(wide ? 56 : 44, segments.length, true);
  segments.forEach((s, i) => {
    const at = headerSize + i * phSize;
    v.setUint32(at, s.type ?? 1, true);
    const fields = [offset, s.virtual ?? s.physical, s.physical, s.bytes.length, s.memorySize ?? s.bytes.length];
    if (wide) fields.forEach((value, f) => v.setBigUint64(at + 8 + f * 8, BigInt(value), true));
    else fields.forEach((value, f) => v.setUint32(at + 4 + f * 4, value, true));
    image.set(s.bytes, offset);
    offset += Math.ceil(s.bytes.length / 16) * 16;
  });
  return image;
}

/** A note as the linker writes it. */
export function note(name: string, type: number, description: Uint8Array): Uint8Array {
  const nameSize = name.length + 1;
  const padded = Math.ceil(nameSize / 4) * 4;
  const bytes = new Uint8Array(12 + padded + Math.ceil(description.length / 4) * 4);
  const v = new DataView(bytes.buffer);
  v.setUint32(0, nameSize, true);
  v.setUint32(4, description.length, true);
  v.setUint32(8, type, true);
  bytes.set(new TextEncoder().encode(name), 12);
  bytes.set(description, 12 + padded);
  return bytes;
}

export const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

/** An ELF64 kernel with a PVH note for 0x100004. */
export const pvhKernel = (): Uint8Array =>
  elf(64, 0xffff_8000, [
    { physical: 0x10_0000, virtual: 0xffff_8000, bytes: new Uint8Array(4096).fill(0x90), memorySize: 8192 },
    { type: 4, physical: 0, bytes: new Uint8Array([...note('GNU', 3, new Uint8Array(20)), ...note('Xen', 18, u32(0x10_0004, 0))]) },
  ]);

/** A 32-bit ELF kernel with a multiboot header at its start. */
export const multibootKernel = (flags = 3): Uint8Array =>
  elf(32, 0x10_0020, [{ physical: 0x10_0000, bytes: new Uint8Array([...u32(0x1bad_b002, flags, -(0x1bad_b002 + flags)), ...new Uint8Array(100)]) }]);

/** Memory after a plan was applied: reads what the guest would. */
export class Applied {
  constructor(private readonly plan: BootPlan) {}
  bytes(address: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (const w of this.plan.writes) {
      const from = Math.max(address, w.address);
      const to = Math.min(address + length, w.address + w.bytes.length);
      if (from < to) out.set(w.bytes.subarray(from - w.address, to - w.address), from - address);
    }
    return out;
  }
  u8(address: number): number {
    return this.bytes(address, 1)[0];
  }
  u32(address: number): number {
    return new DataView(this.bytes(address, 4).buffer).getUint32(0, true);
  }
  u64(address: number): bigint {
    return new DataView(this.bytes(address, 8).buffer).getBigUint64(0, true);
  }
  text(address: number): string {
    let s = '';
    for (let c = this.u8(address); c !== 0; c = this.u8(++address)) s += String.fromCharCode(c);
    return s;
  }
}
