/** What VT-x keeps beside registers and memory, as plain data. The rest of a snapshot is the vCPU block and RAM. */
import type { EptState } from '../ept/ept';
import type { VirtualApicState } from './apic-virtualization/virtual-apic';
import { rememberChecks, selectVmcs } from './current-vmcs';
import { switchTranslation } from './entry/latch';
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
  readonly apic: VirtualApicState;
  /** Which entry checks were found good on the current VMCS, and by pointer on others: without it a restored run could check more than the first. */
  readonly passedGroups: number;
  readonly passed: readonly (readonly [vmcs: number, groups: number])[];
  readonly passedInLongMode: boolean;
  /** As the last VM entry latched them: pin-based, primary, secondary, exit, entry. */
  readonly controls: readonly number[];
  readonly exits: number;
  readonly nmiUnblockedAt: number;
  readonly ept: EptState;
}

/** @throws Error while an event is being injected: take snapshots between instructions. */
export function saveVmx(vmx: Vmx): VmxSnapshot {
  if (vmx.injecting !== undefined) throw new Error('a snapshot inside an event injection is impossible: take it at an instruction boundary');
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
    apic: vmx.apic.saveState(),
    passedGroups: vmx.passedGroups,
    passed: [...vmx.passedElsewhere],
    controls: [vmx.pinBased, vmx.primary, vmx.secondary, vmx.exitControls, vmx.entryControls],
    passedInLongMode: vmx.passedInLongMode,
    exits: vmx.exits,
    nmiUnblockedAt: vmx.nmiUnblockedAt,
    ept: vmx.ept.saveState(),
  };
}

/**
 * Memory and the vCPU block have been restored already. The translations that the processor has cached are dropped: whoever wants those of
 * the snapshot restores the processor (EngineState) after this.
 */
export function restoreVmx(vmx: Vmx, s: VmxSnapshot): void {
  selectVmcs(vmx, -1);
  rememberChecks(vmx, s.passed);
  vmx.vmxonPointer = s.vmxonPointer;
  if (s.currentVmcs >= 0) selectVmcs(vmx, s.currentVmcs);
  vmx.passedGroups = s.passedGroups;
  vmx.state = s.state;
  vmx.guestMode = s.guestMode;
  vmx.entryIncomplete = s.entryIncomplete;
  vmx.deadline = s.deadline ?? Infinity;
  vmx.mtfPending = s.mtfPending;
  vmx.firstInstruction = s.firstInstruction;
  vmx.virtualNmiBlocked = s.virtualNmiBlocked;
  vmx.nmiBlockingKept = s.nmiBlockingKept;
  vmx.apic.restoreState(s.apic);
  vmx.passedInLongMode = s.passedInLongMode;
  vmx.exits = s.exits;
  vmx.nmiUnblockedAt = s.nmiUnblockedAt;
  [vmx.pinBased, vmx.primary, vmx.secondary, vmx.exitControls, vmx.entryControls] = s.controls;
  vmx.cpu.mmu.intercept(0, undefined);
  vmx.cpu.mmu.asid = 0;
  if (s.guestMode) switchTranslation(vmx);
  vmx.ept.restoreState(s.ept);
  vmx.cpu.mmu.flushAll();
}
