/**
 * "Hardware Acceleration for LBR Virtualization" (APM): while it is enabled, VMRUN and #VMEXIT swap DebugCtl and the four MSRs of recorded
 * control transfers between host and guest. Otherwise both use the same ones, and the VMCB's are not looked at.
 */
import { DEBUGCTL_DEFINED } from '../cpu/branch-records';
import { R } from '../cpu/layout';
import { VirtualizationEnable } from './controls';
import { SvmFeature } from './features';
import type { Svm } from './svm';
import { VMCB } from './vmcb/layout';

const SWAPPED: readonly (readonly [field: number, blockOffset: number])[] = [
  [VMCB.DBGCTL, R.DEBUGCTL],
  [VMCB.BR_FROM, R.LAST_BRANCH_FROM],
  [VMCB.BR_TO, R.LAST_BRANCH_TO],
  [VMCB.LASTEXCPFROM, R.LAST_INT_FROM],
  [VMCB.LASTEXCPTO, R.LAST_INT_TO],
];

export const virtualizesBranchRecords = (svm: Svm): boolean =>
  svm.has(SvmFeature.LBR_VIRT) && (svm.vmcb.low(VMCB.VIRTUALIZATION_ENABLE) & VirtualizationEnable.LBR) !== 0;

/** VMRUN. @param area index of the word from which on the host save area has room for five quadwords. */
export function loadGuestBranchRecords({ cpu, vmcb }: Svm, area: number): void {
  SWAPPED.forEach(([field, register], i) => {
    saveHostWords(cpu.u32, area + 2 * i, (cpu.base + register) >>> 2);
    cpu.set32(register, vmcb.low(field));
    cpu.set32(register + 4, vmcb.high(field));
  });
  // Reserved bits of DBGCTL are ignored: they are not among the illegal states of "Canonicalization and Consistency Checks".
  cpu.set64(R.DEBUGCTL, BigInt(cpu.get32(R.DEBUGCTL) & DEBUGCTL_DEFINED));
}

function saveHostWords(u32: Uint32Array, to: number, from: number): void {
  u32[to] = u32[from];
  u32[to + 1] = u32[from + 1];
}

/** #VMEXIT, guest state. */
export function saveGuestBranchRecords({ cpu, vmcb }: Svm): void {
  for (const [field, register] of SWAPPED) vmcb.set(field, cpu.get32(register), cpu.get32(register + 4));
}

/** #VMEXIT, host state. */
export function loadHostBranchRecords({ cpu }: Svm, area: number): void {
  SWAPPED.forEach(([, register], i) => {
    cpu.set32(register, cpu.u32[area + 2 * i]);
    cpu.set32(register + 4, cpu.u32[area + 2 * i + 1]);
  });
}
