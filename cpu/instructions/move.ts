import { ALL_SIZES, WIDE_SIZES, type Definition } from './definition';
import type { Stage } from '../stage/stage';
import { and, c32, c64, or, rotl, select, sext, sext16, sext8, shl, shr, wrap, zext, xor, type Value } from '../stage/wasm';
import { R } from '../layout';

const byteSwap32 = (e: Stage, v: Value): Value => {
  const t = e.let(v);
  return or(and(rotl(t, c32(8)), c32(0x00ff_00ff)), and(rotl(t, c32(24)), c32(0xff00_ff00 | 0)));
};
const byteSwap64 = (e: Stage, v: Value): Value => {
  const t = e.let(v);
  return or(shl(zext(byteSwap32(e, wrap(t))), c64(32)), zext(byteSwap32(e, wrap(shr(t, c64(32))))));
};

export const MOVE: readonly Definition[] = [
  { op: 'MOV', sizes: ALL_SIZES, forms: ['rr', 'rm', 'mr', 'ri', 'mi'], keepsFlags: true, semantics: (e) => e.write(e.source()) },
  { op: 'MOVNTI', sizes: [32, 64], forms: ['mr'], keepsFlags: true, semantics: (e) => e.write(e.source()) },
  {
    op: 'MOVZX',
    sizes: WIDE_SIZES,
    sourceSizes: [8, 16],
    forms: ['rr', 'rm'],
    keepsFlags: true,
    semantics: (e) => {
      const v = e.source();
      e.write(e.size === 64 ? zext(v) : v);
    },
  },
  {
    op: 'MOVSX',
    sizes: WIDE_SIZES,
    sourceSizes: [8, 16, 32],
    forms: ['rr', 'rm'],
    keepsFlags: true,
    semantics: (e) => {
      const from = e.spec.sourceSize;
      const v = e.source();
      const wide = from === 8 ? sext8(v) : from === 16 ? sext16(v) : v;
      e.write(e.size === 64 ? sext(wide) : e.cut(wide));
    },
  },
  {
    op: 'LEA',
    sizes: WIDE_SIZES,
    forms: ['rm'],
    keepsFlags: true,
    semantics: (e) => e.write(e.size === 64 ? e.linearAddress() : e.cut(wrap(e.linearAddress()))),
  },
  {
    op: 'XCHG',
    sizes: ALL_SIZES,
    forms: ['rr', 'mr'],
    keepsFlags: true,
    semantics: (e) => {
      const b = e.source();
      const a = e.destination();
      e.write(b);
      e.setRegister('src', a, e.size);
    },
  },
  {
    op: 'BSWAP',
    sizes: [16, 32, 64],
    forms: ['r'],
    keepsFlags: true,
    // The 16-bit form is undefined in the manual; processors clear the register.
    semantics: (e) => {
      const a = e.destination();
      e.write(e.size === 64 ? byteSwap64(e, a) : e.size === 32 ? byteSwap32(e, a) : c32(0));
    },
  },
  {
    op: 'MOVBE',
    sizes: WIDE_SIZES,
    forms: ['rm', 'mr'],
    keepsFlags: true,
    semantics: (e) => {
      const v = e.source();
      e.write(e.size === 64 ? byteSwap64(e, v) : e.size === 32 ? byteSwap32(e, v) : and(shr(byteSwap32(e, v), c32(16)), c32(0xffff)));
    },
  },
  {
    op: 'CBW',
    sizes: WIDE_SIZES,
    forms: [''],
    keepsFlags: true,
    semantics: (e) => {
      const rax = e.gpr(0);
      e.setGprSized(0, e.size === 64 ? sext(wrap(rax)) : e.size === 32 ? sext16(wrap(rax)) : e.cut(sext8(wrap(rax))));
    },
  },
  {
    op: 'CWD',
    sizes: WIDE_SIZES,
    forms: [''],
    keepsFlags: true,
    semantics: (e) => {
      const top = e.msb(e.size === 64 ? e.gpr(0) : wrap(e.gpr(0)));
      e.setGprSized(2, select(e.cut(e.k(-1)), e.k(0), top));
    },
  },
  {
    op: 'CMOVCC',
    sizes: WIDE_SIZES,
    forms: ['rr', 'rm'],
    keepsFlags: true,
    conditional: 'plain',
    semantics: (e) => {
      const b = e.source();
      const a = e.destination();
      // A false 32-bit move still clears the upper half.
      e.write(select(b, a, e.condition(e.cc)));
    },
  },
  { op: 'SETCC', sizes: [8], forms: ['r', 'm'], keepsFlags: true, conditional: 'plain', semantics: (e) => e.write(e.condition(e.cc)) },
  { op: 'NOP', sizes: [8, 16, 32, 64], forms: ['', 'r', 'm'], keepsFlags: true, semantics: () => {} },
  { op: 'CLC', sizes: [32], forms: [''], semantics: (e) => e.flagsEager(and(e.arithmetic(), c32(~1))) },
  { op: 'STC', sizes: [32], forms: [''], semantics: (e) => e.flagsEager(or(e.arithmetic(), c32(1))) },
  { op: 'CMC', sizes: [32], forms: [''], semantics: (e) => e.flagsEager(xor(e.arithmetic(), c32(1))) },
  { op: 'CLD', sizes: [32], forms: [''], keepsFlags: true, semantics: (e) => e.setWord32(R.RFLAGS_SYSTEM, and(e.word32(R.RFLAGS_SYSTEM), c32(~0x400))) },
  { op: 'STD', sizes: [32], forms: [''], keepsFlags: true, semantics: (e) => e.setWord32(R.RFLAGS_SYSTEM, or(e.word32(R.RFLAGS_SYSTEM), c32(0x400))) },
];
