/** The MSRs of VT-x: the capability MSRs are read-only; IA32_FEATURE_CONTROL is written once. SDM "Enabling and Entering VMX Operation". */
import { R } from '../cpu/layout';
import { VmxMsr } from './capabilities';
import type { Vmx } from './vmx';

const LOCK = 1n;
/** Lock, VMX inside SMX, VMX outside SMX; the SENTER and SGX bits do not exist. */
const FEATURE_CONTROL_BITS = 7n;

/** undefined: no MSR of VT-x. */
export function readVmxMsr({ cpu, capabilities }: Vmx, index: number): bigint | undefined {
  if (index === VmxMsr.IA32_FEATURE_CONTROL) return cpu.get64(R.FEATURE_CONTROL);
  return capabilities.msrs.get(index);
}

/** False: no MSR of VT-x, or WRMSR raises #GP(0). */
export function writeVmxMsr({ cpu }: Vmx, index: number, value: bigint): boolean {
  if (index !== VmxMsr.IA32_FEATURE_CONTROL) return false;
  // Locked until the next reset.
  if ((cpu.get64(R.FEATURE_CONTROL) & LOCK) !== 0n || (value & ~FEATURE_CONTROL_BITS) !== 0n) return false;
  cpu.set64(R.FEATURE_CONTROL, value);
  return true;
}
