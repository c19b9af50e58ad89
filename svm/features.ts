/** CPUID Fn8000_000A, "SVM Revision and Feature Identification": bits of EDX by the names of the APM. EAX[7:0] is the revision, EBX the number of ASIDs. */
// prettier-ignore
export const SvmFeature = {
  NP:                    1 << 0,
  LBR_VIRT:              1 << 1,
  SVML:                  1 << 2,
  NRIPS:                 1 << 3,
  TSC_RATE_MSR:          1 << 4,
  VMCB_CLEAN:            1 << 5,
  FLUSH_BY_ASID:         1 << 6,
  DECODE_ASSISTS:        1 << 7,
  PMC_VIRT:              1 << 8,
  PAUSE_FILTER:          1 << 10,
  PAUSE_FILTER_THRESHOLD: 1 << 12,
  AVIC:                  1 << 13,
  VMSAVE_VIRT:           1 << 15,
  VGIF:                  1 << 16,
  GMET:                  1 << 17,
  X2AVIC:                1 << 18,
  SSS_CHECK:             1 << 19,
  SPEC_CTRL:             1 << 20,
  ROGPT:                 1 << 21,
  HOST_MCE_OVERRIDE:     1 << 23,
  TLBI_CTL:              1 << 24,
  VNMI:                  1 << 25,
  IBS_VIRT:              1 << 26,
  EXT_LVT_AVIC_ACCESS_CHG: 1 << 27,
  NESTED_VIRT_VMCB_ADDR_CHK: 1 << 28,
  BUS_LOCK_THRESHOLD:    1 << 29,
  IDLE_HLT_INTERCEPT:    1 << 30,
} as const;

export type SvmFeatureName = keyof typeof SvmFeature;
