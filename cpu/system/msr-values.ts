/** Layouts and fixed contents of MSRs: SDM volume 4, "Architectural MSRs"; APM volume 2, "MSR Cross-Reference". */

/** IA32_MISC_ENABLE, low half unless named otherwise. */
export const MiscEnable = {
  FAST_STRINGS: 1 << 0,
  AUTOMATIC_THERMAL_CONTROL: 1 << 3,
  BTS_UNAVAILABLE: 1 << 11,
  PEBS_UNAVAILABLE: 1 << 12,
  MONITOR: 1 << 18,
  LIMIT_CPUID_MAXVAL: 1 << 22,
  /** Bit 34, in the high half. */
  XD_DISABLE_HIGH: 1 << 2,
} as const;
/** Bits that software may change. */
export const MISC_ENABLE_WRITABLE = (1n << 0n) | (1n << 3n) | (1n << 18n) | (1n << 22n) | (1n << 34n);

/** PAT and MTRR memory types; UC- exists in the PAT only. */
export const MemoryType = { UC: 0, WC: 1, WT: 4, WP: 5, WB: 6, UC_MINUS: 7 } as const;
/** IA32_PAT after reset: WB WT UC- UC twice. */
export const PAT_RESET = 0x0007_0406_0007_0406n;

/** IA32_MTRRCAP: 8 variable ranges, fixed ranges, write combining. */
export const MTRR_VARIABLE_RANGES = 8;
export const MTRRCAP = BigInt(MTRR_VARIABLE_RANGES) | (1n << 8n) | (1n << 10n);
/** The eleven fixed-range MTRRs, in the order of R.MTRR_FIXED. */
export const MTRR_FIXED_INDEXES = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f] as const;

/**
 * IA32_ARCH_CAPABILITIES: nothing here speculates, so every *_NO bit is true, and IBRS may stay on for good (IBRS_ALL), which lets
 * kernels do without retpolines.
 */
const ARCH_CAPABILITY_BITS: readonly (readonly [bit: number, name: string])[] = [
  [0, 'RDCL_NO'],
  [1, 'IBRS_ALL'],
  [3, 'SKIP_L1DFL_VMENTRY'],
  [4, 'SSB_NO'],
  [5, 'MDS_NO'],
  [6, 'IF_PSCHANGE_MC_NO'],
  [8, 'TAA_NO'],
  [13, 'SBDR_SSDP_NO'],
  [14, 'FBSDP_NO'],
  [15, 'PSDP_NO'],
  [20, 'BHI_NO'],
  [24, 'PBRSB_NO'],
  [26, 'GDS_NO'],
  [27, 'RFDS_NO'],
  [62, 'ITS_NO'],
];
export const ARCH_CAPABILITIES = ARCH_CAPABILITY_BITS.reduce((v, [bit]) => v | (1n << BigInt(bit)), 0n);

/** MSR_PLATFORM_INFO: maximum non-turbo ratio 10 (of 100 MHz), CPUID faulting, lowest ratio 1. */
export const PLATFORM_INFO = (10n << 8n) | (1n << 31n) | (1n << 40n);
/** Revision of the microcode that CPUID leaf 1 reports into IA32_BIOS_SIGN_ID[63:32] / PATCH_LEVEL[31:0]. */
export const INTEL_MICROCODE_REVISION = 0x0500_3604n;
export const AMD_PATCH_LEVEL = 0x0a10_1148n;

/** HWCR: SMMLOCK (no SMM to configure), TscFreqSel (the TSC counts at the P0 frequency). */
export const HWCR_SMM_LOCK = 1n << 0n;
export const HWCR_RESET = HWCR_SMM_LOCK | (1n << 24n);
/** NB_CFG: EnableCf8ExtCfg. */
export const NB_CFG_RESET = 1n << 46n;
/** DE_CFG: LFENCE is dispatch serialising. */
export const DE_CFG_RESET = 1n << 1n;
/** PStateDef0: enabled, and 1 GHz as CpuFid / CpuDfsId * 200 MHz with CpuFid 28h and CpuDfsId 8; CpuVid 48h. */
export const PSTATE_DEFINITIONS = 8;
export const PSTATE0_DEFINITION = (1n << 63n) | (0x48n << 14n) | (8n << 8n) | 0x28n;
export const SMM_BASE_RESET = 0x3_0000n;
/** SYSCFG: MtrrVarDramEn, MtrrTom2En, Tom2ForceMemTypeWB may be set by firmware; these and the fixed-range bits may change. */
export const SYSCFG_WRITABLE = 0x007c_0000n;
