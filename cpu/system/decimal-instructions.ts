/** AAA, AAS, AAM, AAD, DAA, DAS. SDM volume 2. Flags that the manual calls undefined are left as Intel processors leave them. */
import { Flag, Vector, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import type { SystemInstructions } from './table';

const AL = 0,
  AX = 0,
  AH = 16;

/** SF, ZF and PF of a byte. */
function byteFlags(value: number): number {
  const v = value & 0xff;
  let p = v ^ (v >> 4);
  p ^= p >> 2;
  p ^= p >> 1;
  return (v === 0 ? Flag.ZF : 0) | (v & 0x80) | ((p & 1) === 0 ? Flag.PF : 0);
}

const needsAdjust = (cpu: Cpu, flags: number): boolean => (cpu.gpr8(AL) & 0xf) > 9 || (flags & Flag.AF) !== 0;

/** AAA and AAS: `direction` 1 or -1. */
const unpackedAdjust =
  (direction: 1 | -1) =>
  (cpu: Cpu): void => {
    const adjust = needsAdjust(cpu, cpu.rflags());
    // 6 goes to AX, so that AL's carry or borrow reaches AH.
    if (adjust) cpu.setGpr16(AX, cpu.gpr16(AX) + direction * 0x106);
    const al = cpu.gpr8(AL) & 0xf;
    cpu.setGpr8(AL, al);
    cpu.setArithmetic(byteFlags(al) | (adjust ? Flag.AF | Flag.CF : 0));
  };

/** DAA and DAS. */
const packedAdjust =
  (direction: 1 | -1) =>
  (cpu: Cpu): void => {
    const flags = cpu.rflags();
    const old = cpu.gpr8(AL);
    let al = old;
    let carry = 0;
    let auxiliary = 0;
    if (needsAdjust(cpu, flags)) {
      al += direction * 6;
      carry = (flags & Flag.CF) !== 0 || al < 0 || al > 0xff ? Flag.CF : 0;
      auxiliary = Flag.AF;
    }
    if (old > 0x99 || (flags & Flag.CF) !== 0) {
      al += direction * 0x60;
      carry = Flag.CF;
    } else if (direction === 1) carry = 0;
    cpu.setGpr8(AL, al);
    cpu.setArithmetic(byteFlags(al) | carry | auxiliary);
  };

function aam(cpu: Cpu, insn: Insn): void {
  const base = insn.imm & 0xff;
  if (base === 0) cpu.raise(Vector.DE);
  const al = cpu.gpr8(AL);
  cpu.setGpr8(AH, Math.floor(al / base));
  cpu.setGpr8(AL, al % base);
  cpu.setArithmetic(byteFlags(al % base));
}

function aad(cpu: Cpu, insn: Insn): void {
  const al = (cpu.gpr8(AL) + cpu.gpr8(AH) * (insn.imm & 0xff)) & 0xff;
  cpu.setGpr16(AX, al);
  cpu.setArithmetic(byteFlags(al));
}

/** SALC (undocumented): AL := CF ? FFh : 0. */
function salc(cpu: Cpu): void {
  cpu.setGpr8(AL, (cpu.rflags() & Flag.CF) !== 0 ? 0xff : 0);
}

export const DECIMAL_INSTRUCTIONS: SystemInstructions = {
  AAA: { execute: unpackedAdjust(1), endsBlock: false },
  AAS: { execute: unpackedAdjust(-1), endsBlock: false },
  DAA: { execute: packedAdjust(1), endsBlock: false },
  DAS: { execute: packedAdjust(-1), endsBlock: false },
  AAM: { execute: aam, endsBlock: false },
  AAD: { execute: aad, endsBlock: false },
  SALC: { execute: salc, endsBlock: false },
};
