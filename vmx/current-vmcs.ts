/**
 * Which VMCS is current, and which groups of entry checks were found good on each active VMCS: they need not be made again until software
 * changes a field that they read.
 */
import type { Vmx } from './vmx';

/** Makes another VMCS current, or none (-1). What passed its checks is remembered for each active VMCS. */
export function selectVmcs(vmx: Vmx, pointer: number): void {
  const { vmcs, passedElsewhere } = vmx;
  if (vmcs.present) passedElsewhere.set(vmcs.pointer, vmx.passedGroups);
  if (pointer < 0) {
    vmcs.deselect();
    vmx.passedGroups = 0;
    return;
  }
  vmcs.select(pointer);
  vmx.passedGroups = passedElsewhere.get(pointer) ?? 0;
}

/** Software may have changed the region: its checks must be made again. */
export function forgetChecks(vmx: Vmx, pointer: number): void {
  vmx.passedElsewhere.delete(pointer);
  if (pointer === vmx.vmcs.pointer) vmx.passedGroups = 0;
}

/** Replaces what is remembered about active VMCSs (restoring a snapshot). */
export function rememberChecks(vmx: Vmx, passed: Iterable<readonly [pointer: number, groups: number]>): void {
  vmx.passedElsewhere.clear();
  for (const [pointer, groups] of passed) vmx.passedElsewhere.set(pointer, groups);
}
