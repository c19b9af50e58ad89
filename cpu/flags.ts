/**
 * Lazy arithmetic flags. FLAG_OP holds kind * 4 + log2(size / 8) in its low byte, FLAG_RESULT the sign-extended result,
 * FLAG_AUX what the kind needs:
 *   ADD, SUB  first operand, sign-extended (the second follows from it and the result)
 *   LOGIC     nothing: CF = OF = AF = 0
 *   INC, DEC  CF before the instruction
 *   MIX       CF | OF << 1 | AF << 4, given explicitly
 *   EAGER     all six, in RFLAGS positions
 * ZF is result == 0 in every kind. SF and PF follow from the result too, each inverted by a bit of FLAG_OP (31 and 30), which
 * only EAGER ever sets: combinations such as ZF = SF = 1 come from POPF, never from arithmetic.
 */
import type { Cpu } from './cpu';
import { R } from './layout';

export const ARITHMETIC_FLAGS = 0x8d5;
export const FlagKind = { EAGER: 0, ADD: 1, SUB: 2, LOGIC: 3, INC: 4, DEC: 5, MIX: 6 } as const;
export type FlagKindName = keyof typeof FlagKind;
/** FLAG_OP bits that invert SF and PF as the result gives them. */
export const INVERT_SF = 0x8000_0000;
export const INVERT_PF = 0x4000_0000;

const CF = 1,
  PF = 4,
  AF = 0x10,
  ZF = 0x40,
  SF = 0x80,
  OF = 0x800;

const evenParity = (byte: number): boolean => {
  let b = byte & 0xff;
  b ^= b >> 4;
  b ^= b >> 2;
  b ^= b >> 1;
  return (b & 1) === 0;
};

/** The six arithmetic flags in RFLAGS positions. */
export function arithmeticFlags(cpu: Cpu): number {
  const op = cpu.get32(R.FLAG_OP);
  const kind = (op & 0xff) >>> 2;
  if (kind === FlagKind.EAGER) return cpu.get32(R.FLAG_AUX) & ARITHMETIC_FLAGS;
  const result = BigInt.asIntN(64, cpu.get64(R.FLAG_RESULT));
  const aux = BigInt.asIntN(64, cpu.get64(R.FLAG_AUX));
  const top = BigInt((8 << (op & 3)) - 1);
  let flags = (result === 0n ? ZF : 0) | (result < 0n ? SF : 0) | (evenParity(Number(result & 0xffn)) ? PF : 0);
  const unsigned = (v: bigint): bigint => BigInt.asUintN(64, v);
  switch (kind) {
    case FlagKind.ADD: {
      const b = result - aux;
      if (unsigned(result) < unsigned(aux)) flags |= CF;
      if ((((aux ^ result) & (b ^ result)) >> top) & 1n) flags |= OF;
      return flags | Number((aux ^ b ^ result) & 16n);
    }
    case FlagKind.SUB: {
      const b = aux - result;
      if (unsigned(aux) < unsigned(result)) flags |= CF;
      if ((((aux ^ b) & (aux ^ result)) >> top) & 1n) flags |= OF;
      return flags | Number((aux ^ b ^ result) & 16n);
    }
    case FlagKind.INC:
      return flags | Number(aux & 1n) | (result === -(1n << top) ? OF : 0) | ((result & 15n) === 0n ? AF : 0);
    case FlagKind.DEC:
      return flags | Number(aux & 1n) | (result === (1n << top) - 1n ? OF : 0) | ((result & 15n) === 15n ? AF : 0);
    case FlagKind.MIX:
      return flags | Number(aux & 1n) | (aux & 2n ? OF : 0) | Number(aux & 16n);
    default:
      return flags;
  }
}

/** Sets the six arithmetic flags from RFLAGS positions. */
export function setArithmeticFlags(cpu: Cpu, value: number): void {
  const zero = (value & ZF) !== 0;
  // Result 0 stands for ZF = 1 (SF = 0, PF = 1); result 1 for ZF = 0 (SF = 0, PF = 0). The rest by inversion.
  const invert = ((value & SF) !== 0 ? INVERT_SF : 0) | (((value & PF) !== 0) !== zero ? INVERT_PF : 0);
  cpu.set64(R.FLAG_RESULT, zero ? 0n : 1n);
  cpu.set64(R.FLAG_AUX, BigInt(value & ARITHMETIC_FLAGS));
  cpu.set32(R.FLAG_OP, invert >>> 0);
}
