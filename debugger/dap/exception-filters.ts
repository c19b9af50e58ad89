/** Exception filters: one for each kind of VM exit, under the names that both vendors share. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { ExitKind } from '../../hypervisor/exit';
import { exitNames } from '../exit-names';
import { extensionOf } from '../exit-view';
import type { Session } from '../session';
import { DebugError, type Stop } from '../target';

interface Filter {
  readonly label: string;
  /** How the vendors' manuals call these exits: for hypervisors inside a bare machine, of which we see no handlers. Capitals match beginnings. */
  readonly reasons: readonly string[];
}

/** A forgotten kind does not compile. */
const KINDS = {
  cpuid: { label: 'CPUID', reasons: ['CPUID'] },
  hlt: { label: 'HLT', reasons: ['HLT'] },
  io: { label: 'I/O instruction', reasons: ['IO_INSTRUCTION', 'IOIO'] },
  rdmsr: { label: 'RDMSR', reasons: ['RDMSR', 'MSR'] },
  wrmsr: { label: 'WRMSR', reasons: ['WRMSR', 'MSR'] },
  'cr-access': { label: 'control register access', reasons: ['CONTROL_REGISTER_ACCESS', 'CR*'] },
  'nested-page-fault': { label: 'EPT violation, nested page fault', reasons: ['EPT_VIOLATION', 'NPF'] },
  'nested-misconfiguration': { label: 'EPT misconfiguration', reasons: ['EPT_MISCONFIGURATION'] },
  xsetbv: { label: 'XSETBV', reasons: ['XSETBV'] },
  exception: { label: 'exception', reasons: ['EXCEPTION_OR_NMI', 'EXCP*', 'EXCEPTION*'] },
  nmi: { label: 'NMI', reasons: ['EXCEPTION_OR_NMI', 'NMI'] },
  'external-interrupt': { label: 'external interrupt', reasons: ['EXTERNAL_INTERRUPT', 'INTR'] },
  'interrupt-window': { label: 'interrupt window', reasons: ['INTERRUPT_WINDOW', 'VINTR'] },
  'nmi-window': { label: 'NMI window', reasons: ['NMI_WINDOW', 'IRET'] },
  timer: { label: 'VMX-preemption timer', reasons: ['PREEMPTION_TIMER_EXPIRED'] },
  'triple-fault': { label: 'triple fault, shutdown', reasons: ['TRIPLE_FAULT', 'SHUTDOWN'] },
  hypercall: { label: 'VMCALL, VMMCALL', reasons: ['VMCALL', 'VMMCALL'] },
  'cache-control': { label: 'INVD, WBINVD', reasons: ['INVD', 'WBINVD'] },
  'task-switch': { label: 'task switch', reasons: ['TASK_SWITCH'] },
  'unavailable-instruction': {
    label: 'instruction that the VM does not have',
    reasons: ['VMXON', 'VMXOFF', 'VMCLEAR', 'VMPTRLD', 'VMLAUNCH', 'VMRESUME', 'VMRUN'],
  },
  'monitored-instruction': {
    label: 'instruction that a hypervisor watches',
    reasons: ['INVLPG', 'RDTSC', 'RDTSCP', 'RDPMC', 'MWAIT', 'MONITOR', 'PAUSE', 'RDRAND', 'RDSEED'],
  },
  'entry-failure': { label: 'VM-entry failure', reasons: ['ENTRY_FAILURE*', 'INVALID'] },
  unexpected: { label: 'exit that nobody expects', reasons: [] },
} as const satisfies Record<ExitKind, Filter>;

const FILTERS: Readonly<Record<string, Filter>> = { any: { label: 'any', reasons: [] }, ...KINDS };

export const EXCEPTION_FILTERS: readonly DebugProtocol.ExceptionBreakpointsFilter[] = Object.entries(FILTERS).map(([filter, { label }]) => ({
  filter,
  label: `VM exit: ${label}`,
  description: 'Stop before the handler of these VM exits.',
  default: filter === 'triple-fault' || filter === 'entry-failure',
  supportsCondition: true,
  conditionDescription: 'an expression, like port == 0x3f8 && !input, or rip > 0x100000',
}));

const fits = (pattern: string, name: string): boolean => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern);

/** The reasons to break at; [undefined] for all. Throws DebugError for a filter that does not exist, or cannot happen on this machine. */
export function reasonsOf(filter: string, session: Session): readonly (string | undefined)[] {
  if (!Object.hasOwn(FILTERS, filter)) throw new DebugError(`there is no exception filter "${filter}": ${Object.keys(FILTERS).join(', ')}`);
  const { vm, machine } = session.timeline.guest;
  // The end of the guest tells of a triple fault without any VM exit.
  if (filter === 'triple-fault' && vm === undefined && machine.vmx === undefined && machine.svm === undefined) return [];
  if (machine.vmx === undefined && machine.svm === undefined) throw new DebugError('this machine has neither VT-x nor AMD-V: it makes no VM exits');
  if (filter === 'any') return [undefined];
  if (vm !== undefined) return [filter];
  const reasons = exitNames(extensionOf(session.timeline)).filter((name) => FILTERS[filter].reasons.some((pattern) => fits(pattern, name)));
  if (reasons.length === 0) throw new DebugError(`a hypervisor inside this machine has no exits for "${FILTERS[filter].label}"`);
  return reasons;
}

/** The filter that wants to hear of this end of the guest. */
export function filterOfEnd({ because, explanation }: Extract<Stop, { kind: 'ended' }>): string | undefined {
  if (because === 'triple-fault') return 'triple-fault';
  return because === 'internal' && /VM.entry/i.test(explanation) ? 'entry-failure' : undefined;
}
