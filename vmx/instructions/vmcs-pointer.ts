/** VMCLEAR, VMPTRLD, VMPTRST. */
import { forgetChecks, selectVmcs } from '../current-vmcs';
import { transition, type Event } from '../operation';
import { LAUNCHED, Region, SHADOW_INDICATOR, VMCS_REVISION } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { VM_SUCCEED, VmInstructionError, type VmResult } from './result';

/** SDM "VMCLEAR": the VMCS becomes clear, not active, not current. Its data are in memory always: nothing is to be written back. */
export function vmclear(vmx: Vmx, physicalAddress: number): VmResult {
  if (!vmx.isVmcsAddress(physicalAddress)) return vmx.fail(VmInstructionError.VmclearInvalidAddress);
  if (physicalAddress === vmx.vmxonPointer) return vmx.fail(VmInstructionError.VmclearVmxonPointer);
  const current = physicalAddress === vmx.vmcs.pointer;
  forgetChecks(vmx, physicalAddress);
  vmx.cpu.memory.write32(physicalAddress + Region.LAUNCH_STATE, 0);
  if (current) selectVmcs(vmx, -1);
  enter(vmx, current ? 'VMCLEAR of the current VMCS' : 'VMCLEAR of another VMCS');
  return vmx.complete(VM_SUCCEED);
}

/** SDM "VMPTRLD": the VMCS becomes active and current. */
export function vmptrld(vmx: Vmx, physicalAddress: number): VmResult {
  if (!vmx.isVmcsAddress(physicalAddress)) return vmx.fail(VmInstructionError.VmptrldInvalidAddress);
  if (physicalAddress === vmx.vmxonPointer) return vmx.fail(VmInstructionError.VmptrldVmxonPointer);
  // DEVIATION: a VMCS outside RAM cannot be made current; it is refused like an address beyond the physical-address width.
  if (!vmx.cpu.memory.isRam(physicalAddress)) return vmx.fail(VmInstructionError.VmptrldInvalidAddress);
  const revision = vmx.cpu.memory.read32(physicalAddress);
  // A shadow VMCS (bit 31) needs "VMCS shadowing", which this processor lacks.
  if ((revision & SHADOW_INDICATOR) !== 0 || revision !== VMCS_REVISION) return vmx.fail(VmInstructionError.VmptrldWrongRevision);
  selectVmcs(vmx, physicalAddress);
  const launched = vmx.cpu.memory.read32(physicalAddress + Region.LAUNCH_STATE) === LAUNCHED;
  enter(vmx, launched ? 'VMPTRLD of a launched VMCS' : 'VMPTRLD of a clear VMCS');
  return vmx.complete(VM_SUCCEED);
}

/** SDM "VMPTRST": all ones when there is no current VMCS. */
export function vmptrst(vmx: Vmx): bigint {
  vmx.complete(VM_SUCCEED);
  return vmx.vmcs.present ? BigInt(vmx.vmcs.pointer) : 0xffff_ffff_ffff_ffffn;
}

function enter(vmx: Vmx, event: Event): void {
  const next = transition(vmx.state, event);
  if (next.kind !== 'to') throw new Error(`${event} in state "${vmx.state}"`);
  vmx.state = next.state;
}
