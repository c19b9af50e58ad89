import { FlagKind } from '../flags';
import { R } from '../layout';
import { type Fn, type Value, I32, I64, and, c32, c64, eq, eqz, gtu, load32, load64, lts, ltu, or, popcnt, shl, shr, sub, wrap, xor, zext } from './wasm';

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
