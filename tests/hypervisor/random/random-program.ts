/** Random programs for the comparison of backends: 256 slots of bytes in a frame that goes from fault to fault (frame64.asm, frame32.asm). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Mode = 64 | 32;
/** 'bytes': noise. 'system': each slot begins with an instruction that a hypervisor has to do with. */
export type Style = 'bytes' | 'system';

export interface RandomProgram {
  readonly image: Uint8Array;
  readonly format: 'flat64' | 'flat32';
}

const PAGING = 0x400,
  RFLAGS = 0x408,
  REGISTERS = 0x410,
  REGISTER_COUNT = 9,
  SLOTS = 0x1000,
  SLOT_COUNT = 256,
  SLOT_BYTES = 16;
const FRAMES = { 64: readFileSync(join(__dirname, 'frame64.bin')), 32: readFileSync(join(__dirname, 'frame32.bin')) };

/** RFLAGS: none, IF, TF, IF and IOPL 3, AC, RF, DF, NT. */
const FLAGS = [0x2, 0x202, 0x102, 0x3202, 0x4_0202, 0x1_0202, 0x402, 0x4202];
/** Addresses of RAM, of devices (APIC, IOAPIC, HPET, ECAM) and of nothing; ends of pages and of the address space; MSRs, ports, CR and APIC values. */
const VALUES = [
  0n, 1n, 2n, 0x20n, 0x18_0000n, 0x18_1000n, 0xfee0_0000n, 0xfee0_0300n, 0xfec0_0000n, 0xfec0_0010n, 0xfed0_0000n, 0xfed0_00f0n, 0xe000_0000n,
  0xe00f_8000n, 0x7fff_ffff_ffffn, 0x8000_0000_0000n, 0xffff_8000_0000_0000n, 0xffff_ffff_ffff_ffffn, 0x1f_0ff8n, 0x1f_0fffn, 0xffff_fff8n,
  0xf_ffff_ffffn, 0x1f_fff9n, 0xc000_0080n, 0x10n, 0x1bn, 0x600n, 0xcf8n, 0xfed0_0008n, 0xfec0_0ffcn, 0xa_0000n, 0xb_8000n, 0x8000_0000n,
  0xffff_fffcn, 0xe000_0ffdn, 0xcf9n, 0x480n, 0x6e0n, 0x830n,
]; // prettier-ignore
const PREFIXES = [0x48, 0x66, 0x67, 0x41, 0xf0, 0xf2, 0xf3, 0x64];
/** Opcodes of system instructions, of branches and of everything that touches the stack, ports or descriptors. */
const SYSTEM = [
  '0f00', '0f01', '0f20', '0f21', '0f22', '0f23', '0f30', '0f32', '0fae', '0fc7', '0fa2', 'cf', '48cf', 'ca', 'cb', '48cb', '9d', '9c', 'f4', 'fb',
  'fa', 'cd', 'cc', 'f1', '8e', '0fb2', '0fb4', '0fb5', 'ff', '48ff', 'e4', 'e5', 'e6', 'e7', 'ec', 'ed', 'ee', 'ef', '6c', '6d', '6e', '6f', 'f36e',
  'f3a4', 'f3a5', 'f3aa', 'f3ab', 'f2ae', 'f3a6', '0f05', '0f07', '0f34', '0f35', 'c8', 'c9', '0f0b', '0f08', '0f09', '0f31', '0f33', '0f01f9',
  '0f01d1', '0f01d0', '0f01c1', '0f01d9', '9b', 'd9', 'db', 'dd', 'df', 'f00fc7', 'f30fae', '660f3882', 'f30fc7', 'a0', 'a1', 'a2', 'a3', '8f',
  '0f38f0', '0f23f8', '0f23c0',
].map((hex) => Buffer.from(hex, 'hex')); // prettier-ignore

/** Uniform 32-bit numbers (Mulberry32). */
function generator(seed: number): () => number {
  let state = (Math.imul(seed, 0x9e37_79b1) + 12345) >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

export function randomProgram(seed: number, mode: Mode, style: Style): RandomProgram {
  const next = generator(seed);
  const pick = <T>(list: readonly T[]): T => list[next() % list.length];
  const image = new Uint8Array(FRAMES[mode]);
  const view = new DataView(image.buffer);
  view.setUint32(PAGING, next() & 1, true);
  view.setBigUint64(RFLAGS, BigInt(pick(FLAGS)), true);
  for (let r = 0; r < REGISTER_COUNT; r++) view.setBigUint64(REGISTERS + 8 * r, pick(VALUES), true);
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    let at = SLOTS + SLOT_BYTES * slot;
    for (let i = 0; i < SLOT_BYTES; i++) image[at + i] = next();
    if (style === 'bytes') continue;
    if (next() % 4 === 0) image[at++] = pick(PREFIXES);
    const opcode = pick(SYSTEM);
    image.set(opcode, at);
    at += opcode.length;
    // A ModRM byte: the operation is drawn again, and one in three has a register operand.
    if (next() % 2 === 0) image[at] = (image[at] & 7) | (next() & 0x38) | (next() % 3 === 0 ? 0xc0 : 0);
  }
  return { image, format: mode === 64 ? 'flat64' : 'flat32' };
}
