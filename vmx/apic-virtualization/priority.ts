/** SDM "TPR Virtualization", "PPR Virtualization", "Virtualizing CR8-Based TPR Accesses". */
import { Primary, Secondary } from '../controls';
import { ExitReason } from '../exit/reason';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { Offset } from './registers';
import { evaluatePending } from './virtual-interrupts';

/** What follows a virtualized write of the task priority. */
export function virtualizeTpr(vmx: Vmx): void {
  const { apic } = vmx;
  if ((vmx.secondary & Secondary.VIRTUAL_INTERRUPT_DELIVERY) !== 0) {
    virtualizePpr(vmx);
    evaluatePending(vmx);
  } else if (((apic.read(Offset.TPR) >>> 4) & 15) < (vmx.vmcs.low(OFFSET.TPR_THRESHOLD) & 15)) {
    apic.exitLater(ExitReason.TprBelowThreshold, 0);
    vmx.cpu.attention = true;
  }
}

/** The higher of the task's priority and of that in service. "PPR virtualization always clears bytes 3:1 of VPPR." */
export function virtualizePpr({ apic }: Vmx): void {
  const tpr = apic.read(Offset.TPR) & 0xff;
  const { svi } = apic;
  apic.write(Offset.PPR, tpr >>> 4 >= svi >>> 4 ? tpr : svi & 0xf0);
}

/** undefined: there is no TPR shadow, and the access is the APIC's. */
export function readCr8({ apic, primary }: Vmx): number | undefined {
  return (primary & Primary.USE_TPR_SHADOW) === 0 ? undefined : (apic.read(Offset.TPR) >>> 4) & 15;
}

/** False: there is no TPR shadow. "The remainder of VTPR (bits 3:0 and bits 31:8) is cleared." */
export function writeCr8(vmx: Vmx, value: number): boolean {
  if ((vmx.primary & Primary.USE_TPR_SHADOW) === 0) return false;
  vmx.apic.write(Offset.TPR, (value & 15) << 4);
  virtualizeTpr(vmx);
  return true;
}
