/** RDMSR and WRMSR: who answers for an index. The list of the core's own MSRs is msr-table.ts. */
import { Cr0, type Cpu } from '../cpu';
import { DR6_FIXED, DR7_FIXED, breakpointsChanged } from '../debug';
import { Sensitive, type CpuProfile } from '../interfaces';
import { R } from '../layout';
import type { Msr } from './msr-row';
import { MSRS } from './msr-table';
import { DE_CFG_RESET, HWCR_RESET, INTEL_MICROCODE_REVISION, MiscEnable, NB_CFG_RESET, PAT_RESET } from './msr-values';
import { COUNTERS } from './performance-counters';
import type { SystemInstructions } from './table';

const RAX = 0,
  RCX = 1,
  RDX = 2;
const APIC_BASE = 0x1b;
const TSC_DEADLINE = 0x6e0;

/** The rows that a profile has, by index. */
const tables = new WeakMap<CpuProfile, ReadonlyMap<number, Msr>>();

export function msrsOf(profile: CpuProfile): ReadonlyMap<number, Msr> {
  let table = tables.get(profile);
  if (table === undefined) {
    table = new Map(MSRS.filter((m) => m.when === undefined || m.when(profile)).map((m) => [m.index, m]));
    tables.set(profile, table);
  }
  return table;
}

const isApic = (index: number): boolean => index >>> 8 === 8 || index === TSC_DEADLINE || index === APIC_BASE;

/** What RDMSR reads at `index`, or undefined for #GP(0). No privilege check, no interception. */
export function readMsr(cpu: Cpu, index: number): bigint | undefined {
  const x = cpu.interception;
  if (x !== undefined && x.guestMode) {
    // The virtual APIC comes before the physical one.
    const value = x.readMsr(index);
    if (value !== undefined) return value;
  }
  if (isApic(index)) return apicHas(cpu, index) ? cpu.interrupts?.readMsr(index) : undefined;
  const row = msrsOf(cpu.profile).get(index);
  if (row !== undefined) return row.read?.(cpu);
  return x?.readMsr(index);
}

/** Writes an MSR; raises #GP(0) for an index or a value that WRMSR refuses. No privilege check, no interception. */
export function writeMsr(cpu: Cpu, index: number, value: bigint): void {
  const x = cpu.interception;
  if (x !== undefined && x.guestMode && x.writeMsr(index, value)) return;
  if (isApic(index)) {
    if (!apicHas(cpu, index) || cpu.interrupts === undefined || !cpu.interrupts.writeMsr(index, value)) cpu.gp();
    cpu.attention = true;
    return;
  }
  const row = msrsOf(cpu.profile).get(index);
  if (row !== undefined) {
    if (row.write === undefined) cpu.gp();
    return row.write(cpu, value);
  }
  if (x === undefined || !x.writeMsr(index, value)) cpu.gp();
}

function apicHas(cpu: Cpu, index: number): boolean {
  return cpu.profile.has(index === APIC_BASE ? 'apic' : index === TSC_DEADLINE ? 'tsc-deadline' : 'x2apic');
}

function rdmsr(cpu: Cpu): void {
  cpu.requireCpl0();
  const index = cpu.gpr32(RCX);
  if (cpu.exits(Sensitive.RDMSR, index)) return;
  const value = readMsr(cpu, index);
  if (value === undefined) return cpu.gp();
  cpu.setGpr32(RAX, Number(value & 0xffff_ffffn));
  cpu.setGpr32(RDX, Number(value >> 32n));
  cpu.observer.msr?.(cpu, index, value, false);
}

function wrmsr(cpu: Cpu): void {
  cpu.requireCpl0();
  const index = cpu.gpr32(RCX);
  const value = (BigInt(cpu.gpr32(RDX)) << 32n) | BigInt(cpu.gpr32(RAX));
  if (cpu.exits(Sensitive.WRMSR, index, value)) return;
  writeMsr(cpu, index, value);
  cpu.observer.msr?.(cpu, index, value, true);
}

/**
 * Control, debug and model-specific registers as RESET leaves them: SDM volume 3, "Processor State After Reset". Segments, RIP and
 * general registers are the board's business; the local APIC resets itself.
 */
export function resetSystemRegisters(cpu: Cpu): void {
  cpu.set64(R.CR0, BigInt(Cr0.CD) | BigInt(Cr0.NW) | BigInt(Cr0.ET));
  for (const offset of [R.CR2, R.CR3, R.CR4, R.DR0, R.DR1, R.DR2, R.DR3, R.EFER]) cpu.set64(offset, 0n);
  cpu.set64(R.DR6, BigInt(DR6_FIXED));
  cpu.set64(R.DR7, BigInt(DR7_FIXED));
  cpu.set64(R.XCR0, 1n);
  cpu.set32(R.MXCSR, 0x1f80);
  cpu.set32(R.FCW, 0x40);
  cpu.set32(R.FSW, 0);
  // Tag word 5555h: every register holds zero, none is empty.
  cpu.set32(R.FTW, 0xff);
  for (const offset of [R.STAR, R.LSTAR, R.CSTAR, R.SFMASK, R.KERNEL_GS_BASE, R.SYSENTER_CS, R.SYSENTER_ESP, R.SYSENTER_EIP]) cpu.set64(offset, 0n);
  for (const offset of [R.DEBUGCTL, R.TSC_AUX, R.TSC_ADJUST, R.GUEST_TSC_OFFSET, R.SPEC_CTRL, R.XSS, R.MCG_STATUS, R.MISC_FEATURES_ENABLES])
    cpu.set64(offset, 0n);
  cpu.set64(R.TSC_OFFSET, -BigInt(cpu.now()));
  cpu.set64(R.PAT, PAT_RESET);
  for (let n = 0; n < 16; n++) cpu.set64(R.MTRR_VARIABLE + 8 * n, 0n);
  for (let n = 0; n < 11; n++) cpu.set64(R.MTRR_FIXED + 8 * n, 0n);
  cpu.set64(R.MTRR_DEF_TYPE, 0n);
  cpu.set32(R.MONITOR_ARMED, 0);
  if (cpu.profile.vendor === 'intel') {
    const monitor = cpu.profile.has('monitor') ? MiscEnable.MONITOR : 0;
    cpu.set64(R.MISC_ENABLE, BigInt(MiscEnable.FAST_STRINGS | MiscEnable.BTS_UNAVAILABLE | MiscEnable.PEBS_UNAVAILABLE | monitor));
    cpu.set64(R.BIOS_SIGN_ID, INTEL_MICROCODE_REVISION << 32n);
  } else {
    cpu.set64(R.HWCR, HWCR_RESET);
    cpu.set64(R.NB_CFG, NB_CFG_RESET);
    cpu.set64(R.DE_CFG, DE_CFG_RESET);
    for (const offset of [R.SYSCFG, R.TOP_MEM, R.TOP_MEM2, R.MMIO_CFG_BASE]) cpu.set64(offset, 0n);
    for (const offset of [R.CPUID_OVERRIDE_7, R.CPUID_OVERRIDE_1, R.CPUID_OVERRIDE_EXTENDED]) cpu.set64(offset, 0n);
    for (const offset of [R.LAST_BRANCH_FROM, R.LAST_BRANCH_TO, R.LAST_INT_FROM, R.LAST_INT_TO]) cpu.set64(offset, 0n);
    for (let n = 0; n < 2 * COUNTERS; n++) cpu.set64(R.PERF_SELECT + 8 * n, 0n);
  }
  cpu.mmu.flushAll();
  breakpointsChanged(cpu);
}

export const MSR: SystemInstructions = {
  RDMSR: { execute: rdmsr, endsBlock: false },
  WRMSR: { execute: wrmsr, endsBlock: true },
};
