/** Immediate bytes of an instruction, with the conventions of Insn.imm. */
import { Immediate } from './encoding';
import type { Insn } from './insn';
import { signedDword, signedWord } from './memory-operand';

/** Returns the index behind the immediate. */
export function readImmediate(insn: Insn, kind: Immediate, bytes: Uint8Array, at: number): number {
  switch (kind) {
    case Immediate.None:
      return at;
    case Immediate.One:
      insn.imm = 1;
      return at;
    case Immediate.SignedByte:
      return signed(insn, (bytes[at] << 24) >> 24, at + 1);
    case Immediate.Byte:
      insn.imm = bytes[at] | 0;
      return at + 1;
    case Immediate.SignedWord:
      return signed(insn, signedWord(bytes, at), at + 2);
    case Immediate.Word:
      insn.imm = signedWord(bytes, at) & 0xffff;
      return at + 2;
    case Immediate.SignedDword:
      return signed(insn, signedDword(bytes, at), at + 4);
    case Immediate.Qword:
      insn.imm = signedDword(bytes, at);
      insn.immHigh = signedDword(bytes, at + 4);
      return at + 8;
    case Immediate.Moffs:
      return readOffset(insn, bytes, at);
    case Immediate.Far16:
      insn.imm = signedWord(bytes, at) & 0xffff;
      insn.imm2 = signedWord(bytes, at + 2) & 0xffff;
      return at + 4;
    case Immediate.Far32:
      insn.imm = signedDword(bytes, at);
      insn.imm2 = signedWord(bytes, at + 4) & 0xffff;
      return at + 6;
    case Immediate.WordByte:
      insn.imm = signedWord(bytes, at) & 0xffff;
      insn.imm2 = bytes[at + 2] | 0;
      return at + 3;
  }
}

function signed(insn: Insn, value: number, next: number): number {
  insn.imm = value;
  insn.immHigh = value >> 31;
  return next;
}

/** A moffs shorter than 64 bits is zero-extended: immHigh stays 0. */
function readOffset(insn: Insn, bytes: Uint8Array, at: number): number {
  if (insn.addressSize === 16) {
    insn.imm = signedWord(bytes, at) & 0xffff;
    return at + 2;
  }
  insn.imm = signedDword(bytes, at);
  if (insn.addressSize === 32) return at + 4;
  insn.immHigh = signedDword(bytes, at + 4);
  return at + 8;
}
