/** WebAssembly Core Specification, "Vector Instructions", by the names that the specification gives them. */
import { F64, I32, I64, V128, simd, type Value } from './wasm';

/** Opcodes behind the vector prefix, of instructions that deliver a v128 and have no immediate operand. */
const OPCODES = {
  'i8x16.swizzle': 14,
  'i8x16.splat': 15,
  'i16x8.splat': 16,
  'i32x4.splat': 17,
  'i64x2.splat': 18,

  'i8x16.eq': 35,
  'i8x16.gt_s': 39,
  'i16x8.eq': 45,
  'i16x8.gt_s': 49,
  'i32x4.eq': 55,
  'i32x4.gt_s': 59,
  'i64x2.eq': 214,
  'i64x2.gt_s': 217,

  'v128.not': 77,
  'v128.and': 78,
  'v128.andnot': 79,
  'v128.or': 80,
  'v128.xor': 81,
  'v128.bitselect': 82,

  'i8x16.abs': 96,
  'i8x16.neg': 97,
  'i8x16.narrow_i16x8_s': 101,
  'i8x16.narrow_i16x8_u': 102,
  'i8x16.shr_s': 108,
  'i8x16.add': 110,
  'i8x16.add_sat_s': 111,
  'i8x16.add_sat_u': 112,
  'i8x16.sub': 113,
  'i8x16.sub_sat_s': 114,
  'i8x16.sub_sat_u': 115,
  'i8x16.min_s': 118,
  'i8x16.min_u': 119,
  'i8x16.max_s': 120,
  'i8x16.max_u': 121,
  'i8x16.avgr_u': 123,

  'i16x8.extadd_pairwise_i8x16_u': 125,
  'i16x8.abs': 128,
  'i16x8.neg': 129,
  'i16x8.narrow_i32x4_s': 133,
  'i16x8.narrow_i32x4_u': 134,
  'i16x8.extend_low_i8x16_s': 135,
  'i16x8.extend_low_i8x16_u': 137,
  'i16x8.shl': 139,
  'i16x8.shr_s': 140,
  'i16x8.shr_u': 141,
  'i16x8.add': 142,
  'i16x8.add_sat_s': 143,
  'i16x8.add_sat_u': 144,
  'i16x8.sub': 145,
  'i16x8.sub_sat_s': 146,
  'i16x8.sub_sat_u': 147,
  'i16x8.mul': 149,
  'i16x8.min_s': 150,
  'i16x8.min_u': 151,
  'i16x8.max_s': 152,
  'i16x8.max_u': 153,
  'i16x8.avgr_u': 155,

  'i32x4.extadd_pairwise_i16x8_u': 127,
  'i32x4.abs': 160,
  'i32x4.neg': 161,
  'i32x4.extend_low_i16x8_s': 167,
  'i32x4.extend_low_i16x8_u': 169,
  'i32x4.shl': 171,
  'i32x4.shr_s': 172,
  'i32x4.shr_u': 173,
  'i32x4.add': 174,
  'i32x4.sub': 177,
  'i32x4.mul': 181,
  'i32x4.min_s': 182,
  'i32x4.min_u': 183,
  'i32x4.max_s': 184,
  'i32x4.max_u': 185,
  'i32x4.dot_i16x8_s': 186,
  'i32x4.extmul_low_i16x8_s': 188,
  'i32x4.extmul_high_i16x8_s': 189,
  'i32x4.extmul_low_i16x8_u': 190,
  'i32x4.extmul_high_i16x8_u': 191,

  'i64x2.extend_low_i32x4_s': 199,
  'i64x2.extend_low_i32x4_u': 201,
  'i64x2.shl': 203,
  'i64x2.shr_s': 204,
  'i64x2.shr_u': 205,
  'i64x2.add': 206,
  'i64x2.sub': 209,
  'i64x2.extmul_low_i32x4_s': 220,
  'i64x2.extmul_low_i32x4_u': 222,

  'f32x4.eq': 65,
  'f32x4.lt': 67,
  'f32x4.le': 69,
  'f32x4.ge': 70,
  'f64x2.eq': 71,
  'f64x2.lt': 73,
  'f64x2.le': 75,
  'f64x2.ge': 76,
  'f32x4.abs': 224,
  'f32x4.sqrt': 227,
  'f32x4.add': 228,
  'f32x4.sub': 229,
  'f32x4.mul': 230,
  'f32x4.div': 231,
  'f32x4.pmin': 234,
  'f32x4.pmax': 235,
  'f64x2.abs': 236,
  'f64x2.sqrt': 239,
  'f64x2.add': 240,
  'f64x2.sub': 241,
  'f64x2.mul': 242,
  'f64x2.div': 243,
  'f64x2.pmin': 246,
  'f64x2.pmax': 247,
  'f32x4.demote_f64x2_zero': 94,
  'f64x2.promote_low_f32x4': 95,
  'i32x4.trunc_sat_f64x2_s_zero': 252,
  'f64x2.convert_low_i32x4_s': 254,
} as const;
export type VectorOp = keyof typeof OPCODES;

export const vector = (op: VectorOp, ...operands: Value[]): Value => simd(OPCODES[op], V128, operands);

/** i8x16.shuffle: 0-15 are the bytes of `a`, 16-31 those of `b`. Missing indexes select byte 0 of `a`. */
export const shuffle = (a: Value, b: Value, bytes: readonly number[]): Value =>
  simd(13, V128, [a, b], [...bytes, ...new Array<number>(16 - bytes.length).fill(0)]);

export const constBytes = (bytes: readonly number[]): Value => simd(12, V128, [], bytes);
export const constWords = (words: readonly number[]): Value => constBytes(words.flatMap((w) => [w & 0xff, (w >> 8) & 0xff]));
export const ZERO = constBytes(new Array<number>(16).fill(0));

export const extract64 = (v: Value, lane: number): Value => simd(29, I64, [v], [lane]);
export const replace64 = (v: Value, lane: number, element: Value): Value => simd(30, V128, [v, element], [lane]);
export const replace32 = (v: Value, lane: number, element: Value): Value => simd(28, V128, [v, element], [lane]);

/** A lane as an i32, as an f64. */
export const extract32 = (v: Value, lane: number): Value => simd(27, I32, [v], [lane]);
export const extractDouble = (v: Value): Value => simd(33, F64, [v], [0]);
/** An f64 in both lanes. */
export const splatDouble = (x: Value): Value => simd(20, V128, [x]);

/** Top bits of the lanes as an i32. */
export const bitmask = (lanes: 'i8x16' | 'i32x4' | 'i64x2', v: Value): Value => simd({ i8x16: 100, i32x4: 164, i64x2: 196 }[lanes], I32, [v]);
/** 1 if no lane is zero, as an i32. */
export const allTrue = (lanes: 'i32x4' | 'i64x2', v: Value): Value => simd({ i32x4: 163, i64x2: 195 }[lanes], I32, [v]);
/** 1 if any bit is set, as an i32. */
export const anyTrue = (v: Value): Value => simd(83, I32, [v]);
