/** MOV to and from debug registers. Breakpoints themselves: ../debug.ts. */
import { Cr4, Vector, type Cpu } from '../cpu';
import { Dr6, Dr7, dr6Of, setBreakpointAddress, setDr7 } from '../debug';
import type { Insn } from '../decoder/insn';
import { Sensitive } from '../interfaces';
import { R } from '../layout';
import type { SystemInstructions } from './table';

/** The checks that precede the access; returns the register with DR4 and DR5 resolved. */
function access(cpu: Cpu, register: number, what: Sensitive, value: bigint): number {
  // SDM "Instructions That Cause VM Exits Conditionally": MOV DR exits take priority over all its faults. APM: #DB and #GP come first.
  const exitFirst = cpu.profile.vendor === 'intel';
  if (register > 7) cpu.ud();
  if (exitFirst) cpu.intercept(what, register, value);
  let dr = register;
  if (register === 4 || register === 5) {
    if ((cpu.cr4 & Cr4.DE) !== 0) cpu.ud();
    dr += 2;
  }
  cpu.requireCpl0();
  if ((cpu.get32(R.DR7) & Dr7.GD) !== 0) cpu.raise(Vector.DB, undefined, BigInt(Dr6.BD));
  if (!exitFirst) cpu.intercept(what, register, value);
  return dr;
}

function movDr(cpu: Cpu, insn: Insn): void {
  if (insn.form === 'dr') return movToDr(cpu, insn);
  const dr = access(cpu, insn.src, Sensitive.MOV_FROM_DR, 0n);
  cpu.setGprSized(insn.dst, insn.size, cpu.get64(offsetOf(dr)));
}

function movToDr(cpu: Cpu, insn: Insn): void {
  const value = cpu.gprSized(insn.src, insn.size);
  const dr = access(cpu, insn.dst, Sensitive.MOV_TO_DR, value);
  if (dr < 4) return setBreakpointAddress(cpu, dr, value);
  if (value >> 32n !== 0n) cpu.gp();
  const low = Number(value);
  if (dr === 6) cpu.set64(R.DR6, BigInt(dr6Of(low)));
  else setDr7(cpu, low);
}

const offsetOf = (dr: number): number => (dr < 4 ? R.DR0 + 8 * dr : dr === 6 ? R.DR6 : R.DR7);

export const DEBUG_REGISTERS: SystemInstructions = {
  // Breakpoints change where execution may go on.
  MOV_DR: { execute: movDr, endsBlock: true },
};
