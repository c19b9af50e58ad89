/**
 * What VMRUN does between loading the state and the first guest instruction: APM "Event Injection" and "Interrupt Shadows". It happens at
 * the instruction boundary behind VMRUN, when no instruction is in progress any more.
 */
import { Vector } from '../../cpu/cpu';
import { EventType as CpuEventType, REGISTERS_HOLD_IT, type CpuEvent } from '../../cpu/interfaces';
import { EVENT_TYPE_SHIFT, EventInfo, EventType, InterruptShadow, VIntr } from '../controls';
import { deliver } from '../delivery';
import { SvmFeature } from '../features';
import type { Svm } from '../svm';
import { VMCB } from '../vmcb/layout';

/** Completes VMRUN. True when an event was injected (or its delivery exited), so that execution goes on elsewhere. */
export function completeEntry(svm: Svm): boolean {
  const { cpu, vmcb } = svm;
  svm.entryIncomplete = false;
  cpu.shadowAt = (vmcb.low(VMCB.INTERRUPT_SHADOW) & InterruptShadow.INTERRUPT_SHADOW) !== 0 ? cpu.retired() : -1;
  cpu.shadowByMovSs = false;
  const information = vmcb.low(VMCB.EVENTINJ);
  if ((information & EventInfo.VALID) === 0) return false;
  cpu.shadowAt = -1;
  const event = eventOf(svm, information);
  deliver(svm, event);
  if (svm.guestMode && event.type === CpuEventType.Nmi && (svm.virtualInterrupt & VIntr.V_NMI_ENABLE) !== 0) svm.virtualInterrupt |= VIntr.V_NMI_MASK;
  return true;
}

function eventOf(svm: Svm, information: number): CpuEvent {
  const { vmcb } = svm;
  const type = (information & EventInfo.TYPE) >>> EVENT_TYPE_SHIFT;
  // "If TYPE is 2 (NMI), the VECTOR field is ignored."
  const vector = type === EventType.NMI ? Vector.NMI : information & EventInfo.VECTOR;
  return {
    vector,
    type: typeOf(type, vector),
    errorCode: (information & EventInfo.ERROR_CODE) !== 0 ? vmcb.high(VMCB.EVENTINJ) : undefined,
    payload: REGISTERS_HOLD_IT,
    length: isSoftware(type, vector) ? returnDistance(svm) : 0,
  };
}

/** #BP and #OF are injected as if by INT3 and INTO, with the DPL check of a software event. */
function typeOf(type: number, vector: number): CpuEventType {
  if (type === EventType.INTR) return CpuEventType.ExternalInterrupt;
  if (type === EventType.NMI) return CpuEventType.Nmi;
  if (type === EventType.SOFTWARE_INTERRUPT) return CpuEventType.SoftwareInterrupt;
  return vector === Vector.BP || vector === Vector.OF ? CpuEventType.SoftwareException : CpuEventType.HardwareException;
}
const isSoftware = (type: number, vector: number): boolean =>
  type === EventType.SOFTWARE_INTERRUPT || (type === EventType.EXCEPTION && (vector === Vector.BP || vector === Vector.OF));

/**
 * Software events return behind their instruction: with next-RIP save that is nRIP, which KVM writes for this purpose; without, rIP as it is.
 * DEVIATION: nRIP = 0 counts as not given, for hypervisors that advance rIP themselves and leave nRIP alone; the APM does not tell.
 */
function returnDistance(svm: Svm): number {
  const { vmcb } = svm;
  if (!svm.has(SvmFeature.NRIPS) || (vmcb.low(VMCB.NRIP) | vmcb.high(VMCB.NRIP)) === 0) return 0;
  // Near each other, wherever they are: the low halves tell.
  return (vmcb.low(VMCB.NRIP) - vmcb.low(VMCB.RIP)) | 0;
}
