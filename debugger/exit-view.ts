/** VM exits as debuggers show them, out of what the timeline and the control structure know. */
import type { Exit } from '../hypervisor/exit';
import { VMCB } from '../svm/vmcb/layout';
import { OFFSET } from '../vmx/vmcs/layout';
import type { Extension } from './exit-names';
import { canonicalName, exitName } from './exit-names';
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

/** To a hypervisor inside a bare machine. RIP and qualification are those of the VMCS or VMCB, which keeps them until the next exit. */
export function innerExit(timeline: Timeline, { code, instructions, ticks }: InnerExit): ExitView {
  const { machine } = timeline.guest;
  const { vmx, svm } = machine;
  const [rip, qualification] =
    vmx !== undefined
      ? [vmx.vmcs.value(OFFSET.GUEST_RIP), vmx.vmcs.value(OFFSET.EXIT_QUALIFICATION)]
      : [VMCB.RIP, VMCB.EXITINFO1].map((at) => machine.memory.read64(svm!.vmcbAddress + at));
  const reason = exitName(extensionOf(timeline), code);
  return { number: timeline.exits, instructions, ticks, rip, reason, code, qualification, handler: undefined, outcome: undefined, detail: undefined };
}

/** What a breakpoint on exits compares: the vendor's name, or the dispatcher's kind. */
export const exitMatches = (wanted: string, exit: ExitView): boolean =>
  canonicalName(wanted) === exit.reason || (exit.handler !== undefined && canonicalName(wanted) === canonicalName(exit.handler));

/** One line of an exit. */
export function describeExit({ number, reason, rip, qualification, instructions }: ExitView): string {
  return `exit ${number}: ${reason} at RIP 0x${rip.toString(16)}, qualification 0x${qualification.toString(16)}, after ${instructions} instructions`;
}

export function requireReason(name: string, known: readonly string[]): void {
  if (known.some((k) => canonicalName(k) === canonicalName(name))) return;
  const alike = known.filter((k) => canonicalName(k).includes(canonicalName(name)) || canonicalName(name).includes(canonicalName(k)));
  throw new DebugError(`no VM exit is called "${name}"${alike.length > 0 ? `; there are ${alike.slice(0, 8).join(', ')}` : ': see info exits for names'}`);
}
