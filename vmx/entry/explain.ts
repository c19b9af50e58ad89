/** Why VM entry with the current VMCS would fail: every broken rule, not only the first. */
import type { Vmx } from '../vmx';
import { violations as violationsOf, type Violation } from './check';
import { CHECK_GROUPS } from './groups';

export { explain, type Violation } from './check';

/** All broken rules in the order of the checks. Nothing is changed. Throws Error when there is no current VMCS. */
export function violations(vmx: Vmx): Violation[] {
  if (!vmx.vmcs.present) throw new Error('no VMCS is current: VMPTRLD one first');
  return CHECK_GROUPS.flatMap((group) => violationsOf(group.checks, vmx.entryState));
}

/** The name under which tools ask. */
export const checkEntry = violations;
