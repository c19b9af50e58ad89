/** What VM entry takes over from the control fields: the controls of the guest, and the translation it runs under. */
import { Primary, Secondary } from '../controls';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';

export function latchControls(vmx: Vmx): void {
  const { vmcs } = vmx;
  vmx.pinBased = vmcs.low(OFFSET.PIN_BASED_CONTROLS);
  vmx.primary = vmcs.low(OFFSET.PRIMARY_PROCESSOR_BASED_CONTROLS);
  vmx.secondary = (vmx.primary & Primary.ACTIVATE_SECONDARY_CONTROLS) !== 0 ? vmcs.low(OFFSET.SECONDARY_PROCESSOR_BASED_CONTROLS) : 0;
  vmx.exitControls = vmcs.low(OFFSET.VM_EXIT_CONTROLS);
  vmx.entryControls = vmcs.low(OFFSET.VM_ENTRY_CONTROLS);
}

/** From the host's address spaces to the guest's. Without VPID, entries and exits invalidate what is tagged with VPID 0000H. */
export function switchTranslation({ cpu: { mmu }, vmcs, ept, secondary, apicAccessPage }: Vmx): void {
  if ((secondary & Secondary.ENABLE_EPT) !== 0) ept.enable(vmcs.low(OFFSET.EPT_POINTER), vmcs.high(OFFSET.EPT_POINTER));
  if ((secondary & Secondary.VIRTUALIZE_APIC_ACCESSES) !== 0) mmu.intercept(vmcs.number(OFFSET.APIC_ACCESS_ADDRESS), apicAccessPage);
  if ((secondary & Secondary.ENABLE_VPID) !== 0) mmu.asid = vmcs.low(OFFSET.VPID);
  else mmu.flushAsid(0);
}
