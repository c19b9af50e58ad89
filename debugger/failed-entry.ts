/** VM entries that fail: what a debugger remembers of them, because whoever tried puts the control structure right afterwards. */
import type { Guest } from '../hypervisor/guest';
import { ExitCode } from '../svm/exit/code';
import { explain as explainSvmRule, violations as svmViolations } from '../svm/entry/explain';
import { explain as explainVmxRule, violations as vmxViolations } from '../vmx/entry/explain';
import { VM_ENTRY_FAILURE } from '../vmx/exit/reason';
import { VmInstructionError, type VM_FAIL_INVALID, type VmFailValid } from '../vmx/instructions/result';

/** A VMLAUNCH or VMRESUME that ended in VMfail is no VM exit; the other failures are. */
export interface FailedEntry {
  readonly vmFail: VmFailValid | typeof VM_FAIL_INVALID | undefined;
  /** Every rule that the control structure broke, with values and citation. */
  readonly broken: readonly string[];
}

/** Every rule that the current VMCS or VMCB breaks; empty when VM entry would succeed. */
export function brokenRules({ machine: { vmx, svm } }: Guest): string[] {
  return vmx !== undefined ? vmxViolations(vmx).map(explainVmxRule) : svmViolations(svm!.entryState).map(explainSvmRule);
}

/** Of an exit that has just happened; undefined: it is no failed entry. */
export function failedExit(guest: Guest, code: number): FailedEntry | undefined {
  const failed = guest.machine.vmx !== undefined ? (code & VM_ENTRY_FAILURE) !== 0 : code === ExitCode.INVALID;
  return failed ? { vmFail: undefined, broken: brokenRules(guest) } : undefined;
}

const OF_CHECKS: ReadonlySet<VmInstructionError> = new Set([VmInstructionError.EntryInvalidControlFields, VmInstructionError.EntryInvalidHostState]);

export function refusedEntry(guest: Guest, vmFail: VmFailValid | typeof VM_FAIL_INVALID): FailedEntry {
  return { vmFail, broken: vmFail.kind === 'fail-valid' && OF_CHECKS.has(vmFail.error) ? brokenRules(guest) : [] };
}

/** SDM "VM Instruction Error Numbers": those of VMLAUNCH and VMRESUME. */
const ERRORS: Partial<Readonly<Record<VmInstructionError, string>>> = {
  [VmInstructionError.VmlaunchNonClearVmcs]: 'VMLAUNCH with non-clear VMCS',
  [VmInstructionError.VmresumeNonLaunchedVmcs]: 'VMRESUME with non-launched VMCS',
  [VmInstructionError.VmresumeAfterVmxoff]: 'VMRESUME after VMXOFF',
  [VmInstructionError.EntryInvalidControlFields]: 'VM entry with invalid control field(s)',
  [VmInstructionError.EntryInvalidHostState]: 'VM entry with invalid host-state field(s)',
  [VmInstructionError.EntryBlockedByMovSs]: 'VM entry with events blocked by MOV SS',
};

export const VM_FAIL_REASONS = ['VM_FAIL_INVALID', 'VM_FAIL_VALID'] as const;

export function describeVmFail(vmFail: VmFailValid | typeof VM_FAIL_INVALID): string {
  if (vmFail.kind === 'fail-invalid') return 'VMfailInvalid: there is no current VMCS';
  return `VMfailValid(${vmFail.error}): ${ERRORS[vmFail.error] ?? VmInstructionError[vmFail.error]}`;
}
