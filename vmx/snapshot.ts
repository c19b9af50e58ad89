/** What VT-x keeps beside registers and memory, as plain data. The rest of a snapshot is the vCPU block and RAM. */
import type { State } from './operation';
import type { Vmx } from './vmx';

export interface VmxSnapshot {
  readonly state: State;
  readonly vmxonPointer: number;
  readonly currentVmcs: number;
  readonly guestMode: boolean;
  readonly entryIncomplete: boolean;
  /** Tick; null: no timer. */
  readonly deadline: number | null;
  readonly mtfPending: boolean;
  readonly firstInstruction: number;
  readonly virtualNmiBlocked: boolean;
  readonly nmiBlockingKept: boolean;
  readonly tprBelowThreshold: boolean;
  /** Which entry checks were found good, by VMCS pointer: without it a restored run could check more than the first one did. */
  readonly passed: readonly (readonly [vmcs: number, groups: number])[];
  readonly passedInLongMode: boolean;
  readonly exits: number;
}

/** @throws Error while an event is being injected: take snapshots between instructions. */
export function saveVmx(vmx: Vmx): VmxSnapshot {
  if (vmx.injecting !== undefined) throw new Error('a snapshot inside an event injection is impossible: take it at an instruction boundary');
  const passed = new Map(vmx.passedElsewhere);
  if (vmx.vmcs.present) passed.set(vmx.vmcs.pointer, vmx.passedGroups);
  return {
    state: vmx.state,
    vmxonPointer: vmx.vmxonPointer,
    currentVmcs: vmx.vmcs.pointer,
    guestMode: vmx.guestMode,
    entryIncomplete: vmx.entryIncomplete,
    deadline: vmx.deadline === Infinity ? null : vmx.deadline,
    mtfPending: vmx.mtfPending,
    firstInstruction: vmx.firstInstruction,
    virtualNmiBlocked: vmx.virtualNmiBlocked,
    nmiBlockingKept: vmx.nmiBlockingKept,
    tprBelowThreshold: vmx.tprBelowThreshold,
    passed: [...passed],
    passedInLongMode: vmx.passedInLongMode,
    exits: vmx.exits,
  };
}

/** Memory and the vCPU block have been restored already; cached translations are dropped. */
export function restoreVmx(vmx: Vmx, s: VmxSnapshot): void {
  vmx.selectVmcs(-1);
  vmx.rememberChecks(s.passed);
  vmx.vmxonPointer = s.vmxonPointer;
  if (s.currentVmcs >= 0) vmx.selectVmcs(s.currentVmcs);
  vmx.state = s.state;
  vmx.guestMode = s.guestMode;
  vmx.entryIncomplete = s.entryIncomplete;
  vmx.deadline = s.deadline ?? Infinity;
  vmx.mtfPending = s.mtfPending;
  vmx.firstInstruction = s.firstInstruction;
  vmx.virtualNmiBlocked = s.virtualNmiBlocked;
  vmx.nmiBlockingKept = s.nmiBlockingKept;
  vmx.tprBelowThreshold = s.tprBelowThreshold;
  vmx.passedInLongMode = s.passedInLongMode;
  vmx.exits = s.exits;
  vmx.ept.disable();
  vmx.ept.flush();
  vmx.cpu.mmu.asid = 0;
  if (s.guestMode) {
    vmx.latchControls();
    vmx.switchTranslation();
  }
  vmx.cpu.mmu.flushAll();
}
