/** RDTSC, RDTSCP, RDPMC, RDPID: counters and what goes with them. */
import { Cr4, Vector, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { Sensitive } from '../interfaces';
import { R } from '../layout';
import { COUNTERS, readCounter } from './performance-counters';
import type { SystemInstructions } from './table';
import { loadTsc } from './tsc';

const RAX = 0,
  RCX = 1,
  RDX = 2;

/** SDM volume 3, "Time-Stamp Counter": CR4.TSD keeps it for CPL 0. */
function requireTsc(cpu: Cpu): void {
  if (cpu.cpl !== 0 && (cpu.cr4 & Cr4.TSD) !== 0) cpu.gp();
}

function rdtsc(cpu: Cpu): void {
  requireTsc(cpu);
  cpu.intercept(Sensitive.RDTSC);
  loadTsc(cpu);
}

function rdtscp(cpu: Cpu): void {
  if (!cpu.profile.has('rdtscp')) cpu.ud();
  requireTsc(cpu);
  cpu.intercept(Sensitive.RDTSCP);
  loadTsc(cpu);
  cpu.setGpr32(RCX, cpu.get32(R.TSC_AUX));
}

function rdpmc(cpu: Cpu): void {
  if (cpu.cpl !== 0 && (cpu.cr4 & Cr4.PCE) === 0) cpu.gp();
  cpu.intercept(Sensitive.RDPMC, cpu.gpr32(RCX));
  // Intel processors without CPUID leaf 0Ah have no counters, so no index is valid.
  const n = cpu.gpr32(RCX);
  if (cpu.profile.vendor === 'intel' || n >= COUNTERS) cpu.gp();
  const count = readCounter(cpu, n);
  cpu.setGpr32(RAX, Number(count & 0xffff_ffffn));
  cpu.setGpr32(RDX, Number(count >> 32n));
}

function rdpid(cpu: Cpu, insn: Insn): void {
  if (!cpu.profile.has('rdpid')) cpu.raise(Vector.UD);
  cpu.setGpr32(insn.dst, cpu.get32(R.TSC_AUX));
}

export const TIME_INSTRUCTIONS: SystemInstructions = {
  RDTSC: { execute: rdtsc, endsBlock: false },
  RDTSCP: { execute: rdtscp, endsBlock: false },
  RDPMC: { execute: rdpmc, endsBlock: false },
  RDPID: { execute: rdpid, endsBlock: false },
};
