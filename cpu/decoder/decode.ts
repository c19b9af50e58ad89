/**
 * Instruction bytes to Insn, SDM volume 2, "Instruction Format": prefixes, opcode, ModRM, SIB, displacement, immediate. What each opcode
 * means stands in the opcode maps (one-byte-map.ts explains their notation).
 */
import { LongSize, Slot, type Encoding } from './encoding';
import { readImmediate } from './immediate';
import { NO_REGISTER, Segment, type CodeSize, type Insn } from './insn';
import { readMemoryOperand, readMemoryOperand16 } from './memory-operand';
import { LEGACY_CELLS, LONG_CELLS, MAP_SHIFT, PREFIX_SHIFT } from './tables';

const MAX_LENGTH = 15;

enum Prefix {
  None,
  Rex,
  OperandSize,
  AddressSize,
  Lock,
  Repeat,
  Segment,
  /** ES, CS, SS, DS in 64-bit mode: no effect, not even on an FS or GS prefix before it. */
  NullSegment,
}

const SEGMENT_PREFIXES: readonly (readonly [byte: number, segment: number])[] = [
  [0x26, Segment.ES],
  [0x2e, Segment.CS],
  [0x36, Segment.SS],
  [0x3e, Segment.DS],
  [0x64, Segment.FS],
  [0x65, Segment.GS],
];
const SEGMENT_OF_PREFIX = new Int8Array(256).fill(-1);
for (const [byte, segment] of SEGMENT_PREFIXES) SEGMENT_OF_PREFIX[byte] = segment;

function prefixKinds(long: boolean): Uint8Array {
  const kinds = new Uint8Array(256);
  kinds[0x66] = Prefix.OperandSize;
  kinds[0x67] = Prefix.AddressSize;
  kinds[0xf0] = Prefix.Lock;
  kinds[0xf2] = kinds[0xf3] = Prefix.Repeat;
  for (const [byte, segment] of SEGMENT_PREFIXES) kinds[byte] = long && segment < Segment.FS ? Prefix.NullSegment : Prefix.Segment;
  if (long) kinds.fill(Prefix.Rex, 0x40, 0x50);
  return kinds;
}
const LONG_PREFIXES = prefixKinds(true);
const LEGACY_PREFIXES = prefixKinds(false);

/**
 * Decodes the instruction at `bytes[at]`. Bytes from `end` on do not influence the result: when the instruction needs one of them it is
 * undefined, and the caller retries with more. Encodings that no supported instruction has give op 'UD', instructions of more than 15
 * bytes op 'TOO_LONG'.
 */
export function decode(bytes: Uint8Array, at: number, end: number, codeSize: CodeSize): Insn | undefined {
  const long = codeSize === 64;
  const kinds = long ? LONG_PREFIXES : LEGACY_PREFIXES;
  const limit = at + MAX_LENGTH;
  let next = at;
  let rex = 0;
  let operandPrefix = false;
  let addressPrefix = false;
  let lock = false;
  let rep: Insn['rep'] = 0;
  let override = -1;

  // Bytes behind `end` (or undefined ones behind the array, read as 0) are decoded too; the length check at the end discards the result.
  let opcode = bytes[next++] | 0;
  for (let kind: Prefix = kinds[opcode]; kind !== Prefix.None; kind = kinds[opcode]) {
    if (next >= limit) return unfinished(at, end, codeSize);
    // A REX prefix counts only directly before the opcode.
    rex = 0;
    if (kind === Prefix.Rex) rex = opcode;
    else if (kind === Prefix.OperandSize) operandPrefix = true;
    else if (kind === Prefix.Repeat) rep = opcode === 0xf2 ? 0xf2 : 0xf3;
    else if (kind === Prefix.Segment) override = SEGMENT_OF_PREFIX[opcode];
    else if (kind === Prefix.Lock) lock = true;
    else if (kind === Prefix.AddressSize) addressPrefix = true;
    opcode = bytes[next++] | 0;
  }

  let map = 0;
  if (opcode === 0x0f) {
    map = 1;
    opcode = bytes[next++] | 0;
    if (opcode === 0x38 || opcode === 0x3a) {
      map = opcode === 0x38 ? 2 : 3;
      opcode = bytes[next++] | 0;
    }
  }
  const prefix = rep !== 0 ? (rep === 0xf3 ? 2 : 3) : operandPrefix ? 1 : 0;
  // 90 is NOP (or PAUSE) only without REX.B: with it, it is the exchange with R8 that the opcode map has in 91-97.
  const row = opcode === 0x90 && map === 0 && (rex & 1) !== 0 ? 0x91 : opcode;
  const cell = (long ? LONG_CELLS : LEGACY_CELLS)[(map << MAP_SHIFT) | (prefix << PREFIX_SHIFT) | row];

  let modrm = NO_REGISTER;
  let encoding = cell.register;
  if (cell.hasModrm) {
    modrm = bytes[next++] | 0;
    const inMemory = modrm < 0xc0 && !cell.ignoresMod;
    if (cell.group !== undefined) encoding = cell.group[inMemory ? (modrm >> 3) & 7 : 8 + (modrm & 63)];
    else if (inMemory) encoding = cell.memory;
  }

  const operandSize = operandSizeOf(encoding, codeSize, rex, operandPrefix);
  const column = operandSize >> 5;
  // Position 16 on stays 0: constants come from the slot.
  const fields = ((modrm >> 3) & 7) | ((rex & 4) << 1) | ((modrm & 7) << 4) | ((rex & 1) << 7) | ((opcode & 7) << 8) | ((rex & 1) << 11);
  const insn: Insn = {
    op: operandSize === 64 ? encoding.op64 : encoding.op,
    form: encoding.form,
    size: encoding.size[column],
    ssize: encoding.ssize[column],
    dst: registerOf(encoding.dst, fields, rex),
    src: registerOf(encoding.src, fields, rex),
    src2: registerOf(encoding.src2, fields, rex),
    base: NO_REGISTER,
    index: NO_REGISTER,
    scale: 0,
    disp: 0,
    segment: encoding.fixedEs ? Segment.ES : override < 0 ? Segment.DS : override,
    imm: 0,
    immHigh: 0,
    imm2: 0,
    cc: encoding.conditional ? opcode & 15 : 0,
    addressSize: long ? (addressPrefix ? 32 : 64) : addressPrefix === (codeSize === 32) ? 16 : 32,
    operandSize,
    rep: encoding.usesRep ? 0 : rep,
    lock,
    hasMemory: encoding.touchesMemory,
    modrm,
    length: 0,
    codeSize,
  };

  if (encoding.memory) {
    if (insn.addressSize === 16) next = readMemoryOperand16(insn, bytes, next, modrm, override);
    else next = readMemoryOperand(insn, bytes, next, modrm, rex, override);
  }
  next = readImmediate(insn, encoding.immediate[column], bytes, next);

  if (next > limit || next > end) return unfinished(at, end, codeSize);
  insn.length = next - at;
  if (cell.ignoresMod && !namesControlOrDebugRegister(insn)) return withoutOperands('UD', insn.length, codeSize);
  if (lock && !encoding.lockable) return withoutOperands('UD', insn.length, codeSize);
  return insn;
}

function operandSizeOf(encoding: Encoding, codeSize: CodeSize, rex: number, operandPrefix: boolean): Insn['operandSize'] {
  const prefixed = operandPrefix && !encoding.uses66;
  if (codeSize !== 64) return prefixed === (codeSize === 32) ? 16 : 32;
  if (encoding.longSize === LongSize.Forced64 || (rex & 8) !== 0) return 64;
  if (prefixed) return 16;
  return encoding.longSize === LongSize.Default64 ? 64 : 32;
}

function registerOf(slot: number, fields: number, rex: number): number {
  if (slot < 0) return NO_REGISTER;
  const register = ((fields >> (slot & 15)) & ((slot >> 4) & 15)) + (slot >> 9);
  return (slot & Slot.BYTE_REGISTER) !== 0 && rex === 0 && register >= 4 ? register + 12 : register;
}

/** MOV to and from CR0, CR2, CR3, CR4, CR8 and DR0-DR7: the other numbers are #UD. (Whether DR4 and DR5 exist depends on CR4.DE.) */
function namesControlOrDebugRegister(insn: Insn): boolean {
  const register = insn.form === 'kr' || insn.form === 'dr' ? insn.dst : insn.src;
  return insn.op === 'MOV_DR' ? register < 8 : CONTROL_REGISTERS.includes(register);
}
const CONTROL_REGISTERS = [0, 2, 3, 4, 8];

/** The instruction needs a byte that is not there: the 16th, or one behind `end`. */
function unfinished(at: number, end: number, codeSize: CodeSize): Insn | undefined {
  return end - at < MAX_LENGTH ? undefined : withoutOperands('TOO_LONG', MAX_LENGTH, codeSize);
}

function withoutOperands(op: 'UD' | 'TOO_LONG', length: number, codeSize: CodeSize): Insn {
  return {
    op,
    form: '',
    size: codeSize,
    ssize: codeSize,
    dst: NO_REGISTER,
    src: NO_REGISTER,
    src2: NO_REGISTER,
    base: NO_REGISTER,
    index: NO_REGISTER,
    scale: 0,
    disp: 0,
    segment: Segment.DS,
    imm: 0,
    immHigh: 0,
    imm2: 0,
    cc: 0,
    addressSize: codeSize,
    operandSize: codeSize,
    rep: 0,
    lock: false,
    hasMemory: false,
    modrm: -1,
    length,
    codeSize,
  };
}
