/** Shuffles, unpacking, and single words of XMM and MMX registers. */
import type { Definition } from './definition';
import { controlByte, destination, inMemory, put, source, vectorBits, vectorInstruction, xmmBinary } from './sse-operands';
import type { Stage } from '../stage/stage';
import { constWords, shuffle, vector } from '../stage/vector';
import { add, and, c32, load16u, shl, type Value } from '../stage/wasm';

// ---- by a control byte ----

/** How the control byte selects the source of each destination word; fields are `width` bits wide. */
interface Selection {
  readonly width: 1 | 2;
  /** For each destination word the control field that governs it, or -1: the word stays in place. */
  readonly fields: readonly number[];
  /** Bytes in an element. */
  readonly bytes: 2 | 4 | 8;
  /** Byte offset of element 0. */
  readonly from?: number;
}

/**
 * Byte numbers for i8x16.swizzle from a control byte known at run time. All words at once: multiplying the byte moves each word's field to
 * the same place; the field times the element size, plus the offset of the word in its element, is the number of a byte.
 */
function byteNumbers(e: Stage, s: Selection): Value {
  const top = s.width === 2 ? 3 : 1;
  const per = (field: (f: number, word: number) => number): Value => constWords(s.fields.map(field));
  const aligned = vector(
    'i16x8.mul',
    vector('i16x8.splat', controlByte(e)),
    per((f) => (f < 0 ? 0 : 1 << (s.width * (top - f)))),
  );
  const field = vector('v128.and', vector('i16x8.shr_u', aligned, c32(s.width * top)), constWords(s.fields.map(() => (1 << s.width) - 1)));
  const first = (f: number, word: number): number => (f < 0 ? word * 2 : (s.from ?? 0) + ((word * 2) % s.bytes));
  return vector(
    'i16x8.add',
    vector('i16x8.mul', field, constWords(s.fields.map(() => s.bytes * 0x0101))),
    per((f, w) => first(f, w) * 0x0101 + 0x0100),
  );
}

const DOUBLEWORDS: Selection = { width: 2, fields: [0, 0, 1, 1, 2, 2, 3, 3], bytes: 4 };
const QUADWORDS: Selection = { width: 1, fields: [0, 0, 0, 0, 1, 1, 1, 1], bytes: 8 };
const LOW_WORDS: Selection = { width: 2, fields: [0, 1, 2, 3, -1, -1, -1, -1], bytes: 2 };
const HIGH_WORDS: Selection = { width: 2, fields: [-1, -1, -1, -1, 0, 1, 2, 3], bytes: 2, from: 8 };

const permute = (op: string, forms: readonly string[], selection: Selection): Definition =>
  vectorInstruction(op, forms, (e) => put(e, vector('i8x16.swizzle', source(e), byteNumbers(e, selection))));

const BOTH_LOW_AND_HIGH = [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31];
/** The lower half of the result is selected from the destination, the upper from the source. */
const permuteTwo = (op: string, selection: Selection): Definition =>
  vectorInstruction(op, ['xxi', 'xmi'], (e) => {
    const b = source(e);
    const numbers = e.let(byteNumbers(e, selection));
    put(e, shuffle(vector('i8x16.swizzle', destination(e), numbers), vector('i8x16.swizzle', b, numbers), BOTH_LOW_AND_HIGH));
  });

// ---- unpack ----

/** Elements of `bytes` bytes of one half of both operands, alternating. */
function interleaved(registerBytes: number, bytes: number, high: boolean): readonly number[] {
  const first = high ? registerBytes / 2 : 0;
  const element = (from: number): number[] => Array.from({ length: bytes }, (_, k) => from + k);
  return Array.from({ length: registerBytes / 2 / bytes }, (_, i) => [...element(first + i * bytes), ...element(16 + first + i * bytes)]).flat();
}
const unpack = (op: string, bytes: 1 | 2 | 4, high: boolean): Definition =>
  vectorInstruction(op, ['xx', 'xm', 'qq', 'qm'], (e) => {
    // The low MMX forms are the only ones that access less memory than they could.
    const b = e.spec.form === 'qm' && !high ? source(e, 32) : source(e);
    put(e, shuffle(destination(e), b, interleaved(vectorBits(e) / 8, bytes, high)));
  });
const unpackXmm = (op: string, bytes: 4 | 8, high: boolean): Definition => xmmBinary(op, (a, b) => shuffle(a, b, interleaved(16, bytes, high)));

// ---- words ----

/** The control byte modulo the number of words in a register. */
const wordNumber = (e: Stage): Value => and(controlByte(e), c32(vectorBits(e) / 16 - 1));
const WORD_NUMBERS = constWords([0, 1, 2, 3, 4, 5, 6, 7]);

const insertWord = vectorInstruction('PINSRW', ['xri', 'xmi', 'qri', 'qmi'], (e) => {
  const word = e.let(inMemory(e) ? load16u(e.vectorSource(16, false)) : e.readRegister('src', 16));
  const here = vector('i16x8.eq', vector('i16x8.splat', wordNumber(e)), WORD_NUMBERS);
  put(e, vector('v128.bitselect', vector('i16x8.splat', word), destination(e), here));
});
const extractWord = vectorInstruction('PEXTRW', ['rxi', 'rqi'], (e) => e.setRegister('dst', load16u(add(e.vectorHost('src'), shl(wordNumber(e), c32(1)))), 32));

export const SSE_SHUFFLE: readonly Definition[] = [
  permute('PSHUFD', ['xxi', 'xmi'], DOUBLEWORDS),
  permute('PSHUFLW', ['xxi', 'xmi'], LOW_WORDS),
  permute('PSHUFHW', ['xxi', 'xmi'], HIGH_WORDS),
  permute('PSHUFW', ['qqi', 'qmi'], LOW_WORDS),
  permuteTwo('SHUFPS', DOUBLEWORDS),
  permuteTwo('SHUFPD', QUADWORDS),

  unpack('PUNPCKLBW', 1, false),
  unpack('PUNPCKLWD', 2, false),
  unpack('PUNPCKLDQ', 4, false),
  unpack('PUNPCKHBW', 1, true),
  unpack('PUNPCKHWD', 2, true),
  unpack('PUNPCKHDQ', 4, true),
  unpackXmm('PUNPCKLQDQ', 8, false),
  unpackXmm('PUNPCKHQDQ', 8, true),
  unpackXmm('UNPCKLPS', 4, false),
  unpackXmm('UNPCKHPS', 4, true),
  unpackXmm('UNPCKLPD', 8, false),
  unpackXmm('UNPCKHPD', 8, true),

  insertWord,
  extractWord,
];
