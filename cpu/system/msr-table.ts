/**
 * Every MSR of the processor core, in the order of the manual: index, name, who has it, what RDMSR and WRMSR do.
 * Registers of the local APIC (1Bh, 6E0h, 800h-8FFh) and of VMX and SVM are read and written by those (msr.ts). An MSR that no row
 * and none of them knows raises #GP(0).
 */
import { DEBUGCTL_DEFINED } from '../branch-records';
import type { Cpu } from '../cpu';
import { Segment } from '../decoder/insn';
import { R, S, seg } from '../layout';
import { AMD_MSRS } from './amd-msrs';
import { writeEfer } from './control-state';
import { amd, canonical, either, fixed, having, ignored, intel, keeping, only, word, type Access, type Msr } from './msr-row';
import {
  AMD_PATCH_LEVEL,
  ARCH_CAPABILITIES,
  INTEL_MICROCODE_REVISION,
  MISC_ENABLE_WRITABLE,
  MTRRCAP,
  MTRR_FIXED_INDEXES,
  MTRR_VARIABLE_RANGES,
  MemoryType,
  PLATFORM_INFO,
} from './msr-values';
import { adjustTsc, readTsc, writeTsc } from './tsc';

const memoryTypes = (...types: readonly number[]): ReadonlySet<number> => new Set(types);
const PAT_TYPES = memoryTypes(MemoryType.UC, MemoryType.WC, MemoryType.WT, MemoryType.WP, MemoryType.WB, MemoryType.UC_MINUS);
const MTRR_TYPES = memoryTypes(MemoryType.UC, MemoryType.WC, MemoryType.WT, MemoryType.WP, MemoryType.WB);
/** RdMem and WrMem of AMD's fixed-range MTRRs. */
const AMD_FIXED_TYPE_BITS = 0x18;

/** Every byte of `value` is one of `types`. */
export function validTypes(value: bigint, types: ReadonlySet<number> = PAT_TYPES, alsoAllowed = 0): boolean {
  for (let i = 0n; i < 64n; i += 8n) if (!types.has(Number((value >> i) & 0xffn) & ~alsoAllowed)) return false;
  return true;
}

const physicalLimit = (cpu: Cpu): bigint => 1n << BigInt(cpu.profile.physicalAddressWidth);

const variableMtrr = (n: number): readonly Msr[] => {
  const base = R.MTRR_VARIABLE + 16 * n;
  const mask = base + 8;
  return [
    {
      index: 0x200 + 2 * n,
      name: `IA32_MTRR_PHYSBASE${n}`,
      when: having('mtrr'),
      read: (cpu) => cpu.get64(base),
      write: (cpu, v) => ((v & 0xf00n) !== 0n || v >= physicalLimit(cpu) || !MTRR_TYPES.has(Number(v & 0xffn)) ? cpu.gp() : cpu.set64(base, v)),
    },
    {
      index: 0x201 + 2 * n,
      name: `IA32_MTRR_PHYSMASK${n}`,
      when: having('mtrr'),
      read: (cpu) => cpu.get64(mask),
      write: (cpu, v) => ((v & 0x7ffn) !== 0n || v >= physicalLimit(cpu) ? cpu.gp() : cpu.set64(mask, v)),
    },
  ];
};

const fixedMtrr = (index: number, n: number): Msr => ({
  index,
  name: `IA32_MTRR_FIX_${index.toString(16)}`,
  when: having('mtrr'),
  read: (cpu) => cpu.get64(R.MTRR_FIXED + 8 * n),
  write: (cpu, v) => (validTypes(v, MTRR_TYPES, amd(cpu.profile) ? AMD_FIXED_TYPE_BITS : 0) ? cpu.set64(R.MTRR_FIXED + 8 * n, v) : cpu.gp()),
});

const defaultType: Access = {
  read: (cpu) => cpu.get64(R.MTRR_DEF_TYPE),
  write: (cpu, v) => ((v & ~0xcffn) !== 0n || !MTRR_TYPES.has(Number(v & 0xffn)) ? cpu.gp() : cpu.set64(R.MTRR_DEF_TYPE, v)),
};

const tscAuxWrite = (cpu: Cpu, v: bigint): void => {
  if (v >> 32n !== 0n && intel(cpu.profile)) cpu.gp();
  cpu.set64(R.TSC_AUX, v & 0xffff_ffffn);
};

/** IA32_SPEC_CTRL: IBRS. */
const SPEC_CTRL_BITS = 1n;
/** MCG_STATUS: RIPV, EIPV, MCIP. */
const MCG_STATUS_BITS = 7n;

/** The step loop has to look whether there are branches to record. */
const debugControl: Access = {
  read: (cpu) => cpu.get64(R.DEBUGCTL),
  write: (cpu, v) => {
    if ((v & ~BigInt(DEBUGCTL_DEFINED)) !== 0n) cpu.gp();
    cpu.set64(R.DEBUGCTL, v);
    cpu.attention = true;
  },
};

const segmentBase = (segment: number): Access => canonical(seg(segment, S.BASE));

// ---- the list ----

export const MSRS: readonly Msr[] = [
  { index: 0x0, name: 'IA32_P5_MC_ADDR', ...ignored },
  { index: 0x1, name: 'IA32_P5_MC_TYPE', ...ignored },
  { index: 0x10, name: 'IA32_TIME_STAMP_COUNTER', read: readTsc, write: writeTsc },
  { index: 0x17, name: 'IA32_PLATFORM_ID', when: intel, ...fixed(0n) },
  { index: 0x34, name: 'MSR_SMI_COUNT', when: intel, ...fixed(0n) },
  // One thread in one core.
  { index: 0x35, name: 'MSR_CORE_THREAD_COUNT', when: intel, ...fixed(0x1_0001n) },
  {
    index: 0x3b,
    name: 'IA32_TSC_ADJUST',
    when: having('tsc-adjust'),
    read: (cpu) => cpu.get64(R.TSC_ADJUST),
    write: (cpu, v) => adjustTsc(cpu, v - cpu.get64(R.TSC_ADJUST)),
  },
  { index: 0x48, name: 'IA32_SPEC_CTRL', when: either('spec-ctrl', 'amd-ibrs'), ...only(R.SPEC_CTRL, SPEC_CTRL_BITS) },
  { index: 0x49, name: 'IA32_PRED_CMD', when: either('spec-ctrl', 'amd-ibpb'), write: (cpu, v) => void (v >> 1n !== 0n && cpu.gp()) },
  // DEVIATION: a microcode update is accepted and changes nothing, so the revision stays.
  { index: 0x79, name: 'IA32_BIOS_UPDT_TRIG', when: intel, write: () => {} },
  {
    // Software writes 0, executes CPUID, and finds the revision in the upper half. It is there all the time, CPUID or not.
    index: 0x8b,
    name: 'IA32_BIOS_SIGN_ID',
    read: (cpu) => (intel(cpu.profile) ? cpu.get64(R.BIOS_SIGN_ID) : AMD_PATCH_LEVEL),
    write: (cpu, v) => (intel(cpu.profile) ? cpu.set64(R.BIOS_SIGN_ID, (INTEL_MICROCODE_REVISION << 32n) | (v & 0xffff_ffffn)) : cpu.gp()),
  },
  { index: 0xce, name: 'MSR_PLATFORM_INFO', when: intel, ...fixed(PLATFORM_INFO) },
  { index: 0xfe, name: 'IA32_MTRRCAP', when: having('mtrr'), ...fixed(MTRRCAP) },
  { index: 0x10a, name: 'IA32_ARCH_CAPABILITIES', when: having('arch-capabilities'), ...fixed(ARCH_CAPABILITIES) },
  // Bit 0: CPUID faulting.
  { index: 0x140, name: 'MSR_MISC_FEATURES_ENABLES', when: intel, ...only(R.MISC_FEATURES_ENABLES, 1n) },
  { index: 0x174, name: 'IA32_SYSENTER_CS', when: having('sep'), ...only(R.SYSENTER_CS, 0xffff_ffffn) },
  { index: 0x175, name: 'IA32_SYSENTER_ESP', when: having('sep'), ...canonical(R.SYSENTER_ESP) },
  { index: 0x176, name: 'IA32_SYSENTER_EIP', when: having('sep'), ...canonical(R.SYSENTER_EIP) },
  // No error-reporting banks and no MCG_CTL.
  { index: 0x179, name: 'IA32_MCG_CAP', when: having('mca'), ...fixed(0n) },
  { index: 0x17a, name: 'IA32_MCG_STATUS', when: having('mca'), ...only(R.MCG_STATUS, MCG_STATUS_BITS) },
  { index: 0x1a0, name: 'IA32_MISC_ENABLE', when: intel, ...keeping(R.MISC_ENABLE, MISC_ENABLE_WRITABLE) },
  { index: 0x1d9, name: 'IA32_DEBUGCTL', ...debugControl },
  ...Array.from({ length: MTRR_VARIABLE_RANGES }, (_, n) => variableMtrr(n)).flat(),
  ...MTRR_FIXED_INDEXES.map(fixedMtrr),
  {
    index: 0x277,
    name: 'IA32_PAT',
    when: having('pat'),
    read: (cpu) => cpu.get64(R.PAT),
    write: (cpu, v) => (validTypes(v) ? cpu.set64(R.PAT, v) : cpu.gp()),
  },
  { index: 0x2ff, name: 'IA32_MTRR_DEF_TYPE', when: having('mtrr'), ...defaultType },

  { index: 0xc000_0080, name: 'IA32_EFER', when: either('lm', 'nx'), read: (cpu) => BigInt(cpu.efer), write: writeEfer },
  { index: 0xc000_0081, name: 'IA32_STAR', when: having('syscall'), ...word(R.STAR) },
  { index: 0xc000_0082, name: 'IA32_LSTAR', when: having('lm'), ...canonical(R.LSTAR) },
  { index: 0xc000_0083, name: 'IA32_CSTAR', when: having('lm'), ...canonical(R.CSTAR) },
  { index: 0xc000_0084, name: 'IA32_FMASK', when: having('syscall'), ...keeping(R.SFMASK, 0xffff_ffffn) },
  { index: 0xc000_0100, name: 'IA32_FS_BASE', when: having('lm'), ...segmentBase(Segment.FS) },
  { index: 0xc000_0101, name: 'IA32_GS_BASE', when: having('lm'), ...segmentBase(Segment.GS) },
  { index: 0xc000_0102, name: 'IA32_KERNEL_GS_BASE', when: having('lm'), ...canonical(R.KERNEL_GS_BASE) },
  { index: 0xc000_0103, name: 'IA32_TSC_AUX', when: either('rdtscp', 'rdpid'), read: (cpu) => cpu.get64(R.TSC_AUX), write: tscAuxWrite },

  ...AMD_MSRS,
];
