/** Moves and shuffles that SSSE3 and SSE4.1 added: SDM volume 1, "SSSE3 Instructions" and "SSE4.1 Instructions". Other instructions of the two are not staged. */
import type { Definition } from './definition';
import { controlByte, destination, inMemory, put, source, vectorBits, vectorInstruction, xmmBinary, type Bits } from './sse-operands';
import type { Stage } from '../stage/stage';
import { ZERO, constBytes, shuffle, vector, type VectorOp } from '../stage/vector';
import { add, and, c32, ltu, select, shl, shr, sub, type Value } from '../stage/wasm';

const SSSE3 = 'ssse3';
const SSE41 = 'sse4.1';
const BYTE_NUMBERS = constBytes(Array.from({ length: 16 }, (_, i) => i));
const doublewords = (values: readonly number[]): Value => constBytes(values.flatMap((v) => [v, 0, 0, 0]));

// ---- bytes by number ----

/** A byte of the source selects a byte of the destination, or zero if its top bit is set. */
const shuffleBytes = vectorInstruction(
  'PSHUFB',
  ['xx', 'xm', 'qq', 'qm'],
  (e) => {
    const numbers = vector('v128.and', source(e), vector('i8x16.splat', c32(0x80 | (vectorBits(e) / 8 - 1))));
    put(e, vector('i8x16.swizzle', destination(e), numbers));
  },
  SSSE3,
);

/** Destination and source side by side, the source low, shifted right by bytes. i8x16.swizzle delivers zero for numbers beyond 15. */
const alignRight = vectorInstruction(
  'PALIGNR',
  ['xxi', 'xmi', 'qqi', 'qmi'],
  (e) => {
    const low = source(e);
    const high = destination(e);
    const n = controlByte(e);
    const numbers = (count: Value): Value => vector('i8x16.add', BYTE_NUMBERS, vector('i8x16.splat', count));
    const capped = e.let(select(n, c32(32), ltu(n, c32(32))));
    if (vectorBits(e) === 64) {
      const both = shuffle(low, high, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
      return put(e, vector('i8x16.swizzle', both, numbers(capped)));
    }
    put(e, vector('v128.or', vector('i8x16.swizzle', low, numbers(capped)), vector('i8x16.swizzle', high, numbers(sub(capped, c32(16))))));
  },
  SSSE3,
);

// ---- extension ----

/** PMOVSX, PMOVZX: the low `bits` of the source, each element widened by `steps`. */
function widen(type: string, bits: 16 | 32 | 64, steps: readonly string[]): readonly Definition[] {
  return (['s', 'u'] as const).map((sign) =>
    vectorInstruction(
      `PMOV${sign === 's' ? 'S' : 'Z'}X${type}`,
      ['xx', 'xm'],
      (e) => {
        // A 16-bit source is widened twice before its upper words could matter.
        const from = bits === 16 ? vector('i16x8.splat', e.loadSized(e.vectorSource(16, false), 16)) : source(e, bits as Bits);
        put(
          e,
          steps.reduce((v, step) => vector(`${step}_${sign}` as VectorOp, v), from),
        );
      },
      SSE41,
    ),
  );
}
const BYTES = 'i16x8.extend_low_i8x16';
const WORDS = 'i32x4.extend_low_i16x8';
const DOUBLEWORDS = 'i64x2.extend_low_i32x4';

// ---- single elements ----

/** Byte offset of the element that the control byte names, as i32. */
const elementOffset = (e: Stage, bytes: number): Value => shl(and(controlByte(e), c32(16 / bytes - 1)), c32(Math.log2(bytes)));

/** DEVIATION: PEXTRW to memory needs no SSE4.1, because features are looked up by mnemonic. */
const extract = (op: string, bits: 8 | 16 | 32 | 64, forms: readonly string[]): Definition =>
  vectorInstruction(
    op,
    forms,
    (e) => {
      const element = e.let(e.loadSized(add(e.vectorHost('src'), elementOffset(e, bits / 8)), bits));
      if (e.destinationInMemory) return e.storeSized(e.vectorDestination(bits, false), element, bits);
      e.setRegister('dst', element, Math.max(bits, 32));
    },
    op === 'PEXTRW' ? undefined : SSE41,
  );

const insert = (op: string, bits: 8 | 32 | 64, lanes: 'i8x16' | 'i32x4' | 'i64x2'): Definition =>
  vectorInstruction(
    op,
    ['xri', 'xmi'],
    (e) => {
      const element = e.let(inMemory(e) ? e.loadSized(e.vectorSource(bits, false), bits) : e.readRegister('src', bits));
      const number = shr(elementOffset(e, bits / 8), c32(Math.log2(bits / 8)));
      const numbers = bits === 8 ? BYTE_NUMBERS : bits === 32 ? doublewords([0, 1, 2, 3]) : doublewords([0, 0, 1, 0]);
      const here = vector(`${lanes}.eq`, vector(`${lanes}.splat`, bits === 64 ? e.toI64(number) : number), numbers);
      put(e, vector('v128.bitselect', vector(`${lanes}.splat`, element), destination(e), here));
    },
    SSE41,
  );

/** INSERTPS: control bits 7:6 select the source element of a register, 5:4 the destination element, 3:0 clear elements. */
const insertSingle = vectorInstruction(
  'INSERTPS',
  ['xxi', 'xmi'],
  (e) => {
    const host = e.vectorSource(32, false);
    const control = controlByte(e);
    const element = e.let(e.loadSized(inMemory(e) ? host : add(host, shl(shr(control, c32(6)), c32(2))), 32));
    const here = vector('i32x4.eq', vector('i32x4.splat', and(shr(control, c32(4)), c32(3))), doublewords([0, 1, 2, 3]));
    const kept = vector('i32x4.eq', vector('v128.and', vector('i32x4.splat', control), doublewords([1, 2, 4, 8])), ZERO);
    put(e, vector('v128.and', vector('v128.bitselect', vector('i32x4.splat', element), destination(e), here), kept));
  },
  SSE41,
);

export const SSE4_MOVE: readonly Definition[] = [
  shuffleBytes,
  alignRight,
  vectorInstruction('MOVNTDQA', ['xm'], (e) => put(e, source(e)), SSE41),
  xmmBinary('PACKUSDW', (a, b) => vector('i16x8.narrow_i32x4_u', a, b), SSE41),

  ...widen('BW', 64, [BYTES]),
  ...widen('BD', 32, [BYTES, WORDS]),
  ...widen('BQ', 16, [BYTES, WORDS, DOUBLEWORDS]),
  ...widen('WD', 64, [WORDS]),
  ...widen('WQ', 32, [WORDS, DOUBLEWORDS]),
  ...widen('DQ', 64, [DOUBLEWORDS]),

  extract('PEXTRB', 8, ['rxi', 'mxi']),
  extract('PEXTRW', 16, ['mxi']),
  extract('PEXTRD', 32, ['rxi', 'mxi']),
  extract('PEXTRQ', 64, ['rxi', 'mxi']),
  extract('EXTRACTPS', 32, ['rxi', 'mxi']),
  insert('PINSRB', 8, 'i8x16'),
  insert('PINSRD', 32, 'i32x4'),
  insert('PINSRQ', 64, 'i64x2'),
  insertSingle,
];
