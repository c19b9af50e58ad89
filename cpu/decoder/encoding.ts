/**
 * What the opcode maps are compiled to. Every cell of a map leads to an `Encoding`: the constants of one instruction form that the
 * decoder copies into an Insn, and where its registers and immediate stand in the bytes.
 */

/** How 64-bit mode changes the operand size: SDM superscripts d64 (default 64, 66H gives 16) and f64 (always 64). */
export enum LongSize {
  Normal,
  Default64,
  Forced64,
}

/** Immediate bytes that follow the ModRM operand. */
export enum Immediate {
  None,
  /** The constant 1 of D0, D1: no byte. */
  One,
  SignedByte,
  Byte,
  SignedWord,
  Word,
  SignedDword,
  Qword,
  /** Offset of the effective address size. */
  Moffs,
  Far16,
  Far32,
  /** ENTER: imm16, imm8. */
  WordByte,
}

/**
 * Where the register number of one operand comes from, in one number: bits 3:0 the position in the word of fields
 * (ModRM.reg, ModRM.rm, opcode bits 2:0, four bits each with their REX bit), bits 7:4 the mask, bit 8 set for byte registers (4-7
 * mean AH-BH without REX), from bit 9 a constant to add.
 */
export const Slot = {
  NONE: -1,
  REG_FIELD: 0,
  RM_FIELD: 4,
  OPCODE_FIELD: 8,
  /** Extended by REX. */
  WIDE: 0xf0,
  /** MMX, x87 and segment registers: REX has no effect. */
  NARROW: 0x70,
  BYTE_REGISTER: 0x100,
  constant: (register: number): number => register << 9,
} as const;

export interface Encoding {
  readonly op: string;
  /** Name with a 64-bit operand size where the manual gives it another one (MOVQ of MOVD); else `op`. */
  readonly op64: string;
  readonly form: string;
  /** Widths of the first and second operand for operand size 16, 32, 64. */
  readonly size: readonly [number, number, number];
  readonly ssize: readonly [number, number, number];
  readonly immediate: readonly [Immediate, Immediate, Immediate];
  readonly dst: number;
  readonly src: number;
  readonly src2: number;
  readonly longSize: LongSize;
  /** The ModRM operand is memory. */
  readonly memory: boolean;
  /** ... and is accessed, or at least named by the instruction: not a hint. */
  readonly touchesMemory: boolean;
  readonly lockable: boolean;
  /** 66H selected the opcode, so it does not select the operand size. */
  readonly uses66: boolean;
  /** F2H or F3H selected the opcode, so it is no repeat prefix. */
  readonly usesRep: boolean;
  /** The opcode's low four bits are a condition. */
  readonly conditional: boolean;
  /** The only string operand is ES:rDI, which no prefix overrides. */
  readonly fixedEs: boolean;
}

/** One opcode with one mandatory prefix in one mode. */
export interface Cell {
  readonly hasModrm: boolean;
  /** MOV to and from CR, DR: ModRM.mod is ignored and taken as 3. */
  readonly ignoresMod: boolean;
  /** Used when ModRM.mod is not 3 / is 3 or there is no ModRM. */
  readonly memory: Encoding;
  readonly register: Encoding;
  /** Where more of ModRM selects the instruction: 8 entries by ModRM.reg for memory, then 64 by ModRM bits 5:0 for mod = 3. */
  readonly group: readonly Encoding[] | undefined;
}

/** An encoding that no instruction has: #UD. */
export const INVALID: Encoding = {
  op: 'UD',
  op64: 'UD',
  form: '',
  size: [16, 32, 64],
  ssize: [16, 32, 64],
  immediate: [Immediate.None, Immediate.None, Immediate.None],
  dst: Slot.NONE,
  src: Slot.NONE,
  src2: Slot.NONE,
  longSize: LongSize.Normal,
  memory: false,
  touchesMemory: false,
  lockable: false,
  uses66: false,
  usesRep: false,
  conditional: false,
  fixedEs: false,
};
