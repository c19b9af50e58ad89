/**
 * Mutants that behave as the original does for every input that can occur, each with the reason. They are run all the same: if a test
 * tells one from the original, it does not belong here.
 */
import { describeEdit, type Mutant } from './mutant';

export interface Equivalence {
  readonly file: string;
  /** Start of the row's name. */
  readonly row: string;
  /** The edit in words. */
  readonly edit: string;
  /** Part of the source line, where the row has several such edits. */
  readonly line?: string;
  /** What stands right before the edit, where the line has several. */
  readonly after?: string;
  readonly because: string;
}

export const EQUIVALENT: readonly Equivalence[] = [
  { file: 'vmx/entry/check.ts', row: 'patWord', edit: '< -> <=', because: 'a shift by 32 is a shift by 0: byte 0 is looked at twice' },
  { file: 'vmx/entry/check.ts', row: 'patWord', edit: '32 -> 33', because: 'a shift by 32 is a shift by 0: byte 0 is looked at twice' },
  { file: 'vmx/entry/check.ts', row: 'patWord', edit: '0xff -> 0xfe', because: 'the types 2n and 2n+1 are both valid or both not' },
  { file: 'vmx/entry/controls.ts', row: 'msrArea', edit: '1n -> 2n', because: 'the area ends 16 bytes aligned, as does the physical address space' },
  { file: 'vmx/entry/controls.ts', row: 'msrArea', edit: '< -> <=', because: 'the area ends 16 bytes aligned, as does the physical address space' },
  {
    file: 'vmx/entry/controls.ts',
    row: 'control.inject.error-code-valid',
    edit: '< -> <=',
    because: 'vector 32 is looked up as vector 0, which has no error code either',
  },
  {
    file: 'vmx/entry/controls.ts',
    row: 'control.inject.error-code-valid',
    edit: '32 -> 33',
    because: 'vector 32 is looked up as vector 0, which has no error code either',
  },
  { file: 'vmx/entry/guest-state.ts', row: 'guest.activity.supported', edit: '3 -> 4', because: 'IA32_VMX_MISC has no bit for a state 4' },
  {
    file: 'vmx/entry/guest-state.ts',
    row: 'guest.link-pointer.revision',
    edit: '0 -> 1',
    line: 'SHADOW_INDICATOR : 0',
    because: 'bit 0 of the revision identifier is 1',
  },
  {
    file: 'vmx/entry/guest-state.ts',
    row: 'guest.link-pointer.not-current',
    edit: 'without when: linked,',
    because: 'all ones is never the current-VMCS pointer',
  },
  { file: 'vmx/entry/groups.ts', row: 'SKIPPABLE', edit: '0 -> 1', because: 'the first group reads no memory: its bit is set anyway' },
  { file: 'vmx/intercepts.ts', row: 'isCr3Target', edit: '8 -> 9', because: 'an offset up to 3 bytes behind a field means that field' },
  { file: 'vmx/intercepts.ts', row: 'io', edit: '64 -> 65', line: 'GUEST_LINEAR_ADDRESS', after: '? ', because: 'the field has 64 bits' },
  { file: 'vmx/intercepts.ts', row: 'ioExits', edit: '0x7fff -> 0x7ffe', because: 'bits 2:0 of the port choose the bit, not the byte' },
  { file: 'vmx/intercepts.ts', row: 'movFromCr', edit: '0 -> 1', because: 'bit 0 of the primary controls is reserved and 0' },
  {
    file: 'vmx/exit/qualification.ts',
    row: 'descriptorTableInformation',
    edit: '0 -> 1',
    after: '?? ',
    because: 'the default of a look-up that always succeeds',
  },
  {
    file: 'vmx/exit/qualification.ts',
    row: 'systemSegmentInformation',
    edit: '0 -> 1',
    after: '?? ',
    because: 'the default of a look-up that always succeeds',
  },
  { file: 'vmx/vmcs/support.ts', row: 'NEEDS secondary', edit: 'without secondary: NEVER', because: 'a need that nothing meets, written in another way' },
  { file: 'vmx/vmcs/support.ts', row: 'fieldExists', edit: '0 -> 1', because: 'the default of a look-up that always succeeds' },
  {
    file: 'vmx/capabilities.ts',
    row: 'vmxCapabilities',
    edit: '0 -> 1',
    line: 'highestIndex',
    because: 'the least of several numbers of which one is greater: many fields have an index above 1',
  },
];

export const whyEquivalent = (mutant: Mutant): string | undefined =>
  EQUIVALENT.find(
    (e) =>
      e.file === mutant.file &&
      mutant.row.startsWith(e.row) &&
      describeEdit(mutant) === e.edit &&
      (e.line === undefined || mutant.sourceLine.includes(e.line)) &&
      (e.after === undefined || mutant.before.endsWith(e.after)),
  )?.because;
