/** Names of VM exits as people type and read them: the vendor's, in capitals with underscores, and the dispatcher's kinds. */
import { ROUTES } from '../hypervisor/routes';
import { EXIT_CODES, exitCodeName } from '../svm/exit/code';
import { ExitReason, VM_ENTRY_FAILURE, exitReasonName } from '../vmx/exit/reason';

export type Extension = 'vmx' | 'svm';

const KNOWN: Readonly<Record<Extension, Map<number, string>>> = { vmx: new Map(), svm: new Map() };

/** EPT_VIOLATION, NPF. Failed VM entries have bit 31 of the reason set. */
export function exitName(extension: Extension, code: number): string {
  let name = KNOWN[extension].get(code);
  if (name === undefined) KNOWN[extension].set(code, (name = spellOut(extension, code)));
  return name;
}

function spellOut(extension: Extension, code: number): string {
  if (extension === 'svm') return exitCodeName(code).replace(/^VMEXIT_/, '');
  const basic = (code & ~VM_ENTRY_FAILURE) >>> 0;
  return exitReasonName(basic)
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toUpperCase();
}

const VMX_REASONS = Object.values(ExitReason).filter((reason): reason is ExitReason => typeof reason === 'number');

/** Every name that an exit of this extension can have. */
export const exitNames = (extension: Extension): string[] => (extension === 'vmx' ? VMX_REASONS : EXIT_CODES).map((code) => exitName(extension, code));

/** What all vendors have: "cpuid", "nested-page-fault" ... */
export const EXIT_KINDS: readonly string[] = Object.keys(ROUTES);

/** How a name is compared: case does not matter, and - is _. */
export const canonicalName = (name: string): string => name.toUpperCase().replace(/-/g, '_');
