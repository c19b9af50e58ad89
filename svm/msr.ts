/** The MSRs of SVM. APM "SVM Related MSRs". */
import { Efer } from '../cpu/registers';
import { SvmFeature } from './features';
import type { Svm } from './svm';

// prettier-ignore
export const SvmMsr = {
  TSC_RATIO:   0xc000_0104,
  VM_CR:       0xc001_0114,
  IGNNE:       0xc001_0115,
  SMM_CTL:     0xc001_0116,
  VM_HSAVE_PA: 0xc001_0117,
  SVM_KEY:     0xc001_0118,
} as const;

export const VmCr = { DPD: 1 << 0, R_INIT: 1 << 1, DIS_A20M: 1 << 2, LOCK: 1 << 3, SVMDIS: 1 << 4 } as const;
const VM_CR_BITS = 0x1fn;
/** 8.32 fixed point: 1.0. */
export const TSC_RATIO_ONE = 0x1_0000_0000n;
const TSC_RATIO_BITS = 0xff_ffff_ffffn;

/** undefined: no MSR of SVM, or RDMSR raises #GP(0). */
export function readSvmMsr(svm: Svm, index: number): bigint | undefined {
  switch (index) {
    case SvmMsr.VM_CR:
      return BigInt(svm.vmCr);
    case SvmMsr.VM_HSAVE_PA:
      return BigInt(svm.hostSaveArea);
    case SvmMsr.IGNNE:
      return svm.ignne ? 1n : 0n;
    case SvmMsr.SVM_KEY:
      // Write-only: it reads as zero.
      return svm.has(SvmFeature.SVML) ? 0n : undefined;
    case SvmMsr.TSC_RATIO:
      return svm.has(SvmFeature.TSC_RATE_MSR) ? svm.tscRatio : undefined;
    default:
      // SMM_CTL: #GP, because firmware has locked SMM (HWCR.SMMLOCK).
      return undefined;
  }
}

/** False: no MSR of SVM, or WRMSR raises #GP(0). */
export function writeSvmMsr(svm: Svm, index: number, value: bigint): boolean {
  switch (index) {
    case SvmMsr.VM_CR:
      return writeVmCr(svm, value);
    case SvmMsr.VM_HSAVE_PA:
      if ((value & 0xfffn) !== 0n || value >> BigInt(svm.cpu.profile.physicalAddressWidth) !== 0n) return false;
      svm.hostSaveArea = Number(value);
      return true;
    case SvmMsr.IGNNE:
      // DEVIATION: the bit is only remembered: x87 errors with CR0.NE = 0 are not reported through IRQ 13 here.
      if (value > 1n) return false;
      svm.ignne = value === 1n;
      return true;
    case SvmMsr.SVM_KEY:
      return svm.has(SvmFeature.SVML) && writeSvmKey(svm, value);
    case SvmMsr.TSC_RATIO:
      if (!svm.has(SvmFeature.TSC_RATE_MSR) || (value & ~TSC_RATIO_BITS) !== 0n) return false;
      svm.tscRatio = value;
      return true;
    default:
      return false;
  }
}

/** LOCK makes LOCK and SVMDIS read-only; SVMDIS cannot be set while SVM is in use. */
function writeVmCr(svm: Svm, value: bigint): boolean {
  if ((value & ~VM_CR_BITS) !== 0n) return false;
  const locked = (svm.vmCr & VmCr.LOCK) !== 0 ? VmCr.LOCK | VmCr.SVMDIS : 0;
  const next = (Number(value) & ~locked) | (svm.vmCr & locked);
  if ((next & VmCr.SVMDIS) !== 0 && (svm.cpu.efer & Efer.SVME) !== 0) return false;
  svm.vmCr = next;
  return true;
}

/** Sets the key while VM_CR is not locked; unlocks it when the key, if it is not zero, is written again. */
function writeSvmKey(svm: Svm, value: bigint): boolean {
  if ((svm.vmCr & VmCr.LOCK) === 0) svm.svmKey = value;
  else if (svm.svmKey !== 0n && svm.svmKey === value) svm.vmCr &= ~VmCr.LOCK;
  return true;
}
