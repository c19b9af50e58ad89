/** Exceptions as causes of #VMEXITs, and events as EXITINTINFO has them. APM "Exception Intercepts", "Intercepts During IDT Interrupt Delivery". */
import { Vector } from '../../cpu/cpu';
import { recordDebugException } from '../../cpu/debug';
import { EventType as CpuEventType, type CpuEvent } from '../../cpu/interfaces';
import { EVENT_TYPE_SHIFT, EventInfo, EventType } from '../controls';
import type { Svm } from '../svm';
import { ExitCodeBase } from './code';
import { fetchInstructionBytes } from './instruction-bytes';

const PF_FETCH = 1 << 4;
const TYPE_OF: Readonly<Record<CpuEventType, number>> = {
  [CpuEventType.ExternalInterrupt]: EventType.INTR,
  [CpuEventType.Nmi]: EventType.NMI,
  [CpuEventType.HardwareException]: EventType.EXCEPTION,
  [CpuEventType.SoftwareInterrupt]: EventType.SOFTWARE_INTERRUPT,
  [CpuEventType.PrivilegedSoftwareException]: EventType.EXCEPTION,
  [CpuEventType.SoftwareException]: EventType.EXCEPTION,
  [CpuEventType.OtherEvent]: EventType.EXCEPTION,
};

/** The format of EXITINTINFO[31:0] (and EVENTINJ). */
export const informationOf = (event: CpuEvent): number =>
  (event.vector | (TYPE_OF[event.type] << EVENT_TYPE_SHIFT) | (event.errorCode !== undefined ? EventInfo.ERROR_CODE : 0) | EventInfo.VALID) >>> 0;

/** True: the exception is intercepted, and the #VMEXIT was made. NMIs have an intercept of their own, at the boundary. */
export function interceptException(svm: Svm, event: CpuEvent, delivering: CpuEvent | undefined): boolean {
  if (event.type === CpuEventType.Nmi || ((svm.exceptionIntercepts >>> event.vector) & 1) === 0) return false;
  const { cpu } = svm;
  const hardware = event.type === CpuEventType.HardwareException;
  // A double fault stands for the events that led to it.
  const interrupted = hardware && event.vector === Vector.DF ? undefined : delivering;
  let info2Low = 0;
  let info2High = 0;
  if (hardware && event.vector === Vector.PF) {
    // EXITINFO2 is the faulting address; CR2 stays.
    info2Low = Number(event.payload & 0xffff_ffffn);
    info2High = Number(event.payload >> 32n);
    if (interrupted === undefined && ((event.errorCode ?? 0) & PF_FETCH) === 0) fetchInstructionBytes(svm);
  }
  // DR6 and DR7 are saved as the handler of the #DB would have seen them.
  if (hardware && event.vector === Vector.DB) recordDebugException(cpu, Number(event.payload));
  // #BR comes from BOUND alone, and returns to it.
  const length = hardware && event.vector === Vector.BR ? cpu.insn.length : event.length;
  svm.exitOnException(ExitCodeBase.EXCP + event.vector, event.errorCode ?? 0, info2Low, info2High, length, interrupted);
  return true;
}
