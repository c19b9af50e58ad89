/**
 * SSE and SSE2 floating point in compiled code, as far as WebAssembly's arithmetic is the same function: round to nearest, no operand a
 * NaN or denormal, and a result that neither overflow nor tininess can have touched. WebAssembly does not say whether a result is exact;
 * that matters to nobody while MXCSR.PE is set already and masked, which it is from a program's first inexact result on. Everything else
 * is left to the TypeScript instruction (cpu/fpu/), whose record stands behind.
 */
import type { Definition } from './definition';
import { destination, put, source, vectorInstruction } from './sse-operands';
import { R } from '../layout';
import type { Stage } from '../stage/stage';
import { ZERO, allTrue, constBytes, extract32, extract64, extractDouble, shuffle, splatDouble, vector } from '../stage/vector';
import { I32, add, and, c32, c64, doubleOf, eqz, gtu, integerOf, or, shr, sub, wrap, xor, type Value } from '../stage/wasm';

/** MXCSR: PE and its mask set; with rounding control 0. */
const PE_MASKED = 0x1020,
  ROUNDING = 0x6000;

/** Binary32 in four lanes, or binary64 in two. */
interface Format {
  readonly lanes: 'f32x4' | 'f64x2';
  readonly bits: 32 | 64;
  /** Smallest normal number. */
  readonly normal: Value;
  /** Magnitudes of results whose rounding neither overflow nor tininess can have touched. */
  readonly safeMin: Value;
  readonly safeMax: Value;
}

const doubles = (x: number): Value => constBytes([...new Uint8Array(Float64Array.of(x, x).buffer)]);
const singles = (x: number): Value => constBytes([...new Uint8Array(Float32Array.of(x, x, x, x).buffer)]);
const DOUBLE: Format = { lanes: 'f64x2', bits: 64, normal: doubles(2 ** -1022), safeMin: doubles(2 ** -1020), safeMax: doubles(2 ** 1022) };
const SINGLE: Format = { lanes: 'f32x4', bits: 32, normal: singles(2 ** -126), safeMin: singles(2 ** -125), safeMax: singles(2 ** 127) };

type FloatOp = 'eq' | 'lt' | 'le' | 'ge' | 'abs' | 'sqrt' | 'add' | 'sub' | 'mul' | 'div' | 'pmin' | 'pmax';
const op = ({ lanes }: Format, name: FloatOp, ...operands: Value[]): Value => vector(`${lanes}.${name}`, ...operands);
const both = (a: Value, b: Value): Value => vector('v128.and', a, b);
const either = (a: Value, b: Value): Value => vector('v128.or', a, b);

function withFallback(name: string, forms: readonly string[], semantics: (e: Stage) => void): Definition {
  return { ...vectorInstruction(name, forms, semantics), fallback: true };
}

// ---- what is ordinary: masks of lanes ----

const isZero = (f: Format, x: Value): Value => op(f, 'eq', x, ZERO);
/** Zero, normal or infinite. */
const notDenormal = (f: Format, x: Value): Value => either(op(f, 'ge', op(f, 'abs', x), f.normal), isZero(f, x));
const safe = (e: Stage, f: Format, x: Value): Value => {
  const magnitude = e.let(op(f, 'abs', x));
  return both(op(f, 'ge', magnitude, f.safeMin), op(f, 'le', magnitude, f.safeMax));
};

/** Leaves the instruction to TypeScript unless MXCSR has (some of) its bits like this. */
const requireMxcsr = (e: Stage, bits: number, value: number): void => e.leaveUnless(eqz(xor(and(e.word32(R.MXCSR), c32(bits)), c32(value))));
const requireNearest = (e: Stage): void => requireMxcsr(e, PE_MASKED | ROUNDING, PE_MASKED);
/** ... unless the mask is set, in all lanes or in the lowest. */
function requireLanes(e: Stage, f: Format, scalar: boolean, mask: Value): void {
  e.leaveUnless(scalar ? lowest(f, mask) : allTrue(f.bits === 64 ? 'i64x2' : 'i32x4', mask));
}
/** The lowest lane's mask as an i32. */
const lowest = (f: Format, mask: Value): Value => (f.bits === 64 ? wrap(extract64(mask, 0)) : extract32(mask, 0));

const BYTES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/** Writes the destination; of a scalar instruction its lowest lane. */
function putResult(e: Stage, f: Format, scalar: boolean, before: Value, result: Value): void {
  const lowBytes = f.bits / 8;
  put(e, scalar ? shuffle(result, before, [...BYTES.slice(0, lowBytes), ...BYTES.slice(lowBytes).map((n) => n + 16)]) : result);
}

const sourceOf = (e: Stage, f: Format, scalar: boolean): Value => source(e, scalar ? f.bits : 128, !scalar);

// ---- arithmetic ----

interface Arithmetic {
  readonly compute: (f: Format, a: Value, b: Value) => Value;
  /** Lanes in which a result of zero is exact. */
  readonly zeroIsExact?: (f: Format, a: Value, b: Value) => Value;
  /** Lanes whose operands are in the domain. */
  readonly domain?: (f: Format, a: Value, b: Value) => Value;
  /** The first operand takes no part. */
  readonly unary?: boolean;
  /** The result is one of the operands. */
  readonly selects?: boolean;
}

const ARITHMETIC: Readonly<Record<string, Arithmetic>> = {
  ADD: { compute: (f, a, b) => op(f, 'add', a, b) },
  SUB: { compute: (f, a, b) => op(f, 'sub', a, b) },
  MUL: { compute: (f, a, b) => op(f, 'mul', a, b), zeroIsExact: (f, a, b) => either(isZero(f, a), isZero(f, b)) },
  DIV: { compute: (f, a, b) => op(f, 'div', a, b), zeroIsExact: (f, a) => isZero(f, a) },
  SQRT: { compute: (f, _a, b) => op(f, 'sqrt', b), domain: (f, _a, b) => op(f, 'ge', b, ZERO), unary: true },
  // The second operand if they are equal.
  MIN: { compute: (f, a, b) => op(f, 'pmin', b, a), selects: true },
  MAX: { compute: (f, a, b) => op(f, 'pmax', b, a), selects: true },
};

function arithmetic(name: string, f: Format, scalar: boolean): Definition {
  const { compute, zeroIsExact, domain, unary, selects } = ARITHMETIC[name];
  return withFallback(`${name}${suffix(f, scalar)}`, ['xx', 'xm'], (e) => {
    if (selects !== true) requireNearest(e);
    const b = sourceOf(e, f, scalar);
    const a = destination(e);
    const operands = unary === true ? notDenormal(f, b) : both(notDenormal(f, a), notDenormal(f, b));
    const result = e.let(compute(f, a, b));
    if (selects === true) requireLanes(e, f, scalar, operands);
    else {
      const zero = zeroIsExact === undefined ? isZero(f, result) : both(isZero(f, result), zeroIsExact(f, a, b));
      const ordinary = both(operands, either(safe(e, f, result), zero));
      requireLanes(e, f, scalar, domain === undefined ? ordinary : both(ordinary, domain(f, a, b)));
    }
    putResult(e, f, scalar, a, result);
  });
}

// ---- comparison ----

/** Not a NaN (which is not even equal to itself), not denormal. */
const comparable = (f: Format, a: Value, b: Value): Value => both(notDenormal(f, a), notDenormal(f, b));

/** ZF and CF; PF says unordered, and OF, SF and AF are cleared. */
function compareToFlags(name: string, f: Format): Definition {
  const definition = withFallback(name, ['xx', 'xm'], (e) => {
    const b = sourceOf(e, f, true);
    const a = destination(e);
    requireLanes(e, f, true, comparable(f, a, b));
    e.flagsEager(or(and(lowest(f, op(f, 'eq', a, b)), c32(0x40)), and(lowest(f, op(f, 'lt', a, b)), c32(1))));
  });
  return { ...definition, keepsFlags: false };
}

/** CMPPS and its kind. Predicates 0-3 are EQ, LT, LE and UNORD, 4-7 their complements. */
function compareToMask(name: string, f: Format, scalar: boolean): Definition {
  return withFallback(name, ['xxi', 'xmi'], (e) => {
    const b = sourceOf(e, f, scalar);
    const a = destination(e);
    requireLanes(e, f, scalar, comparable(f, a, b));
    const predicate = e.let(wrap(e.immediate64()));
    const wants = (bit: Value): Value => vector('i32x4.splat', sub(c32(0), and(bit, c32(1))));
    const equal = wants(xor(predicate, c32(1)));
    const less = wants(xor(predicate, shr(predicate, c32(1))));
    const complement = wants(shr(predicate, c32(2)));
    const found = either(both(op(f, 'eq', a, b), equal), both(op(f, 'lt', a, b), less));
    putResult(e, f, scalar, a, e.let(vector('v128.xor', found, complement)));
  });
}

// ---- conversion ----

/** Integers of which every one has a binary32, binary64 of its own: magnitudes up to 2^24, 2^53. */
const exactIn = (v: Value, significand: number): Value =>
  v.type === I32 ? eqz(gtu(add(v, c32(2 ** significand)), c32(2 ** (significand + 1)))) : eqz(gtu(add(v, c64(2 ** significand)), c64(2 ** (significand + 1))));

/** CVTSI2SD, CVTSI2SS. */
const fromInteger = (name: string, f: Format): Definition => ({
  ...withFallback(name, ['xr', 'xm'], (e) => {
    const wide = e.spec.sourceSize === 64;
    const v = e.source();
    if (wide || f.bits === 32) e.leaveUnless(exactIn(v, f.bits === 64 ? 53 : 24));
    const before = destination(e);
    const doubles = wide ? splatDouble(doubleOf(v)) : vector('f64x2.convert_low_i32x4_s', vector('i32x4.splat', v));
    putResult(e, f, true, before, e.let(f.bits === 64 ? doubles : vector('f32x4.demote_f64x2_zero', doubles)));
  }),
  sizes: [f.bits],
  sourceSizes: [32, 64],
  anySize: false,
});

/** CVTTSD2SI, CVTTSS2SI: rounding control takes no part. */
const toInteger = (name: string, f: Format): Definition => ({
  ...withFallback(name, ['rx', 'rm'], (e) => {
    requireMxcsr(e, PE_MASKED, PE_MASKED);
    const v = source(e, f.bits);
    const x = e.let(f.bits === 64 ? v : vector('f64x2.promote_low_f32x4', v));
    requireLanes(e, DOUBLE, true, vector('f64x2.lt', vector('f64x2.abs', x), doubles(2 ** (e.size - 1))));
    const result = e.size === 64 ? integerOf(extractDouble(x)) : extract32(vector('i32x4.trunc_sat_f64x2_s_zero', x), 0);
    e.setRegister('dst', e.let(result), e.size);
  }),
  sizes: [32, 64],
  sourceSizes: [f.bits],
  anySize: false,
});

const widen = withFallback('CVTSS2SD', ['xx', 'xm'], (e) => {
  const x = source(e, 32);
  requireLanes(e, SINGLE, true, notDenormal(SINGLE, x));
  putResult(e, DOUBLE, true, destination(e), e.let(vector('f64x2.promote_low_f32x4', x)));
});

const narrow = withFallback('CVTSD2SS', ['xx', 'xm'], (e) => {
  requireNearest(e);
  const x = source(e, 64);
  const result = e.let(vector('f32x4.demote_f64x2_zero', x));
  e.leaveUnless(or(lowest(DOUBLE, isZero(DOUBLE, x)), lowest(SINGLE, safe(e, SINGLE, result))));
  putResult(e, SINGLE, true, destination(e), result);
});

// ---- table ----

const suffix = ({ bits }: Format, scalar: boolean): string => (scalar ? 'S' : 'P') + (bits === 64 ? 'D' : 'S');
const SHAPES = [DOUBLE, SINGLE].flatMap((f) => [true, false].map((scalar) => [f, scalar] as const));

export const SSE_FLOAT: readonly Definition[] = [
  ...SHAPES.flatMap(([f, scalar]) => Object.keys(ARITHMETIC).map((name) => arithmetic(name, f, scalar))),
  ...['COMISD', 'UCOMISD'].map((name) => compareToFlags(name, DOUBLE)),
  ...['COMISS', 'UCOMISS'].map((name) => compareToFlags(name, SINGLE)),
  ...SHAPES.map(([f, scalar]) => compareToMask(f.bits === 64 && scalar ? 'CMPSD_SSE' : `CMP${suffix(f, scalar)}`, f, scalar)),
  fromInteger('CVTSI2SD', DOUBLE),
  fromInteger('CVTSI2SS', SINGLE),
  toInteger('CVTTSD2SI', DOUBLE),
  toInteger('CVTTSS2SI', SINGLE),
  widen,
  narrow,
];
