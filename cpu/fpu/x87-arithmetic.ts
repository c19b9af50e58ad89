/** x87 arithmetic: FADD to FDIVR with their integer and popping forms, FSQRT, FABS, FCHS, FRNDINT, FSCALE, FXTRACT, FPREM, FPREM1. */
import type { Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import type { SystemInstructions } from '../system/table';
import { EXTENDED, INDEFINITE, Kind, finite, infinity, isNaN, normalised, zero, type Float, type Precision } from './float-format';
import { Exception, round, type FloatContext } from './rounding';
import { add, denormalOperand, divide, invalid, multiply, nanResult, squareRoot, subtract } from './softfloat';
import { roundToIntegral } from './softfloat-integer';
import { readFloat, readInteger } from './x87-memory';
import {
  Fsw,
  begin,
  commitFlags,
  controlledPrecision,
  isEmpty,
  pop,
  push,
  read,
  recordPointers,
  setC1,
  setC2,
  setConditions,
  significandOf,
  signExponentOf,
  stackOverflow,
  stackUnderflow,
  write,
  writeBits,
  x87,
} from './x87-state';

type Operation = (a: Float, b: Float, precision: Precision, context: FloatContext) => Float;
type Execute = (cpu: Cpu, insn: Insn) => void;

/** `reversed`: source - destination, source / destination. */
function arithmetic(operation: Operation, reversed: boolean, integer: boolean, pops: boolean): Execute {
  return (cpu, insn) => {
    begin(cpu);
    const memory = insn.form === 'm';
    let source: Float = INDEFINITE;
    if (memory) source = integer ? readInteger(cpu, insn) : readFloat(cpu, insn);
    recordPointers(cpu, insn);
    const destination = memory ? 0 : insn.dst;
    if (isEmpty(cpu, destination) || (!memory && isEmpty(cpu, insn.src))) {
      if (!stackUnderflow(cpu)) return;
      write(cpu, destination, INDEFINITE);
      if (pops) pop(cpu);
      return;
    }
    if (!memory) source = read(cpu, insn.src);
    const a = read(cpu, destination);
    const precision = controlledPrecision(cpu);
    const result = reversed ? operation(source, a, precision, x87) : operation(a, source, precision, x87);
    if (!commitFlags(cpu)) return;
    write(cpu, destination, result);
    if (pops) pop(cpu);
  };
}

/** ST(0) := operation(ST(0)), unless that is undefined. */
export function unary(operation: (a: Float, cpu: Cpu) => Float | undefined): Execute {
  return (cpu, insn) => {
    begin(cpu);
    recordPointers(cpu, insn);
    if (isEmpty(cpu, 0)) {
      if (stackUnderflow(cpu)) write(cpu, 0, INDEFINITE);
      return;
    }
    const result = operation(read(cpu, 0), cpu);
    if (commitFlags(cpu) && result !== undefined) write(cpu, 0, result);
  };
}

/** ST(0) := operation(ST(0), ST(1)), or with `pops` ST(1) := it and pop. */
export function binary(operation: (st0: Float, st1: Float, cpu: Cpu) => Float, pops: boolean): Execute {
  return (cpu, insn) => {
    begin(cpu);
    recordPointers(cpu, insn);
    const destination = pops ? 1 : 0;
    let result: Float = INDEFINITE;
    if (isEmpty(cpu, 0) || isEmpty(cpu, 1)) {
      if (!stackUnderflow(cpu)) return;
    } else {
      result = operation(read(cpu, 0), read(cpu, 1), cpu);
      if (!commitFlags(cpu)) return;
    }
    write(cpu, destination, result);
    if (pops) pop(cpu);
  };
}

/** ST(0) becomes the first of two results and the second is pushed: FXTRACT, FPTAN, FSINCOS. */
export function unaryToPair(operation: (a: Float, cpu: Cpu) => readonly [Float, Float] | undefined): Execute {
  return (cpu, insn) => {
    begin(cpu);
    recordPointers(cpu, insn);
    let results: readonly [Float, Float] | undefined = [INDEFINITE, INDEFINITE];
    if (isEmpty(cpu, 0)) {
      if (!stackUnderflow(cpu)) return;
    } else if (!isEmpty(cpu, 7)) {
      if (!stackOverflow(cpu)) return;
    } else {
      results = operation(read(cpu, 0), cpu);
      if (!commitFlags(cpu) || results === undefined) return;
    }
    write(cpu, 0, results[0]);
    push(cpu, results[1]);
  };
}

/** FABS and FCHS: the sign bit alone, whatever the register holds. */
function signOnly(sign: (signExponent: number) => number): Execute {
  return (cpu, insn) => {
    begin(cpu);
    recordPointers(cpu, insn);
    if (isEmpty(cpu, 0)) {
      if (stackUnderflow(cpu)) write(cpu, 0, INDEFINITE);
      return;
    }
    setC1(cpu, false);
    writeBits(cpu, 0, sign(signExponentOf(cpu, 0)), significandOf(cpu, 0));
  };
}

// ---- FSCALE, FXTRACT ----

function scale(a: Float, by: Float): Float {
  const nan = nanResult(a, by, x87);
  if (nan) return nan;
  if (by.kind === Kind.Infinity) {
    if (by.sign === 0 ? a.kind === Kind.Zero : a.kind === Kind.Infinity) return invalid(x87);
    denormalOperand(a, by, x87);
    return by.sign === 0 ? infinity(a.sign) : zero(a.sign);
  }
  if (denormalOperand(a, by, x87)) return a;
  if (a.kind !== Kind.Finite || by.kind !== Kind.Finite) return a.denormal ? round(a.sign, a.significand, a.exponent - 63, EXTENDED, x87) : a;
  // Truncated towards zero; beyond 2^16 every result overflows or underflows.
  let steps = by.exponent < 0 ? 0 : by.exponent > 16 ? 0x2_0000 : Number(by.significand >> BigInt(63 - by.exponent));
  if (by.sign !== 0) steps = -steps;
  return round(a.sign, a.significand, a.exponent - 63 + steps, EXTENDED, x87);
}

/** Exponent, then significand. */
function extract(a: Float): readonly [Float, Float] {
  const nan = nanResult(a, a, x87);
  if (nan) return [nan, nan];
  if (a.kind === Kind.Infinity) return [infinity(0), a];
  if (a.kind === Kind.Zero) {
    x87.raise(Exception.ZE);
    return [infinity(1), a];
  }
  if (denormalOperand(a, a, x87)) return [a, a];
  const exponent = a.exponent === 0 ? zero(0) : normalised(a.exponent < 0 ? 1 : 0, BigInt(Math.abs(a.exponent)), 0);
  return [exponent, finite(a.sign, 0, a.significand)];
}

// ---- FPREM, FPREM1 ----

/** Exponent difference that one execution takes away when it cannot finish; implementation-dependent between 32 and 63. */
const PARTIAL_STEP = 63;

/**
 * ST(0) - Q * ST(1), Q truncated (FPREM) or rounded to nearest (FPREM1). C2: reduction is not complete; otherwise C0, C3, C1 are bits
 * 2, 1, 0 of Q.
 */
function partialRemainder(nearest: boolean): Execute {
  return (cpu, insn) => {
    begin(cpu);
    recordPointers(cpu, insn);
    setC2(cpu, false);
    if (isEmpty(cpu, 0) || isEmpty(cpu, 1)) {
      if (stackUnderflow(cpu)) write(cpu, 0, INDEFINITE);
      return;
    }
    const [a, b] = [read(cpu, 0), read(cpu, 1)];
    let conditions = 0;
    let quotientOdd = false;
    let result = remainderOfSpecials(a, b);
    if (result === undefined) {
      const distance = a.exponent - b.exponent;
      if (distance < -1 || (distance < 0 && !nearest)) result = round(a.sign, a.significand, a.exponent - 63, EXTENDED, x87);
      else if (distance >= 64) {
        // Subtract a multiple of ST(1) so large that bit 63 of the difference has moved at least PARTIAL_STEP - 1 places.
        const step = partialStep(distance);
        const remainder = (a.significand << BigInt(step)) % b.significand;
        result = remainder === 0n ? zero(a.sign) : round(a.sign, remainder, b.exponent - 63 + distance - step, EXTENDED, x87);
        conditions = Fsw.C2;
      } else {
        // Units of the smaller exponent: that of ST(1), or one below it.
        const divisor = distance < 0 ? b.significand << 1n : b.significand;
        const dividend = distance < 0 ? a.significand : a.significand << BigInt(distance);
        let quotient = dividend / divisor;
        let remainder = dividend - quotient * divisor;
        let sign = a.sign;
        if (nearest) {
          const twice = remainder << 1n;
          if (twice > divisor || (twice === divisor && (quotient & 1n) !== 0n)) {
            quotient++;
            remainder = divisor - remainder;
            sign ^= 1;
          }
        }
        const unit = distance < 0 ? a.exponent - 63 : b.exponent - 63;
        result = remainder === 0n ? zero(a.sign) : round(sign, remainder, unit, EXTENDED, x87);
        const low = Number(quotient & 7n);
        conditions = ((low & 4) !== 0 ? Fsw.C0 : 0) | ((low & 2) !== 0 ? Fsw.C3 : 0);
        quotientOdd = (low & 1) !== 0;
      }
    }
    if (!commitFlags(cpu)) return;
    write(cpu, 0, result);
    // A NaN has no quotient: C0 and C3 stay.
    if (isNaN(result)) return;
    setConditions(cpu, conditions);
    setC1(cpu, quotientOdd);
  };
}

const partialStep = (distance: number): number => Math.min(distance, (distance & 31) | 32, PARTIAL_STEP);

/** Undefined when both are finite and not zero. */
function remainderOfSpecials(a: Float, b: Float): Float | undefined {
  const nan = nanResult(a, b, x87);
  if (nan) return nan;
  if (a.kind === Kind.Infinity || b.kind === Kind.Zero) return invalid(x87);
  if (denormalOperand(a, b, x87)) return a;
  if (a.kind === Kind.Zero) return a;
  if (b.kind === Kind.Infinity) return a.denormal ? round(a.sign, a.significand, a.exponent - 63, EXTENDED, x87) : a;
  return undefined;
}

// ---- table ----

const OPERATIONS: readonly (readonly [name: string, operation: Operation, reversed: boolean])[] = [
  ['ADD', add, false],
  ['MUL', multiply, false],
  ['SUB', subtract, false],
  ['SUBR', subtract, true],
  ['DIV', divide, false],
  ['DIVR', divide, true],
];

const FORMS = Object.fromEntries(
  OPERATIONS.flatMap(([name, operation, reversed]) => [
    [`F${name}`, { execute: arithmetic(operation, reversed, false, false), endsBlock: false }],
    [`F${name}P`, { execute: arithmetic(operation, reversed, false, true), endsBlock: false }],
    [`FI${name}`, { execute: arithmetic(operation, reversed, true, false), endsBlock: false }],
  ]),
);

export const X87_ARITHMETIC: SystemInstructions = {
  ...FORMS,
  FSQRT: { execute: unary((a, cpu) => squareRoot(a, controlledPrecision(cpu), x87)), endsBlock: false },
  FRNDINT: { execute: unary((a) => roundToIntegral(a, x87)), endsBlock: false },
  FABS: { execute: signOnly((s) => s & 0x7fff), endsBlock: false },
  FCHS: { execute: signOnly((s) => s ^ 0x8000), endsBlock: false },
  FSCALE: { execute: binary(scale, false), endsBlock: false },
  FXTRACT: { execute: unaryToPair(extract), endsBlock: false },
  FPREM: { execute: partialRemainder(false), endsBlock: false },
  FPREM1: { execute: partialRemainder(true), endsBlock: false },
};
