import { ALL_SIZES, BINARY_FORMS, type Definition } from './definition';
import { and, or, xor, type Value } from '../stage/wasm';

/** AND, OR, XOR: CF = OF = 0, the rest by the result. */
const logic = (op: string, combine: (a: Value, b: Value) => Value): Definition => ({
  op,
  sizes: ALL_SIZES,
  forms: BINARY_FORMS,
  flags: 'LOGIC',
  semantics: (e) => {
    const b = e.source();
    const a = e.destination();
    const r = e.let(combine(a, b));
    e.write(r);
    e.flagsLogic(r);
  },
});

export const LOGIC: readonly Definition[] = [
  logic('AND', and),
  logic('OR', or),
  logic('XOR', xor),
  {
    op: 'TEST',
    sizes: ALL_SIZES,
    forms: ['rr', 'mr', 'rm', 'ri', 'mi'],
    flags: 'LOGIC',
    semantics: (e) => {
      const b = e.source();
      const a = e.peek();
      e.flagsLogic(e.let(and(a, b)));
    },
  },
  {
    op: 'NOT',
    sizes: ALL_SIZES,
    forms: ['r', 'm'],
    keepsFlags: true,
    semantics: (e) => e.write(e.cut(xor(e.destination(), e.k(-1)))),
  },
];
