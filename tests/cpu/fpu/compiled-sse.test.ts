/** SSE floating point in compiled code: the same vectors of a real processor, run as blocks, and everything against TypeScript's word. */
import fc from 'fast-check';
import { SSE_FLOAT_INSTRUCTIONS } from '../../../cpu/fpu/sse-float';
import { R } from '../../../cpu/layout';
import { longModeMachine } from '../long-mode-machine';
import { PROFILE, fpuMachine, type FpuMachine } from './fpu-machine';
import { replayed, replaySse } from './vectors/replay';
import { Vectors } from './vectors/vectors';
import { runs } from '../../runs';

const CODE = 0x20_0000,
  SLOT = 32,
  END = 0x1f_0000;

/** Runs each instruction as a block of its own. */
function compiledMachine(): FpuMachine {
  const { cpu, run, memory } = longModeMachine(16, { ...PROFILE, physicalAddressWidth: 40 });
  const slots = new Map<string, number>();
  return {
    cpu,
    execute(bytes) {
      const key = Buffer.from(bytes).toString('hex');
      let slot = slots.get(key);
      if (slot === undefined) {
        slots.set(key, (slot = CODE + slots.size * SLOT));
        // JMP END
        const jump = Buffer.alloc(5, 0xe9);
        jump.writeInt32LE(END - (slot + bytes.length + 5), 1);
        memory.writeBytes(slot, Uint8Array.from([...bytes, ...jump]));
      }
      return run(slot, END);
    },
  };
}

/** How often TypeScript was asked. */
function countFallbacks<T>(action: () => T): { result: T; fallbacks: number } {
  const spies = Object.values(SSE_FLOAT_INSTRUCTIONS).map((instruction) => jest.spyOn(instruction, 'execute'));
  try {
    const result = action();
    return { result, fallbacks: spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0) };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

test('as recorded on a processor', () => {
  replayed.count = 0;
  const { result, fallbacks } = countFallbacks(() => replaySse(new Vectors('sse.bin.gz'), compiledMachine()));
  expect(result.map((m) => m.text)).toEqual([]);
  expect(replayed.count).toBeGreaterThan(20_000);
  // Most vectors are special on purpose; of the others many are compiled.
  expect(fallbacks).toBeGreaterThan(10_000);
  expect(replayed.count - fallbacks).toBeGreaterThan(2_000);
});

const DOUBLES = [
  0,
  -0,
  1,
  -1,
  1.5,
  3,
  0.1,
  -7.25,
  2 ** 31,
  -(2 ** 31),
  2 ** 31 - 0.5,
  2 ** 53 + 2,
  2 ** 63,
  -(2 ** 63),
  2 ** 64,
  1e300,
  -1e300,
  1e-300,
  2 ** -1022,
]
  .concat([
    2 ** -1021,
    2 ** -1020,
    2 ** -1023,
    5e-324,
    2 ** 1022,
    2 ** 1023,
    Number.MAX_VALUE,
    Infinity,
    -Infinity,
    NaN,
    2 ** 24 + 1,
    2 ** -126,
    2 ** -127,
    2 ** 127,
  ])
  .concat([2 ** 128, 3.4e38]);
const double = fc.oneof(
  fc.constantFrom(...DOUBLES),
  fc.double(),
  fc.integer({ min: -1000, max: 1000 }).map((n) => n / 8),
);
const single = double.map((x) => Math.fround(x));

/** Name, opcode bytes before ModRM, and immediate. */
const OPERATIONS: readonly (readonly [name: string, bytes: readonly number[], single: boolean, general?: boolean])[] = [
  ...([0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f, 0x51] as const).flatMap((op) => [
    [`PS ${op.toString(16)}`, [0x0f, op, 0xc1], true] as const,
    [`SS ${op.toString(16)}`, [0xf3, 0x0f, op, 0xc1], true] as const,
    [`PD ${op.toString(16)}`, [0x66, 0x0f, op, 0xc1], false] as const,
    [`SD ${op.toString(16)}`, [0xf2, 0x0f, op, 0xc1], false] as const,
  ]),
  ...Array.from({ length: 8 }, (_, p) => p).flatMap((p) => [
    [`CMPPS ${p}`, [0x0f, 0xc2, 0xc1, p], true] as const,
    [`CMPSS ${p}`, [0xf3, 0x0f, 0xc2, 0xc1, p], true] as const,
    [`CMPPD ${p}`, [0x66, 0x0f, 0xc2, 0xc1, p], false] as const,
    [`CMPSD ${p}`, [0xf2, 0x0f, 0xc2, 0xc1, p], false] as const,
  ]),
  ['UCOMISS', [0x0f, 0x2e, 0xc1], true],
  ['COMISS', [0x0f, 0x2f, 0xc1], true],
  ['UCOMISD', [0x66, 0x0f, 0x2e, 0xc1], false],
  ['COMISD', [0x66, 0x0f, 0x2f, 0xc1], false],
  ['CVTSS2SD', [0xf3, 0x0f, 0x5a, 0xc1], true],
  ['CVTSD2SS', [0xf2, 0x0f, 0x5a, 0xc1], false],
  ['CVTTSD2SI 32', [0xf2, 0x0f, 0x2c, 0xc1], false],
  ['CVTTSD2SI 64', [0xf2, 0x48, 0x0f, 0x2c, 0xc1], false],
  ['CVTTSS2SI 32', [0xf3, 0x0f, 0x2c, 0xc1], true],
  ['CVTTSS2SI 64', [0xf3, 0x48, 0x0f, 0x2c, 0xc1], true],
  ['CVTSI2SD 32', [0xf2, 0x0f, 0x2a, 0xc1], false, true],
  ['CVTSI2SD 64', [0xf2, 0x48, 0x0f, 0x2a, 0xc1], false, true],
  ['CVTSI2SS 32', [0xf3, 0x0f, 0x2a, 0xc1], true, true],
  ['CVTSI2SS 64', [0xf3, 0x48, 0x0f, 0x2a, 0xc1], true, true],
];

/** The same instruction with [RDI] for the second operand. */
const fromMemory = (bytes: readonly number[]): number[] => {
  const at = bytes.lastIndexOf(0xc1);
  return [...bytes.slice(0, at), 0x07, ...bytes.slice(at + 1)];
};

const OPERAND = 0x30_0000;
const integer = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, 1n, -1n, 2n ** 53n, 2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 24n, 2n ** 24n + 1n, -(2n ** 24n) - 1n, 2n ** 31n, 2n ** 32n + 5n),
);

test('operands in register and memory, any MXCSR: the same as the TypeScript instruction', () => {
  const compiled = compiledMachine();
  const reference = fpuMachine();
  const bytesOf = (isSingle: boolean, values: readonly number[]): Buffer =>
    Buffer.from(isSingle ? Float32Array.from(values).buffer : Float64Array.from(values.slice(0, 2)).buffer);
  const prepare = ({ cpu }: FpuMachine, a: Buffer, b: Buffer, rcx: bigint, mxcsr: number, operand: number): void => {
    cpu.memory.writeBytes(operand, b);
    for (let i = 0; i < 4; i++) {
      cpu.u32[(cpu.xmm(0) >>> 2) + i] = a.readUInt32LE(4 * i);
      cpu.u32[(cpu.xmm(1) >>> 2) + i] = b.readUInt32LE(4 * i);
    }
    cpu.setGpr(0, 0x1111_2222_3333_4444n);
    cpu.setGpr(1, BigInt.asUintN(64, rcx));
    cpu.setGpr(7, BigInt(operand));
    cpu.set32(R.MXCSR, mxcsr);
    cpu.setRflags(0x8d7);
  };
  const outcome = ({ cpu }: FpuMachine, vector: number | undefined): string =>
    [...cpu.u32.subarray(cpu.xmm(0) >>> 2, (cpu.xmm(0) >>> 2) + 4), cpu.gpr(0), cpu.get32(R.MXCSR), cpu.rflags() & 0x8d5, vector].join(' ');
  const MXCSR = fc.oneof(fc.constant(0x1fa0), fc.constantFrom(0x1f80, 0x1fbf, 0x3fa0, 0x7fa0, 0x9fe0, 0x0fa0, 0x1da0, 0x1fe0));
  const { fallbacks } = countFallbacks(() =>
    fc.assert(
      fc.property(
        fc.constantFrom(...OPERATIONS),
        fc.array(double, { minLength: 8, maxLength: 8 }),
        fc.array(single, { minLength: 8, maxLength: 8 }),
        integer,
        MXCSR,
        fc.boolean(),
        (operation, ds, ss, rcx, mxcsr, inMemory) => {
          const [, bytes, isSingle, general] = operation;
          const values = isSingle ? ss : ds;
          const a = bytesOf(isSingle, values.slice(0, 4));
          const b = bytesOf(isSingle, values.slice(4));
          if (general === true) b.writeBigInt64LE(BigInt.asIntN(64, rcx));
          const code = Uint8Array.from(inMemory ? fromMemory(bytes) : bytes);
          prepare(compiled, a, b, rcx, mxcsr, OPERAND);
          prepare(reference, a, b, rcx, mxcsr, 0x1_0000);
          const expected = outcome(reference, reference.execute(code)?.vector);
          expect(outcome(compiled, compiled.execute(code)?.vector)).toBe(expected);
        },
      ),
      { numRuns: runs(3_000) },
    ),
  );
  // One call each is the reference's.
  expect(fallbacks).toBeLessThan(runs(3_000) * 1.7);
});
