/** VM exits as debuggers show them, out of what the timeline and the control structure know. */
import type { Exit } from '../hypervisor/exit';
import { bareKinds, bareReasons, isOfKind } from './exit-kinds';
import { canonicalName, EXIT_KINDS, exitName, exitNames, type Extension } from './exit-names';
import { describeVmFail } from './failed-entry';
import { DebugError, type ExitView } from './target';
import type { InnerExit, Timeline } from './timeline';

/** Which extension the exits of this machine are of: of the hypervisor's processor, or of the bare machine's own. */
export function extensionOf({ guest: { machine } }: Timeline): Extension {
  return machine.svm !== undefined ? 'svm' : 'vmx';
}

/** The exit that the target stands at, or the last one that was handled. */
export function lastExitOf(timeline: Timeline): ExitView | undefined {
  if (timeline.atExit !== undefined) return arrivingExit(timeline, timeline.atExit);
  if (timeline.guest.vm === undefined) return timeline.lastInner && innerExit(timeline, timeline.lastInner);
  const { lastRecord, exits } = timeline;
  if (lastRecord === undefined) return undefined;
  const { instructions, ticks, rip, raw, exit, outcome, detail } = lastRecord;
  return { ...raw, number: exits, instructions, ticks, rip, handler: exit.kind, outcome: outcome.kind, detail };
}

/** Before the handler. */
export function arrivingExit({ guest, exits }: Timeline, exit: Exit): ExitView {
  const { processor } = guest.vm!;
  return {
    ...processor.raw(),
    number: exits,
    instructions: guest.instructions,
    ticks: guest.time,
    rip: processor.rip(),
    handler: exit.kind,
    outcome: undefined,
    detail: undefined,
  };
}

/** To a hypervisor inside a bare machine, or an entry of its that failed. */
export function innerExit(timeline: Timeline, { failed, ...exit }: InnerExit): ExitView {
  const vmFail = failed?.vmFail;
  const reason = vmFail === undefined ? exitName(extensionOf(timeline), exit.code) : VM_FAIL_REASON[vmFail.kind];
  return { ...exit, reason, handler: undefined, outcome: undefined, detail: undefined, ...(failed && { failed }) };
}
const VM_FAIL_REASON = { 'fail-invalid': 'VM_FAIL_INVALID', 'fail-valid': 'VM_FAIL_VALID' } as const;

/** What a breakpoint on exits compares: the vendor's name, or the dispatcher's kind. */
export function exitMatches(wanted: string | undefined, exit: ExitView): boolean {
  if (wanted === undefined) return exit.failed?.vmFail === undefined;
  if (canonicalName(wanted) === exit.reason) return true;
  return exit.handler !== undefined ? canonicalName(wanted) === canonicalName(exit.handler) : isOfKind(wanted, exit.reason, exit.qualification);
}

/** Throws DebugError for what no exit of this machine is called. */
export function requireReason(name: string, timeline: Timeline): void {
  const extension = extensionOf(timeline);
  const known = timeline.guest.vm !== undefined ? [...exitNames(extension), ...EXIT_KINDS] : [...bareReasons(extension), ...bareKinds(extension)];
  if (known.some((k) => canonicalName(k) === canonicalName(name))) return;
  if (EXIT_KINDS.some((k) => canonicalName(k) === canonicalName(name))) throw new DebugError(`a hypervisor inside this machine has no exits for "${name}"`);
  const alike = known.filter((k) => canonicalName(k).includes(canonicalName(name)) || canonicalName(name).includes(canonicalName(k)));
  throw new DebugError(`no VM exit is called "${name}"${alike.length > 0 ? `; there are ${alike.slice(0, 8).join(', ')}` : ': see info exits names'}`);
}

/** One line of an exit. */
export function describeExit({ number, reason, rip, qualification, instructions, failed }: ExitView): string {
  if (failed?.vmFail !== undefined)
    return `failed VM entry by the instruction at RIP 0x${rip.toString(16)}, ${describeVmFail(failed.vmFail)}, after ${instructions} instructions`;
  return `exit ${number}: ${reason} at RIP 0x${rip.toString(16)}, qualification 0x${qualification.toString(16)}, after ${instructions} instructions`;
}
