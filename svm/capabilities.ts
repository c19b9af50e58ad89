/**
 * What this processor's SVM can do, as CPUID Fn8000_000A tells it. A feature stands here only if the model executes it:
 * cpu/profiles/amd.ts must advertise no other one, and a test compares the two.
 */
import type { CpuProfile } from '../cpu/interfaces';
import { SvmFeature } from './features';

const SVM_LEAF = 0x8000_000a;

/** Everything that this model executes. AVIC, PMC and IBS are not modelled. */
export const EXECUTED_FEATURES =
  SvmFeature.NP |
  SvmFeature.LBR_VIRT |
  SvmFeature.SVML |
  SvmFeature.NRIPS |
  SvmFeature.TSC_RATE_MSR |
  SvmFeature.VMCB_CLEAN |
  SvmFeature.FLUSH_BY_ASID |
  SvmFeature.DECODE_ASSISTS |
  SvmFeature.PAUSE_FILTER |
  SvmFeature.PAUSE_FILTER_THRESHOLD |
  SvmFeature.VMSAVE_VIRT |
  SvmFeature.VGIF |
  SvmFeature.VNMI;

export interface SvmCapabilities {
  /** EAX[7:0]. */
  readonly revision: number;
  /** EBX: ASIDs are 0 to this number - 1. */
  readonly asids: number;
  /** EDX, with the bits of features.ts. */
  readonly features: number;
}

/** Where the profile is an identity that a hypervisor shows, on a processor that has more than it tells. */
const UNLISTED: SvmCapabilities = { revision: 1, asids: 0x8000, features: EXECUTED_FEATURES };

/** A profile may leave features out (a first-generation part), but not have more than the model executes. */
export function svmCapabilities(profile: CpuProfile): SvmCapabilities {
  const [revision, asids, , features] = profile.cpuid(SVM_LEAF, 0);
  if (revision === 0) return UNLISTED;
  return { revision: revision & 0xff, asids, features: features & EXECUTED_FEATURES };
}
