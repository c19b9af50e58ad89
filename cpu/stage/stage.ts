/**
 * What an instruction definition is written against. A definition states the semantics once; a staging turns it into
 * WebAssembly: with operands taken from a decoded record (interpreter.ts), or known constants (a later JIT).
 *
 * Values: 64-bit operands are i64, narrower ones zero-extended i32, vectors v128.
 * Two rules make definitions restartable: register and flag writes are queued until commit(), and memory stores come
 * before them; so a fault leaves the state as it was. A value used twice is bound with let().
 */
import { R, S, JUMP_CACHE_BITS, T, TLB, TLB_BITS, TLB_ENTRY, seg } from '../layout';
import { Segment } from '../decoder/insn';
import { FlagKind, INVERT_SF, type FlagKindName } from '../flags';
import { SlowFlag } from '../mmu';
import { Cr0 } from '../registers';
import { Status } from './record';
import {
  type Fn,
  I32,
  I64,
  add,
  and,
  c32,
  c64,
  call,
  eq,
  eqz,
  geu,
  gtu,
  les,
  load128,
  load16u,
  load32,
  load64,
  load8u,
  lts,
  ltu,
  ne,
  or,
  popcnt,
  sext,
  sext16,
  sext8,
  shl,
  shr,
  sub,
  wrap,
  xor,
  zext,
  type Value,
} from './wasm';

export type OperandSize = 8 | 16 | 32 | 64 | 128;

/** What one staged handler is specialised for. */
export interface Specialisation {
  readonly op: string;
  readonly size: OperandSize;
  readonly sourceSize: OperandSize;
  /** Operand kinds as in Insn.form. */
  readonly form: string;
  readonly cc: number;
  /** Producer of the flags in the same block, if known: FlagKind and operand size. */
  readonly producer?: { readonly kind: number; readonly size: number };
  /** Stack and instruction pointer are not those of 64-bit mode. */
  readonly legacy: boolean;
}

/** Functions shared by all handlers, by index in the module. */
export interface SharedFunctions {
  /** (cpu, record, linear low, linear high, flags) -> host address or 0. */
  readonly translate: number;
  /** (cpu) -> the arithmetic flags in RFLAGS positions. */
  readonly arithmetic: number;
  /** (cpu, record, linear i64) -> status: jumps there through the jump cache. */
  readonly jump: number;
  /** (cpu, record) -> status: runs the TypeScript handler of the record. */
  readonly system: number;
  /** (cpu, divisor i64, signed i32) -> 0, or 1 for #DE: divides RDX:RAX into RAX and RDX. */
  readonly divide: number;
  /** Type index of a handler: (cpu, record) -> status. */
  readonly handlerType: number;
}

const LOG2_BYTES: Record<number, number> = { 8: 0, 16: 1, 32: 2, 64: 3 };

const [FSW_ES, FSW_TOP] = [0x80, 0x3800];

export abstract class Stage {
  private readonly commits: (() => void)[] = [];
  private address: Value | undefined;
  /** Host address of a memory destination translated for writing. */
  private host: Value | undefined;

  constructor(
    readonly f: Fn,
    readonly spec: Specialisation,
    readonly shared: SharedFunctions,
  ) {}

  get size(): OperandSize {
    return this.spec.size;
  }
  get cc(): number {
    return this.spec.cc;
  }

  // ---- what a staging supplies ----
  abstract readonly cpu: Value;
  abstract readonly record: Value;
  /** Byte offset (i32) of a register operand in the vCPU block. */
  abstract slot(which: 'dst' | 'src'): Value;
  abstract immediate64(): Value;
  abstract effectiveAddress(): Value;
  /** Linear address of the next instruction. */
  abstract nextLinear(): Value;
  /** Linear target of a direct branch. */
  abstract targetLinear(): Value;
  /** Leaves compiled code. */
  abstract leave(status: Status): void;
  /** Ends the block: charges it and goes to the direct target / where `condition` says / a linear address. */
  abstract goDirect(): void;
  abstract goIf(condition: Value): void;
  abstract goTo(linear: Value): void;

  // ---- small things ----
  let(v: Value): Value {
    return this.f.let(v);
  }
  /** A constant of the operand width. */
  k(n: number | bigint, size: number = this.size): Value {
    return size === 64 ? c64(n) : c32(Number(BigInt.asIntN(32, BigInt(n))));
  }
  /** Cuts a value to the operand width (zero-extended). */
  cut(v: Value, size: number = this.size): Value {
    return size === 8 ? and(v, c32(0xff)) : size === 16 ? and(v, c32(0xffff)) : v;
  }
  /** Sign-extends an operand-width value to i64. */
  signed64(v: Value, size: number = this.size): Value {
    return size === 64 ? v : sext(size === 32 ? v : size === 16 ? sext16(v) : sext8(v));
  }
  /** Sign-extends within the operand's own wasm type. */
  signed(v: Value, size: number = this.size): Value {
    return size === 8 ? sext8(v) : size === 16 ? sext16(v) : v;
  }
  /** Top bit as i32 0/1. */
  msb(v: Value, size: number = this.size): Value {
    return size === 64 ? wrap(shr(v, c64(63))) : and(shr(v, c32(size - 1)), c32(1));
  }
  toI64(v: Value): Value {
    return v.type === I64 ? v : zext(v);
  }
  toI32(v: Value): Value {
    return v.type === I32 ? v : wrap(v);
  }

  // ---- registers ----
  private at(slot: Value): Value {
    return add(this.cpu, slot);
  }
  loadSized(host: Value, size: number, offset = 0): Value {
    return size === 128
      ? load128(host, offset)
      : size === 64
        ? load64(host, offset)
        : size === 32
          ? load32(host, offset)
          : size === 16
            ? load16u(host, offset)
            : load8u(host, offset);
  }
  storeSized(host: Value, v: Value, size: number, offset = 0): void {
    const f = this.f;
    if (size === 128) f.store128(host, v, offset);
    else if (size === 64) f.store64(host, v, offset);
    else if (size === 32) f.store32(host, v, offset);
    else if (size === 16) f.store16(host, v, offset);
    else f.store8(host, v, offset);
  }
  readRegister(which: 'dst' | 'src', size: number): Value {
    return this.loadSized(this.at(this.slot(which)), size);
  }
  /** A general register by number, 64 bits. */
  gpr(n: number): Value {
    return load64(this.cpu, R.GPR + n * 8);
  }
  word64(offset: number): Value {
    return load64(this.cpu, offset);
  }
  word32(offset: number): Value {
    return load32(this.cpu, offset);
  }
  setGpr(n: number, value: Value): void {
    const v = this.let(value);
    this.commits.push(() => this.f.store64(this.cpu, v, R.GPR + n * 8));
  }
  /** Writes a general register by number with the rules of the operand size. */
  setGprSized(n: number, value: Value, size: number = this.size): void {
    const v = this.let(value);
    this.commits.push(() => (size === 32 ? this.f.store64(this.cpu, zext(v), R.GPR + n * 8) : this.storeSized(this.cpu, v, size, R.GPR + n * 8)));
  }
  setWord32(offset: number, value: Value): void {
    const v = this.let(value);
    this.commits.push(() => this.f.store32(this.cpu, v, offset));
  }
  setRegister(which: 'dst' | 'src', value: Value, size: number): void {
    const v = this.let(value);
    this.commits.push(() => {
      const host = this.at(this.slot(which));
      if (size === 32) this.f.store64(host, zext(v));
      else this.storeSized(host, v, size);
    });
  }
  commit(): void {
    for (const c of this.commits) c();
    this.commits.length = 0;
    this.address = this.host = undefined;
  }
  /** Register and flag writes queued inside `body` happen only if `condition` (i32) is true; what they need is computed anyway. */
  when(condition: Value, body: () => void): void {
    const test = this.let(condition);
    const outer = this.commits.splice(0);
    body();
    const inner = this.commits.splice(0);
    this.commits.push(...outer, () => this.f.if(test, () => inner.forEach((c) => c())));
  }
  /** Queues any other effect behind the stores. */
  onCommit(effect: () => void): void {
    this.commits.push(effect);
  }

  // ---- operands ----
  linearAddress(): Value {
    return (this.address ??= this.let(this.effectiveAddress()));
  }
  /** Moves the memory operand by a signed i64 number of bytes (bit strings). */
  moveAddress(by: Value): void {
    this.address = this.let(add(this.linearAddress(), by));
  }
  private kind(which: 0 | 1): string {
    return this.spec.form[which];
  }
  get destinationInMemory(): boolean {
    return this.kind(0) === 'm';
  }

  immediate(size: number = this.size): Value {
    const v = this.immediate64();
    return size === 64 ? v : this.cut(wrap(v), size);
  }
  /** The last operand: register, memory, immediate or CL. */
  source(size: number = this.spec.sourceSize): Value {
    const form = this.spec.form;
    switch (form[form.length - 1]) {
      case 'i':
        return this.immediate(size);
      case 'c':
        return load8u(this.cpu, R.GPR + 8);
      case 'm':
        return this.let(this.load(size, this.linearAddress()));
      default:
        return this.let(this.readRegister('src', size));
    }
  }
  /** Operand 2 of a three-operand form. */
  second(size: number = this.size): Value {
    return this.kind(1) === 'm' ? this.let(this.load(size, this.linearAddress())) : this.let(this.readRegister('src', size));
  }
  /** The first operand, to be replaced: a memory destination is translated for writing, once. */
  destination(size: number = this.size): Value {
    if (!this.destinationInMemory) return this.let(this.readRegister('dst', size));
    this.host = this.translate(this.linearAddress(), size, SlowFlag.Write | SlowFlag.ReadModifyWrite);
    return this.let(this.loadSized(this.host, size));
  }
  /** The first operand, only read. */
  peek(size: number = this.size): Value {
    return this.destinationInMemory ? this.let(this.load(size, this.linearAddress())) : this.let(this.readRegister('dst', size));
  }
  write(value: Value, size: number = this.size): void {
    if (!this.destinationInMemory) return this.setRegister('dst', value, size);
    this.storeSized(this.host ?? this.translate(this.linearAddress(), size, SlowFlag.Write), value, size);
  }

  // ---- memory ----
  /** Host address for an access of `size` bits at a linear address; leaves on a fault. */
  translate(linear: Value, size: number, flags: number): Value {
    const f = this.f;
    const bytes = size / 8;
    const la = this.let(linear);
    const entry = this.let(add(this.cpu, shl(and(wrap(shr(la, c64(12))), c32((1 << TLB_BITS) - 1)), c32(Math.log2(TLB_ENTRY)))));
    const host = f.local(I32);
    const tag = or(and(add(la, c64(bytes - 1)), c64(-4096)), load64(this.cpu, R.CONTEXT));
    f.if(
      eq(load64(entry, TLB + (flags & SlowFlag.Write ? T.WRITE : T.READ)), tag),
      () => f.set(host, add(wrap(la), load32(entry, TLB + T.ADDEND))),
      () => {
        f.set(host, call(this.shared.translate, I32, this.cpu, this.record, la, c32(bytes | flags)));
        f.if(eqz(f.get(host)), () => this.leave(Status.Unwound));
      },
    );
    return f.get(host);
  }
  load(size: number, linear: Value): Value {
    return this.loadSized(this.translate(linear, size, 0), size);
  }
  store(size: number, linear: Value, v: Value): void {
    const value = this.let(v);
    this.storeSized(this.translate(linear, size, SlowFlag.Write), value, size);
  }

  // ---- vectors ----
  /** #UD or #NM if SSE instructions may not execute now. */
  checkSse(): void {
    this.f.if(this.word32(R.SSE_STATE), () => this.leave(Status.SseUnavailable));
  }
  /** #UD, #NM or #MF if MMX instructions may not execute now; on commit the x87 tags become valid and TOP 0. */
  enterMmx(): void {
    const unavailable = and(this.word32(R.CR0), c32(Cr0.EM | Cr0.TS));
    // CR0.NE and a pending exception. DEVIATION: with NE = 0 a pending exception is ignored, as x87 instructions do.
    const pending = and(and(this.word32(R.FSW), c32(FSW_ES)), shl(this.word32(R.CR0), c32(2)));
    this.f.if(or(unavailable, pending), () => this.leave(Status.MmxUnavailable));
    this.commits.push(() => {
      this.f.store32(this.cpu, c32(0xff), R.FTW);
      this.f.store32(this.cpu, and(load32(this.cpu, R.FSW), c32(~FSW_TOP)), R.FSW);
    });
  }
  /** Queues the write of an MMX register (i64): sign and exponent of the x87 register become ones. */
  setMmx(which: 'dst' | 'src', value: Value): void {
    const v = this.let(value);
    this.commits.push(() => {
      const host = this.vectorHost(which);
      this.f.store64(host, v);
      this.f.store16(host, c32(0xffff), 8);
    });
  }
  /** Host address (i32) of a vector register operand. */
  vectorHost(which: 'dst' | 'src'): Value {
    return add(this.cpu, this.slot(which));
  }
  /** Host address of the last operand, register or memory of `bits`; a memory operand must be aligned to its size if `aligned`. */
  vectorSource(bits: number, aligned: boolean): Value {
    if (!this.spec.form.includes('m')) return this.let(this.vectorHost('src'));
    this.checkAlignment(bits, aligned);
    return this.translate(this.linearAddress(), bits, 0);
  }
  /** Host address for writing a memory operand. */
  vectorDestination(bits: number, aligned: boolean): Value {
    this.checkAlignment(bits, aligned);
    return this.translate(this.linearAddress(), bits, SlowFlag.Write);
  }
  private checkAlignment(bits: number, aligned: boolean): void {
    if (aligned) this.f.if(and(wrap(this.linearAddress()), c32(bits / 8 - 1)), () => this.leave(Status.Misaligned));
  }

  // ---- stack ----
  /** Linear address of the stack slot at `offset` (an i64 already masked), with SS checks outside 64-bit mode. */
  private stackLinear(offset: Value, size: number, write: boolean): Value {
    if (!this.spec.legacy) return offset;
    const o = this.let(offset);
    const low = write ? S.WRITE_LOW : S.READ_LOW;
    const high = write ? S.WRITE_HIGH : S.READ_HIGH;
    const ss = (item: number): Value => load64(this.cpu, seg(Segment.SS, item));
    this.f.if(or(ltu(o, ss(low)), gtu(add(o, c64(size / 8 - 1)), ss(high))), () => this.leave(Status.SegmentFault));
    return and(add(o, ss(S.BASE)), c64(0xffff_ffffn));
  }
  private maskStack(v: Value): Value {
    return this.spec.legacy ? and(v, this.word64(R.STACK_MASK)) : v;
  }
  /** New RSP value from a masked offset: bits above the mask stay (16-bit stacks). */
  private mergeStack(offset: Value): Value {
    if (!this.spec.legacy) return offset;
    return or(and(and(this.gpr(4), xor(this.word64(R.STACK_MASK), c64(-1))), c64(0xffff_ffffn)), offset);
  }
  push(value: Value, size: number): void {
    const v = this.let(value);
    const sp = this.let(this.maskStack(sub(this.gpr(4), c64(size / 8))));
    this.store(size, this.stackLinear(sp, size, true), v);
    this.setGpr(4, this.mergeStack(sp));
  }
  /** Pops a value; RSP moves on commit by size / 8 + `release`. */
  pop(size: number, release: Value = c64(0)): Value {
    const sp = this.let(this.maskStack(this.gpr(4)));
    const v = this.let(this.load(size, this.stackLinear(sp, size, false)));
    this.setGpr(4, this.mergeStack(this.let(this.maskStack(add(add(sp, c64(size / 8)), release)))));
    return v;
  }
  /** Reads the stack at an offset (i64) without moving RSP. */
  stackRead(offset: Value, size: number): Value {
    return this.let(this.load(size, this.stackLinear(this.let(this.maskStack(offset)), size, false)));
  }
  setStackPointer(offset: Value): void {
    this.setGpr(4, this.mergeStack(this.let(this.maskStack(offset))));
  }

  // ---- instruction pointer ----
  /** Offset in CS of the next instruction, cut to the operand size, for CALL. */
  nextIp(): Value {
    const linear = this.nextLinear();
    return this.spec.legacy ? sub(linear, this.word64(R.CODE_BASE)) : linear;
  }
  /** Ends the block at an offset in CS of `size` bits. */
  goToIp(ip: Value, size: number): void {
    const offset = size === 64 ? ip : this.toI64(ip);
    this.goTo(this.spec.legacy ? and(add(offset, this.word64(R.CODE_BASE)), c64(0xffff_ffffn)) : offset);
  }

  // ---- flags ----
  private putFlags(kind: FlagKindName, size: number, result: Value, aux: Value): void {
    const r = this.let(result);
    const a = this.let(aux);
    this.commits.push(() => {
      const f = this.f;
      f.store64(this.cpu, r, R.FLAG_RESULT);
      f.store64(this.cpu, a, R.FLAG_AUX);
      f.store32(this.cpu, c32(FlagKind[kind] * 4 + LOG2_BYTES[size]), R.FLAG_OP);
    });
  }
  flagsAdd(result: Value, a: Value, size: number = this.size): void {
    this.putFlags('ADD', size, this.signed64(result, size), this.signed64(a, size));
  }
  flagsSub(result: Value, a: Value, size: number = this.size): void {
    this.putFlags('SUB', size, this.signed64(result, size), this.signed64(a, size));
  }
  flagsLogic(result: Value, size: number = this.size): void {
    this.putFlags('LOGIC', size, this.signed64(result, size), c64(0));
  }
  flagsStep(kind: 'INC' | 'DEC', result: Value): void {
    this.putFlags(kind, this.size, this.signed64(result), zext(this.let(this.condition(2))));
  }
  /** CF, OF and AF (each i32 0/1) given; SF, ZF, PF from the result. */
  flagsMixed(result: Value, cf: Value, of: Value, af: Value = c32(0), size: number = this.size): void {
    this.putFlags('MIX', size, this.signed64(result, size), zext(or(or(cf, shl(of, c32(1))), shl(af, c32(4)))));
  }
  /** Replaces all six arithmetic flags by those given in RFLAGS positions (i32). */
  flagsEager(flags: Value): void {
    const v = this.let(flags);
    const zero = this.let(and(shr(v, c32(6)), c32(1)));
    const invertSf = and(shl(v, c32(24)), c32(INVERT_SF | 0));
    const invertPf = shl(xor(and(shr(v, c32(2)), c32(1)), zero), c32(30));
    const op = this.let(or(invertSf, invertPf));
    this.commits.push(() => {
      const f = this.f;
      f.store64(this.cpu, zext(xor(zero, c32(1))), R.FLAG_RESULT);
      f.store64(this.cpu, zext(and(v, c32(0x8d5))), R.FLAG_AUX);
      f.store32(this.cpu, op, R.FLAG_OP);
    });
  }
  /** All six arithmetic flags as an i32 in RFLAGS positions. */
  arithmetic(): Value {
    return this.let(call(this.shared.arithmetic, I32, this.cpu));
  }
  carry(): Value {
    return this.condition(2);
  }

  /** Condition `cc` (SDM "EFLAGS Condition Codes") as i32, non-zero when true; 0/1 for even cc. */
  condition(cc: number): Value {
    const positive = this.positiveCondition(cc & ~1);
    return cc & 1 ? eqz(positive) : positive;
  }
  private positiveCondition(cc: number): Value {
    const result = (): Value => load64(this.cpu, R.FLAG_RESULT);
    const aux = (): Value => load64(this.cpu, R.FLAG_AUX);
    const op = (): Value => load32(this.cpu, R.FLAG_OP);
    const parity = (): Value => eqz(and(popcnt(and(wrap(result()), c32(0xff))), c32(1)));
    const producer = this.spec.producer;
    if (cc === 4) return eqz(result());
    if (producer === undefined) {
      if (cc === 8) return xor(lts(result(), c64(0)), shr(op(), c32(31)));
      if (cc === 10) return xor(parity(), and(shr(op(), c32(30)), c32(1)));
      const flags = this.arithmetic();
      const bit = (n: number): Value => and(shr(flags, c32(n)), c32(1));
      switch (cc) {
        case 0:
          return bit(11);
        case 2:
          return and(flags, c32(1));
        case 6:
          return ne(and(flags, c32(0x41)), c32(0));
        case 12:
          return xor(bit(7), bit(11));
        default:
          return or(bit(6), xor(bit(7), bit(11)));
      }
    }
    if (cc === 8) return lts(result(), c64(0));
    if (cc === 10) return parity();
    const size = producer.size;
    const narrow = (v: Value): Value => (size === 64 ? v : size === 32 ? sext(wrap(v)) : size === 16 ? sext(sext16(wrap(v))) : sext(sext8(wrap(v))));
    switch (producer.kind) {
      case FlagKind.SUB: {
        const b = (): Value => narrow(sub(aux(), result()));
        if (cc === 2) return gtu(result(), aux());
        if (cc === 6) return geu(sub(result(), c64(1)), aux());
        if (cc === 12) return lts(aux(), b());
        if (cc === 14) return les(aux(), b());
        break;
      }
      case FlagKind.ADD:
        if (cc === 2) return ltu(result(), aux());
        if (cc === 6) return or(ltu(result(), aux()), eqz(result()));
        break;
      case FlagKind.LOGIC:
        if (cc === 0 || cc === 2) return c32(0);
        if (cc === 6) return eqz(result());
        if (cc === 12) return lts(result(), c64(0));
        return les(result(), c64(0));
      case FlagKind.INC:
      case FlagKind.DEC:
      case FlagKind.MIX: {
        const cf = (): Value => and(wrap(aux()), c32(1));
        if (cc === 2) return cf();
        if (cc === 6) return or(cf(), eqz(result()));
        if (producer.kind === FlagKind.MIX) {
          const of = (): Value => and(wrap(shr(aux(), c64(1))), c32(1));
          if (cc === 0) return of();
          if (cc === 12) return xor(lts(result(), c64(0)), of());
          return or(eqz(result()), xor(lts(result(), c64(0)), of()));
        }
        break;
      }
    }
    const flags = this.arithmetic();
    const bit = (n: number): Value => and(shr(flags, c32(n)), c32(1));
    return cc === 0 ? bit(11) : cc === 12 ? xor(bit(7), bit(11)) : or(bit(6), xor(bit(7), bit(11)));
  }

  /** Runs the record's TypeScript handler; leaves if it unwound. */
  callSystem(): void {
    const status = this.let(call(this.shared.system, I32, this.cpu, this.record));
    this.f.if(status, () => this.f.return(status));
  }
}

/** Body of the shared function that evaluates the lazy flags: the wasm twin of flags.ts. */
export function buildArithmetic(f: Fn): void {
  const cpu = f.get(0);
  const op = f.let(load32(cpu, R.FLAG_OP));
  const result = f.let(load64(cpu, R.FLAG_RESULT));
  const aux = f.let(load64(cpu, R.FLAG_AUX));
  const kind = f.let(and(shr(op, c32(2)), c32(63)));
  f.if(eqz(kind), () => f.return(and(wrap(aux), c32(0x8d5))));
  const top = f.let(sub(shl(c64(8), zext(and(op, c32(3)))), c64(1)));
  const cf = f.local(I32);
  const of = f.local(I32);
  const af = f.local(I32);
  const b = f.local(I64);
  const topBit = (v: Value): Value => wrap(and(shr(v, top), c64(1)));
  const nibble = (v: Value): Value => and(wrap(v), c32(16));
  const is = (k: number): Value => eq(kind, c32(k));
  f.if(is(FlagKind.ADD), () => {
    f.set(b, sub(result, aux));
    f.set(cf, ltu(result, aux));
    f.set(of, topBit(and(xor(aux, result), xor(f.get(b), result))));
    f.set(af, nibble(xor(xor(aux, f.get(b)), result)));
  });
  f.if(is(FlagKind.SUB), () => {
    f.set(b, sub(aux, result));
    f.set(cf, gtu(result, aux));
    f.set(of, topBit(and(xor(aux, f.get(b)), xor(aux, result))));
    f.set(af, nibble(xor(xor(aux, f.get(b)), result)));
  });
  f.if(is(FlagKind.INC), () => {
    f.set(cf, and(wrap(aux), c32(1)));
    f.set(of, eq(result, sub(c64(0), shl(c64(1), top))));
    f.set(af, shl(eqz(and(wrap(result), c32(15))), c32(4)));
  });
  f.if(is(FlagKind.DEC), () => {
    f.set(cf, and(wrap(aux), c32(1)));
    f.set(of, eq(result, sub(shl(c64(1), top), c64(1))));
    f.set(af, shl(eq(and(wrap(result), c32(15)), c32(15)), c32(4)));
  });
  f.if(is(FlagKind.MIX), () => {
    f.set(cf, and(wrap(aux), c32(1)));
    f.set(of, and(wrap(shr(aux, c64(1))), c32(1)));
    f.set(af, nibble(aux));
  });
  const pf = shl(eqz(and(popcnt(and(wrap(result), c32(0xff))), c32(1))), c32(2));
  const zf = shl(eqz(result), c32(6));
  const sf = shl(lts(result, c64(0)), c32(7));
  f.generate(or(or(or(f.get(cf), pf), or(f.get(af), zf)), or(sf, shl(f.get(of), c32(11)))));
}

/** Jump-cache entry of a linear address, as a host address without the JUMP_CACHE offset. Fibonacci hashing: aligned entries must not collide. */
export const jumpSlot = (cpu: Value, linear: Value): Value => add(cpu, shl(shr(mulHash(linear), c32(32 - JUMP_CACHE_BITS)), c32(4)));
const mulHash = (linear: Value): Value => ({ op: 0x6c, type: I32, operands: [wrap(linear), c32(0x9e37_79b1)] });
/** The same slot number for TypeScript. */
export const jumpIndex = (linearLow: number): number => Math.imul(linearLow, 0x9e37_79b1) >>> (32 - JUMP_CACHE_BITS);
