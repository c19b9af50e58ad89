/** From a decoded instruction to the records that execute it. */
import type { PhysicalMemory } from '../memory/physical-memory';
import { NO_REGISTER, RIP_BASE, Segment, type Insn } from './decoder/insn';
import { FlagKind } from './flags';
import { R, RECORD_SIZE, S, gprOffset, seg, xmmOffset } from './layout';
import { Rec } from './stage/record';
import { Special, type Interpreter } from './stage/interpreter';

const LOG2_BYTES: Record<number, number> = { 8: 0, 16: 1, 32: 2, 64: 3 };
const SHIFTS = new Set(['ROL', 'ROR', 'RCL', 'RCR', 'SHL', 'SHR', 'SAR']);
/** Operations whose first, memory, operand is only read. */
const READ_ONLY = new Set(['CMP', 'TEST', 'BT', 'PUSH', 'MUL', 'IMUL1', 'DIV', 'IDIV', 'JMPI', 'CALLI', 'NOP', 'COMISS']);
/** Instructions that do nothing here: hints, and fences on one strongly ordered processor. */
const NO_OPERATION = new Set(['LFENCE', 'MFENCE', 'SFENCE', 'PREFETCH']);

export class Lowering {
  /** Of the instruction last written: it ends its block. */
  endsBlock = false;
  /** Of the instruction last written: producer of the flags as FlagKind * 4 + log2 bytes, 0 when unknown. */
  producer = 0;

  constructor(
    private readonly memory: PhysicalMemory,
    private readonly interpreter: Interpreter,
    private readonly insns: Insn[],
    /** Whether a TypeScript instruction ends its block; undefined when there is none of that name. */
    private readonly systemEnds: (op: string) => boolean | undefined,
    private readonly feature: (name: string) => boolean,
  ) {}

  /**
   * Writes the records of `insn`, which starts at page offset `offset`, from host address `at` on; returns how many.
   * `scratch` is the index of the processor whose single step this is: its slot in the instruction table is reused.
   */
  write(at: number, insn: Insn, offset: number, producer: number, scratch = -1): number {
    const op = this.operation(insn);
    const legacy = insn.codeSize !== 64;
    const form = op === insn.op ? insn.form : insn.form.slice(0, op === 'SHIFT_NONE' ? 1 : undefined);
    let handler: number;
    if (op === 'NOP') handler = this.interpreter.handler('NOP', '', 32, 32, legacy);
    else if (op === 'JCC') handler = this.interpreter.conditionHandler(insn.cc, producer);
    else if (op === 'CMOVCC' || op === 'SETCC') handler = this.interpreter.handler(op, `${form}${insn.cc}`, insn.size, insn.ssize, legacy);
    else if (op === 'LOOP' || op === 'LOOPE' || op === 'LOOPNE' || op === 'JCXZ')
      handler = this.interpreter.handler(op, 'j', insn.addressSize, insn.addressSize, legacy);
    else handler = this.interpreter.handler(op, form.replace('o', 'm'), insn.size, insn.ssize, legacy);
    if (handler === 0 || this.farOffset(insn) || this.missing(op)) return this.system(at, insn, offset, scratch);

    const definition = this.interpreter.definition(op)!;
    // A single step may read a device, which must happen once: by the implementation that never gives up half-way.
    if (definition.fallback === true && scratch >= 0) return this.system(at, insn, offset, scratch);
    this.endsBlock = definition.endsBlock === true;
    if (definition.flags !== undefined && LOG2_BYTES[insn.size] !== undefined) this.producer = FlagKind[definition.flags] * 4 + LOG2_BYTES[insn.size];
    else this.producer = definition.keepsFlags ? producer : 0;

    let record = at;
    let memoryBase = 0;
    const usesMemory = insn.hasMemory || form.includes('o');
    const next = offset + insn.length;
    const displacement = this.displacement(insn, next);
    if (op !== 'NOP' && usesMemory && this.needsAddress(insn, op, legacy)) {
      this.address(record, insn, op, form, displacement, next, legacy);
      record += RECORD_SIZE;
      memoryBase = R.TEMP0;
    }
    const { u8, u16, i32 } = this.memory;
    i32[(record + Rec.HANDLER) >>> 2] = handler;
    u16[(record + Rec.DST) >>> 1] = this.slot(form[0], insn.dst);
    u16[(record + Rec.SRC) >>> 1] = this.slot(form[1], insn.src);
    u16[(record + Rec.NEXT) >>> 1] = next;
    u8[record + Rec.COUNT] = 0;
    if (memoryBase !== 0) {
      u16[(record + Rec.BASE) >>> 1] = memoryBase;
      u16[(record + Rec.INDEX) >>> 1] = R.ZERO;
      u8[record + Rec.SHIFT] = 0;
      i32[(record + Rec.DISPLACEMENT) >>> 2] = 0;
    } else {
      u16[(record + Rec.BASE) >>> 1] = this.baseSlot(insn);
      u16[(record + Rec.INDEX) >>> 1] = insn.index === NO_REGISTER ? R.ZERO : gprOffset(insn.index);
      u8[record + Rec.SHIFT] = insn.scale;
      i32[(record + Rec.DISPLACEMENT) >>> 2] = displacement;
    }
    this.immediate(record, insn, op, form, next);
    if (form.includes('j')) u8[record + Rec.IP16] = legacy && insn.operandSize === 16 ? 1 : 0;
    i32[(record + Rec.LINK) >>> 2] = 0;
    const records = (record - at) / RECORD_SIZE + 1;
    if (definition.fallback !== true) return records;
    const known = this.producer;
    this.system(record + RECORD_SIZE, insn, offset, scratch);
    this.producer = known;
    return records + 1;
  }

  private operation(insn: Insn): string {
    const op = insn.op;
    if (SHIFTS.has(op) && insn.form[1] === 'i' && (insn.imm & (insn.size === 64 ? 63 : 31)) === 0) return 'SHIFT_NONE';
    if (op === 'TZCNT' && !this.feature('bmi1')) return 'BSF';
    if (op === 'LZCNT' && !this.feature('abm')) return 'BSR';
    return NO_OPERATION.has(op) ? 'NOP' : op;
  }

  /** The profile lacks the feature that brings the instruction. */
  private missing(op: string): boolean {
    const feature = this.interpreter.definition(op)?.feature;
    return feature !== undefined && !this.feature(feature);
  }

  /** A 64-bit moffs that a signed 32-bit displacement cannot hold. */
  private farOffset(insn: Insn): boolean {
    return insn.addressSize === 64 && insn.form.includes('o') && insn.immHigh !== insn.imm >> 31 && insn.immHigh !== 0;
  }

  /** A 64-bit moffs between 2 and 4 GiB: a displacement that must not be sign-extended. */
  private lowOffset(insn: Insn): boolean {
    return insn.addressSize === 64 && insn.form.includes('o') && insn.immHigh === 0 && insn.imm < 0;
  }

  private displacement(insn: Insn, next: number): number {
    if (insn.form.includes('o')) return insn.imm;
    if (insn.base === RIP_BASE) return (insn.disp + next) | 0;
    // POP to memory addressed by RSP uses RSP after the pop.
    if (insn.op === 'POP' && insn.base === 4) return (insn.disp + insn.size / 8) | 0;
    return insn.disp;
  }

  private baseSlot(insn: Insn): number {
    if (insn.base === RIP_BASE) return R.PAGE_BASE;
    return insn.base === NO_REGISTER ? R.ZERO : gprOffset(insn.base);
  }

  private needsAddress(insn: Insn, op: string, legacy: boolean): boolean {
    if (op === 'LEA') return insn.addressSize !== 64;
    if (this.lowOffset(insn)) return true;
    return legacy || insn.addressSize !== 64 || insn.segment >= Segment.FS;
  }

  private address(record: number, insn: Insn, op: string, form: string, displacement: number, next: number, legacy: boolean): void {
    const { u8, u16, i32 } = this.memory;
    const plain = !legacy || op === 'LEA';
    const writes = !READ_ONLY.has(op) && (form[0] === 'm' || form[0] === 'o');
    const special = plain ? Special.Address : writes ? Special.AddressWrite : Special.AddressRead;
    const segmentBase = op === 'LEA' || insn.segment < Segment.FS ? R.ZERO : seg(insn.segment, S.BASE);
    i32[(record + Rec.HANDLER) >>> 2] = this.interpreter.specialHandler(special);
    u16[(record + Rec.DST) >>> 1] = R.TEMP0;
    u16[(record + Rec.SRC) >>> 1] = plain ? segmentBase : seg(insn.segment, 0);
    u16[(record + Rec.BASE) >>> 1] = this.baseSlot(insn);
    u16[(record + Rec.INDEX) >>> 1] = insn.index === NO_REGISTER ? R.ZERO : gprOffset(insn.index);
    u8[record + Rec.SHIFT] = insn.scale;
    u8[record + Rec.COUNT] = 0;
    u16[(record + Rec.NEXT) >>> 1] = next;
    i32[(record + Rec.DISPLACEMENT) >>> 2] = displacement;
    // A low moffs has been sign-extended with the displacement.
    const bits = this.lowOffset(insn) ? 32 : insn.addressSize;
    i32[(record + Rec.IMMEDIATE) >>> 2] = bits === 64 ? R.MASK64 : bits === 32 ? R.MASK32 : R.MASK16;
    i32[(record + Rec.IMMEDIATE + 4) >>> 2] = (form[1] === 'm' ? insn.ssize : insn.size) / 8 - 1;
    i32[(record + Rec.LINK) >>> 2] = 0;
  }

  private slot(kind: string | undefined, register: number): number {
    if (register === NO_REGISTER) return R.ZERO;
    if (kind === 'x') return xmmOffset(register);
    if (kind === 'q') return R.FPR + register * 16;
    return gprOffset(register);
  }

  private immediate(record: number, insn: Insn, op: string, form: string, next: number): void {
    const { i32 } = this.memory;
    const low = (record + Rec.IMMEDIATE) >>> 2;
    let value = insn.imm;
    let high = insn.immHigh;
    if (form.includes('j')) {
      value = next + insn.imm;
      high = value < 0 ? -1 : 0;
    } else if (form[form.length - 1] === 'i' && (SHIFTS.has(op) || op === 'SHLD' || op === 'SHRD')) {
      value = insn.imm & (insn.size === 64 ? 63 : 31);
      high = 0;
    } else if (op === 'RET') {
      value = insn.imm & 0xffff;
      high = 0;
    }
    i32[low] = value;
    i32[low + 1] = high;
  }

  private system(at: number, insn: Insn, offset: number, scratch: number): number {
    const { u8, u16, i32 } = this.memory;
    const ends = this.systemEnds(insn.op) ?? true;
    this.endsBlock = ends;
    this.producer = 0;
    const index = scratch >= 0 ? scratch : this.insns.length;
    this.insns[index] = insn;
    i32[(at + Rec.HANDLER) >>> 2] = this.interpreter.specialHandler(ends ? Special.SystemEnd : Special.System);
    u16[(at + Rec.NEXT) >>> 1] = offset + insn.length;
    u8[at + Rec.COUNT] = 0;
    i32[(at + Rec.IMMEDIATE) >>> 2] = index;
    i32[(at + Rec.IMMEDIATE + 4) >>> 2] = 0;
    i32[(at + Rec.LINK) >>> 2] = 0;
    return 1;
  }
}
