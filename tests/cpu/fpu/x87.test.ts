import { Cr0 } from '../../../cpu/cpu';
import { X87_INSTRUCTIONS } from '../../../cpu/fpu/x87';
import { X87_ESCAPES } from '../../../cpu/decoder/x87-escapes';
import { R } from '../../../cpu/layout';
import { OPERAND, fpuMachine, PROFILE, type FpuMachine } from './fpu-machine';

const run = (machine: FpuMachine, ...bytes: number[]): number | undefined => machine.execute(Uint8Array.from(bytes))?.vector;
/** ST(i) as sign and exponent, significand. */
const st = ({ cpu }: FpuMachine, i: number): [number, bigint] => {
  const at = R.FPR + 16 * (((cpu.get32(R.FSW) >>> 11) + i) & 7);
  return [cpu.get32(at + 8) & 0xffff, cpu.get64(at)];
};
const [FLD1, FLDZ, FLDPI, FNINIT, FWAIT, FNCLEX] = [[0xd9, 0xe8], [0xd9, 0xee], [0xd9, 0xeb], [0xdb, 0xe3], [0x9b], [0xdb, 0xe2]];
const FDIVP = [0xde, 0xf9];

test('every instruction of the escape opcodes is implemented', () => {
  const mnemonics = X87_ESCAPES.map((row) => row.split(' ')[2]);
  expect(mnemonics.filter((mnemonic) => X87_INSTRUCTIONS[mnemonic] === undefined)).toEqual([]);
  expect(Object.values(X87_INSTRUCTIONS).some((instruction) => instruction.endsBlock)).toBe(false);
});

describe('constants round by RC (SDM "FLD1/FLDL2T/FLDL2E/FLDPI/FLDLG2/FLDLN2/FLDZ-Load Constant")', () => {
  // The 66-bit constants of the 80387: nearest and up, down and zero.
  const CONSTANTS: [string, number, number, bigint, bigint][] = [
    ['FLDL2T', 0xe9, 0x4000, 0xd49a784bcd1b8afen, 0xd49a784bcd1b8affn],
    ['FLDL2E', 0xea, 0x3fff, 0xb8aa3b295c17f0bbn, 0xb8aa3b295c17f0bcn],
    ['FLDPI', 0xeb, 0x4000, 0xc90fdaa22168c234n, 0xc90fdaa22168c235n],
    ['FLDLG2', 0xec, 0x3ffd, 0x9a209a84fbcff798n, 0x9a209a84fbcff799n],
    ['FLDLN2', 0xed, 0x3ffe, 0xb17217f7d1cf79abn, 0xb17217f7d1cf79acn],
  ];
  test.each(CONSTANTS)('%s', (_, byte, exponent, down, up) => {
    for (const [rc, expected] of [
      [1, down],
      [2, up],
      [3, down],
    ] as const) {
      const machine = fpuMachine();
      machine.cpu.set32(R.FCW, 0x37f | (rc << 10));
      run(machine, 0xd9, byte);
      expect(st(machine, 0)).toEqual([exponent, expected]);
      expect(machine.cpu.get32(R.FSW) & 0x23f).toBe(0);
    }
  });
});

describe('availability', () => {
  test.each([
    ['FADD with CR0.EM', Cr0.EM, [0xd8, 0xc1], 7],
    ['FADD with CR0.TS', Cr0.TS, [0xd8, 0xc1], 7],
    ['FNSTCW with CR0.TS', Cr0.TS, [0xd9, 0x3f], 7],
    ['FWAIT with CR0.TS and MP', Cr0.TS | Cr0.MP, FWAIT, 7],
    ['FWAIT with CR0.TS alone', Cr0.TS, FWAIT, undefined],
    ['FWAIT with CR0.EM', Cr0.EM, FWAIT, undefined],
    ['EMMS with CR0.EM', Cr0.EM, [0x0f, 0x77], 6],
    ['EMMS with CR0.TS', Cr0.TS, [0x0f, 0x77], 7],
  ])('%s', (_, bits, bytes, vector) => {
    const machine = fpuMachine();
    machine.cpu.set64(R.CR0, BigInt(Cr0.PE | Cr0.NE | bits));
    expect(run(machine, ...bytes)).toBe(vector);
  });
});

describe('unmasked exceptions', () => {
  /** 1 / 0 with #Z unmasked. */
  const pending = (): FpuMachine => {
    const machine = fpuMachine();
    machine.cpu.set32(R.FCW, 0x37b);
    run(machine, ...FLD1);
    run(machine, ...FLDZ);
    expect(run(machine, ...FDIVP)).toBeUndefined();
    return machine;
  };

  test('leave operands and TOP alone and set ES and B', () => {
    const machine = pending();
    expect(machine.cpu.get32(R.FSW)).toBe(0xb084);
    expect(st(machine, 0)).toEqual([0, 0n]);
    expect(st(machine, 1)).toEqual([0x3fff, 1n << 63n]);
  });

  test('are raised by the next waiting instruction, which does nothing', () => {
    const machine = pending();
    for (const bytes of [FLD1, FWAIT, [0xd9, 0x2f], [0x0f, 0x77], [0xd9, 0xd0]]) expect(run(machine, ...bytes)).toBe(16);
    expect(machine.cpu.get32(R.FSW)).toBe(0xb084);
  });

  test('do not stop FNSTSW, FNCLEX, FNINIT', () => {
    const machine = pending();
    expect(run(machine, 0xdf, 0xe0)).toBeUndefined();
    expect(machine.cpu.gpr16(0)).toBe(0xb084);
    expect(run(machine, ...FNCLEX)).toBeUndefined();
    expect(machine.cpu.get32(R.FSW)).toBe(0x3000);
    expect(run(pending(), ...FNINIT)).toBeUndefined();
  });

  test('record FOP with the escape byte behind prefixes', () => {
    const machine = pending();
    expect(machine.cpu.get32(R.FOP)).toBe(0x6f9);
    const other = fpuMachine();
    other.cpu.set32(R.FCW, 0x37e);
    run(other, 0x48, 0xdc, 0x07);
    expect(other.cpu.get32(R.FOP)).toBe(0x407);
  });

  test('on AMD comparisons report unordered, on Intel the conditions stay', () => {
    for (const [vendor, fsw] of [
      ['amd', 0xc5c1],
      ['intel', 0x80c1],
    ] as const) {
      const machine = fpuMachine({ ...PROFILE, vendor });
      machine.cpu.set32(R.FCW, 0x37e);
      run(machine, 0xd8, 0xd1);
      expect(machine.cpu.get32(R.FSW)).toBe(fsw);
    }
  });
});

describe('state', () => {
  test('instruction and data pointers follow non-control instructions only', () => {
    const machine = fpuMachine();
    run(machine, 0xdd, 0x47, 0x10);
    expect(machine.cpu.get64(R.FIP)).toBe(0x2000n);
    expect(machine.cpu.get64(R.FDP)).toBe(BigInt(OPERAND) + 16n);
    machine.cpu.set64(R.RIP, 0x3000n);
    run(machine, 0xd9, 0x7f, 0x20);
    expect(machine.cpu.get64(R.FIP)).toBe(0x2000n);
    run(machine, ...FLDPI);
    expect(machine.cpu.get64(R.FIP)).toBe(0x3000n);
    expect(machine.cpu.get64(R.FDP)).toBe(BigInt(OPERAND) + 16n);
  });

  test('FNSTENV: 28 bytes of the protected-mode format, then all exceptions masked', () => {
    const machine = fpuMachine();
    const { cpu } = machine;
    cpu.set32(R.FCW, 0x340);
    run(machine, ...FLDZ);
    run(machine, ...FLD1);
    run(machine, 0xd9, 0x37);
    const image = Array.from({ length: 7 }, (_, i) => cpu.memory.read32(OPERAND + 4 * i));
    // FLDZ in physical register 7 (zero), FLD1 in 6 (valid), the others empty.
    expect(image).toEqual([0xffff_0340, 0xffff_3000, 0xffff_4fff, 0x2000, 0, 0, 0xffff_0000]);
    expect(cpu.get32(R.FCW)).toBe(0x37f);
  });

  test.each([
    ['64-bit operand size', [], 28],
    ['16-bit operand size', [0x66], 14],
  ])('FNSAVE and FRSTOR, %s', (_, prefix, environment) => {
    const machine = fpuMachine();
    const { cpu } = machine;
    for (const bytes of [FLD1, FLDPI, FLDZ]) run(machine, ...bytes);
    cpu.set32(R.FCW, 0xe5b);
    const before = [R.FCW, R.FSW, R.FTW, R.FIP].map((offset) => cpu.get32(offset));
    expect(run(machine, ...prefix, 0xdd, 0x37)).toBeUndefined();
    expect([cpu.get32(R.FCW), cpu.get32(R.FSW), cpu.get32(R.FTW)]).toEqual([0x37f, 0, 0]);
    // ST(0) stands first.
    expect(cpu.memory.read64(OPERAND + environment + 10)).toBe(0xc90fdaa22168c235n);
    cpu.u8.fill(0, cpu.base + R.FPR, cpu.base + R.FPR + 128);
    expect(run(machine, ...prefix, 0xdd, 0x27)).toBeUndefined();
    expect([R.FCW, R.FSW, R.FTW, R.FIP].map((offset) => cpu.get32(offset))).toEqual(before);
    expect([st(machine, 0), st(machine, 1), st(machine, 2)]).toEqual([
      [0, 0n],
      [0x4000, 0xc90fdaa22168c235n],
      [0x3fff, 1n << 63n],
    ]);
  });

  test('FLDENV with a flag that the loaded FCW does not mask makes the exception pending', () => {
    const machine = fpuMachine();
    const { cpu } = machine;
    const image = [0x37e, 0x0001, 0xffff, 0, 0, 0, 0];
    image.forEach((word, i) => cpu.memory.write32(OPERAND + 4 * i, word));
    run(machine, 0xd9, 0x27);
    expect(cpu.get32(R.FSW)).toBe(0x8081);
    expect(run(machine, ...FLD1)).toBe(16);
  });

  test('FLDENV ignores what tags say beyond empty', () => {
    const machine = fpuMachine();
    const { cpu } = machine;
    // Tags 0 valid, 1 zero, 2 special, 3 empty from register 0 up.
    [0x37f, 0, 0b1111_1111_1110_0100, 0, 0, 0, 0].forEach((word, i) => cpu.memory.write32(OPERAND + 4 * i, word));
    run(machine, 0xd9, 0x27);
    expect(cpu.get32(R.FTW)).toBe(0b0000_0111);
  });
});

describe('FPREM takes large exponent differences away step by step', () => {
  test('2^100 mod 3', () => {
    const machine = fpuMachine();
    const { cpu } = machine;
    cpu.memory.write64(OPERAND, 0xc000_0000_0000_0000n);
    cpu.memory.write64(OPERAND + 8, 0x4000n);
    run(machine, 0xdb, 0x2f);
    cpu.memory.write64(OPERAND, 1n << 63n);
    cpu.memory.write64(OPERAND + 8, 0x4063n);
    run(machine, 0xdb, 0x2f);
    run(machine, 0xd9, 0xf8);
    expect(cpu.get32(R.FSW) & 0x400).toBe(0x400);
    run(machine, 0xd9, 0xf8);
    expect(cpu.get32(R.FSW) & 0x400).toBe(0);
    // 2^even mod 3 = 1.
    expect(st(machine, 0)).toEqual([0x3fff, 1n << 63n]);
  });
});
