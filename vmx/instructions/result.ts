/** How VMX instructions report. SDM "Conventions" of the VMX instruction reference: VMsucceed, VMfailInvalid, VMfailValid. */

/** Numbers of the VM-instruction error field. SDM "VM Instruction Error Numbers". */
// prettier-ignore
export enum VmInstructionError {
  VmcallInRootOperation = 1,
  VmclearInvalidAddress = 2,
  VmclearVmxonPointer = 3,
  VmlaunchNonClearVmcs = 4,
  VmresumeNonLaunchedVmcs = 5,
  VmresumeAfterVmxoff = 6,
  EntryInvalidControlFields = 7,
  EntryInvalidHostState = 8,
  VmptrldInvalidAddress = 9,
  VmptrldVmxonPointer = 10,
  VmptrldWrongRevision = 11,
  UnsupportedComponent = 12,
  VmwriteReadOnlyComponent = 13,
  VmxonInRootOperation = 15,
  EntryInvalidExecutiveVmcsPointer = 16,
  EntryExecutiveVmcsNotLaunched = 17,
  EntryExecutiveVmcsNotVmxon = 18,
  VmcallNonClearVmcs = 19,
  VmcallInvalidExitControls = 20,
  VmcallWrongMsegRevision = 22,
  VmxoffUnderDualMonitor = 23,
  VmcallInvalidSmmFeatures = 24,
  EntryInvalidExecutiveControls = 25,
  EntryBlockedByMovSs = 26,
  InvalidInvalidationOperand = 28,
}

/** 'succeed': all six arithmetic flags 0. 'fail-invalid': CF = 1 (no current VMCS). 'fail-valid': ZF = 1 and the VM-instruction error field holds `error`. */
export type VmResult = typeof VM_SUCCEED | typeof VM_FAIL_INVALID | VmFailValid;

export interface VmFailValid {
  readonly kind: 'fail-valid';
  readonly error: VmInstructionError;
}

export const VM_SUCCEED = { kind: 'succeed' } as const;
export const VM_FAIL_INVALID = { kind: 'fail-invalid' } as const;

/**
 * What VMLAUNCH and VMRESUME come to. 'entered': the processor is in VMX non-root operation. 'exited': the entry failed after its
 * checks (EXIT_REASON bit 31), or the injected event exited at once; host state is loaded, EXIT_REASON tells.
 */
export type EntryResult = typeof ENTERED | typeof EXITED | typeof VM_FAIL_INVALID | VmFailValid;
export const ENTERED = { kind: 'entered' } as const;
export const EXITED = { kind: 'exited' } as const;

const FAILURES = new Map<VmInstructionError, VmFailValid>();

/** The one object for this error. */
export function failValid(error: VmInstructionError): VmFailValid {
  let failure = FAILURES.get(error);
  if (failure === undefined) FAILURES.set(error, (failure = Object.freeze({ kind: 'fail-valid', error } as const)));
  return failure;
}
