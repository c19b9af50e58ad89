/** Logic, arithmetic and comparison of packed integers in XMM and MMX registers; logic of packed floats. */
import type { Definition } from './definition';
import { binary, lanewise, xmmBinary } from './sse-operands';
import { constBytes, shuffle, vector, type VectorOp } from '../stage/vector';
import { c32, type Value } from '../stage/wasm';

const andNot = (a: Value, b: Value): Value => vector('v128.andnot', b, a);

/** The upper halves of the 32-bit products of words. */
const highProduct = (op: string, sign: 's' | 'u'): Definition =>
  binary(op, (a, b) => {
    const odd = [2, 3, 6, 7, 10, 11, 14, 15];
    return shuffle(vector(`i32x4.extmul_low_i16x8_${sign}`, a, b), vector(`i32x4.extmul_high_i16x8_${sign}`, a, b), [...odd, ...odd.map((n) => n + 16)]);
  });

/** Doublewords 0 and 2 to where an extending multiplication takes its operands. */
const evenDoublewords = (v: Value): Value => shuffle(v, v, [0, 1, 2, 3, 8, 9, 10, 11]);
const LOW_DOUBLEWORDS = constBytes([255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0]);

/** Sums of eight absolute differences, each in a quadword. */
const sumOfDifferences = binary('PSADBW', (a, b, e) => {
  const difference = vector('i8x16.sub', vector('i8x16.max_u', a, b), vector('i8x16.min_u', a, b));
  const sums = e.let(vector('i32x4.extadd_pairwise_i16x8_u', vector('i16x8.extadd_pairwise_i8x16_u', difference)));
  return vector('v128.and', vector('i32x4.add', sums, vector('i64x2.shr_u', sums, c32(32))), LOW_DOUBLEWORDS);
});

/**
 * Two vectors to one with lanes of half the size. The result of an MMX instruction is narrowed from both operands side by side.
 */
const pack = (op: string, name: VectorOp): Definition =>
  binary(op, (a, b, e) => {
    if (e.spec.form[0] === 'x') return vector(name, a, b);
    const both = e.let(vector('i64x2.add', a, shuffle(b, b, [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7])));
    return vector(name, both, both);
  });

export const SSE_INTEGER: readonly Definition[] = [
  lanewise('PAND', 'v128.and'),
  lanewise('POR', 'v128.or'),
  lanewise('PXOR', 'v128.xor'),
  binary('PANDN', andNot),
  ...['ANDPS', 'ANDPD'].map((op) => xmmBinary(op, (a, b) => vector('v128.and', a, b))),
  ...['ORPS', 'ORPD'].map((op) => xmmBinary(op, (a, b) => vector('v128.or', a, b))),
  ...['XORPS', 'XORPD'].map((op) => xmmBinary(op, (a, b) => vector('v128.xor', a, b))),
  ...['ANDNPS', 'ANDNPD'].map((op) => xmmBinary(op, andNot)),

  lanewise('PADDB', 'i8x16.add'),
  lanewise('PADDW', 'i16x8.add'),
  lanewise('PADDD', 'i32x4.add'),
  lanewise('PADDQ', 'i64x2.add'),
  lanewise('PADDSB', 'i8x16.add_sat_s'),
  lanewise('PADDSW', 'i16x8.add_sat_s'),
  lanewise('PADDUSB', 'i8x16.add_sat_u'),
  lanewise('PADDUSW', 'i16x8.add_sat_u'),
  lanewise('PSUBB', 'i8x16.sub'),
  lanewise('PSUBW', 'i16x8.sub'),
  lanewise('PSUBD', 'i32x4.sub'),
  lanewise('PSUBQ', 'i64x2.sub'),
  lanewise('PSUBSB', 'i8x16.sub_sat_s'),
  lanewise('PSUBSW', 'i16x8.sub_sat_s'),
  lanewise('PSUBUSB', 'i8x16.sub_sat_u'),
  lanewise('PSUBUSW', 'i16x8.sub_sat_u'),
  lanewise('PMINUB', 'i8x16.min_u'),
  lanewise('PMINSW', 'i16x8.min_s'),
  lanewise('PMAXUB', 'i8x16.max_u'),
  lanewise('PMAXSW', 'i16x8.max_s'),
  lanewise('PAVGB', 'i8x16.avgr_u'),
  lanewise('PAVGW', 'i16x8.avgr_u'),
  lanewise('PCMPEQB', 'i8x16.eq'),
  lanewise('PCMPEQW', 'i16x8.eq'),
  lanewise('PCMPEQD', 'i32x4.eq'),
  lanewise('PCMPGTB', 'i8x16.gt_s'),
  lanewise('PCMPGTW', 'i16x8.gt_s'),
  lanewise('PCMPGTD', 'i32x4.gt_s'),

  lanewise('PMULLW', 'i16x8.mul'),
  lanewise('PMADDWD', 'i32x4.dot_i16x8_s'),
  highProduct('PMULHW', 's'),
  highProduct('PMULHUW', 'u'),
  binary('PMULUDQ', (a, b) => vector('i64x2.extmul_low_i32x4_u', evenDoublewords(a), evenDoublewords(b))),
  sumOfDifferences,

  pack('PACKSSWB', 'i8x16.narrow_i16x8_s'),
  pack('PACKUSWB', 'i8x16.narrow_i16x8_u'),
  pack('PACKSSDW', 'i16x8.narrow_i32x4_s'),
];
