/** Exception filters: one for each kind of VM exit, under the names that both vendors share. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { bareKinds, KINDS } from '../exit-kinds';
import { extensionOf } from '../exit-view';
import type { Session } from '../session';
import { DebugError, type Stop } from '../target';

const FILTERS: Readonly<Record<string, { readonly label: string }>> = { any: { label: 'any' }, ...KINDS };

export const EXCEPTION_FILTERS: readonly DebugProtocol.ExceptionBreakpointsFilter[] = Object.entries(FILTERS).map(([filter, { label }]) => ({
  filter,
  label: `VM exit: ${label}`,
  description: 'Stop before the handler of these VM exits.',
  default: filter === 'triple-fault' || filter === 'entry-failure',
  supportsCondition: true,
  conditionDescription: 'an expression, like port == 0x3f8 && !input, or rip > 0x100000',
}));

/** The reasons to break at; [undefined] for all. Throws DebugError for a filter that does not exist, or cannot happen on this machine. */
export function reasonsOf(filter: string, session: Session): readonly (string | undefined)[] {
  if (!Object.hasOwn(FILTERS, filter)) throw new DebugError(`there is no exception filter "${filter}": ${Object.keys(FILTERS).join(', ')}`);
  const { vm, machine } = session.timeline.guest;
  // The end of the guest tells of a triple fault without any VM exit.
  if (filter === 'triple-fault' && vm === undefined && machine.vmx === undefined && machine.svm === undefined) return [];
  if (machine.vmx === undefined && machine.svm === undefined) throw new DebugError('this machine has neither VT-x nor AMD-V: it makes no VM exits');
  if (filter === 'any') return [undefined];
  if (vm === undefined && !bareKinds(extensionOf(session.timeline)).includes(filter))
    throw new DebugError(`a hypervisor inside this machine has no exits for "${FILTERS[filter].label}"`);
  return [filter];
}

/** The filter that wants to hear of this end of the guest. */
export function filterOfEnd({ because, explanation }: Extract<Stop, { kind: 'ended' }>): string | undefined {
  if (because === 'triple-fault') return 'triple-fault';
  return because === 'internal' && /VM.entry/i.test(explanation) ? 'entry-failure' : undefined;
}
