/**
 * SSE and SSE2 instructions without floating-point arithmetic: moves, logic, integers, shuffles. Each is one or a few WebAssembly
 * vector instructions; `op` and `form` say all about its sizes. 128-bit memory operands must be aligned except for MOVU*.
 */
import type { Definition } from './definition';
import type { Stage } from '../stage/stage';
import { I32, V128, add, and, c32, c64, gtu, load16u, load32, load64, select, shl, shr, simd, wrap, zext, type Value, type ValueType } from '../stage/wasm';

/** Numbers of vector instructions in the WebAssembly specification. */
const Wasm = {
  constant: 0x0c, shuffle: 0x0d, swizzle: 0x0e, splat8: 0x0f, splat16: 0x10, splat32: 0x11, splat64: 0x12,
  replace16: 0x1a, replace32: 0x1c, replace64: 0x1e, andnot: 0x4f, and: 0x4e, or: 0x50, xor: 0x51, bitmask8: 0x64, bitmask32: 0xa4, bitmask64: 0xc4,
} as const;

const vector = (opcode: number, ...operands: Value[]): Value => simd(opcode, V128, operands);
const lanes = (opcode: number, operands: readonly Value[], ...bytes: number[]): Value => simd(opcode, V128, operands, bytes);
const constant = (...bytes: number[]): Value => simd(Wasm.constant, V128, [], bytes);
const ZERO = constant(...new Array<number>(16).fill(0));
const IOTA = constant(...Array.from({ length: 16 }, (_v, i) => i));
const shuffle = (a: Value, b: Value, ...bytes: number[]): Value => lanes(Wasm.shuffle, [a, b], ...bytes);

const define = (op: string, forms: readonly string[], semantics: (e: Stage) => void): Definition => ({
  op, forms, sizes: [128], anySize: true, keepsFlags: true,
  semantics: (e) => {
    e.checkSse();
    semantics(e);
  },
});
const inMemory = (e: Stage): boolean => e.spec.form.includes('m');
const put = (e: Stage, v: Value, bits: number, offset = 0): void => {
  const bound = e.let(v);
  e.onCommit(() => e.storeSized(e.vectorHost('dst'), bound, bits, offset));
};
/** dst = combine(dst, src), both 128 bits. */
const binary = (op: string, combine: (a: Value, b: Value, e: Stage) => Value): Definition =>
  define(op, ['xx', 'xm'], (e) => {
    const b = e.let(e.loadSized(e.vectorSource(128, true), 128));
    const a = e.let(e.loadSized(e.vectorHost('dst'), 128));
    put(e, combine(a, b, e), 128);
  });
const simple = (op: string, opcode: number): Definition => binary(op, (a, b) => vector(opcode, a, b));

/** Whole-register moves. */
const move128 = (op: string, aligned: boolean): Definition =>
  define(op, ['xx', 'xm', 'mx'], (e) => {
    if (e.spec.form === 'mx') {
      const v = e.let(e.loadSized(e.vectorHost('src'), 128));
      return e.storeSized(e.vectorDestination(128, aligned), v, 128);
    }
    put(e, e.loadSized(e.vectorSource(128, aligned), 128), 128);
  });
/** Non-temporal stores. */
const store128 = (op: string): Definition =>
  define(op, ['mx'], (e) => {
    const v = e.let(e.loadSized(e.vectorHost('src'), 128));
    e.storeSized(e.vectorDestination(128, true), v, 128);
  });
/** Moves of the low 32 or 64 bits; loads from memory clear the rest, and so do register moves if `clears`. */
const moveLow = (op: string, bits: 32 | 64, clears: boolean): Definition =>
  define(op, ['xx', 'xm', 'mx'], (e) => {
    if (e.spec.form === 'mx') {
      const v = e.let(e.loadSized(e.vectorHost('src'), bits));
      return e.storeSized(e.vectorDestination(bits, false), v, bits);
    }
    const v = e.let(e.loadSized(e.vectorSource(bits, false), bits));
    if (inMemory(e) || clears) {
      put(e, c64(0), 64, 8);
      put(e, bits === 32 ? zext(v) : v, 64);
    } else put(e, v, bits);
  });
/** Moves of one half between memory and register. */
const moveHalf = (op: string, high: boolean): Definition =>
  define(op, ['xm', 'mx'], (e) => {
    const offset = high ? 8 : 0;
    if (e.spec.form === 'mx') {
      const v = e.let(e.loadSized(e.vectorHost('src'), 64, offset));
      return e.storeSized(e.vectorDestination(64, false), v, 64);
    }
    put(e, e.loadSized(e.vectorSource(64, false), 64), 64, offset);
  });

/** Shift of lanes by a count; at or beyond the width everything is shifted out (arithmetic shifts: sign bits remain). */
function shiftLanes(op: string, opcode: number, width: number, arithmetic: boolean): Definition {
  return define(op, ['xx', 'xm', 'xi'], (e) => {
    const count = e.spec.form === 'xi' ? e.let(and(e.immediate64(), c64(0xff))) : e.let(e.loadSized(e.vectorSource(128, true), 64));
    const beyond = e.let(gtu(count, c64(width - 1)));
    const a = e.let(e.loadSized(e.vectorHost('dst'), 128));
    if (arithmetic) return put(e, vector(opcode, a, select(c32(width - 1), wrap(count), beyond)), 128);
    put(e, select(ZERO, vector(opcode, a, wrap(count)), beyond), 128);
  });
}
/** Shift of the whole register by bytes. */
const shiftBytes = (op: string, left: boolean): Definition =>
  define(op, ['xi'], (e) => {
    const n = e.let(and(wrap(e.immediate64()), c32(0xff)));
    const count = simd(Wasm.splat8, V128, [select(c32(16), n, gtu(n, c32(15)))]);
    // Lane numbers outside 0-15 deliver zero.
    put(e, vector(Wasm.swizzle, e.loadSized(e.vectorHost('dst'), 128), vector(left ? 0x71 : 0x6e, IOTA, count)), 128);
  });

const interleave = (bytes: number, high: boolean): number[] => {
  const out: number[] = [];
  for (let i = high ? 8 / bytes : 0; out.length < 16; i++) {
    for (let k = 0; k < bytes; k++) out.push(i * bytes + k);
    for (let k = 0; k < bytes; k++) out.push(16 + i * bytes + k);
  }
  return out;
};
const unpack = (op: string, bytes: number, high: boolean): Definition => binary(op, (a, b) => shuffle(a, b, ...interleave(bytes, high)));

/** Field `i` (2 bits) of the control byte, times the element size. */
const selector = (e: Stage, i: number, shift: number): Value => shl(and(shr(wrap(e.immediate64()), c32(2 * i)), c32(3)), c32(shift));
/** Four elements picked at run time from the memory image of operands. */
const shuffle32 = (op: string, fromDestination: number): Definition =>
  define(op, ['xxi', 'xmi'], (e) => {
    const source = e.vectorSource(128, true);
    const own = e.let(e.vectorHost('dst'));
    let v: Value | undefined;
    for (let i = 0; i < 4; i++) {
      const element = load32(add(i < fromDestination ? own : source, selector(e, i, 2)));
      v = e.let(v === undefined ? simd(Wasm.splat32, V128, [element]) : lanes(Wasm.replace32, [v, element], i));
    }
    put(e, v!, 128);
  });
/** Four words of one half picked at run time; the other half is copied. */
const shuffle16 = (op: string, high: boolean): Definition =>
  define(op, ['xxi', 'xmi'], (e) => {
    const source = e.vectorSource(128, true);
    let v = e.let(e.loadSized(source, 128));
    const first = high ? 4 : 0;
    for (let i = 0; i < 4; i++) v = e.let(lanes(Wasm.replace16, [v, load16u(add(source, selector(e, i, 1)), first * 2)], first + i));
    put(e, v, 128);
  });

/** Upper halves of 16-bit products. */
const highProduct = (op: string, low: number, high: number): Definition =>
  binary(op, (a, b) => shuffle(vector(low, a, b), vector(high, a, b), 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31));
const evenLanes = (v: Value): Value => shuffle(v, v, 0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11);

const mask = (op: string, opcode: number): Definition =>
  define(op, ['rx'], (e) => {
    const bits = e.let(simd(opcode, I32 as ValueType, [e.loadSized(e.vectorHost('src'), 128)]));
    e.setRegister('dst', bits, 32);
  });

/** GPR to the low element (the rest is cleared) and back. */
const general = (op: string, bits: 32 | 64): Definition =>
  define(op, ['xr', 'rx'], (e) => {
    if (e.spec.form === 'rx') return e.setRegister('dst', e.loadSized(e.vectorHost('src'), bits), bits);
    const v = e.let(e.readRegister('src', bits));
    put(e, bits === 32 ? zext(v) : v, 64);
    put(e, c64(0), 64, 8);
  });
const merge = (...parts: Definition[]): Definition => {
  const byForm = new Map(parts.flatMap((p) => p.forms.map((f) => [f, p] as const)));
  return { ...parts[0], forms: [...byForm.keys()], semantics: (e) => byForm.get(e.spec.form)!.semantics(e) };
};
const insertWord = define('PINSRW', ['xri', 'xmi'], (e) => {
  const v = e.let(inMemory(e) ? e.loadSized(e.vectorSource(16, false), 16) : e.readRegister('src', 16));
  const at = e.let(shl(and(wrap(e.immediate64()), c32(7)), c32(1)));
  e.onCommit(() => e.f.store16(add(e.vectorHost('dst'), at), v));
});
const extractWord = define('PEXTRW', ['rxi'], (e) => e.setRegister('dst', load16u(add(e.vectorHost('src'), shl(and(wrap(e.immediate64()), c32(7)), c32(1)))), 32));

const sumOfDifferences = binary('PSADBW', (a, b, e) => {
  const bytes = vector(0x71, vector(0x79, a, b), vector(0x77, a, b));
  const sums = e.let(vector(0x7f, vector(0x7d, bytes)));
  const both = vector(0xae, sums, shuffle(sums, sums, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  return vector(Wasm.and, both, constant(255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0));
});

export const SSE_INTEGER: readonly Definition[] = [
  ...['MOVAPS', 'MOVAPD', 'MOVDQA'].map((op) => move128(op, true)),
  ...['MOVUPS', 'MOVUPD', 'MOVDQU'].map((op) => move128(op, false)),
  ...['MOVNTPS', 'MOVNTPD', 'MOVNTDQ'].map(store128),
  moveLow('MOVSS', 32, false),
  moveLow('MOVSD_SSE', 64, false),
  merge(moveLow('MOVQ', 64, true), general('MOVQ', 64)),
  merge(general('MOVD', 32), { ...moveLow('MOVD', 32, true), forms: ['xm', 'mx'] }),
  moveHalf('MOVLPS', false),
  moveHalf('MOVLPD', false),
  moveHalf('MOVHPS', true),
  moveHalf('MOVHPD', true),
  define('MOVHLPS', ['xx'], (e) => put(e, load64(e.vectorHost('src'), 8), 64)),
  define('MOVLHPS', ['xx'], (e) => put(e, load64(e.vectorHost('src')), 64, 8)),
  mask('PMOVMSKB', Wasm.bitmask8),
  mask('MOVMSKPS', Wasm.bitmask32),
  mask('MOVMSKPD', Wasm.bitmask64),
  // Logic.
  ...['PAND', 'ANDPS', 'ANDPD'].map((op) => simple(op, Wasm.and)),
  ...['POR', 'ORPS', 'ORPD'].map((op) => simple(op, Wasm.or)),
  ...['PXOR', 'XORPS', 'XORPD'].map((op) => simple(op, Wasm.xor)),
  ...['PANDN', 'ANDNPS', 'ANDNPD'].map((op) => binary(op, (a, b) => vector(Wasm.andnot, b, a))),
  // Integers.
  simple('PADDB', 0x6e), simple('PADDW', 0x8e), simple('PADDD', 0xae), simple('PADDQ', 0xce),
  simple('PSUBB', 0x71), simple('PSUBW', 0x91), simple('PSUBD', 0xb1), simple('PSUBQ', 0xd1),
  simple('PADDSB', 0x6f), simple('PADDUSB', 0x70), simple('PADDSW', 0x8f), simple('PADDUSW', 0x90),
  simple('PSUBSB', 0x72), simple('PSUBUSB', 0x73), simple('PSUBSW', 0x92), simple('PSUBUSW', 0x93),
  simple('PMINUB', 0x77), simple('PMAXUB', 0x79), simple('PMINSW', 0x96), simple('PMAXSW', 0x98),
  simple('PAVGB', 0x7b), simple('PAVGW', 0x9b),
  simple('PCMPEQB', 0x23), simple('PCMPEQW', 0x2d), simple('PCMPEQD', 0x37),
  simple('PCMPGTB', 0x27), simple('PCMPGTW', 0x31), simple('PCMPGTD', 0x3b),
  simple('PMULLW', 0x95), simple('PMADDWD', 0xba),
  highProduct('PMULHW', 0xbc, 0xbd), highProduct('PMULHUW', 0xbe, 0xbf),
  binary('PMULUDQ', (a, b) => vector(0xde, evenLanes(a), evenLanes(b))),
  sumOfDifferences,
  simple('PACKSSWB', 0x65), simple('PACKUSWB', 0x66), simple('PACKSSDW', 0x85),
  // Shifts.
  shiftLanes('PSLLW', 0x8b, 16, false), shiftLanes('PSLLD', 0xab, 32, false), shiftLanes('PSLLQ', 0xcb, 64, false),
  shiftLanes('PSRLW', 0x8d, 16, false), shiftLanes('PSRLD', 0xad, 32, false), shiftLanes('PSRLQ', 0xcd, 64, false),
  shiftLanes('PSRAW', 0x8c, 16, true), shiftLanes('PSRAD', 0xac, 32, true),
  shiftBytes('PSLLDQ', true), shiftBytes('PSRLDQ', false),
  // Shuffles.
  unpack('PUNPCKLBW', 1, false), unpack('PUNPCKLWD', 2, false), unpack('PUNPCKLDQ', 4, false), unpack('PUNPCKLQDQ', 8, false),
  unpack('PUNPCKHBW', 1, true), unpack('PUNPCKHWD', 2, true), unpack('PUNPCKHDQ', 4, true), unpack('PUNPCKHQDQ', 8, true),
  unpack('UNPCKLPS', 4, false), unpack('UNPCKHPS', 4, true), unpack('UNPCKLPD', 8, false), unpack('UNPCKHPD', 8, true),
  shuffle32('PSHUFD', 0), shuffle32('SHUFPS', 2), shuffle16('PSHUFLW', false), shuffle16('PSHUFHW', true),
  define('SHUFPD', ['xxi', 'xmi'], (e) => {
    const source = e.vectorSource(128, true);
    const pick = (i: number): Value => shl(and(shr(wrap(e.immediate64()), c32(i)), c32(1)), c32(3));
    const low = e.let(load64(add(e.vectorHost('dst'), pick(0))));
    put(e, load64(add(source, pick(1))), 64, 8);
    put(e, low, 64);
  }),
  insertWord,
  extractWord,
];
