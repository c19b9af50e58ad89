/**
 * What definitions of vector instructions have in common. The letters of a form say which registers take part: x is XMM (128 bits), q is MMX
 * (64 bits, handled as a v128 whose upper half is zero on reading and ignored on writing).
 */
import type { Definition } from './definition';
import type { Stage } from '../stage/stage';
import { extract64, replace64, vector, type VectorOp } from '../stage/vector';
import { and, c32, load128, load32Zero, load64, load64Zero, wrap, type Value } from '../stage/wasm';

export type Bits = 32 | 64 | 128;

const usesMmx = (e: Stage): boolean => e.spec.form.includes('q');
/** Width of the registers of the instruction. */
export const vectorBits = (e: Stage): 64 | 128 => (usesMmx(e) ? 64 : 128);
export const inMemory = (e: Stage): boolean => e.spec.form.includes('m');

/**
 * An instruction on vector registers: `op` and `form` say all about its operands.
 * DEVIATION: outside 64-bit mode a memory operand beyond its segment's limit hides #UD and #NM of an unavailable instruction.
 */
export const vectorInstruction = (op: string, forms: readonly string[], semantics: (e: Stage) => void, feature?: string): Definition => ({
  op,
  forms,
  sizes: [128],
  anySize: true,
  keepsFlags: true,
  feature,
  semantics: (e) => {
    if (e.spec.form.includes('x')) e.checkSse();
    if (usesMmx(e)) e.enterMmx();
    semantics(e);
  },
});

const loadVector = (host: Value, bits: Bits): Value => (bits === 128 ? load128(host) : bits === 64 ? load64Zero(host) : load32Zero(host));

/** The last operand that is not an immediate, zeros above `bits`: any register or memory. 16 bytes in memory must be aligned unless told otherwise. */
export const source = (e: Stage, bits: Bits = vectorBits(e), aligned = bits === 128): Value => e.let(loadVector(e.vectorSource(bits, aligned), bits));
/** The first operand, a vector register, before the instruction. */
export const destination = (e: Stage): Value => e.let(loadVector(e.vectorHost('dst'), vectorBits(e)));

/** Writes the first operand, a vector register, on commit. */
export function put(e: Stage, value: Value): void {
  const v = e.let(value);
  if (e.spec.form[0] === 'q') e.setMmx('dst', extract64(v, 0));
  else e.onCommit(() => e.f.store128(e.vectorHost('dst'), v));
}
/** Replaces one half of the first operand, an XMM register: in one piece, because a later load of all of it would wait for two stores. */
export const putHalf = (e: Stage, lane: 0 | 1, half: Value): void => put(e, replace64(destination(e), lane, half));
/** One half of the second operand, an XMM register, as an i64. */
export const sourceHalf = (e: Stage, lane: 0 | 1): Value => e.let(load64(e.vectorHost('src'), lane * 8));

/** The control byte as an i32. */
export const controlByte = (e: Stage): Value => e.let(and(wrap(e.immediate64()), c32(0xff)));

type Combine = (a: Value, b: Value, e: Stage) => Value;
const semanticsOf =
  (combine: Combine) =>
  (e: Stage): void => {
    const b = source(e);
    put(e, combine(destination(e), b, e));
  };
/** destination = combine(destination, source) on whole XMM registers. */
export const xmmBinary = (op: string, combine: Combine, feature?: string): Definition => vectorInstruction(op, ['xx', 'xm'], semanticsOf(combine), feature);
/** The same for XMM and MMX registers. */
export const binary = (op: string, combine: Combine, feature?: string): Definition =>
  vectorInstruction(op, ['xx', 'xm', 'qq', 'qm'], semanticsOf(combine), feature);
/** One WebAssembly instruction that is the same in each lane, so the upper half of an MMX operand does not matter. */
export const lanewise = (op: string, name: VectorOp, feature?: string): Definition => binary(op, (a, b) => vector(name, a, b), feature);
