/** What VMRUN takes over from the control area: the intercepts and switches of the guest, and the translation it runs under. */
import { Cr4, Efer, type Cpu } from '../../cpu/cpu';
import type { NestedPagingMode } from '../../ept/npt-format';
import { virtualizesBranchRecords } from '../branch-records';
import { NestedControl, VIntr } from '../controls';
import { SvmFeature } from '../features';
import type { Svm } from '../svm';
import { VMCB, VMCB_SIZE } from '../vmcb/layout';

/** By EFER.NXE, for four levels and for five: VMRUN allocates nothing. */
const LONG_MODE = [
  { levels: 4, nxe: false, pse: true },
  { levels: 4, nxe: true, pse: true },
] as const satisfies readonly NestedPagingMode[];
const LONG_MODE_LA57 = [
  { levels: 5, nxe: false, pse: true },
  { levels: 5, nxe: true, pse: true },
] as const satisfies readonly NestedPagingMode[];

/** The host's registers are still loaded: its rFLAGS.IF counts with V_INTR_MASKING. */
export function latchControls(svm: Svm): void {
  const { vmcb, cpu } = svm;
  svm.crIntercepts = vmcb.low(VMCB.CR_READ_INTERCEPTS);
  svm.drIntercepts = vmcb.low(VMCB.DR_READ_INTERCEPTS);
  svm.exceptionIntercepts = vmcb.low(VMCB.EXCEPTION_INTERCEPTS);
  svm.intercepts3 = vmcb.low(VMCB.INTERCEPTS_3);
  svm.intercepts4 = vmcb.low(VMCB.INTERCEPTS_4);
  svm.intercepts5 = vmcb.low(VMCB.INTERCEPTS_5);
  // "The VMRUN instruction ignores the lower 12 bits of the address specified in the VMCB."
  svm.ioPermissionMap = page(vmcb.number(VMCB.IOPM_BASE_PA));
  svm.msrPermissionMap = page(vmcb.number(VMCB.MSRPM_BASE_PA));
  svm.nestedPaging = svm.has(SvmFeature.NP) && (vmcb.low(VMCB.NESTED_CONTROL) & NestedControl.NP_ENABLE) !== 0;
  svm.lbrVirtualization = virtualizesBranchRecords(svm);
  svm.virtualInterrupt = vmcb.low(VMCB.V_INTR) & virtualInterruptBits(svm);
  svm.virtualVector = vmcb.low(VMCB.V_INTR_VECTOR) & 0xff;
  svm.pauseCount = vmcb.low(VMCB.PAUSE_FILTER_THRESHOLD) >>> 16;
  svm.lastPause = cpu.now();
  svm.hostInterrupts = cpu.interruptsEnabled;
  svm.hostNmiBlocked = cpu.nmiBlocked;
  svm.writeTrap = 0;
}

const page = (address: number): number => address - (address % VMCB_SIZE);

/** The bits of V_INTR that this processor implements: it reads no others, and #VMEXIT leaves the others in memory alone. */
export function virtualInterruptBits(svm: Svm): number {
  let bits: number = VIntr.V_TPR | VIntr.V_IRQ | VIntr.V_INTR_PRIO | VIntr.V_IGN_TPR | VIntr.V_INTR_MASKING;
  if (svm.has(SvmFeature.VGIF)) bits |= VIntr.V_GIF | VIntr.V_GIF_ENABLE;
  if (svm.has(SvmFeature.VNMI)) bits |= VIntr.V_NMI | VIntr.V_NMI_MASK | VIntr.V_NMI_ENABLE;
  return bits;
}

/** From the host's address space to the guest's: its ASID, and nested tables in the format of the host's paging mode. */
export function switchTranslation({ cpu, vmcb, npt, nestedPaging, guestAsid }: Svm): void {
  if (nestedPaging) npt.enable(vmcb.number(VMCB.N_CR3), hostPagingMode(cpu), guestAsid);
  cpu.mmu.asid = guestAsid;
}

function hostPagingMode({ cr4, efer }: Cpu): NestedPagingMode {
  if ((efer & Efer.LMA) !== 0) return ((cr4 & Cr4.LA57) !== 0 ? LONG_MODE_LA57 : LONG_MODE)[(efer & Efer.NXE) !== 0 ? 1 : 0];
  return { levels: (cr4 & Cr4.PAE) !== 0 ? 3 : 2, nxe: (efer & Efer.NXE) !== 0, pse: (cr4 & Cr4.PSE) !== 0 };
}
