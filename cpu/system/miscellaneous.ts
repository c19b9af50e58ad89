/** BOUND, XLAT, RDRAND, RDSEED, RSM, GETSEC. */
import { Flag, Vector, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { Sensitive } from '../interfaces';
import type { SystemInstructions } from './table';

const RAX = 0,
  RBX = 3;

function bound(cpu: Cpu, insn: Insn): void {
  const bytes = insn.size / 8;
  const at = cpu.linearOf(insn, 2 * bytes, false);
  const signed = (value: bigint): bigint => BigInt.asIntN(insn.size, value);
  const lower = signed(cpu.readLinear(at, bytes));
  const upper = signed(cpu.readLinear(BigInt.asUintN(32, at + BigInt(bytes)), bytes));
  const index = signed(cpu.gprSized(insn.dst, insn.size));
  if (index < lower || index > upper) cpu.raise(Vector.BR);
}

function xlat(cpu: Cpu, insn: Insn): void {
  const offset = BigInt.asUintN(insn.addressSize, cpu.gpr(RBX) + BigInt(cpu.gpr8(RAX)));
  cpu.setGpr8(RAX, Number(cpu.readLinear(cpu.linear(insn.segment, offset, 1, false), 1)));
}

/** CF = 1 and a number, or CF = 0 and zero when the source has none. */
const random =
  (feature: string, what: Sensitive) =>
  (cpu: Cpu, insn: Insn): void => {
    if (!cpu.profile.has(feature)) cpu.ud();
    cpu.intercept(what, insn.dst);
    const value = cpu.entropy?.next();
    cpu.setGprSized(insn.dst, insn.size, BigInt.asUintN(insn.size, value ?? 0n));
    cpu.setArithmetic(value === undefined ? 0 : Flag.CF);
  };

export const MISCELLANEOUS: SystemInstructions = {
  BOUND: { execute: bound, endsBlock: false },
  XLAT: { execute: xlat, endsBlock: false },
  RDRAND: { execute: random('rdrand', Sensitive.RDRAND), endsBlock: false },
  RDSEED: { execute: random('rdseed', Sensitive.RDSEED), endsBlock: false },
  // There is no system-management mode to resume from.
  RSM: {
    execute: (cpu) => {
      cpu.intercept(Sensitive.RSM);
      cpu.ud();
    },
    endsBlock: true,
  },
  // CR4.SMXE cannot be set.
  GETSEC: { execute: (cpu) => cpu.ud(), endsBlock: true },
};
