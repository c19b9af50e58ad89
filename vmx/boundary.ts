/**
 * What happens between two guest instructions. SDM "Priority Among Concurrent Events" with the causes of "Other Causes of VM Exits":
 * APIC-write emulation and its traps, MTF > debug traps > VMX-preemption timer > NMI window > NMI > interrupt window, virtual interrupt >
 * external interrupt.
 */
import { EventType } from '../cpu/interfaces';
import { emulateApicWrite } from './apic-virtualization/apic-write';
import { isNotification, processPostedInterrupts } from './apic-virtualization/posted-interrupts';
import { Waiting } from './apic-virtualization/virtual-apic';
import { deliverVirtualInterrupt, deliverable } from './apic-virtualization/virtual-interrupts';
import { Interruption, PinBased, Primary, ExitControl } from './controls';
import { completeEntry } from './entry/inject';
import { ExitReason } from './exit/reason';
import type { Vmx } from './vmx';

const NMI_VECTOR = 2;

/** True when a VM exit was performed or an event injected. */
export function boundary(vmx: Vmx, interruptPending: boolean, nmiPending: boolean): boolean {
  if (vmx.entryIncomplete && completeEntry(vmx)) return true;
  const { cpu, apic } = vmx;
  const shadow = cpu.inShadow();
  const mtf = (vmx.primary & Primary.MONITOR_TRAP_FLAG) !== 0;

  // They complete the instruction before, or the entry.
  if ((apic.waiting & Waiting.Write) !== 0) emulateApicWrite(vmx);
  if (apic.trap !== undefined) return vmx.exitOnEvent(apic.trap.reason, 0, apic.trap.qualification);
  if (vmx.mtfPending || (mtf && cpu.retired() !== vmx.firstInstruction)) return vmx.exitOnEvent(ExitReason.MonitorTrapFlag);

  if (cpu.pendingDebug !== 0 && !(shadow && cpu.shadowByMovSs)) {
    vmx.mtfPending = mtf;
    return false;
  }
  if (cpu.now() >= vmx.deadline) return vmx.exitOnEvent(ExitReason.PreemptionTimerExpired);

  if ((vmx.primary & Primary.NMI_WINDOW_EXITING) !== 0 && !vmx.virtualNmiBlocked && !shadow) return vmx.exitOnEvent(ExitReason.NmiWindow);
  if (nmiPending && !shadow && !cpu.nmiBlocked) {
    if ((vmx.pinBased & PinBased.NMI_EXITING) === 0) {
      vmx.mtfPending = mtf;
      return false;
    }
    cpu.nmiPending = false;
    // "VM exits caused by NMIs: there is blocking by NMI afterwards."
    vmx.exitOnEvent(ExitReason.ExceptionOrNmi, (Interruption.VALID | (EventType.Nmi << 8) | NMI_VECTOR) >>> 0);
    cpu.nmiBlocked = true;
    return true;
  }
  if (shadow) return false;
  if ((vmx.primary & Primary.INTERRUPT_WINDOW_EXITING) !== 0 && cpu.interruptsEnabled) return vmx.exitOnEvent(ExitReason.InterruptWindow);
  if (apic.waiting !== 0 && deliverable(vmx)) {
    vmx.mtfPending = mtf;
    deliverVirtualInterrupt(vmx);
    return true;
  }
  if (interruptPending && (vmx.pinBased & PinBased.EXTERNAL_INTERRUPT_EXITING) !== 0) {
    if ((vmx.exitControls & ExitControl.ACKNOWLEDGE_INTERRUPT_ON_EXIT) === 0 || cpu.interrupts === undefined)
      return vmx.exitOnEvent(ExitReason.ExternalInterrupt);
    const vector = cpu.interrupts.acknowledge();
    if (isNotification(vmx, vector)) {
      processPostedInterrupts(vmx);
      return true;
    }
    return vmx.exitOnEvent(ExitReason.ExternalInterrupt, (Interruption.VALID | (EventType.ExternalInterrupt << 8) | vector) >>> 0);
  }
  // Without an exit the step loop delivers it; then a pending MTF VM exit follows the delivery.
  if (interruptPending && cpu.interruptsEnabled) vmx.mtfPending = mtf;
  return false;
}

/** In non-root operation: a reason to look at every boundary, something that is armed and can happen now. */
export function armed(vmx: Vmx): boolean {
  if (vmx.entryIncomplete || vmx.mtfPending) return true;
  const { primary } = vmx;
  if (vmx.apic.waiting !== 0 && ((vmx.apic.waiting & ~Waiting.Interrupt) !== 0 || vmx.cpu.interruptsEnabled)) return true;
  if ((primary & Primary.MONITOR_TRAP_FLAG) !== 0) return true;
  if ((primary & Primary.INTERRUPT_WINDOW_EXITING) !== 0 && vmx.cpu.interruptsEnabled) return true;
  return (primary & Primary.NMI_WINDOW_EXITING) !== 0 && !vmx.virtualNmiBlocked;
}

/** IRET of the guest has set cpu.nmiBlocked to false. SDM "IRET" in "Changes to Instruction Behavior in VMX Non-Root Operation". */
export function nmiUnblocked(vmx: Vmx): void {
  const { cpu, pinBased } = vmx;
  if ((pinBased & PinBased.NMI_EXITING) === 0) {
    vmx.nmiUnblockedAt = cpu.retired();
    return;
  }
  // With NMI exiting, IRET ends virtual-NMI blocking if there is such a thing, and leaves blocking by NMI alone.
  if ((pinBased & PinBased.VIRTUAL_NMIS) !== 0) {
    if (vmx.virtualNmiBlocked) vmx.nmiUnblockedAt = cpu.retired();
    vmx.virtualNmiBlocked = false;
  } else cpu.nmiBlocked = vmx.nmiBlockingKept;
  cpu.attention = true;
}
