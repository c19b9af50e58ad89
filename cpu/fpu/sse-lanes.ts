/**
 * One element of an SSE computation. Ordinary operands (zero or normal) with an ordinary result under round-to-nearest are computed by
 * the host's own arithmetic, which is the same function; whether the result is exact is then found with error-free transformations.
 * Everything else goes to the integer implementation in softfloat.ts.
 */
import { DOUBLE, Kind, SINGLE, packDouble, packSingle, unpackDouble, unpackSingle, type Float, type Precision } from './float-format';
import { Exception, Rounding } from './rounding';
import { Order, add, compare, denormalOperand, divide, multiply, order, squareRoot, subtract } from './softfloat';
import { A, B, D, doubles, inexactMatters, singles, sse, words } from './sse-state';

export enum Operation {
  Add,
  Subtract,
  Multiply,
  Divide,
  Minimum,
  Maximum,
  /** Of the second operand. */
  SquareRoot,
}

// ---- ordinary operands ----

/** Zero or normal. */
function ordinaryDouble(low: number, high: number): boolean {
  const exponent = high & 0x7ff0_0000;
  return exponent === 0 ? low === 0 && (high & 0xf_ffff) === 0 : exponent !== 0x7ff0_0000;
}
function ordinarySingle(word: number): boolean {
  const exponent = word & 0x7f80_0000;
  return exponent === 0 ? (word & 0x7f_ffff) === 0 : exponent !== 0x7f80_0000;
}

/** |x| in the range in which products and their error terms are exact and not tiny. */
const MODERATE_MIN = 2 ** -450;
const MODERATE_MAX = 2 ** 450;
const moderate = (x: number): boolean => {
  const magnitude = Math.abs(x);
  return magnitude > MODERATE_MIN && magnitude < MODERATE_MAX;
};
/** Results whose rounding neither overflow nor tininess can have touched. */
const DOUBLE_SAFE_MIN = 2 ** -1020;
const DOUBLE_SAFE_MAX = 2 ** 1022;
const SINGLE_SAFE_MIN = 2 ** -125;
const SINGLE_SAFE_MAX = 2 ** 127;

const SPLITTER = 2 ** 27 + 1;
/** x * y = product + (the value returned), exactly. */
function productError(x: number, y: number, product: number): number {
  const xs = SPLITTER * x;
  const xHigh = xs - (xs - x);
  const xLow = x - xHigh;
  const ys = SPLITTER * y;
  const yHigh = ys - (ys - y);
  const yLow = y - yHigh;
  return xLow * yLow - (product - xHigh * yHigh - xLow * yHigh - xHigh * yLow);
}

/** x + y = sum + (the value returned), exactly. */
function sumError(x: number, y: number, sum: number): number {
  const yy = sum - x;
  return x - (sum - yy) + (y - yy);
}

/** Computes element i of the result from doubles; false when it takes softfloat. */
function ordinaryDoubleResult(operation: Operation, i: number): boolean {
  const x = doubles[A / 2 + i];
  const y = doubles[B / 2 + i];
  let result: number;
  let inexact = false;
  switch (operation) {
    case Operation.Add:
    case Operation.Subtract: {
      const addend = operation === Operation.Add ? y : -y;
      result = x + addend;
      if (result !== 0) {
        const magnitude = Math.abs(result);
        if (magnitude < DOUBLE_SAFE_MIN || magnitude > DOUBLE_SAFE_MAX) return false;
        if (inexactMatters) inexact = sumError(x, addend, result) !== 0;
      }
      break;
    }
    case Operation.Multiply:
      result = x * y;
      if (x === 0 || y === 0) break;
      if (inexactMatters) {
        if (!moderate(x) || !moderate(y)) return false;
        inexact = productError(x, y, result) !== 0;
      } else if (Math.abs(result) < DOUBLE_SAFE_MIN || Math.abs(result) > DOUBLE_SAFE_MAX) return false;
      break;
    case Operation.Divide:
      if (y === 0) return false;
      result = x / y;
      if (x === 0) break;
      if (inexactMatters) {
        if (!moderate(x) || !moderate(y)) return false;
        const product = result * y;
        inexact = product !== x || productError(result, y, product) !== 0;
      } else if (Math.abs(result) < DOUBLE_SAFE_MIN || Math.abs(result) > DOUBLE_SAFE_MAX) return false;
      break;
    case Operation.SquareRoot:
      if (y < 0) return false;
      result = Math.sqrt(y);
      if (y !== 0 && inexactMatters) {
        if (!moderate(y)) return false;
        const product = result * result;
        inexact = product !== y || productError(result, result, product) !== 0;
      }
      break;
    case Operation.Minimum:
      result = x < y ? x : y;
      break;
    case Operation.Maximum:
      result = x > y ? x : y;
      break;
  }
  doubles[D / 2 + i] = result;
  if (inexact) sse.raise(Exception.PE);
  return true;
}

/** Singles are computed in doubles: rounding the double result again gives the correctly rounded single. */
function ordinarySingleResult(operation: Operation, i: number): boolean {
  const x = singles[A + i];
  const y = singles[B + i];
  let exact: number;
  let inexact = false;
  switch (operation) {
    case Operation.Add:
      exact = x + y;
      if (inexactMatters) inexact = sumError(x, y, exact) !== 0;
      break;
    case Operation.Subtract:
      exact = x - y;
      if (inexactMatters) inexact = sumError(x, -y, exact) !== 0;
      break;
    case Operation.Multiply:
      exact = x * y;
      break;
    case Operation.Divide:
      if (y === 0) return false;
      exact = x / y;
      break;
    case Operation.SquareRoot:
      if (y < 0) return false;
      exact = Math.sqrt(y);
      break;
    case Operation.Minimum:
      singles[D + i] = x < y ? x : y;
      return true;
    case Operation.Maximum:
      singles[D + i] = x > y ? x : y;
      return true;
  }
  const result = Math.fround(exact);
  if (exact !== 0) {
    const magnitude = Math.abs(result);
    if (magnitude < SINGLE_SAFE_MIN || magnitude > SINGLE_SAFE_MAX) return false;
    if (inexactMatters) {
      if (operation === Operation.Divide) inexact = result * y !== x;
      else if (operation === Operation.SquareRoot) inexact = result * result !== y;
      else inexact = inexact || result !== exact;
    }
  }
  singles[D + i] = result;
  if (inexact) sse.raise(Exception.PE);
  return true;
}

// ---- elements ----

/** Element i of the result, binary64. */
export function computeDouble(operation: Operation, i: number): void {
  const [a, b] = [A + 2 * i, B + 2 * i];
  const ordinary = ordinaryDouble(words[b], words[b + 1]) && (operation === Operation.SquareRoot || ordinaryDouble(words[a], words[a + 1]));
  if (ordinary && sse.rounding === Rounding.Nearest && ordinaryDoubleResult(operation, i)) return;
  const y = doubleAt(b);
  if (isSelection(operation)) {
    const from = selected(operation, doubleAt(a), y);
    if (from !== undefined) return putDouble(i, packDouble(from));
    words[D + 2 * i] = words[b];
    words[D + 2 * i + 1] = words[b + 1];
    return;
  }
  putDouble(i, packDouble(operation === Operation.SquareRoot ? squareRoot(y, DOUBLE, sse) : arithmetic(operation, doubleAt(a), y, DOUBLE)));
}

/** Element i of the result, binary32. */
export function computeSingle(operation: Operation, i: number): void {
  const [a, b] = [words[A + i], words[B + i]];
  const ordinary = ordinarySingle(b) && (operation === Operation.SquareRoot || ordinarySingle(a));
  if (ordinary && sse.rounding === Rounding.Nearest && ordinarySingleResult(operation, i)) return;
  const y = unpackSingle(b, sse.denormalsAreZero);
  if (isSelection(operation)) {
    const from = selected(operation, unpackSingle(a, sse.denormalsAreZero), y);
    words[D + i] = from === undefined ? b : packSingle(from);
    return;
  }
  words[D + i] = packSingle(
    operation === Operation.SquareRoot ? squareRoot(y, SINGLE, sse) : arithmetic(operation, unpackSingle(a, sse.denormalsAreZero), y, SINGLE),
  );
}

const isSelection = (operation: Operation): boolean => operation === Operation.Minimum || operation === Operation.Maximum;

function arithmetic(operation: Operation, a: Float, b: Float, precision: Precision): Float {
  switch (operation) {
    case Operation.Add:
      return add(a, b, precision, sse);
    case Operation.Subtract:
      return subtract(a, b, precision, sse);
    case Operation.Multiply:
      return multiply(a, b, precision, sse);
    default:
      return divide(a, b, precision, sse);
  }
}

/** MIN and MAX; undefined: the second operand, a NaN, as it is. */
function selected(operation: Operation, a: Float, b: Float): Float | undefined {
  if (a.kind >= Kind.QuietNaN || b.kind >= Kind.QuietNaN) {
    sse.raise(Exception.IE);
    return b.kind >= Kind.QuietNaN ? undefined : b;
  }
  denormalOperand(a, b, sse);
  return order(a, b) === (operation === Operation.Minimum ? Order.Less : Order.Greater) ? a : b;
}

/** The binary64 in words[at] and the next. */
export const doubleAt = (at: number): Float => unpackDouble(words[at], words[at + 1], sse.denormalsAreZero);
export const singleAt = (at: number): Float => unpackSingle(words[at], sse.denormalsAreZero);

export function putDouble(i: number, bits: bigint): void {
  words[D + 2 * i] = Number(bits & 0xffff_ffffn);
  words[D + 2 * i + 1] = Number(bits >> 32n);
}

/** Order of elements i of the operands. `signaling`: a quiet NaN is invalid too. */
export function compareDouble(i: number, signaling: boolean): Order {
  const [a, b] = [A + 2 * i, B + 2 * i];
  if (ordinaryDouble(words[a], words[a + 1]) && ordinaryDouble(words[b], words[b + 1])) return orderOf(doubles[a / 2], doubles[b / 2]);
  return compare(doubleAt(a), doubleAt(b), signaling, sse);
}

export function compareSingle(i: number, signaling: boolean): Order {
  if (ordinarySingle(words[A + i]) && ordinarySingle(words[B + i])) return orderOf(singles[A + i], singles[B + i]);
  return compare(singleAt(A + i), singleAt(B + i), signaling, sse);
}

const orderOf = (x: number, y: number): Order => (x < y ? Order.Less : x > y ? Order.Greater : Order.Equal);

/** The binary64 / binary32 at words[at] as a number when it is zero or normal, else undefined. */
export function ordinaryDoubleAt(at: number): number | undefined {
  return ordinaryDouble(words[at], words[at + 1]) ? doubles[at >>> 1] : undefined;
}
export function ordinarySingleAt(at: number): number | undefined {
  return ordinarySingle(words[at]) ? singles[at] : undefined;
}
/** A result of the same size whose rounding neither overflow nor tininess can have touched. */
export const isSafeSingle = (x: number): boolean => x === 0 || (Math.abs(x) >= SINGLE_SAFE_MIN && Math.abs(x) <= SINGLE_SAFE_MAX);
