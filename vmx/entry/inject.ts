/**
 * What VM entry does between loading the state and the first guest instruction: SDM "Event Injection" and "Special Features of VM
 * Entry". It happens at the instruction boundary behind the entry, when no instruction is in progress any more.
 */
import { Activity, UNWIND } from '../../cpu/cpu';
import { EventType, REGISTERS_HOLD_IT, type CpuEvent } from '../../cpu/interfaces';
import { Interruptibility, Interruption, PendingDebug, PinBased, Primary } from '../controls';
import { enterVirtualApic } from '../apic-virtualization/vm-entry';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';

/** Completes VM entry. True when an event was injected (or its delivery exited), so that execution goes on elsewhere. */
export function completeEntry(vmx: Vmx): boolean {
  const { cpu, vmcs } = vmx;
  vmx.entryIncomplete = false;

  const blocking = vmcs.low(OFFSET.GUEST_INTERRUPTIBILITY_STATE);
  const shadow = (blocking & (Interruptibility.BLOCKING_BY_STI | Interruptibility.BLOCKING_BY_MOV_SS)) !== 0;
  cpu.shadowAt = shadow ? cpu.retired() : -1;
  cpu.shadowByMovSs = (blocking & Interruptibility.BLOCKING_BY_MOV_SS) !== 0;
  const nmiBlocked = (blocking & Interruptibility.BLOCKING_BY_NMI) !== 0;
  const virtualNmis = (vmx.pinBased & PinBased.VIRTUAL_NMIS) !== 0;
  vmx.virtualNmiBlocked = virtualNmis && nmiBlocked;
  cpu.nmiBlocked = vmx.nmiBlockingKept = !virtualNmis && nmiBlocked;

  // Units of the timer are TSC ticks (IA32_VMX_MISC[4:0] = 0).
  vmx.deadline = (vmx.pinBased & PinBased.ACTIVATE_PREEMPTION_TIMER) !== 0 ? cpu.now() + vmcs.low(OFFSET.PREEMPTION_TIMER_VALUE) : Infinity;
  vmx.firstInstruction = cpu.retired();
  vmx.mtfPending = false;
  if ((vmx.primary & Primary.USE_TPR_SHADOW) !== 0) enterVirtualApic(vmx);

  const information = vmcs.low(OFFSET.ENTRY_INTERRUPTION_INFORMATION);
  const type: EventType = (information & Interruption.TYPE) >>> 8;
  const valid = (information & Interruption.VALID) !== 0;
  if (!valid || type === EventType.OtherEvent) {
    const pending = vmcs.low(OFFSET.GUEST_PENDING_DEBUG_EXCEPTIONS);
    cpu.pendingDebug = (pending & (PendingDebug.BS | PendingDebug.ENABLED_BREAKPOINT)) !== 0 ? pending & (PendingDebug.B | PendingDebug.BS) : 0;
    vmx.mtfPending = valid;
    return false;
  }
  // Injecting a vectored event drops pending debug exceptions and ends blocking by STI and MOV SS.
  cpu.pendingDebug = 0;
  cpu.shadowAt = -1;
  cpu.activity = Activity.Active;
  inject(vmx, eventOf(vmx, information, type));
  return true;
}

function eventOf(vmx: Vmx, information: number, type: EventType): CpuEvent {
  const { vmcs } = vmx;
  const vector = information & Interruption.VECTOR;
  const software = type === EventType.SoftwareInterrupt || type === EventType.PrivilegedSoftwareException || type === EventType.SoftwareException;
  return {
    vector,
    type,
    errorCode: (information & Interruption.ERROR_CODE) !== 0 ? vmcs.low(OFFSET.ENTRY_EXCEPTION_ERROR_CODE) : undefined,
    payload: REGISTERS_HOLD_IT,
    length: software ? vmcs.low(OFFSET.ENTRY_INSTRUCTION_LENGTH) : 0,
  };
}

function inject(vmx: Vmx, event: CpuEvent): void {
  const { cpu } = vmx;
  vmx.injecting = event;
  try {
    vmx.deliver(cpu, event);
  } catch (e) {
    // The delivery ended in a VM exit.
    if (e !== UNWIND) throw e;
    cpu.fault = undefined;
  }
  vmx.injecting = undefined;
  if (!vmx.guestMode) return;
  if (event.type === EventType.Nmi) {
    const virtualNmis = (vmx.pinBased & PinBased.VIRTUAL_NMIS) !== 0;
    vmx.virtualNmiBlocked = virtualNmis;
    cpu.nmiBlocked = vmx.nmiBlockingKept = !virtualNmis;
  }
  // "If the 'monitor trap flag' control is 1 and VM entry is injecting a vectored event, an MTF VM exit is pending before the first instruction."
  if ((vmx.primary & Primary.MONITOR_TRAP_FLAG) !== 0) vmx.mtfPending = true;
}
