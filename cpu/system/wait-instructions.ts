/** HLT, MONITOR, MWAIT, PAUSE. */
import { Activity, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { Sensitive } from '../interfaces';
import { R } from '../layout';
import type { SystemInstructions } from './table';

const RAX = 0,
  RCX = 1;

function halt(cpu: Cpu): void {
  cpu.activity = Activity.Halted;
  cpu.attention = true;
}

function hlt(cpu: Cpu): void {
  cpu.requireCpl0();
  if (cpu.exits(Sensitive.HLT)) return;
  halt(cpu);
}

/** Outside CPL 0 the two do not exist. */
function requireMonitor(cpu: Cpu): void {
  if (!cpu.profile.has('monitor') || cpu.cpl !== 0) cpu.ud();
}

function monitor(cpu: Cpu, insn: Insn): void {
  requireMonitor(cpu);
  cpu.intercept(Sensitive.MONITOR);
  if (cpu.gpr32(RCX) !== 0) cpu.gp();
  cpu.readLinear(cpu.linear(insn.segment, cpu.gprSized(RAX, insn.addressSize), 1, false), 1);
  cpu.set32(R.MONITOR_ARMED, 1);
}

/**
 * DEVIATION: stores to the monitored line neither disarm the monitor nor wake the processor; only interrupts do. Kernels check their
 * condition between MONITOR and MWAIT, and with one processor nobody but an interrupt handler can store later.
 */
function mwait(cpu: Cpu): void {
  requireMonitor(cpu);
  const armed = cpu.get32(R.MONITOR_ARMED);
  cpu.intercept(Sensitive.MWAIT, armed);
  // No extensions are enumerated, so every hint in ECX is refused.
  if (cpu.gpr32(RCX) !== 0) cpu.gp();
  cpu.set32(R.MONITOR_ARMED, 0);
  if (armed !== 0) halt(cpu);
}

function pause(cpu: Cpu): void {
  cpu.intercept(Sensitive.PAUSE);
}

export const WAIT_INSTRUCTIONS: SystemInstructions = {
  HLT: { execute: hlt, endsBlock: true },
  MONITOR: { execute: monitor, endsBlock: true },
  MWAIT: { execute: mwait, endsBlock: true },
  PAUSE: { execute: pause, endsBlock: false },
};
