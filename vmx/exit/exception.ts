/** Exceptions as causes of VM exits. SDM "Other Causes of VM Exits" and "Information for VM Exits Due to Vectored Events". */
import { Vector } from '../../cpu/cpu';
import { EventType, type CpuEvent } from '../../cpu/interfaces';
import { Interruption, PinBased } from '../controls';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { ExitReason } from './reason';
import { SavedRf } from './save';

/** The exception bitmap decides, for page faults together with the error-code mask and match; NMIs have their control. */
export function exceptionExits(vmx: Vmx, event: CpuEvent): boolean {
  const { vmcs } = vmx;
  switch (event.type) {
    case EventType.Nmi:
      return (vmx.pinBased & PinBased.NMI_EXITING) !== 0;
    case EventType.HardwareException:
    case EventType.SoftwareException:
    case EventType.PrivilegedSoftwareException: {
      const bit = ((vmcs.low(OFFSET.EXCEPTION_BITMAP) >>> event.vector) & 1) !== 0;
      if (event.vector !== Vector.PF) return bit;
      const matches = ((event.errorCode ?? 0) & vmcs.low(OFFSET.PAGE_FAULT_ERROR_CODE_MASK)) >>> 0 === vmcs.low(OFFSET.PAGE_FAULT_ERROR_CODE_MATCH);
      return bit === matches;
    }
    default:
      return false;
  }
}

/** The interruption-information (and IDT-vectoring-information) format of an event. */
export function interruptionOf(event: CpuEvent): number {
  return (event.vector | (event.type << 8) | (event.errorCode !== undefined ? Interruption.ERROR_CODE : 0) | Interruption.VALID) >>> 0;
}

/** DR6 bits that a debug exception reports: B3-B0, BD, BS. */
const DEBUG_BITS = 0x600fn;

/** Page fault: the linear address. Debug exception: its conditions. */
export function qualificationOfException(event: CpuEvent): bigint {
  if (event.type !== EventType.HardwareException) return 0n;
  return event.vector === Vector.PF ? event.payload : event.vector === Vector.DB ? event.payload & DEBUG_BITS : 0n;
}

/** The saved RF is what delivery would have pushed: 1 for faults; traps, aborts and software exceptions leave it. */
export function savedRfOf(event: CpuEvent): SavedRf {
  const fault = event.type === EventType.HardwareException && event.vector !== Vector.DB && event.vector !== Vector.DF && event.vector !== Vector.MC;
  return fault ? SavedRf.Set : SavedRf.AsIs;
}

/** The VM exit of an exception or NMI that exits. @param delivering the event whose delivery raised it. */
export function exitOnException(vmx: Vmx, event: CpuEvent, delivering: CpuEvent | undefined): void {
  // A double fault stands for the events that led to it: no IDT-vectoring information.
  const doubleFault = event.type === EventType.HardwareException && event.vector === Vector.DF;
  const original = doubleFault ? undefined : delivering;
  let information = interruptionOf(event);
  if (vmx.nmiUnblockedByIret && original === undefined && !doubleFault) information = (information | Interruption.NMI_UNBLOCKING) >>> 0;
  if (event.length !== 0) vmx.vmcs.setLow(OFFSET.EXIT_INSTRUCTION_LENGTH, event.length);
  const qualification = qualificationOfException(event);
  if (doubleFault) vmx.injecting = undefined;
  const low = Number(qualification & 0xffff_ffffn);
  const high = Number(qualification >> 32n);
  vmx.exit(ExitReason.ExceptionOrNmi, low, high, information, event.errorCode ?? 0, savedRfOf(event), original);
  if (event.type === EventType.Nmi) vmx.cpu.nmiBlocked = true;
}
