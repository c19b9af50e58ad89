import { ALL_SIZES, WIDE_SIZES, type Definition } from './definition';
import type { Stage } from '../stage/stage';
import { Status } from '../stage/record';
import {
  add,
  and,
  c32,
  c64,
  call,
  divs,
  divu,
  eq,
  eqz,
  geu,
  I32,
  mul,
  ne,
  or,
  rems,
  remu,
  sar,
  sext,
  sext16,
  sext8,
  shl,
  shr,
  sub,
  wrap,
  zext,
  type Value,
} from '../stage/wasm';

/** Upper 64 bits of the unsigned product, by four 32-bit partial products. */
function highUnsigned(e: Stage, a: Value, b: Value): Value {
  const low = c64(0xffff_ffff);
  const a0 = e.let(and(a, low));
  const a1 = e.let(shr(a, c64(32)));
  const b0 = e.let(and(b, low));
  const b1 = e.let(shr(b, c64(32)));
  const t = e.let(add(mul(a1, b0), shr(mul(a0, b0), c64(32))));
  const u = e.let(add(mul(a0, b1), and(t, low)));
  return e.let(add(add(mul(a1, b1), shr(t, c64(32))), shr(u, c64(32))));
}
/** Upper 64 bits of the signed product. */
function highSigned(e: Stage, a: Value, b: Value): Value {
  const correction = add(and(sar(a, c64(63)), b), and(sar(b, c64(63)), a));
  return e.let(sub(highUnsigned(e, a, b), correction));
}

/** Sign-extends an operand to i64. */
const wide = (e: Stage, v: Value): Value => e.signed64(v);

/** DX:AX style results: writes the double-width product held in an i64 (sizes 8-32). */
function writeProduct(e: Stage, product: Value): void {
  if (e.size === 8) return e.setGprSized(0, and(wrap(product), c32(0xffff)), 16);
  e.setGprSized(0, e.cut(wrap(product)));
  e.setGprSized(2, e.cut(wrap(shr(product, c64(e.size)))));
}

const accumulator = (e: Stage): Value => e.let(e.size === 64 ? e.gpr(0) : e.cut(wrap(e.gpr(0))));

/** CF = OF = the upper half is significant; the other flags are undefined and follow the low half. */
function flagsOfProduct(e: Stage, low: Value, significant: Value): void {
  const s = e.let(significant);
  e.flagsMixed(low, s, s);
}

function divide(op: string, signed: boolean): Definition {
  return {
    op,
    sizes: ALL_SIZES,
    forms: ['r', 'm'],
    keepsFlags: true,
    semantics: (e) => {
      const d = e.peek();
      const refuse = (condition: Value): void => e.f.if(condition, () => e.leave(Status.DivideError));
      if (e.size === 64) {
        // The 128-bit dividend: TypeScript does it unless the upper half is only an extension.
        const high = e.let(e.gpr(2));
        const low = e.let(e.gpr(0));
        const simple = signed ? and(eq(high, sar(low, c64(63))), and(ne(d, c64(0)), ne(d, c64(-1)))) : and(eqz(high), ne(d, c64(0)));
        const quotient = e.f.local(0x7e);
        const remainder = e.f.local(0x7e);
        e.f.if(
          simple,
          () => {
            e.f.set(quotient, signed ? divs(low, d) : divu(low, d));
            e.f.set(remainder, signed ? rems(low, d) : remu(low, d));
            e.f.store64(e.cpu, e.f.get(quotient), 0);
            e.f.store64(e.cpu, e.f.get(remainder), 16);
          },
          () => e.f.if(call(e.shared.divide, I32, e.cpu, d, c32(signed ? 1 : 0)), () => e.leave(Status.DivideError)),
        );
        return;
      }
      const divisor = e.let(signed ? wide(e, d) : zext(d));
      refuse(eqz(divisor));
      let dividend: Value;
      const rax = (): Value => wrap(e.gpr(0));
      const rdx = (): Value => wrap(e.gpr(2));
      if (e.size === 8) dividend = signed ? sext(sext16(rax())) : zext(and(rax(), c32(0xffff)));
      else if (e.size === 16) {
        const both = or(shl(and(rdx(), c32(0xffff)), c32(16)), and(rax(), c32(0xffff)));
        dividend = signed ? sext(both) : zext(both);
      } else dividend = or(shl(zext(rdx()), c64(32)), zext(rax()));
      const n = e.let(dividend);
      if (signed) refuse(and(eq(n, c64(-(1n << 63n))), eq(divisor, c64(-1))));
      const q = e.let(signed ? divs(n, divisor) : divu(n, divisor));
      const r = e.let(signed ? rems(n, divisor) : remu(n, divisor));
      const narrow = wrap(q);
      const back = e.size === 32 ? sext(narrow) : e.size === 16 ? sext(sext16(narrow)) : sext(sext8(narrow));
      refuse(signed ? ne(q, back) : geu(q, c64(1n << BigInt(e.size))));
      if (e.size === 8) e.setGprSized(0, or(and(wrap(q), c32(0xff)), shl(and(wrap(r), c32(0xff)), c32(8))), 16);
      else {
        e.setGprSized(0, e.cut(wrap(q)));
        e.setGprSized(2, e.cut(wrap(r)));
      }
    },
  };
}

export const MULTIPLY: readonly Definition[] = [
  {
    op: 'MUL',
    sizes: ALL_SIZES,
    forms: ['r', 'm'],
    flags: 'MIX',
    semantics: (e) => {
      const b = e.peek();
      const a = accumulator(e);
      if (e.size === 64) {
        const low = e.let(mul(a, b));
        const high = highUnsigned(e, a, b);
        e.setGpr(0, low);
        e.setGpr(2, high);
        return flagsOfProduct(e, low, ne(high, c64(0)));
      }
      const product = e.let(mul(zext(a), zext(b)));
      writeProduct(e, product);
      flagsOfProduct(e, e.cut(wrap(product)), ne(shr(product, c64(e.size)), c64(0)));
    },
  },
  {
    op: 'IMUL1',
    sizes: ALL_SIZES,
    forms: ['r', 'm'],
    flags: 'MIX',
    semantics: (e) => {
      const b = e.peek();
      const a = accumulator(e);
      if (e.size === 64) {
        const low = e.let(mul(a, b));
        const high = highSigned(e, a, b);
        e.setGpr(0, low);
        e.setGpr(2, high);
        return flagsOfProduct(e, low, ne(high, sar(low, c64(63))));
      }
      const product = e.let(mul(wide(e, a), wide(e, b)));
      writeProduct(e, product);
      const low = e.let(e.cut(wrap(product)));
      flagsOfProduct(e, low, ne(product, wide(e, low)));
    },
  },
  {
    op: 'IMUL',
    sizes: WIDE_SIZES,
    forms: ['rr', 'rm', 'rri', 'rmi'],
    flags: 'MIX',
    semantics: (e) => {
      const three = e.spec.form.length === 3;
      const b = three ? e.let(e.immediate()) : e.source();
      const a = three ? e.second() : e.destination();
      if (e.size === 64) {
        const low = e.let(mul(a, b));
        e.setRegister('dst', low, 64);
        return flagsOfProduct(e, low, ne(highSigned(e, a, b), sar(low, c64(63))));
      }
      const product = e.let(mul(wide(e, a), wide(e, b)));
      const low = e.let(e.cut(wrap(product)));
      e.setRegister('dst', low, e.size);
      flagsOfProduct(e, low, ne(product, wide(e, low)));
    },
  },
  divide('DIV', false),
  divide('IDIV', true),
];
