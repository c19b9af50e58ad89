/**
 * What happens between two guest instructions. APM "Interrupt Intercepts", "Virtual Interrupts", "NMI Virtualization": write traps > debug
 * traps > NMI > INTR > virtual NMI > virtual interrupt. In an interrupt shadow none of these is recognized ("Interrupt Shadows").
 */
import { EventType } from '../cpu/interfaces';
import { Intercept3, VIntr, V_INTR_PRIO_SHIFT } from './controls';
import { deliver } from './delivery';
import { completeEntry } from './entry/inject';
import { ExitCode } from './exit/code';
import type { Svm } from './svm';

const NMI_VECTOR = 2;
const PRIORITY = 0xf;

/** True when a #VMEXIT was performed or an event delivered. */
export function boundary(svm: Svm, interruptPending: boolean, nmiPending: boolean): boolean {
  if (svm.entryIncomplete && completeEntry(svm)) return true;
  const { cpu } = svm;
  if (svm.writeTrap !== 0) return svm.exitOnWriteTrap();
  const shadow = cpu.inShadow();
  if (cpu.pendingDebug !== 0 && !(shadow && cpu.shadowByMovSs)) return false;
  if (shadow) return false;

  if (svm.gif) {
    if (nmiPending && (svm.intercepts3 & Intercept3.NMI) !== 0 && !svm.hostNmiBlocked) return svm.exitOnEvent(ExitCode.NMI);
    // Without the intercept the step loop delivers them.
    if (nmiPending && !cpu.nmiBlocked) return false;
    if (interruptPending && svm.physicalInterruptsEnabled) return (svm.intercepts3 & Intercept3.INTR) !== 0 && svm.exitOnEvent(ExitCode.INTR);
  }
  if (virtualNmiReady(svm)) return takeVirtualNmi(svm);
  if (virtualInterruptReady(svm)) return takeVirtualInterrupt(svm);
  return false;
}

/** A virtual NMI is pending and not masked: it can be taken but for an interrupt shadow. */
export function virtualNmiReady(svm: Svm): boolean {
  const v = svm.virtualInterrupt;
  return (v & (VIntr.V_NMI_ENABLE | VIntr.V_NMI | VIntr.V_NMI_MASK)) === (VIntr.V_NMI_ENABLE | VIntr.V_NMI) && svm.guestGif;
}

/** V_IRQ, rFLAGS.IF and GIF are 1 and the priority is above V_TPR: a virtual interrupt can be taken but for an interrupt shadow. */
export function virtualInterruptReady(svm: Svm): boolean {
  const v = svm.virtualInterrupt;
  if ((v & VIntr.V_IRQ) === 0 || !svm.cpu.interruptsEnabled || !svm.guestGif) return false;
  return (v & VIntr.V_IGN_TPR) !== 0 || ((v >>> V_INTR_PRIO_SHIFT) & PRIORITY) > (v & PRIORITY);
}

function takeVirtualNmi(svm: Svm): true {
  svm.virtualInterrupt &= ~VIntr.V_NMI;
  deliver(svm, { vector: NMI_VECTOR, type: EventType.Nmi, errorCode: undefined, payload: 0n, length: 0 });
  // A #VMEXIT during the delivery leaves it unmasked: EXITINTINFO tells of it.
  if (svm.guestMode) svm.virtualInterrupt |= VIntr.V_NMI_MASK;
  return true;
}

/** VINTR is intercepted before the interrupt is taken: V_IRQ stays. */
function takeVirtualInterrupt(svm: Svm): true {
  if ((svm.intercepts3 & Intercept3.VINTR) !== 0) return svm.exitOnEvent(ExitCode.VINTR);
  svm.virtualInterrupt &= ~VIntr.V_IRQ;
  deliver(svm, { vector: svm.virtualVector, type: EventType.ExternalInterrupt, errorCode: undefined, payload: 0n, length: 0 });
  return true;
}
