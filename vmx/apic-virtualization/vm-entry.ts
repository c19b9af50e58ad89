/** With a TPR shadow: what VM entry does to the virtual APIC. SDM "Updating Non-Register State", "VM Exits Induced by the TPR Threshold". */
import { Secondary } from '../controls';
import { ExitReason } from '../exit/reason';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { virtualizePpr } from './priority';
import { Offset } from './registers';
import { evaluatePending } from './virtual-interrupts';

export function enterVirtualApic(vmx: Vmx): void {
  const { secondary, apic, vmcs } = vmx;
  if ((secondary & Secondary.VIRTUAL_INTERRUPT_DELIVERY) !== 0) {
    virtualizePpr(vmx);
    evaluatePending(vmx);
    return;
  }
  // Without "virtualize APIC accesses" such an entry fails.
  if ((secondary & Secondary.VIRTUALIZE_APIC_ACCESSES) === 0) return;
  if ((vmcs.low(OFFSET.TPR_THRESHOLD) & 15) > ((apic.read(Offset.TPR) >>> 4) & 15)) apic.exitLater(ExitReason.TprBelowThreshold, 0);
}
