/** Shifts of packed integers. SDM volume 1, "SSE2 128-Bit SIMD Integer Instructions" and "MMX Shift Instructions". */
import type { Definition } from './definition';
import { controlByte, destination, put, source, vectorInstruction } from './sse-operands';
import type { Stage } from '../stage/stage';
import { constBytes, extract64, vector, type VectorOp } from '../stage/vector';
import { c32, c64, gtu, ltu, select, sub, wrap, zext, type Value } from '../stage/wasm';

/** The count as an i64: a control byte, or the low quadword of the source. */
const countOf = (e: Stage): Value => e.let(e.spec.form[1] === 'i' ? zext(controlByte(e)) : extract64(source(e), 0));

/** A count of the lane width or more shifts everything out; an arithmetic shift leaves the sign. WebAssembly would take it modulo the width. */
function lanes(op: string, name: VectorOp, width: 16 | 32 | 64): Definition {
  const arithmetic = name.endsWith('_s');
  return vectorInstruction(op, ['xx', 'xm', 'xi', 'qq', 'qm', 'qi'], (e) => {
    const count = countOf(e);
    const a = destination(e);
    if (arithmetic) return put(e, vector(name, a, select(c32(width - 1), wrap(count), gtu(count, c64(width - 1)))));
    const kept = vector('i32x4.splat', sub(c32(0), ltu(count, c64(width))));
    put(e, vector('v128.and', vector(name, a, wrap(count)), kept));
  });
}

const BYTE_NUMBERS = constBytes(Array.from({ length: 16 }, (_, i) => i));

/** Shift of the register by bytes: result byte i is byte i -+ count, and i8x16.swizzle delivers zero for numbers beyond 15. */
const bytes = (op: string, direction: 'i8x16.add' | 'i8x16.sub'): Definition =>
  vectorInstruction(op, ['xi'], (e) => {
    const n = controlByte(e);
    const count = vector('i8x16.splat', select(n, c32(16), ltu(n, c32(16))));
    put(e, vector('i8x16.swizzle', destination(e), vector(direction, BYTE_NUMBERS, count)));
  });

export const SSE_SHIFT: readonly Definition[] = [
  lanes('PSLLW', 'i16x8.shl', 16),
  lanes('PSLLD', 'i32x4.shl', 32),
  lanes('PSLLQ', 'i64x2.shl', 64),
  lanes('PSRLW', 'i16x8.shr_u', 16),
  lanes('PSRLD', 'i32x4.shr_u', 32),
  lanes('PSRLQ', 'i64x2.shr_u', 64),
  lanes('PSRAW', 'i16x8.shr_s', 16),
  lanes('PSRAD', 'i32x4.shr_s', 32),
  bytes('PSLLDQ', 'i8x16.sub'),
  bytes('PSRLDQ', 'i8x16.add'),
];
