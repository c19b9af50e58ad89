/** SSE and SSE2 conversions (CVT*), those with MMX operands included. */
import type { Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { R } from '../layout';
import type { SystemInstructions } from '../system/table';
import { DOUBLE, SINGLE, packDouble, packSingle, type Float } from './float-format';
import { Exception, Rounding, round } from './rounding';
import { convert } from './softfloat';
import { fromInteger, toInteger } from './softfloat-integer';
import { doubleAt, isSafeSingle, ordinaryDoubleAt, ordinarySingleAt, putDouble, singleAt } from './sse-lanes';
import { B, D, beginSse, commitSse, doubles, loadSource, singles, sse, storeRegister, words } from './sse-state';
import { Fsw, pendingException } from './x87-state';

type Execute = (cpu: Cpu, insn: Insn) => void;

const TWO31 = 2 ** 31;
const TWO32 = 2 ** 32;
/** Adding and subtracting it rounds to an integer, for numbers below it. */
const TWO52 = 2 ** 52;
/** Below it the fast conversions to 64-bit integers are exact. */
const TWO51 = 2 ** 51;

// ---- elements ----

/** Rounded to nearest even; |x| < 2^51. */
function nearestInteger(x: number): number {
  return x < 0 ? x - TWO52 + TWO52 : x + TWO52 - TWO52;
}

/** x as an integer when the common case holds (a number, nearest or truncating, in range), raising PE; else undefined. */
function ordinaryInteger(x: number | undefined, limit: number, truncate: boolean): number | undefined {
  if (x === undefined || !(truncate || sse.rounding === Rounding.Nearest) || Math.abs(x) >= limit) return undefined;
  const integer = truncate ? Math.trunc(x) : nearestInteger(x);
  if (integer >= limit) return undefined;
  if (integer !== x) sse.raise(Exception.PE);
  return integer;
}

/** Element of words[B...] to a doubleword of the result. */
function toDoubleword(double: boolean, i: number, truncate: boolean): number {
  const at = double ? B + 2 * i : B + i;
  const fast = ordinaryInteger(double ? ordinaryDoubleAt(at) : ordinarySingleAt(at), TWO31, truncate);
  if (fast !== undefined) return fast;
  return Number(toInteger(double ? doubleAt(at) : singleAt(at), 32, sse, truncate));
}

/** binary64 at words[at] to element i of the result, binary32. */
function narrow(at: number, i: number): void {
  const x = sse.rounding === Rounding.Nearest ? ordinaryDoubleAt(at) : undefined;
  if (x !== undefined) {
    const result = Math.fround(x);
    if (isSafeSingle(result) && (result !== 0 || x === 0)) {
      if (result !== x) sse.raise(Exception.PE);
      singles[D + i] = result;
      return;
    }
  }
  words[D + i] = packSingle(convert(doubleAt(at), SINGLE, true, sse));
}

/** binary32 at words[at] to element i of the result, binary64. */
function widen(at: number, i: number): void {
  const x = ordinarySingleAt(at);
  if (x !== undefined) doubles[D / 2 + i] = x;
  else putDouble(i, packDouble(convert(singleAt(at), DOUBLE, true, sse)));
}

const roundInteger = (value: bigint, precision: typeof SINGLE): Float => {
  const n = fromInteger(value);
  return value === 0n ? n : round(n.sign, n.significand, n.exponent - 63, precision, sse);
};

/** Doubleword integer to element i, binary32. */
function singleOf(integer: number, i: number): void {
  if (sse.rounding === Rounding.Nearest) {
    singles[D + i] = integer;
    if (singles[D + i] !== integer) sse.raise(Exception.PE);
  } else words[D + i] = packSingle(roundInteger(BigInt(integer), SINGLE));
}

// ---- scalar ----

/** CVTSI2SD, CVTSI2SS. */
function fromGeneral(double: boolean): Execute {
  const count = double ? 2 : 1;
  return (cpu, insn) => {
    beginSse(cpu);
    const wide = insn.ssize === 64;
    let low: number, high: number;
    if (insn.form[1] === 'm') {
      loadSource(cpu, insn, wide ? 2 : 1);
      [low, high] = [words[B], words[B + 1] | 0];
    } else {
      const register = (cpu.base + R.GPR) / 4 + 2 * insn.src;
      [low, high] = [cpu.u32[register], cpu.i32[register + 1]];
    }
    if (!wide) {
      if (double) doubles[D / 2] = low | 0;
      else singleOf(low | 0, 0);
    } else wideInteger(double, low, high);
    commitSse(cpu);
    storeRegister(cpu, insn.dst, count);
  };
}

function wideInteger(double: boolean, low: number, high: number): void {
  const upper = high * TWO32;
  const value = upper + low;
  // |upper| is 0 or at least 2^32, above low: the difference shows what rounding took away.
  const exact = value - upper === low;
  if (sse.rounding === Rounding.Nearest) {
    if (double) {
      doubles[D / 2] = value;
      if (!exact) sse.raise(Exception.PE);
      return;
    }
    // Otherwise it would be rounded twice.
    if (exact) {
      singles[D] = value;
      if (singles[D] !== value) sse.raise(Exception.PE);
      return;
    }
  }
  const rounded = roundInteger((BigInt(high) << 32n) | BigInt(low), double ? DOUBLE : SINGLE);
  if (double) putDouble(0, packDouble(rounded));
  else words[D] = packSingle(rounded);
}

/** CVTSD2SI, CVTSS2SI and their truncating forms. */
function toGeneral(double: boolean, truncate: boolean): Execute {
  const count = double ? 2 : 1;
  return (cpu, insn) => {
    beginSse(cpu);
    loadSource(cpu, insn, count);
    if (insn.size !== 64) {
      const value = toDoubleword(double, 0, truncate);
      commitSse(cpu);
      cpu.setGpr32(insn.dst, value);
      return;
    }
    const fast = ordinaryInteger(double ? ordinaryDoubleAt(B) : ordinarySingleAt(B), TWO51, truncate);
    if (fast === undefined) {
      const value = toInteger(double ? doubleAt(B) : singleAt(B), 64, sse, truncate);
      commitSse(cpu);
      cpu.setGpr(insn.dst, value);
      return;
    }
    commitSse(cpu);
    const register = (cpu.base + R.GPR) / 4 + 2 * insn.dst;
    const high = Math.floor(fast / TWO32);
    cpu.u32[register] = fast - high * TWO32;
    cpu.u32[register + 1] = high;
  };
}

/** CVTSD2SS, CVTSS2SD. */
function scalar(double: boolean): Execute {
  return (cpu, insn) => {
    beginSse(cpu);
    loadSource(cpu, insn, double ? 2 : 1);
    if (double) narrow(B, 0);
    else widen(B, 0);
    commitSse(cpu);
    storeRegister(cpu, insn.dst, double ? 1 : 2);
  };
}

// ---- packed ----

/** `elements` computed from `sourceWords` words; the result has `resultWords`, those not computed are 0. */
function packed(sourceWords: number, elements: number, resultWords: number, element: (i: number) => void): Execute {
  return (cpu, insn) => {
    beginSse(cpu);
    loadSource(cpu, insn, sourceWords);
    words[D + 2] = words[D + 3] = 0;
    for (let i = 0; i < elements; i++) element(i);
    commitSse(cpu);
    storeRegister(cpu, insn.dst, resultWords);
  };
}

function doublewords(double: boolean, truncate: boolean): (i: number) => void {
  return (i) => {
    words[D + i] = toDoubleword(double, i, truncate);
  };
}
const narrowed = (i: number): void => narrow(B + 2 * i, i);
const widened = (i: number): void => widen(B + i, i);
const singleOfDoubleword = (i: number): void => singleOf(words[B + i] | 0, i);
const doubleOfDoubleword = (i: number): void => {
  doubles[D / 2 + i] = words[B + i] | 0;
};

// ---- MMX operands ----

/** The x87 registers become MMX registers: TOP = 0, all tags valid. */
function enterMmx(cpu: Cpu): void {
  cpu.set32(R.FSW, cpu.get32(R.FSW) & ~Fsw.TOP);
  cpu.set32(R.FTW, 0xff);
}

/** CVTPI2PS, CVTPI2PD. `transition`: with a memory operand too. */
function fromMmx(resultWords: number, transition: boolean, element: (i: number) => void): Execute {
  return (cpu, insn) => {
    beginSse(cpu);
    const memory = insn.form[1] === 'm';
    if (!memory || transition) pendingException(cpu);
    if (memory) loadSource(cpu, insn, 2);
    else {
      words[B] = cpu.get32(R.FPR + 16 * insn.src);
      words[B + 1] = cpu.get32(R.FPR + 16 * insn.src + 4);
    }
    element(0);
    element(1);
    commitSse(cpu);
    if (!memory || transition) enterMmx(cpu);
    storeRegister(cpu, insn.dst, resultWords);
  };
}

/** CVTPS2PI, CVTPD2PI and their truncating forms. */
function toMmx(double: boolean, truncate: boolean): Execute {
  return (cpu, insn) => {
    beginSse(cpu);
    pendingException(cpu);
    loadSource(cpu, insn, double ? 4 : 2);
    const [low, high] = [toDoubleword(double, 0, truncate), toDoubleword(double, 1, truncate)];
    commitSse(cpu);
    enterMmx(cpu);
    const at = R.FPR + 16 * insn.dst;
    cpu.set32(at, low);
    cpu.set32(at + 4, high);
    cpu.set32(at + 8, 0xffff);
  };
}

export const SSE_CONVERT: SystemInstructions = {
  CVTSI2SS: { execute: fromGeneral(false), endsBlock: false },
  CVTSI2SD: { execute: fromGeneral(true), endsBlock: false },
  CVTSS2SI: { execute: toGeneral(false, false), endsBlock: false },
  CVTSD2SI: { execute: toGeneral(true, false), endsBlock: false },
  CVTTSS2SI: { execute: toGeneral(false, true), endsBlock: false },
  CVTTSD2SI: { execute: toGeneral(true, true), endsBlock: false },
  CVTSD2SS: { execute: scalar(true), endsBlock: false },
  CVTSS2SD: { execute: scalar(false), endsBlock: false },
  CVTPD2PS: { execute: packed(4, 2, 4, narrowed), endsBlock: false },
  CVTPS2PD: { execute: packed(2, 2, 4, widened), endsBlock: false },
  CVTDQ2PS: { execute: packed(4, 4, 4, singleOfDoubleword), endsBlock: false },
  CVTDQ2PD: { execute: packed(2, 2, 4, doubleOfDoubleword), endsBlock: false },
  CVTPS2DQ: { execute: packed(4, 4, 4, doublewords(false, false)), endsBlock: false },
  CVTTPS2DQ: { execute: packed(4, 4, 4, doublewords(false, true)), endsBlock: false },
  CVTPD2DQ: { execute: packed(4, 2, 4, doublewords(true, false)), endsBlock: false },
  CVTTPD2DQ: { execute: packed(4, 2, 4, doublewords(true, true)), endsBlock: false },
  CVTPI2PS: { execute: fromMmx(2, true, singleOfDoubleword), endsBlock: false },
  CVTPI2PD: { execute: fromMmx(4, false, doubleOfDoubleword), endsBlock: false },
  CVTPS2PI: { execute: toMmx(false, false), endsBlock: false },
  CVTTPS2PI: { execute: toMmx(false, true), endsBlock: false },
  CVTPD2PI: { execute: toMmx(true, false), endsBlock: false },
  CVTTPD2PI: { execute: toMmx(true, true), endsBlock: false },
};
