/** VMLAUNCH and VMRESUME: SDM chapter "VM Entries", in its order. */
import { firstBroken } from '../entry/check';
import { CHECK_GROUPS, SKIPPABLE } from '../entry/groups';
import { loadGuestState } from '../entry/load';
import { latchControls, switchTranslation } from '../entry/latch';
import { failEntry } from '../exit/exit';
import { ExitReason } from '../exit/reason';
import { loadMsrArea } from '../msr-area';
import { transition } from '../operation';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { ENTERED, EXITED, VmInstructionError, type EntryResult } from './result';

export function enterGuest(vmx: Vmx, instruction: 'VMLAUNCH' | 'VMRESUME'): EntryResult {
  const result = enter(vmx, instruction);
  if (result.kind === 'fail-valid' || result.kind === 'fail-invalid') vmx.observer.refused?.(vmx, result);
  return result;
}

function enter(vmx: Vmx, instruction: 'VMLAUNCH' | 'VMRESUME'): EntryResult {
  const { cpu, vmcs } = vmx;

  // "Basic VM-Entry Checks".
  const next = transition(vmx.state, instruction);
  if (next.kind === 'fail-invalid') return vmx.complete(next);
  if (cpu.inShadow() && cpu.shadowByMovSs) return vmx.fail(VmInstructionError.EntryBlockedByMovSs);
  if (next.kind === 'fail-valid') return vmx.fail(next.error);
  if (next.kind !== 'to') throw new Error(`${instruction} in state "${vmx.state}"`);

  // "Checks on VMX Controls and Host-State Area", "Checking and Loading Guest State".
  const refused = check(vmx);
  if (refused !== undefined) return refused;
  vmcs.aboutToWrite();
  latchControls(vmx);
  switchTranslation(vmx);
  loadGuestState(vmx);

  // "Loading MSRs".
  const count = vmcs.low(OFFSET.ENTRY_MSR_LOAD_COUNT);
  if (count !== 0) {
    const failed = loadMsrArea(vmx, vmcs.number(OFFSET.ENTRY_MSR_LOAD_ADDRESS), count);
    if (failed !== 0) {
      failEntry(vmx, ExitReason.EntryFailureMsrLoading, failed);
      return EXITED;
    }
  }

  // The entry can fail no more.
  if (instruction === 'VMLAUNCH') vmcs.markLaunched();
  vmx.state = next.state;
  vmx.guestMode = true;
  vmx.entryIncomplete = true;
  vmx.deadline = Infinity;
  cpu.activity = vmcs.low(OFFSET.GUEST_ACTIVITY_STATE);
  cpu.pendingDebug = 0;
  cpu.attention = true;
  vmx.observer.entry?.(vmx);
  return ENTERED;
}

/** Makes the checks whose fields changed since they last passed on this VMCS. */
function check(vmx: Vmx): EntryResult | undefined {
  const state = vmx.entryState;
  if (vmx.passedInLongMode !== vmx.cpu.longMode) {
    vmx.passedGroups = 0;
    vmx.passedInLongMode = vmx.cpu.longMode;
  }
  for (let g = 0; g < CHECK_GROUPS.length; g++) {
    if (((vmx.passedGroups >>> g) & 1) !== 0) continue;
    const group = CHECK_GROUPS[g];
    const broken = firstBroken(group.checks, state);
    if (broken === undefined) {
      vmx.passedGroups |= (1 << g) & SKIPPABLE;
      continue;
    }
    if (group.failure === 'controls') return vmx.fail(VmInstructionError.EntryInvalidControlFields);
    if (group.failure === 'host') return vmx.fail(VmInstructionError.EntryInvalidHostState);
    latchControls(vmx);
    failEntry(vmx, ExitReason.EntryFailureGuestState, broken.qualification ?? 0);
    return EXITED;
  }
  return undefined;
}
