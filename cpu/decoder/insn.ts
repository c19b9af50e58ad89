/**
 * One decoded instruction, flat, so that decoding allocates one object and nothing else.
 *
 * Register numbers: 0-15 general (RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8-R15); 16-19 are AH, CH, DH, BH in
 * byte-sized operands. For XMM/MMX/x87/segment/control/debug registers the plain register number.
 */
export const Segment = { ES: 0, CS: 1, SS: 2, DS: 3, FS: 4, GS: 5, LDTR: 6, TR: 7 } as const;
export const NO_REGISTER = -1;
/** `base` of a RIP-relative operand. */
export const RIP_BASE = 32;

/** Code size of the mode an instruction is decoded in (CS.L / CS.D): 64-bit, 32-bit (protected or compatibility) or 16-bit. */
export type CodeSize = 16 | 32 | 64;

export interface Insn {
  /** SDM mnemonic in upper case; families with a condition are JCC, SETCC, CMOVCC with `cc`; see decoder/README in the table file. */
  op: string;
  /**
   * Operand kinds in Intel order once ModRM is known: r general register, m memory, i immediate (sign-extended to the operand size),
   * c the CL register, x XMM register, q MMX register, s segment register, k control register, d debug register,
   * o moffs (address in `imm`), j relative branch, p far pointer. "" when there are none or all are implied.
   */
  form: string;
  /** Operand size in bits: 8, 16, 32, 64; for SSE 128 or the memory access size. */
  size: number;
  /** Source size in bits where it differs from `size` (MOVZX, MOVSX, MOVSXD, CVT*, IN/OUT port size...), else equal to `size`. */
  ssize: number;
  /** Register number of the first operand (destination) if it is a register; NO_REGISTER otherwise. */
  dst: number;
  /** Register number of the second operand if it is a register; NO_REGISTER otherwise. */
  src: number;
  /** Register number of a third register operand; NO_REGISTER otherwise. */
  src2: number;
  /** Memory operand: base and index general registers 0-15, NO_REGISTER, or RIP_BASE. */
  base: number;
  index: number;
  /** log2 of the scale, 0-3. */
  scale: number;
  /** Displacement, signed 32 bits (16-bit displacements are sign-extended). */
  disp: number;
  /** Segment of the memory operand after default and override: Segment.*. In 64-bit mode only FS and GS keep an effect. */
  segment: number;
  /** Immediate or relative displacement, sign-extended to a signed 32-bit number (imm8 too). ENTER: imm16. Far pointer: offset. */
  imm: number;
  /** High 32 bits of a 64-bit immediate / moffs (MOV r64, imm64), else the sign of `imm`. */
  immHigh: number;
  /** Second immediate: ENTER's nesting level, far pointer's selector, otherwise 0. */
  imm2: number;
  /** Condition 0-15 of JCC, SETCC, CMOVCC. */
  cc: number;
  /** Effective address size of the memory operand (also selects rCX for REP and LOOP): 16, 32, 64. */
  addressSize: 16 | 32 | 64;
  /** Effective operand size of the instruction before 8-bit forms override it: 16, 32, 64. */
  operandSize: 16 | 32 | 64;
  /** 0, 0xf2 (REPNE) or 0xf3 (REP/REPE): the prefix when it is not part of the opcode. */
  rep: 0 | 0xf2 | 0xf3;
  lock: boolean;
  /** A memory operand exists (m or an implied one is not counted). */
  hasMemory: boolean;
  /** Raw ModRM byte, or -1. */
  modrm: number;
  /** Length in bytes, 1-15. */
  length: number;
  codeSize: CodeSize;
}
