/** SDM volume 2, "Addressing-Mode Encoding of ModR/M and SIB Bytes". Each function returns the index behind what it read. */
import { NO_REGISTER, RIP_BASE, Segment, type Insn } from './insn';

const RSP = 4;
const RBP = 5;

export function signedWord(bytes: Uint8Array, at: number): number {
  return ((bytes[at] | (bytes[at + 1] << 8)) << 16) >> 16;
}

export function signedDword(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

/** 32-bit and 64-bit addressing. `override` is the segment of a prefix or -1. */
export function readMemoryOperand(insn: Insn, bytes: Uint8Array, at: number, modrm: number, rex: number, override: number): number {
  const mod = modrm >> 6;
  let next = at;
  let base = modrm & 7;
  let segment: number = Segment.DS;
  let displaced = mod;
  if (base === RSP) {
    const sib = bytes[next++] | 0;
    const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
    if (index !== RSP) {
      insn.index = index;
      insn.scale = sib >> 6;
    }
    base = sib & 7;
    if (base === RBP && mod === 0) {
      base = NO_REGISTER;
      displaced = 2;
    }
  } else if (base === RBP && mod === 0) {
    base = insn.codeSize === 64 ? RIP_BASE : NO_REGISTER;
    displaced = 2;
  }
  if (base >= 0 && base < 8) {
    // R12 and R13 share the encodings of RSP and RBP but not their default segment.
    base |= (rex & 1) << 3;
    if (base === RSP || base === RBP) segment = Segment.SS;
  }
  insn.base = base;
  insn.segment = override < 0 ? segment : override;
  if (displaced === 1) {
    insn.disp = (bytes[next] << 24) >> 24;
    return next + 1;
  }
  if (displaced === 2) {
    insn.disp = signedDword(bytes, next);
    return next + 4;
  }
  return next;
}

const [BX, BP, SI, DI] = [3, 5, 6, 7];
const BASES_16 = [BX, BX, BP, BP, SI, DI, BP, BX];
const INDEXES_16 = [SI, DI, SI, DI, NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER];

export function readMemoryOperand16(insn: Insn, bytes: Uint8Array, at: number, modrm: number, override: number): number {
  const mod = modrm >> 6;
  const direct = mod === 0 && (modrm & 7) === 6;
  const base = direct ? NO_REGISTER : BASES_16[modrm & 7];
  insn.base = base;
  insn.index = INDEXES_16[modrm & 7];
  insn.segment = override >= 0 ? override : base === BP ? Segment.SS : Segment.DS;
  if (direct || mod === 2) {
    insn.disp = signedWord(bytes, at);
    return at + 2;
  }
  if (mod === 1) {
    insn.disp = (bytes[at] << 24) >> 24;
    return at + 1;
  }
  return at;
}
