/** SDM volume 2, "Key to Abbreviations": what an operand of the opcode maps (one-byte-map.ts) means to the decoder. */
import { Immediate, Slot } from './encoding';
import { Segment } from './insn';

type Widths = readonly [number, number, number];
type Immediates = readonly [Immediate, Immediate, Immediate];

export interface Operand {
  /** Character of Insn.form when ModRM names a register / memory; '' for an implied operand. */
  readonly registerForm: string;
  readonly memoryForm: string;
  /** May ModRM.mod be 3 / other than 3? Both true for an operand that is not in ModRM.rm. */
  readonly allowsRegister: boolean;
  readonly allowsMemory: boolean;
  readonly needsModrm: boolean;
  readonly slot: number;
  /** The register number comes from ModRM.rm, so there is none when that is memory. */
  readonly isRm: boolean;
  /** Bits for operand size 16, 32, 64; undefined when the operand says nothing about the width. */
  readonly width: Widths | undefined;
  readonly immediate: Immediates | undefined;
  readonly letter: string;
}

const always = (bits: number): Widths => [bits, bits, bits];
const OPERAND_SIZE: Widths = [16, 32, 64];

const WIDTHS: Readonly<Record<string, Widths>> = {
  b: always(8),
  w: always(16),
  d: always(32),
  q: always(64),
  dq: always(128),
  t: always(80),
  ss: always(32),
  sd: always(64),
  ps: always(128),
  pd: always(128),
  x: always(128),
  v: OPERAND_SIZE,
  z: [16, 32, 32],
  y: [32, 32, 64],
  '2y': [64, 64, 128],
  // Far pointers, bounds and descriptor-table operands are as wide as their offset, one bound, their base.
  p: OPERAND_SIZE,
  a: OPERAND_SIZE,
  s: OPERAND_SIZE,
  env: [112, 224, 224],
  fsave: [752, 864, 864],
};

const same = (kind: Immediate): Immediates => [kind, kind, kind];

const IMMEDIATES: Readonly<Record<string, Immediates>> = {
  Ib: same(Immediate.SignedByte),
  Iub: same(Immediate.Byte),
  Iw: same(Immediate.Word),
  Iz: [Immediate.SignedWord, Immediate.SignedDword, Immediate.SignedDword],
  Iv: [Immediate.SignedWord, Immediate.SignedDword, Immediate.Qword],
  Jb: same(Immediate.SignedByte),
  Jz: [Immediate.SignedWord, Immediate.SignedDword, Immediate.SignedDword],
  Ap: [Immediate.Far16, Immediate.Far32, Immediate.Far32],
  1: same(Immediate.One),
};

const PLAIN: Omit<Operand, 'letter'> = {
  registerForm: '',
  memoryForm: '',
  allowsRegister: true,
  allowsMemory: true,
  needsModrm: false,
  slot: Slot.NONE,
  isRm: false,
  width: undefined,
  immediate: undefined,
};

/** Operands that are one fixed register or a constant. */
const FIXED: Readonly<Record<string, Partial<Operand>>> = {
  AL: { registerForm: 'r', slot: Slot.constant(0), width: always(8) },
  AX: { registerForm: 'r', slot: Slot.constant(0), width: always(16) },
  eAX: { registerForm: 'r', slot: Slot.constant(0), width: WIDTHS.z },
  rAX: { registerForm: 'r', slot: Slot.constant(0), width: OPERAND_SIZE },
  CL: { registerForm: 'c' },
  ES: { registerForm: 's', slot: Slot.constant(Segment.ES) },
  CS: { registerForm: 's', slot: Slot.constant(Segment.CS) },
  SS: { registerForm: 's', slot: Slot.constant(Segment.SS) },
  DS: { registerForm: 's', slot: Slot.constant(Segment.DS) },
  FS: { registerForm: 's', slot: Slot.constant(Segment.FS) },
  GS: { registerForm: 's', slot: Slot.constant(Segment.GS) },
  ST0: { registerForm: 't', slot: Slot.constant(0) },
  STi: { registerForm: 't', slot: Slot.RM_FIELD | Slot.NARROW, isRm: true, allowsMemory: false, needsModrm: true },
  1: { registerForm: 'i', immediate: IMMEDIATES[1] },
};

const rm = (form: string, mask: number): Partial<Operand> => ({
  registerForm: form,
  memoryForm: 'm',
  slot: Slot.RM_FIELD | mask,
  isRm: true,
  needsModrm: true,
});
const rmRegister = (form: string, mask: number): Partial<Operand> => ({ ...rm(form, mask), allowsMemory: false });
const reg = (form: string, mask: number): Partial<Operand> => ({ registerForm: form, slot: Slot.REG_FIELD | mask, needsModrm: true });

const ADDRESSING: Readonly<Record<string, Partial<Operand>>> = {
  E: rm('r', Slot.WIDE),
  M: { memoryForm: 'm', allowsRegister: false, isRm: true, needsModrm: true },
  R: rmRegister('r', Slot.WIDE),
  G: reg('r', Slot.WIDE),
  Z: { registerForm: 'r', slot: Slot.OPCODE_FIELD | Slot.WIDE },
  W: rm('x', Slot.WIDE),
  U: rmRegister('x', Slot.WIDE),
  V: reg('x', Slot.WIDE),
  Q: rm('q', Slot.NARROW),
  N: rmRegister('q', Slot.NARROW),
  P: reg('q', Slot.NARROW),
  S: reg('s', Slot.NARROW),
  C: reg('k', Slot.WIDE),
  D: reg('d', Slot.WIDE),
  I: { registerForm: 'i' },
  J: { registerForm: 'j' },
  A: { registerForm: 'p' },
  O: { registerForm: 'o', immediate: same(Immediate.Moffs) },
  X: {},
  Y: {},
};

const GENERAL_REGISTER = 'EGRZ';
const GIVES_WIDTH = 'EMRGZWUVQNPSCDOXY';

/** @throws Error for an operand that the notation does not have: a mistake in a table. */
export function parseOperand(text: string): Operand {
  const implied = text.startsWith('(');
  const name = implied ? text.slice(1, -1) : text;
  const operand = FIXED[name] ? { ...PLAIN, ...FIXED[name], letter: name } : addressed(name);
  if (!implied && operand.memoryForm === '' && !operand.isRm) return { ...operand, memoryForm: operand.registerForm };
  return implied ? { ...operand, registerForm: '', memoryForm: '', slot: Slot.NONE } : operand;
}

function addressed(name: string): Operand {
  if (WIDTHS[name]) return { ...PLAIN, width: WIDTHS[name], letter: '' };
  const letter = name[0];
  const type = name.slice(1);
  const parts = ADDRESSING[letter];
  if (!parts || (type !== '' && !WIDTHS[type] && !IMMEDIATES[name])) throw new Error(`opcode map: no operand ${name}`);
  const operand: Operand = { ...PLAIN, ...parts, letter };
  const byte = type === 'b' && GENERAL_REGISTER.includes(letter);
  return {
    ...operand,
    slot: byte ? operand.slot | Slot.BYTE_REGISTER : operand.slot,
    width: GIVES_WIDTH.includes(letter) ? WIDTHS[type] : undefined,
    immediate: operand.immediate ?? IMMEDIATES[name],
  };
}
