import { Cr0, Cr4 } from '../../../cpu/cpu';
import { SSE_FLOAT_INSTRUCTIONS } from '../../../cpu/fpu/sse-float';
import { R } from '../../../cpu/layout';
import { OPERAND, fpuMachine, type FpuMachine } from './fpu-machine';

const execute = (machine: FpuMachine, ...bytes: number[]) => machine.execute(Uint8Array.from(bytes));
const single = new Float32Array(1);
const word = new Uint32Array(single.buffer);
const bitsOf = (x: number): number => {
  single[0] = x;
  return word[0];
};
const numberOf = (bits: number): number => {
  word[0] = bits;
  return single[0];
};
const xmm = ({ cpu }: FpuMachine, r: number): number[] => Array.from(cpu.u32.subarray(cpu.xmm(r) >>> 2, (cpu.xmm(r) >>> 2) + 4));
const setXmm = ({ cpu }: FpuMachine, r: number, ...words: number[]): void => words.forEach((w, i) => (cpu.u32[(cpu.xmm(r) >>> 2) + i] = w));

test('no instruction ends a block', () => {
  expect(Object.values(SSE_FLOAT_INSTRUCTIONS).some((instruction) => instruction.endsBlock)).toBe(false);
});

describe('availability', () => {
  const ADDPS = [0x0f, 0x58, 0xc1];
  test.each([
    ['CR0.EM: #UD', Cr0.EM, Cr4.OSFXSR, 6],
    ['CR0.EM and TS: #UD', Cr0.EM | Cr0.TS, Cr4.OSFXSR, 6],
    ['CR4.OSFXSR = 0: #UD', 0, 0, 6],
    ['CR0.TS: #NM', Cr0.TS, Cr4.OSFXSR, 7],
    ['neither', 0, Cr4.OSFXSR, undefined],
  ])('%s', (_, cr0, cr4, vector) => {
    const machine = fpuMachine();
    machine.cpu.set64(R.CR0, BigInt(Cr0.PE | Cr0.NE | cr0));
    machine.cpu.set64(R.CR4, BigInt(Cr4.PAE | cr4));
    expect(execute(machine, ...ADDPS)?.vector).toBe(vector);
  });

  test('an unmasked exception without CR4.OSXMMEXCPT: #UD, flags set, destination kept', () => {
    const machine = fpuMachine();
    machine.cpu.set64(R.CR4, BigInt(Cr4.PAE | Cr4.OSFXSR));
    machine.cpu.set32(R.MXCSR, 0x1d80);
    setXmm(machine, 0, bitsOf(1), 2, 3, 4);
    setXmm(machine, 1, 0, 0, 0, 0);
    expect(execute(machine, 0xf3, 0x0f, 0x5e, 0xc1)?.vector).toBe(6);
    expect(machine.cpu.get32(R.MXCSR)).toBe(0x1d84);
    expect(xmm(machine, 0)).toEqual([bitsOf(1), 2, 3, 4]);
  });

  test('a pending x87 exception stops conversions that use MMX registers', () => {
    const machine = fpuMachine();
    machine.cpu.set32(R.FSW, 0x8081);
    machine.cpu.set32(R.FCW, 0x37e);
    expect(execute(machine, 0x0f, 0x2c, 0xc1)?.vector).toBe(16);
    // CVTPI2PD from memory has nothing to do with the x87.
    expect(execute(machine, 0x66, 0x0f, 0x2a, 0x07)).toBeUndefined();
  });
});

describe('memory operands', () => {
  test('16 bytes must be aligned: #GP(0)', () => {
    const machine = fpuMachine();
    expect(execute(machine, 0x0f, 0x58, 0x47, 0x08)).toMatchObject({ vector: 13, errorCode: 0 });
    expect(execute(machine, 0x0f, 0x58, 0x47, 0x10)).toBeUndefined();
  });

  test('scalars, quadwords and doublewords need not be', () => {
    const machine = fpuMachine();
    machine.cpu.memory.write32(OPERAND + 0xffd, bitsOf(2.5));
    setXmm(machine, 0, bitsOf(1.5), 7, 8, 9);
    // ADDSS XMM0, [RDI+0FFDh]: across a page.
    expect(execute(machine, 0xf3, 0x0f, 0x58, 0x87, 0xfd, 0x0f, 0, 0)).toBeUndefined();
    expect(xmm(machine, 0)).toEqual([bitsOf(4), 7, 8, 9]);
    // CVTPS2PD XMM0, [RDI+0FFDh].
    machine.cpu.memory.write32(OPERAND + 0x1001, bitsOf(-1));
    expect(execute(machine, 0x0f, 0x5a, 0x87, 0xfd, 0x0f, 0, 0)).toBeUndefined();
    expect(xmm(machine, 0)).toEqual([0, 0x4004_0000, 0, 0xbff0_0000]);
    // CVTSI2SD XMM0, [RDI+3] of 64 bits.
    machine.cpu.memory.write64(OPERAND + 3, 0x8000_0000_0000_0000n);
    expect(execute(machine, 0xf2, 0x48, 0x0f, 0x2a, 0x47, 0x03)).toBeUndefined();
    expect(xmm(machine, 0).slice(0, 2)).toEqual([0, 0xc3e0_0000]);
  });

  test('base, scaled index and FS base; RIP-relative', () => {
    const machine = fpuMachine();
    const { cpu } = machine;
    cpu.setSegment(4, 0, 0xc093, 0xffff_ffff, 0x5000n);
    cpu.setGpr(1, BigInt.asUintN(64, -0x100n));
    cpu.memory.write64(OPERAND + 0x5000 - 0x800 + 0x10, 0x4000_0000_0000_0000n);
    // SQRTSD XMM0, FS:[RDI+RCX*8+10h]
    expect(execute(machine, 0x64, 0xf2, 0x0f, 0x51, 0x44, 0xcf, 0x10)).toBeUndefined();
    expect(xmm(machine, 0).slice(0, 2)).toEqual([0x667f_3bcd, 0x3ff6_a09e]);
    cpu.memory.write32(0x2008 + 0x100, bitsOf(3));
    setXmm(machine, 0, bitsOf(2));
    // MULSS XMM0, [RIP+100h]: RIP is the next instruction.
    expect(execute(machine, 0xf3, 0x0f, 0x59, 0x05, 0, 1, 0, 0)).toBeUndefined();
    expect(xmm(machine, 0)[0]).toBe(bitsOf(6));
  });

  test('non-canonical: #GP(0), or #SS(0) through RSP', () => {
    const machine = fpuMachine();
    machine.cpu.setGpr(7, 0x8000_0000_0000n);
    machine.cpu.setGpr(4, 0x7fff_ffff_fffcn);
    expect(execute(machine, 0xf2, 0x0f, 0x58, 0x07)).toMatchObject({ vector: 13, errorCode: 0 });
    expect(execute(machine, 0xf2, 0x0f, 0x58, 0x04, 0x24)).toMatchObject({ vector: 12, errorCode: 0 });
  });
});

describe('RCPPS and RSQRTPS (SDM: relative error below 1.5 * 2^-12)', () => {
  const machine = fpuMachine();
  const approximate = (opcode: number, x: number): number => {
    setXmm(machine, 1, x, x, x, x);
    machine.cpu.set32(R.MXCSR, 0);
    expect(execute(machine, 0x0f, opcode, 0xc1)).toBeUndefined();
    expect(machine.cpu.get32(R.MXCSR)).toBe(0);
    expect(new Set(xmm(machine, 0)).size).toBe(1);
    return xmm(machine, 0)[0];
  };
  const [RCP, RSQRT] = [0x53, 0x52];

  test('the bound holds', () => {
    for (let i = 0; i < 400; i++) {
      const x = Math.fround(1.07 ** (i * 3 - 600) * 1.234);
      if (x < 2 ** -125 || x > 2 ** 125) continue;
      expect(Math.abs(numberOf(approximate(RCP, bitsOf(x))) * x - 1)).toBeLessThan(1.5 * 2 ** -12);
      expect(Math.abs(numberOf(approximate(RSQRT, bitsOf(x))) * Math.sqrt(x) - 1)).toBeLessThan(1.5 * 2 ** -12);
    }
  });

  const INFINITY = 0x7f80_0000;
  const NEGATIVE = 0x8000_0000;
  test.each([
    ['RCP +0', RCP, 0, INFINITY],
    ['RCP -0', RCP, NEGATIVE, NEGATIVE + INFINITY],
    ['RCP of a denormal', RCP, NEGATIVE + 5, NEGATIVE + INFINITY],
    ['RCP -infinity', RCP, NEGATIVE + INFINITY, NEGATIVE],
    ['RCP of the largest number', RCP, 0x7f7f_ffff, 0],
    ['RCP of a signaling NaN', RCP, 0x7f80_0001, 0x7fc0_0001],
    ['RSQRT -0', RSQRT, NEGATIVE, NEGATIVE + INFINITY],
    ['RSQRT of a denormal', RSQRT, 5, INFINITY],
    ['RSQRT -1', RSQRT, bitsOf(-1), 0xffc0_0000],
    ['RSQRT +infinity', RSQRT, INFINITY, 0],
    ['RSQRT -infinity', RSQRT, NEGATIVE + INFINITY, 0xffc0_0000],
    ['RSQRT 4', RSQRT, bitsOf(4), bitsOf(0.5)],
  ])('%s', (_, opcode, x, expected) => {
    expect(approximate(opcode, x)).toBe(expected);
  });
});
