/**
 * The common device access, MOV between a register (or to memory: an immediate) and a device's register, done without a processor model:
 * the exit says where in guest-physical memory the processor wanted to go, after all checks of the guest's own paging and segmentation,
 * so what is left is to find out which instruction it was. Everything out of the ordinary is left to the emulator.
 */
import { decode } from '../cpu/decoder/decode';
import { NO_REGISTER, type Insn } from '../cpu/decoder/insn';
import type { PhysicalMemory } from '../memory/physical-memory';
import type { ExitOf, Outcome } from './exit';
import type { GuestMemory } from './guest-memory';
import type { CodeAddress, VirtualProcessor } from './port';

/** A MOV whose memory operand is the device. */
interface Move {
  /** The instruction's bytes, by which it is recognised. */
  readonly bytes: Uint8Array;
  readonly write: boolean;
  /** Bytes moved. A load of fewer than four keeps the rest of its register, and is left to the emulator. */
  readonly size: 1 | 2 | 4 | 8;
  /** General register 0-15; NO_REGISTER for an immediate. */
  readonly register: number;
  readonly immediate: number;
}

const PAGE = 0xfff;
const MAX_LENGTH = 15;
const PRESENT = 1,
  LARGE_PAGE = 0x80;
/** Physical address of a paging-structure entry: low and high word. */
const ADDRESS_LOW = 0xffff_f000,
  ADDRESS_HIGH = 0x000f_ffff;
const TWO32 = 0x1_0000_0000;
const REMEMBERED = 256;

export class DeviceMoves {
  /** By host-physical address; valid as long as the same bytes stand there. */
  private readonly moves = new Map<number, Move>();

  constructor(
    private readonly host: PhysicalMemory,
    private readonly memory: GuestMemory,
  ) {}

  /** Does the access that exited, if it is such a MOV: undefined if not, and nothing has happened. */
  execute(processor: VirtualProcessor, exit: ExitOf<'nested-page-fault'>): Outcome | undefined {
    if (exit.table || exit.fetch) return undefined;
    const code = processor.longCode();
    if (code === undefined || processor.breakpointsEnabled()) return undefined;
    const at = this.translate(code);
    const move = at === undefined ? undefined : this.moveAt(at);
    if (move === undefined || move.write !== exit.write || exit.gpa % move.size !== 0) return undefined;
    if (move.write) this.store(processor, move, exit.gpa);
    else this.load(processor, move, exit.gpa);
    return { kind: 'next-instruction', length: move.bytes.length };
  }

  private load(processor: VirtualProcessor, { size, register }: Move, gpa: number): void {
    const low = this.memory.readMmio(gpa, 4);
    if (size === 4) processor.setGpr32(register, low);
    else processor.setGpr(register, (BigInt(this.memory.readMmio(gpa + 4, 4)) << 32n) | BigInt(low));
  }

  /** Eight bytes go over the bus as two halves, the low one first. */
  private store(processor: VirtualProcessor, { size, register, immediate }: Move, gpa: number): void {
    const low = register === NO_REGISTER ? immediate : processor.gpr32(register);
    if (size !== 8) return this.memory.writeMmio(gpa, size, size === 4 ? low : size === 2 ? low & 0xffff : low & 0xff);
    const high = register === NO_REGISTER ? immediate >> 31 : Number(processor.gpr(register) >> 32n);
    this.memory.writeMmio(gpa, 4, low);
    this.memory.writeMmio(gpa + 4, 4, high);
  }

  /** Host-physical address of code under four-level paging. The processor has just fetched from there, so rights were checked and bits set. */
  private translate({ low, high, cr3 }: CodeAddress): number | undefined {
    const { host, memory } = this;
    let table = cr3;
    for (let level = 3; level >= 0; level--) {
      const index = level === 3 ? (high >>> 7) & 511 : level === 2 ? ((high & 127) << 2) | (low >>> 30) : (low >>> (12 + 9 * level)) & 511;
      const entry = memory.hostOf(table + index * 8);
      if (entry === undefined) return undefined;
      const word = host.read32(entry);
      if ((word & PRESENT) === 0) return undefined;
      const base = (host.read32(entry + 4) & ADDRESS_HIGH) * TWO32;
      if (level === 0 || (level < 3 && (word & LARGE_PAGE) !== 0)) {
        const offset = 2 ** (12 + 9 * level) - 1;
        return memory.hostOf(base + ((word & ADDRESS_LOW & ~offset) >>> 0) + (low & offset));
      }
      table = base + ((word & ADDRESS_LOW) >>> 0);
    }
    return undefined;
  }

  private moveAt(address: number): Move | undefined {
    const known = this.moves.get(address);
    const { u8 } = this.host;
    const at = this.host.host(address);
    if (known !== undefined && sameBytes(known.bytes, u8, at)) return known;
    const insn = decode(u8, at, at + Math.min(MAX_LENGTH, PAGE + 1 - (address & PAGE)), 64);
    const move = insn && asMove(insn, u8.slice(at, at + insn.length));
    if (move === undefined) return undefined;
    if (this.moves.size >= REMEMBERED) this.moves.clear();
    this.moves.set(address, move);
    return move;
  }
}

function sameBytes(expected: Uint8Array, memory: Uint8Array, at: number): boolean {
  for (let i = 0; i < expected.length; i++) if (memory[at + i] !== expected[i]) return false;
  return true;
}

function asMove(insn: Insn, bytes: Uint8Array): Move | undefined {
  const { op, form, size, rep, lock, dst, src, imm } = insn;
  // AH, CH, DH and BH (16 and up) are left out.
  if (op !== 'MOV' || rep !== 0 || lock || dst > 15 || src > 15) return undefined;
  const bytesMoved = (size / 8) as Move['size'];
  if (form === 'rm' && size >= 32) return { bytes, write: false, size: bytesMoved, register: dst, immediate: 0 };
  if (form === 'mr') return { bytes, write: true, size: bytesMoved, register: src, immediate: 0 };
  if (form === 'mi') return { bytes, write: true, size: bytesMoved, register: NO_REGISTER, immediate: imm };
  return undefined;
}
