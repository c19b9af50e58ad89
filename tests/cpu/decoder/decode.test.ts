import { decode } from '../../../cpu/decoder/decode';
import { NO_REGISTER, RIP_BASE, Segment, type CodeSize, type Insn } from '../../../cpu/decoder/insn';

function decodeHex(hex: string, codeSize: CodeSize = 64): Insn {
  const bytes = Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  const insn = decode(bytes, 0, bytes.length, codeSize);
  if (insn === undefined) throw new Error(`${hex} is not a whole instruction`);
  return insn;
}

interface Case {
  readonly hex: string;
  readonly codeSize?: CodeSize;
  readonly means: string;
  readonly fields: Partial<Insn>;
}

function check(cases: readonly Case[]): void {
  test.each(cases.map((row) => [row.hex, row.codeSize ?? 64, row.means, row] as const))('%s (%i-bit): %s', (_hex, codeSize, _means, row) => {
    const insn = decodeHex(row.hex, codeSize);
    expect(insn).toMatchObject(row.fields);
    expect(insn.length).toBe(row.hex.replaceAll(' ', '').length / 2);
  });
}

describe('prefixes (SDM "Instruction Prefixes", "REX Prefixes")', () => {
  check([
    { hex: '66 48 01 c8', means: 'REX.W beats 66', fields: { op: 'ADD', size: 64, operandSize: 64 } },
    { hex: '48 66 01 c8', means: 'REX not directly before the opcode is ignored', fields: { op: 'ADD', size: 16 } },
    { hex: '66 66 90', means: '66 twice is 66', fields: { op: 'NOP', operandSize: 16 } },
    { hex: '26 36 8b 07', codeSize: 32, means: 'the last segment override wins', fields: { segment: Segment.SS } },
    { hex: '64 65 8b 07', means: 'also in 64-bit mode', fields: { segment: Segment.GS } },
    { hex: '64 3e 8b 07', means: 'DS has no effect there, not even on FS', fields: { segment: Segment.FS } },
    { hex: '3e 8b 45 00', means: 'nor on the stack segment of a base RBP', fields: { segment: Segment.SS } },
    { hex: 'f2 f3 a4', means: 'the last repeat prefix wins', fields: { op: 'MOVS', rep: 0xf3, size: 8 } },
    { hex: 'f3 0f 10 c1', means: 'F3 that selects the opcode is no repeat', fields: { op: 'MOVSS', rep: 0, form: 'xx' } },
    { hex: '66 f2 0f 10 c1', means: 'F2 beats 66 as mandatory prefix', fields: { op: 'MOVSD_SSE', operandSize: 16 } },
    { hex: 'f3 f2 0f 58 c1', means: 'and the last of F2, F3 counts', fields: { op: 'ADDSD' } },
    { hex: 'f3 90', means: 'PAUSE', fields: { op: 'PAUSE', rep: 0 } },
    { hex: '41 90', means: 'REX.B makes 90 an exchange', fields: { op: 'XCHG', form: 'rr', dst: 8, src: 0, size: 32 } },
    { hex: '48 90', means: 'REX.W does not', fields: { op: 'NOP' } },
    { hex: 'f0 48 0f b1 0f', means: 'LOCK on a lockable instruction with memory', fields: { op: 'CMPXCHG', lock: true, form: 'mr', size: 64 } },
    { hex: 'f0 01 c8', means: 'LOCK with a register destination', fields: { op: 'UD' } },
    { hex: 'f0 03 07', means: 'LOCK with a memory source', fields: { op: 'UD' } },
    { hex: 'f0 0f a3 07', means: 'LOCK BT', fields: { op: 'UD' } },
    { hex: '66 0f 38 f1 07', means: "66 is MOVBE's operand size", fields: { op: 'MOVBE', form: 'mr', size: 16 } },
    { hex: '66 f2 0f 38 f1 c1', means: "and CRC32's source size", fields: { op: 'CRC32', size: 32, ssize: 16 } },
    { hex: '66 f3 0f b8 c1', means: "and POPCNT's", fields: { op: 'POPCNT', size: 16, rep: 0 } },
  ]);
});

describe('operand sizes in 64-bit mode (SDM "Default Operand Size", "Near Branches")', () => {
  check([
    { hex: '50', means: 'PUSH defaults to 64', fields: { op: 'PUSH', size: 64, dst: 0 } },
    { hex: '66 50', means: '66 makes it 16', fields: { op: 'PUSH', size: 16 } },
    { hex: '6a ff', means: 'PUSH imm8 is sign-extended', fields: { op: 'PUSH', form: 'i', size: 64, imm: -1, immHigh: -1 } },
    { hex: '66 e8 01 00 00 00', means: 'near branches ignore 66', fields: { op: 'CALL', imm: 1, operandSize: 64 } },
    { hex: '66 c3', means: 'so does RET', fields: { op: 'RET', operandSize: 64, imm: 0 } },
    { hex: 'ff d0', means: 'CALL r/m', fields: { op: 'CALLI', form: 'r', size: 64 } },
    { hex: 'ff 28', means: 'far JMP', fields: { op: 'JMPF', form: 'm', size: 32 } },
    { hex: '48 cf', means: 'IRETQ', fields: { op: 'IRET', size: 64 } },
    { hex: 'cf', means: 'IRET defaults to 32', fields: { op: 'IRET', size: 32 } },
    { hex: '0f 20 d8', means: 'MOV from CR is 64 bits', fields: { op: 'MOV_CR', form: 'rk', size: 64, dst: 0, src: 3 } },
    { hex: '44 0f 22 c1', means: 'CR8', fields: { op: 'MOV_CR', form: 'kr', dst: 8, src: 1 } },
    { hex: '0f 22 1c', means: 'mod is ignored', fields: { op: 'MOV_CR', form: 'kr', dst: 3, src: 4, hasMemory: false } },
    { hex: '0f 22 c8', means: 'there is no CR1', fields: { op: 'UD' } },
    { hex: '48 b8 01 02 03 04 05 06 07 88', means: 'MOV r64, imm64', fields: { op: 'MOV', form: 'ri', imm: 0x0403_0201, immHigh: 0x8807_0605 | 0 } },
    { hex: 'b8 00 00 00 80', means: 'MOV r32, imm32', fields: { op: 'MOV', size: 32, imm: -0x8000_0000, immHigh: -1 } },
    { hex: '48 63 c1', means: 'MOVSXD', fields: { op: 'MOVSX', size: 64, ssize: 32 } },
    { hex: '48 0f c7 0f', means: 'CMPXCHG16B', fields: { op: 'CMPXCHG16B', size: 128 } },
    { hex: '0f c7 0f', means: 'CMPXCHG8B', fields: { op: 'CMPXCHG8B', size: 64 } },
    { hex: '66 48 0f 6e c1', means: 'MOVQ xmm, r64', fields: { op: 'MOVQ', form: 'xr', size: 64, operandSize: 64 } },
    { hex: '48 0f ae 07', means: 'FXSAVE64', fields: { op: 'FXSAVE', size: 64 } },
  ]);
});

describe('registers', () => {
  check([
    { hex: '88 e0', means: 'AH without REX', fields: { op: 'MOV', dst: 0, src: 16, size: 8 } },
    { hex: '40 88 e0', means: 'SPL with any REX', fields: { src: 4 } },
    { hex: '44 88 f8', means: 'R15B', fields: { src: 15 } },
    { hex: 'b7 01', means: 'BH in the opcode', fields: { op: 'MOV', form: 'ri', dst: 19, imm: 1 } },
    { hex: '41 8e d8', means: 'segment registers and their source', fields: { op: 'MOV_SEG', form: 'sr', dst: Segment.DS, src: 8 } },
    { hex: '8c 18', means: 'stored', fields: { op: 'MOV_SEG', form: 'ms', src: Segment.DS, size: 16 } },
    { hex: '8e c8', means: 'CS cannot be loaded', fields: { op: 'UD' } },
    { hex: '8c f0', means: 'there is no segment register 6', fields: { op: 'UD' } },
    { hex: '1e', codeSize: 32, means: 'PUSH DS', fields: { op: 'PUSH_SEG', form: 's', dst: Segment.DS, src: Segment.DS, size: 32 } },
    { hex: '0f a8', means: 'PUSH GS', fields: { op: 'PUSH_SEG', src: Segment.GS, size: 64 } },
    { hex: '4d 0f 6f c7', means: 'MMX registers ignore REX', fields: { op: 'MOVQ', form: 'qq', dst: 0, src: 7 } },
    { hex: '45 0f 28 c7', means: 'XMM registers do not', fields: { op: 'MOVAPS', form: 'xx', dst: 8, src: 15, size: 128 } },
    { hex: 'd3 e0', means: 'the count in CL', fields: { op: 'SHL', form: 'rc', dst: 0 } },
    { hex: 'd1 20', means: 'the count 1', fields: { op: 'SHL', form: 'mi', imm: 1, size: 32 } },
    { hex: 'de f9', means: 'FDIVP ST(1), ST(0)', fields: { op: 'FDIVP', form: 'tt', dst: 1, src: 0 } },
    { hex: 'd9 c9', means: 'FXCH ST(1)', fields: { op: 'FXCH', form: 't', dst: 1 } },
    { hex: 'df e0', means: 'FNSTSW AX', fields: { op: 'FNSTSW', form: 'r', dst: 0, size: 16 } },
    { hex: 'db 28', means: 'FLD m80', fields: { op: 'FLD', form: 'm', size: 80 } },
  ]);
});

describe('memory operands (SDM "Addressing-Mode Encoding of ModR/M and SIB Bytes")', () => {
  const none = { base: NO_REGISTER, index: NO_REGISTER, disp: 0 };
  check([
    { hex: '8b 05 fc ff ff ff', means: 'RIP-relative', fields: { ...none, base: RIP_BASE, disp: -4, hasMemory: true, addressSize: 64 } },
    { hex: '41 8b 05 00 00 00 00', means: 'REX.B does not change that', fields: { base: RIP_BASE } },
    { hex: '67 8b 05 00 00 00 00', means: 'EIP-relative', fields: { base: RIP_BASE, addressSize: 32 } },
    { hex: '8b 05 fc ff ff ff', codeSize: 32, means: 'an address of its own in 32-bit code', fields: { ...none, disp: -4, segment: Segment.DS } },
    { hex: '8b 04 25 10 00 00 00', means: 'neither base nor index', fields: { ...none, disp: 16 } },
    { hex: '41 8b 45 00', means: 'R13 needs a displacement', fields: { ...none, base: 13, segment: Segment.DS } },
    { hex: '8b 45 00', means: 'RBP as well, and is in the stack', fields: { ...none, base: 5, segment: Segment.SS } },
    { hex: '41 8b 04 24', means: 'R12 needs a SIB byte', fields: { ...none, base: 12, segment: Segment.DS } },
    { hex: '8b 44 24 08', means: 'RSP as well, and is in the stack', fields: { ...none, base: 4, disp: 8, segment: Segment.SS } },
    { hex: '42 8b 04 a0', means: 'R12 can be an index', fields: { base: 0, index: 12, scale: 2 } },
    { hex: '8b 44 05 00', means: 'RBP base, RAX index', fields: { base: 5, index: 0, scale: 0, segment: Segment.SS } },
    { hex: '8b 42 fe', codeSize: 16, means: '[BP+SI-2]', fields: { base: 5, index: 6, disp: -2, segment: Segment.SS, addressSize: 16 } },
    { hex: '8b 1e 00 80', codeSize: 16, means: '[8000h]', fields: { ...none, disp: -0x8000, segment: Segment.DS } },
    { hex: '8b 07', codeSize: 16, means: '[BX]', fields: { ...none, base: 3, segment: Segment.DS } },
    { hex: 'a1 01 02 03 04 05 06 07 08', means: 'a 64-bit moffs', fields: { op: 'MOV', form: 'ro', imm: 0x0403_0201, immHigh: 0x0807_0605 } },
    { hex: '67 a3 00 00 00 80', means: 'a 32-bit moffs is zero-extended', fields: { op: 'MOV', form: 'or', imm: -0x8000_0000, immHigh: 0, addressSize: 32 } },
    { hex: '0f 1f 44 00 00', means: 'a long NOP touches nothing', fields: { op: 'NOP', form: 'm', hasMemory: false } },
    { hex: 'f3 0f 1e fa', means: 'ENDBR64', fields: { op: 'NOP', hasMemory: false } },
    { hex: '66 0f 3a 14 07 03', means: 'the memory width is that of its place in form', fields: { op: 'PEXTRB', form: 'mxi', size: 8, src: 0, imm: 3 } },
    { hex: '66 0f 38 30 07', means: 'as source', fields: { op: 'PMOVZXBW', form: 'xm', size: 128, ssize: 64 } },
  ]);
});

describe('immediates', () => {
  check([
    { hex: 'c8 34 12 05', means: 'ENTER', fields: { op: 'ENTER', imm: 0x1234, imm2: 5, size: 64 } },
    { hex: 'c2 00 80', means: 'RET imm16 is unsigned', fields: { op: 'RET', form: 'i', imm: 0x8000 } },
    { hex: 'cd 80', means: 'so is a vector', fields: { op: 'INT', form: 'i', imm: 0x80 } },
    { hex: 'e5 80', means: 'and a port', fields: { op: 'IN', form: 'i', imm: 0x80, size: 32 } },
    { hex: '66 ef', means: 'OUT DX, AX', fields: { op: 'OUT', form: '', size: 16 } },
    { hex: '48 ef', means: 'REX.W does not widen a port', fields: { op: 'OUT', size: 32 } },
    { hex: '83 e8 80', means: 'imm8 of the arithmetic group is signed', fields: { op: 'SUB', form: 'ri', imm: -128, immHigh: -1 } },
    { hex: 'ea 00 ff 34 12', codeSize: 16, means: 'JMP ptr16:16', fields: { op: 'JMPF', form: 'p', imm: 0xff00, imm2: 0x1234 } },
    { hex: '66 ea 00 00 00 80 34 12', codeSize: 16, means: 'JMP ptr16:32', fields: { op: 'JMPF', imm: -0x8000_0000, imm2: 0x1234 } },
    { hex: '75 fe', means: 'JNE', fields: { op: 'JCC', form: 'j', cc: 5, imm: -2 } },
    { hex: '0f 4f c1', means: 'CMOVG', fields: { op: 'CMOVCC', cc: 15, form: 'rr' } },
    { hex: '69 c1 00 01 00 00', means: 'IMUL with three operands', fields: { op: 'IMUL', form: 'rri', imm: 256 } },
    { hex: '67 e3 00', means: 'JECXZ: the address size selects the counter', fields: { op: 'JCXZ', addressSize: 32 } },
  ]);
});

describe('encodings that are not instructions', () => {
  const INVALID_IN_64_BIT = ['06', '0e', '16', '1f', '27', '2f', '37', '3f', '60', '61', '62 00', '9a', 'c4 00', 'c5 00', 'ce', 'd4 0a', 'd6', 'ea', '82 00'];
  test.each(INVALID_IN_64_BIT)('%s is #UD in 64-bit mode', (hex) => {
    expect(decodeHex(hex).op).toBe('UD');
    expect(decodeHex(`${hex} 00 00 00 00 00 00 00`, 32).op).not.toBe('UD');
  });

  test.each(['c4 e2 78 f2 c0', 'c5 f8 77', '62 f1 7c 48 58 c0'])('%s (VEX, EVEX) is #UD in every mode', (hex) => {
    for (const codeSize of [16, 32, 64] as const) expect(decodeHex(hex, codeSize).op).toBe('UD');
  });

  test('UD0, UD1 and UD2 are the same op', () => {
    for (const hex of ['0f ff c0', '0f b9 c0', '0f 0b']) expect(decodeHex(hex).op).toBe('UD');
  });

  test('fifteen bytes are an instruction, sixteen are not', () => {
    expect(decodeHex(`${'66'.repeat(14)} 90`)).toMatchObject({ op: 'NOP', length: 15 });
    expect(decodeHex(`${'66'.repeat(15)} 90`)).toMatchObject({ op: 'TOO_LONG', length: 15 });
    expect(decodeHex(`${'2e'.repeat(10)} 81 00 01 02 03 04`).op).toBe('TOO_LONG');
    expect(decode(new Uint8Array(14).fill(0x66), 0, 14, 64)).toBeUndefined();
  });
});
