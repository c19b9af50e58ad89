/** The dispatcher's kinds of exits, and what the vendors' manuals call them: for hypervisors inside a bare machine, of which we see no handlers. */
import type { ExitKind } from '../hypervisor/exit';
import { canonicalName, exitNames, type Extension } from './exit-names';
import { VM_FAIL_REASONS } from './failed-entry';

interface Kind {
  readonly label: string;
  /** Capitals and * match beginnings. */
  readonly reasons: readonly string[];
}

/** A forgotten kind does not compile. */
export const KINDS = {
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
  'entry-failure': { label: 'VM-entry failure', reasons: ['ENTRY_FAILURE*', 'INVALID', 'VM_FAIL*'] },
  unexpected: { label: 'exit that nobody expects', reasons: [] },
} as const satisfies Record<ExitKind, Kind>;

const BY_NAME: ReadonlyMap<string, Kind> = new Map(Object.entries(KINDS).map(([kind, row]) => [canonicalName(kind), row]));
const fits = (pattern: string, name: string): boolean => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern);

/** Whether an exit to a hypervisor inside a bare machine is of a kind. SVM has one code for both directions of an MSR access: EXITINFO1 tells. */
export function isOfKind(kind: string, reason: string, qualification: bigint): boolean {
  const name = canonicalName(kind);
  if (BY_NAME.get(name)?.reasons.some((pattern) => fits(pattern, reason)) !== true) return false;
  return reason !== 'MSR' || (qualification === 0n) === (name === 'RDMSR');
}

/** What a bare machine's hypervisor can be told of: exits, and under VT-x entries that end in VMfail. */
export const bareReasons = (extension: Extension): string[] => [...exitNames(extension), ...(extension === 'vmx' ? VM_FAIL_REASONS : [])];

/** Kinds that a bare machine with this extension has reasons for. */
export function bareKinds(extension: Extension): string[] {
  const reasons = bareReasons(extension);
  return Object.entries(KINDS).flatMap(([kind, row]) => (row.reasons.some((pattern) => reasons.some((name) => fits(pattern, name))) ? [kind] : []));
}
