/** What happened at a VM exit, or why a VM entry would fail, in sentences with their sources. */
import { cite } from '../../spec/sdm';
import { EventInfo } from '../../svm/controls';
import { VMCB } from '../../svm/vmcb/layout';
import { VM_ENTRY_FAILURE } from '../../vmx/exit/reason';
import { accessBits, OFFSET } from '../../vmx/vmcs/layout';
import { VMCS, type FieldName } from '../../vmx/vmcs/fields';
import { fieldOf, type ExitImage } from '../exit-image';
import { extensionOf } from '../exit-view';
import { brokenRules, describeVmFail, type FailedEntry } from '../failed-entry';
import type { Session } from '../session';
import { DebugError, type ExitView } from '../target';
import { describeExitInfo, svmCause, type SvmExitState } from './svm-causes';
import { describeQualification } from './vmx-qualification';
import { vmxCause, type VmxExitState } from './vmx-causes';
import { vmxFacts } from './vmx-facts';

export interface ExitExplanation {
  readonly exit: ExitView;
  /** The control or rule because of which the processor left the guest. */
  readonly cause: string;
  /** Exit qualification, or EXITINFO1 and EXITINFO2, in words. */
  readonly qualification: string | undefined;
  /** Further fields that the exit set. */
  readonly facts: readonly (readonly [name: string, value: bigint])[];
  /** A VM entry that failed: every rule that was broken then. */
  readonly broken: readonly string[];
}

const NOT_ZERO = ([, value]: readonly [string, bigint]): boolean => value !== 0n;

/** As it was when it happened, whatever has become of the VMCS or VMCB since. Throws DebugError before the first exit. */
export function explainExit({ lastExit: exit, timeline }: Session): ExitExplanation {
  if (exit === undefined) throw new DebugError('no VM exit has happened yet: exit runs to the next one');
  const { failed } = exit;
  if (failed?.vmFail !== undefined) return { exit, cause: vmFailCause(failed), qualification: undefined, facts: [], broken: failed.broken };
  const { image } = timeline;
  if (image === undefined) throw new DebugError('the VMCS or VMCB of the last exit is not in RAM: there is nothing to explain it with');
  const broken = failed?.broken ?? [];
  return { exit, ...(extensionOf(timeline) === 'vmx' ? explainVmx(image, exit) : explainSvm(image, exit)), broken };
}

type Said = Pick<ExitExplanation, 'cause' | 'qualification' | 'facts'>;

const vmFailCause = ({ vmFail, broken }: FailedEntry): string =>
  `the instruction ended in ${describeVmFail(vmFail!)}${broken.length > 0 ? '' : `: ${cite('basicChecks')}`}`;

function explainVmx(image: ExitImage, exit: ExitView): Said {
  const read = (field: FieldName): bigint => fieldOf(image, OFFSET[field], accessBits(VMCS[field]));
  const state: VmxExitState = {
    reason: (exit.code & ~VM_ENTRY_FAILURE) >>> 0,
    low: (field) => Number(read(field) & 0xffff_ffffn),
    read,
    rcx: exit.detail ?? image.rcx,
  };
  const entryFailed = (exit.code & VM_ENTRY_FAILURE) !== 0;
  const vector = state.low('EXIT_INTERRUPTION_INFORMATION') & 0xff;
  return {
    cause: vmxCause(state),
    qualification: describeQualification(state.reason, exit.qualification, vector),
    facts: entryFailed ? [] : vmxFacts(state),
  };
}

function explainSvm(image: ExitImage, exit: ExitView): Said {
  const read = (at: number): bigint => fieldOf(image, at, 64);
  const state: SvmExitState = { code: exit.code, info1: read(VMCB.EXITINFO1), info2: read(VMCB.EXITINFO2), rcx: exit.detail ?? image.rcx };
  const interrupted = (Number(read(VMCB.EXITINTINFO) & 0xffff_ffffn) & EventInfo.VALID) !== 0;
  const fields = ['EXITINFO1', 'EXITINFO2', ...(interrupted ? (['EXITINTINFO'] as const) : []), 'NRIP'] as const;
  return {
    cause: svmCause(state),
    qualification: describeExitInfo(state),
    facts: exit.failed === undefined ? fields.map((name) => [name, read(VMCB[name])] as const).filter(NOT_ZERO) : [],
  };
}

/** Every rule that the current VMCS or VMCB breaks, with values and citation; empty when VM entry would succeed. */
export function explainEntry({ timeline: { guest }, control }: Session): string[] {
  // Throws DebugError when there is none.
  void control.address;
  return brokenRules(guest);
}
