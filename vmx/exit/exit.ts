/** SDM "VM Exits": from the cause to host software, in the order of the chapter. */
import { Activity, Efer } from '../../cpu/cpu';
import { ExitControl, Interruption } from '../controls';
import { transition } from '../operation';
import { OFFSET, Region } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { loadMsrArea, storeMsrArea } from '../msr-area';
import { HostStateOutcome, loadHostState } from './load-host';
import { VM_ENTRY_FAILURE, type ExitReason } from './reason';
import { type SavedRf, saveGuestState } from './save';

/** Numbers of the VMX-abort indicator. SDM "VMX Aborts". */
export enum VmxAbort {
  SavingGuestMsrs = 1,
  HostPdptes = 2,
  VmcsCorrupted = 3,
  LoadingHostMsrs = 4,
  MachineCheck = 5,
  Ia32eGuestTo32BitHost = 6,
}

/**
 * Leaves VMX non-root operation. The caller has recorded the exit-information fields that belong to its reason (instruction length
 * and information, addresses); R.RIP is the RIP to save.
 * @param interruption the VM-exit interruption-information field, 0 when not valid.
 */
export function exitToRoot(
  vmx: Vmx,
  reason: ExitReason,
  qualificationLow: number,
  qualificationHigh: number,
  interruption: number,
  errorCode: number,
  rf: SavedRf,
): void {
  const { cpu, vmcs } = vmx;
  vmcs.aboutToWrite();

  // "Recording VM-Exit Information and Updating VM-entry Control Fields".
  vmcs.setLow(OFFSET.EXIT_REASON, reason);
  vmcs.set(OFFSET.EXIT_QUALIFICATION, qualificationLow, qualificationHigh);
  vmcs.setLow(OFFSET.EXIT_INTERRUPTION_INFORMATION, interruption);
  if ((interruption & Interruption.ERROR_CODE) !== 0) vmcs.setLow(OFFSET.EXIT_INTERRUPTION_ERROR_CODE, errorCode);
  vmcs.setLow(OFFSET.IDT_VECTORING_INFORMATION, vmx.vectoring);
  if ((vmx.vectoring & Interruption.ERROR_CODE) !== 0) vmcs.setLow(OFFSET.IDT_VECTORING_ERROR_CODE, vmx.vectoringErrorCode);
  vmcs.setLow(OFFSET.ENTRY_INTERRUPTION_INFORMATION, vmcs.low(OFFSET.ENTRY_INTERRUPTION_INFORMATION) & ~Interruption.VALID);

  saveGuestState(vmx, rf);
  const stores = vmcs.low(OFFSET.EXIT_MSR_STORE_COUNT);
  if (stores !== 0 && storeMsrArea(vmx, vmcs.number(OFFSET.EXIT_MSR_STORE_ADDRESS), stores) !== 0) return vmxAbort(vmx, VmxAbort.SavingGuestMsrs);

  const ia32eGuest = (cpu.efer & Efer.LMA) !== 0;
  vmx.leaveNonRoot();
  vmx.state = to(vmx, 'VM exit');
  if (ia32eGuest && (vmx.exitControls & ExitControl.HOST_ADDRESS_SPACE_SIZE) === 0) return vmxAbort(vmx, VmxAbort.Ia32eGuestTo32BitHost);
  resumeHost(vmx);
  vmx.exits++;
  vmx.observer.exit?.(vmx, reason);
}

/** A VM entry that failed after its checks on controls and host state. SDM "VM-Entry Failures During or After Loading Guest State". */
export function failEntry(vmx: Vmx, reason: ExitReason, qualification: number): void {
  const { vmcs } = vmx;
  vmcs.aboutToWrite();
  // Nothing else of the VMCS changes: not the guest state, not the other information fields, not the valid bit of an injection.
  vmcs.setLow(OFFSET.EXIT_REASON, (reason | VM_ENTRY_FAILURE) >>> 0);
  vmcs.set(OFFSET.EXIT_QUALIFICATION, qualification, 0);
  vmx.leaveNonRoot();
  vmx.state = to(vmx, 'VM-entry failure');
  resumeHost(vmx);
  vmx.observer.exit?.(vmx, (reason | VM_ENTRY_FAILURE) >>> 0);
}

/** "Loading Host State", "Loading MSRs". */
function resumeHost(vmx: Vmx): void {
  const { vmcs } = vmx;
  if (loadHostState(vmx) === HostStateOutcome.InvalidPdptes) return vmxAbort(vmx, VmxAbort.HostPdptes);
  const loads = vmcs.low(OFFSET.EXIT_MSR_LOAD_COUNT);
  if (loads !== 0 && loadMsrArea(vmx, vmcs.number(OFFSET.EXIT_MSR_LOAD_ADDRESS), loads) !== 0) return vmxAbort(vmx, VmxAbort.LoadingHostMsrs);
  vmx.cpu.attention = true;
}

/** The processor stores the abort indicator and enters the shutdown state. */
export function vmxAbort(vmx: Vmx, abort: VmxAbort): void {
  vmx.leaveNonRoot();
  vmx.vmcs.setLow(Region.ABORT_INDICATOR, abort);
  vmx.state = to(vmx, 'VMX abort');
  vmx.cpu.activity = Activity.Shutdown;
  vmx.cpu.attention = true;
  vmx.observer.abort?.(vmx, abort);
}

function to(vmx: Vmx, event: 'VM exit' | 'VM-entry failure' | 'VMX abort'): Vmx['state'] {
  const next = transition(vmx.state, event);
  if (next.kind !== 'to') throw new Error(`${event} in state "${vmx.state}"`);
  return next.state;
}
