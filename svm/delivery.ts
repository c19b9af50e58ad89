/** Events that come out of the VMCB: injected ones, virtual interrupts, virtual NMIs. They go through the guest's IDT, but are intercepted by nothing. */
import { Activity, UNWIND } from '../cpu/cpu';
import { EventType, type CpuEvent } from '../cpu/interfaces';
import type { Svm } from './svm';

/** Delivers `event`; the delivery may end in a #VMEXIT. */
export function deliver(svm: Svm, event: CpuEvent): void {
  const { cpu } = svm;
  cpu.activity = Activity.Active;
  svm.unintercepted = event;
  try {
    svm.deliver(cpu, event);
  } catch (e) {
    // A #VMEXIT in the middle.
    if (e !== UNWIND) throw e;
    cpu.fault = undefined;
  }
  svm.unintercepted = undefined;
  // With virtual NMIs the blocking is in V_NMI_MASK, and with intercepted ones nothing blocks the host's.
  if (svm.guestMode && event.type === EventType.Nmi && svm.nmisAreTheHosts) cpu.nmiBlocked = svm.hostNmiBlocked;
}
