/** SSE and SSE2 floating-point arithmetic and comparison; conversions are in sse-convert.ts. */
import { Flag, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import type { SystemInstructions } from '../system/table';
import { INDEFINITE, Kind, SINGLE, packSingle, quieted, unpackSingle, zero, infinity, isNaN, type Float } from './float-format';
import { FloatContext, NanRule, round } from './rounding';
import { Order, integerSquareRoot } from './softfloat';
import { SSE_CONVERT } from './sse-convert';
import { Operation, compareDouble, compareSingle, computeDouble, computeSingle } from './sse-lanes';
import { A, B, D, beginSse, commitSse, loadRegister, loadSource, storeRegister, words } from './sse-state';

type Execute = (cpu: Cpu, insn: Insn) => void;

/** `count` elements; a scalar form leaves the rest of the destination. */
function arithmetic(operation: Operation, double: boolean, count: number): Execute {
  const size = double ? 2 * count : count;
  return (cpu, insn) => {
    beginSse(cpu);
    loadSource(cpu, insn, size);
    loadRegister(cpu, insn.dst, size, A);
    if (double) for (let i = 0; i < count; i++) computeDouble(operation, i);
    else for (let i = 0; i < count; i++) computeSingle(operation, i);
    commitSse(cpu);
    storeRegister(cpu, insn.dst, size);
  };
}

// ---- RCP, RSQRT ----

/** The context of an approximation: nobody sees its flags. */
const silent = new FloatContext(NanRule.First, 0);
/** Significant bits of an approximation: the error is below 2^-12, the manual allows 1.5 * 2^-12. */
const APPROXIMATE = { ...SINGLE, bits: 12 };

/**
 * 1 / a rounded to 12 significant bits. Denormals count as zeros, tiny results become zeros, MXCSR takes no part.
 * DEVIATION: processors read a table of their own: results within the same bound, but other last bits.
 */
function reciprocal(a: Float): Float {
  if (isNaN(a)) return quieted(a);
  if (a.kind === Kind.Zero) return infinity(a.sign);
  if (a.kind === Kind.Infinity) return zero(a.sign);
  const result = round(a.sign, (((1n << 100n) / a.significand) << 1n) | 1n, -a.exponent + 63 - 101, APPROXIMATE, silent);
  return result.kind === Kind.Finite && result.exponent < SINGLE.minExponent ? zero(a.sign) : result;
}

/** 1 / sqrt(a), likewise. */
function reciprocalRoot(a: Float): Float {
  if (isNaN(a)) return quieted(a);
  if (a.kind === Kind.Zero) return infinity(a.sign);
  if (a.sign !== 0) return INDEFINITE;
  if (a.kind === Kind.Infinity) return zero(0);
  // a = n * 2^2k with 64 or 65 bits of n; 2^80 / sqrt(n) keeps 47.
  const odd = (a.exponent - 63) & 1;
  const n = a.significand << BigInt(odd);
  const root = integerSquareRoot((1n << 160n) / n);
  return round(0, (root << 1n) | 1n, -80 - (a.exponent - 63 - odd) / 2 - 1, APPROXIMATE, silent);
}

function approximation(operation: (a: Float) => Float, count: number): Execute {
  return (cpu, insn) => {
    beginSse(cpu);
    loadSource(cpu, insn, count);
    for (let i = 0; i < count; i++) words[D + i] = packSingle(operation(unpackSingle(words[B + i], true)));
    storeRegister(cpu, insn.dst, count);
  };
}

// ---- CMP, COMI, UCOMI ----

/** Orders, as bits 1 << Order, for which predicates EQ, LT, LE, UNORD hold; NEQ, NLT, NLE, ORD are their complements. */
const PREDICATES: readonly number[] = [1 << Order.Equal, 1 << Order.Less, (1 << Order.Less) | (1 << Order.Equal), 1 << Order.Unordered];

function comparison(double: boolean, count: number): Execute {
  const size = double ? 2 * count : count;
  return (cpu, insn) => {
    beginSse(cpu);
    loadSource(cpu, insn, size);
    loadRegister(cpu, insn.dst, size, A);
    const predicate = insn.imm & 3;
    // LT, LE, NLT and NLE: a quiet NaN is invalid.
    const signaling = predicate === 1 || predicate === 2;
    const orders = (insn.imm & 4) !== 0 ? ~PREDICATES[predicate] : PREDICATES[predicate];
    for (let i = 0; i < count; i++) {
      const order = double ? compareDouble(i, signaling) : compareSingle(i, signaling);
      const mask = ((orders >>> order) & 1) !== 0 ? 0xffff_ffff : 0;
      if (double) words[D + 2 * i] = words[D + 2 * i + 1] = mask;
      else words[D + i] = mask;
    }
    commitSse(cpu);
    storeRegister(cpu, insn.dst, size);
  };
}

/** ZF PF CF by Order; OF, SF and AF are cleared. */
const RFLAGS: readonly number[] = [Flag.CF, Flag.ZF, 0, Flag.ZF | Flag.PF | Flag.CF];

function compareToFlags(double: boolean, signaling: boolean): Execute {
  const size = double ? 2 : 1;
  return (cpu, insn) => {
    beginSse(cpu);
    loadSource(cpu, insn, size);
    loadRegister(cpu, insn.dst, size, A);
    const order = double ? compareDouble(0, signaling) : compareSingle(0, signaling);
    commitSse(cpu);
    cpu.setArithmetic(RFLAGS[order]);
  };
}

// ---- table ----

const OPERATIONS: readonly (readonly [name: string, operation: Operation])[] = [
  ['ADD', Operation.Add],
  ['SUB', Operation.Subtract],
  ['MUL', Operation.Multiply],
  ['DIV', Operation.Divide],
  ['MIN', Operation.Minimum],
  ['MAX', Operation.Maximum],
  ['SQRT', Operation.SquareRoot],
];

const ARITHMETIC: SystemInstructions = Object.fromEntries(
  OPERATIONS.flatMap(([name, operation]) => [
    [`${name}PS`, { execute: arithmetic(operation, false, 4), endsBlock: false }],
    [`${name}PD`, { execute: arithmetic(operation, true, 2), endsBlock: false }],
    [`${name}SS`, { execute: arithmetic(operation, false, 1), endsBlock: false }],
    [`${name}SD`, { execute: arithmetic(operation, true, 1), endsBlock: false }],
  ]),
);

export const SSE_FLOAT_INSTRUCTIONS: SystemInstructions = {
  ...ARITHMETIC,
  ...SSE_CONVERT,
  RCPPS: { execute: approximation(reciprocal, 4), endsBlock: false },
  RCPSS: { execute: approximation(reciprocal, 1), endsBlock: false },
  RSQRTPS: { execute: approximation(reciprocalRoot, 4), endsBlock: false },
  RSQRTSS: { execute: approximation(reciprocalRoot, 1), endsBlock: false },
  CMPPS: { execute: comparison(false, 4), endsBlock: false },
  CMPPD: { execute: comparison(true, 2), endsBlock: false },
  CMPSS: { execute: comparison(false, 1), endsBlock: false },
  CMPSD_SSE: { execute: comparison(true, 1), endsBlock: false },
  COMISS: { execute: compareToFlags(false, true), endsBlock: false },
  COMISD: { execute: compareToFlags(true, true), endsBlock: false },
  UCOMISS: { execute: compareToFlags(false, false), endsBlock: false },
  UCOMISD: { execute: compareToFlags(true, false), endsBlock: false },
};
