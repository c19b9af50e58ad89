/** VMXON and VMXOFF. */
import { selectVmcs } from '../current-vmcs';
import { State, transition } from '../operation';
import { VMCS_REVISION } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { VM_FAIL_INVALID, VM_SUCCEED, type VmResult } from './result';

/** VMXON with the VMXON pointer at hand; what raises #UD or #GP has been checked. SDM "VMXON". */
export function vmxon(vmx: Vmx, physicalAddress: number): VmResult {
  const next = transition(vmx.state, 'VMXON');
  if (next.kind === 'fail-valid') return vmx.fail(next.error);
  if (next.kind !== 'to') throw new Error(`VMXON in state "${vmx.state}"`);
  // Bits 30:0 of the region hold the revision identifier, bit 31 is 0.
  if (!vmx.isVmcsAddress(physicalAddress) || vmx.cpu.memory.read32(physicalAddress) !== VMCS_REVISION) return vmx.complete(VM_FAIL_INVALID);
  vmx.vmxonPointer = physicalAddress;
  vmx.vmcs.deselect();
  vmx.state = next.state;
  return vmx.complete(VM_SUCCEED);
}

/** SDM "VMXOFF". The VMCSs that are active keep their data in memory. */
export function vmxoff(vmx: Vmx): VmResult {
  const next = transition(vmx.state, 'VMXOFF');
  if (next.kind !== 'to') throw new Error(`VMXOFF in state "${vmx.state}"`);
  selectVmcs(vmx, -1);
  vmx.vmxonPointer = -1;
  vmx.state = State.OutsideVmx;
  return vmx.complete(VM_SUCCEED);
}
