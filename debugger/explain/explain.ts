/** What happened at a VM exit, or why a VM entry would fail, in sentences with their sources. */
import { explain as explainVmxRule, violations as vmxViolations } from '../../vmx/entry/explain';
import { explain as explainSvmRule, violations as svmViolations } from '../../svm/entry/explain';
import { VMCB } from '../../svm/vmcb/layout';
import { OFFSET } from '../../vmx/vmcs/layout';
import { VM_ENTRY_FAILURE } from '../../vmx/exit/reason';
import { extensionOf } from '../exit-view';
import type { Session } from '../session';
import { DebugError, type ExitView } from '../target';
import { describeExitInfo, svmCause, type SvmExitState } from './svm-causes';
import { describeQualification } from './vmx-qualification';
import { vmxCause, type VmxExitState } from './vmx-causes';

export interface ExitExplanation {
  readonly exit: ExitView;
  /** The control or rule because of which the processor left the guest. */
  readonly cause: string;
  /** Exit qualification, or EXITINFO1 and EXITINFO2, in words. */
  readonly qualification: string | undefined;
  /** Further fields that belong to the exit. */
  readonly facts: readonly (readonly [name: string, value: bigint])[];
}

/** Which MSR, where the handler did not note it: the guest's RCX is in the processor until the guest goes on. */
const RCX = 1;
const NOT_ZERO = ([, value]: readonly [string, bigint]): boolean => value !== 0n;

/** Throws DebugError before the first exit. */
export function explainExit(session: Session): ExitExplanation {
  const exit = session.lastExit;
  if (exit === undefined) throw new DebugError('no VM exit has happened yet: exit runs to the next one');
  return extensionOf(session.timeline) === 'vmx' ? explainVmx(session, exit) : explainSvm(session, exit);
}

function explainVmx({ timeline: { guest } }: Session, exit: ExitView): ExitExplanation {
  const { vmx, cpu } = guest.machine;
  const { vmcs } = vmx!;
  const state: VmxExitState = { low: (field) => vmcs.low(OFFSET[field]), read: (field) => vmcs.value(OFFSET[field]), rcx: exit.detail ?? cpu.gpr32(RCX) };
  const vector = state.low('EXIT_INTERRUPTION_INFORMATION') & 0xff;
  const basic = (exit.code & ~VM_ENTRY_FAILURE) >>> 0;
  const fields = [
    'EXIT_INSTRUCTION_LENGTH',
    'GUEST_PHYSICAL_ADDRESS',
    'GUEST_LINEAR_ADDRESS',
    'EXIT_INTERRUPTION_INFORMATION',
    'EXIT_INTERRUPTION_ERROR_CODE',
    'IDT_VECTORING_INFORMATION',
  ] as const;
  return {
    exit,
    cause: vmxCause(basic, state),
    qualification: describeQualification(basic, exit.qualification, vector),
    facts: fields.map((name) => [name, state.read(name)] as const).filter(NOT_ZERO),
  };
}

function explainSvm({ timeline: { guest } }: Session, exit: ExitView): ExitExplanation {
  const { svm, cpu, memory } = guest.machine;
  const read = (at: number): bigint => memory.read64(svm!.vmcbAddress + at);
  const state: SvmExitState = { code: exit.code, info1: read(VMCB.EXITINFO1), info2: read(VMCB.EXITINFO2), rcx: exit.detail ?? cpu.gpr32(RCX) };
  const fields = ['EXITINFO1', 'EXITINFO2', 'EXITINTINFO', 'NRIP'] as const;
  return {
    exit,
    cause: svmCause(state),
    qualification: describeExitInfo(state),
    facts: fields.map((name) => [name, read(VMCB[name])] as const).filter(NOT_ZERO),
  };
}

/** Every rule that the current VMCS or VMCB breaks, with values and citation; empty when VM entry would succeed. */
export function explainEntry({ timeline: { guest }, control }: Session): string[] {
  // Throws DebugError when there is none.
  void control.address;
  const { vmx, svm } = guest.machine;
  return vmx !== undefined ? vmxViolations(vmx).map(explainVmxRule) : svmViolations(svm!.entryState).map(explainSvmRule);
}
