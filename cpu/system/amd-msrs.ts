/** MSRs of AMD processors alone: APM volume 2, "MSR Cross-Reference", and the Processor Programming Reference of family 19h. */
import type { Cpu } from '../cpu';
import { R } from '../layout';
import { amd, fixed, ignored, only, word, type Access, type Msr } from './msr-row';
import { HWCR_SMM_LOCK, PSTATE0_DEFINITION, PSTATE_DEFINITIONS, SMM_BASE_RESET, SYSCFG_WRITABLE } from './msr-values';
import { COUNTERS, readCounter, readSelect, writeCounter, writeSelect } from './performance-counters';

/** SmmLock stays until reset. */
const hwcr: Access = {
  read: (cpu) => cpu.get64(R.HWCR),
  write: (cpu, v) => cpu.set64(R.HWCR, v | (cpu.get64(R.HWCR) & HWCR_SMM_LOCK)),
};

const EBX = 1,
  ECX = 2,
  EDX = 3;

/** Words of CPUID that software may replace: they hold what CPUID says, and what is written is what CPUID says from then on. */
const cpuidOverride = (leaf: number, offset: number, lowRegister: number, highRegister?: number): Access => {
  const original = (cpu: Cpu): bigint => {
    const registers = cpu.profile.cpuid(leaf, 0);
    return BigInt(registers[lowRegister]) | (highRegister === undefined ? 0n : BigInt(registers[highRegister]) << 32n);
  };
  return {
    read: (cpu) => original(cpu) ^ cpu.get64(offset),
    write: (cpu, v) => cpu.set64(offset, original(cpu) ^ (highRegister === undefined ? v & 0xffff_ffffn : v)),
  };
};

const counters = Array.from({ length: COUNTERS }, (_, n): readonly Msr[] => [
  { index: 0xc001_0000 + n, name: `PerfEvtSel${n}`, when: amd, read: (cpu) => readSelect(cpu, n), write: (cpu, v) => writeSelect(cpu, n, v) },
  { index: 0xc001_0004 + n, name: `PerfCtr${n}`, when: amd, read: (cpu) => readCounter(cpu, n), write: (cpu, v) => writeCounter(cpu, n, v) },
]).flat();

/** One P-state that exists, and seven that are not enabled. */
const pstates = Array.from({ length: PSTATE_DEFINITIONS }, (_, n): Msr => ({
  index: 0xc001_0064 + n,
  name: `PStateDef${n}`,
  when: amd,
  ...fixed(n === 0 ? PSTATE0_DEFINITION : 0n),
}));

/** Switches of the implementation, which kernels set to work around errata that are not here. */
const CONFIGURATION: readonly (readonly [index: number, name: string])[] = [
  [0xc001_1020, 'LS_CFG'],
  [0xc001_1021, 'IC_CFG'],
  [0xc001_1022, 'DC_CFG'],
  [0xc001_1023, 'TW_CFG'],
  [0xc001_1028, 'FP_CFG'],
  [0xc001_102a, 'BU_CFG2'],
  [0xc001_102c, 'EX_CFG'],
  [0xc001_102d, 'LS_CFG2'],
  [0xc001_102e, 'BP_CFG'],
];

/** Branch records (../branch-records.ts): "These MSRs are read-only." */
const LAST_BRANCH = ['LastBranchFromIP', 'LastBranchToIP', 'LastIntFromIP', 'LastIntToIP'];

export const AMD_MSRS: readonly Msr[] = [
  ...LAST_BRANCH.map((name, n): Msr => ({ index: 0x1db + n, name, when: amd, read: (cpu) => cpu.get64(R.LAST_BRANCH_FROM + 8 * n) })),
  ...counters,
  { index: 0xc001_0010, name: 'SYSCFG', when: amd, ...only(R.SYSCFG, SYSCFG_WRITABLE) },
  { index: 0xc001_0015, name: 'HWCR', when: amd, ...hwcr },
  { index: 0xc001_001a, name: 'TOP_MEM', when: amd, ...word(R.TOP_MEM) },
  { index: 0xc001_001d, name: 'TOP_MEM2', when: amd, ...word(R.TOP_MEM2) },
  { index: 0xc001_001f, name: 'NB_CFG', when: amd, ...word(R.NB_CFG) },
  // DEVIATION: as on the Intel side, a microcode patch is accepted and changes nothing.
  { index: 0xc001_0020, name: 'PATCH_LOADER', when: amd, write: () => {} },
  { index: 0xc001_0055, name: 'IntPend', when: amd, ...ignored },
  { index: 0xc001_0058, name: 'MMIO_CFG_BASE', when: amd, ...word(R.MMIO_CFG_BASE) },
  // Limit, control and status: P-state 0 is the current and only one.
  { index: 0xc001_0061, name: 'PStateCurLim', when: amd, ...fixed(0n) },
  { index: 0xc001_0062, name: 'PStateCtl', when: amd, ...ignored },
  { index: 0xc001_0063, name: 'PStateStat', when: amd, ...fixed(0n) },
  ...pstates,
  // There is no SMM to configure: SmmLock makes these read-only.
  { index: 0xc001_0111, name: 'SMM_BASE', when: amd, ...fixed(SMM_BASE_RESET) },
  { index: 0xc001_0112, name: 'SMMAddr', when: amd, ...fixed(0n) },
  { index: 0xc001_0113, name: 'SMMMask', when: amd, ...fixed(0n) },
  { index: 0xc001_0140, name: 'OSVW_ID_Length', when: amd, ...fixed(0n) },
  { index: 0xc001_0141, name: 'OSVW_Status', when: amd, ...fixed(0n) },
  { index: 0xc001_1002, name: 'CPUID_7_Features', when: amd, ...cpuidOverride(0x7, R.CPUID_OVERRIDE_7, EBX) },
  { index: 0xc001_1004, name: 'CPUID_Features', when: amd, ...cpuidOverride(0x1, R.CPUID_OVERRIDE_1, EDX, ECX) },
  { index: 0xc001_1005, name: 'CPUID_ExtFeatures', when: amd, ...cpuidOverride(0x8000_0001, R.CPUID_OVERRIDE_EXTENDED, EDX, ECX) },
  ...CONFIGURATION.map(([index, name]): Msr => ({ index, name, when: amd, ...ignored })),
  { index: 0xc001_1029, name: 'DE_CFG', when: amd, ...word(R.DE_CFG) },
];
