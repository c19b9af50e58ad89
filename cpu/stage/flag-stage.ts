/** The part of a stage that deals with the lazy flags (flags.ts) and conditions: see stage.ts. */
import { FlagKind, INVERT_SF, type FlagKindName } from '../flags';
import { R } from '../layout';
import { OperandStage } from './operand-stage';
import {
  type Value,
  I32,
  and,
  c32,
  c64,
  call,
  eqz,
  geu,
  gtu,
  les,
  load32,
  load64,
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
} from './wasm';

const LOG2_BYTES: Record<number, number> = { 8: 0, 16: 1, 32: 2, 64: 3 };

export abstract class FlagStage extends OperandStage {
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
}
