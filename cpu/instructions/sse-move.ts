/** Moves of XMM registers. SDM volume 1, "SSE Data Transfer Instructions", "SSE2 Data Movement Instructions". */
import type { Definition } from './definition';
import { inMemory, put, putHalf, source, sourceHalf, vectorInstruction } from './sse-operands';
import type { Stage } from '../stage/stage';
import { bitmask, replace32, shuffle } from '../stage/vector';
import { load32, load64, type Value } from '../stage/wasm';

/** Stores the low `bits` of the second operand. */
function store(e: Stage, bits: 32 | 64 | 128, aligned = false): void {
  const v = e.let(e.loadSized(e.vectorHost('src'), bits));
  e.storeSized(e.vectorDestination(bits, aligned), v, bits);
}

const whole = (op: string, aligned: boolean): Definition =>
  vectorInstruction(op, ['xx', 'xm', 'mx'], (e) => (e.destinationInMemory ? store(e, 128, aligned) : put(e, source(e, 128, aligned))));

const nonTemporal = (op: string): Definition => vectorInstruction(op, ['mx'], (e) => store(e, 128, true));

/** MOVSS, MOVSD: a load clears the rest of the register, a move between registers leaves it. */
const scalar = (op: string, bits: 32 | 64): Definition =>
  vectorInstruction(op, ['xx', 'xm', 'mx'], (e) => {
    if (e.destinationInMemory) return store(e, bits);
    if (inMemory(e)) return put(e, source(e, bits));
    if (bits === 64) return putHalf(e, 0, sourceHalf(e, 0));
    put(e, replace32(e.loadSized(e.vectorHost('dst'), 128), 0, load32(e.vectorHost('src'))));
  });

const half = (op: string, lane: 0 | 1): Definition =>
  vectorInstruction(op, ['xm', 'mx'], (e) => {
    if (!e.destinationInMemory) return putHalf(e, lane, e.let(load64(e.vectorSource(64, false))));
    const v = sourceHalf(e, lane);
    e.storeSized(e.vectorDestination(64, false), v, 64);
  });

/** To a general register; its upper half becomes zero. */
const toGeneral = (op: string, forms: readonly string[], value: (e: Stage) => Value, bits: 32 | 64): Definition =>
  vectorInstruction(op, forms, (e) => e.setRegister('dst', value(e), bits));
const signs = (op: string, lanes: 'i8x16' | 'i32x4' | 'i64x2', forms: readonly string[]): Definition =>
  toGeneral(op, forms, (e) => bitmask(lanes, source(e)), 32);

/** MOVD and MOVQ with a general register or memory. */
const general = (op: string, bits: 32 | 64): readonly Definition[] => [
  vectorInstruction(op, ['xr', 'xm', 'qr', 'qm'], (e) => put(e, source(e, bits))),
  toGeneral(op, ['rx', 'rq'], (e) => e.let(e.readRegister('src', bits)), bits),
  vectorInstruction(op, ['mx', 'mq'], (e) => store(e, bits)),
];

/** SSE3: copies elements of the source over others. */
const duplicate = (op: string, bits: 64 | 128, bytes: readonly number[]): Definition =>
  vectorInstruction(
    op,
    ['xx', 'xm'],
    (e) => {
      const v = source(e, bits);
      put(e, shuffle(v, v, bytes));
    },
    'sse3',
  );

export const SSE_MOVE: readonly Definition[] = [
  whole('MOVAPS', true),
  whole('MOVAPD', true),
  whole('MOVDQA', true),
  whole('MOVUPS', false),
  whole('MOVUPD', false),
  whole('MOVDQU', false),
  nonTemporal('MOVNTPS'),
  nonTemporal('MOVNTPD'),
  nonTemporal('MOVNTDQ'),
  vectorInstruction('MOVNTQ', ['mq'], (e) => store(e, 64)),

  scalar('MOVSS', 32),
  scalar('MOVSD_SSE', 64),
  half('MOVLPS', 0),
  half('MOVLPD', 0),
  half('MOVHPS', 1),
  half('MOVHPD', 1),
  vectorInstruction('MOVHLPS', ['xx'], (e) => putHalf(e, 0, sourceHalf(e, 1))),
  vectorInstruction('MOVLHPS', ['xx'], (e) => putHalf(e, 1, sourceHalf(e, 0))),

  ...general('MOVD', 32),
  ...general('MOVQ', 64),
  vectorInstruction('MOVQ', ['xx', 'qq'], (e) => put(e, source(e, 64))),
  vectorInstruction('MOVQ2DQ', ['xq'], (e) => put(e, source(e, 64))),
  vectorInstruction('MOVDQ2Q', ['qx'], (e) => put(e, source(e, 64))),

  signs('PMOVMSKB', 'i8x16', ['rx', 'rq']),
  signs('MOVMSKPS', 'i32x4', ['rx']),
  signs('MOVMSKPD', 'i64x2', ['rx']),

  vectorInstruction('LDDQU', ['xm'], (e) => put(e, source(e, 128, false)), 'sse3'),
  duplicate('MOVDDUP', 64, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]),
  duplicate('MOVSLDUP', 128, [0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11]),
  duplicate('MOVSHDUP', 128, [4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15]),
];
