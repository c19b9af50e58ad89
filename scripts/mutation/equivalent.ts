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

/** A shortcut in front of the tables that says "no rule is broken" less often: the tables then say it. */
const SHORTCUT = 'the shortcut gives up more often; the tables that are asked then have the same answer';
const shortcuts: readonly (readonly [row: string, edit: string, line?: string])[] = [
  ['LAST_MAP_BASE', '3 -> 4'],
  ['LAST_MAP_BASE', '4096 -> 4097'],
  ['L_AND_D', 'SegmentAttribute.L -> SegmentAttribute.D'],
  ['L_AND_D', 'SegmentAttribute.D -> SegmentAttribute.L'],
  ['INJECTED_FREELY', 'EventType.INTR -> EventType.NMI'],
  ['INJECTED_FREELY', 'EventType.SOFTWARE_INTERRUPT -> EventType.INTR'],
  ['isMap', '|| -> &&'],
  ['isMap', '< -> <=', 'LAST_MAP_BASE'],
  ['allHold', 'VMCB.EFER -> VMCB.CR4', 'const efer'],
  ['allHold', '32 -> 33'],
  ['allHold', '1 -> 2', 'const highest'],
  ['allHold', '&& -> ||', 'V_NMI_ENABLE'],
  ['allHold', '> -> >='],
  ['allHold', '&& -> ||', '!nested'],
  ['allHold', '&& -> ||', 'hostPaging'],
  ['allHold', '|| -> &&', 'EVENTINJ'],
];

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
  ...shortcuts.map(([row, edit, line]): Equivalence => ({ file: 'svm/entry/first-broken.ts', row, edit, line, because: SHORTCUT })),
  { file: 'svm/entry/check.ts', row: 'fieldValue', edit: '> -> >=', because: 'what is read beyond the field is cut off' },
  { file: 'svm/entry/check.ts', row: 'fieldValue', edit: '32 -> 33', line: 'bits > 32', because: 'no field has 33 bits' },
  { file: 'svm/entry/check.ts', row: 'fieldValue', edit: '64 -> 65', because: 'two words have 64 bits' },
  { file: 'svm/entry/controls.ts', row: 'VECTORS', edit: '0 -> 1', after: 'vector), ', because: 'bit 0 is #DE, which is in the list' },
  { file: 'svm/entry/reserved.ts', row: 'expectsErrorCode', edit: '< -> <=', because: 'vector 32 is looked up as vector 0, which has no error code either' },
  { file: 'svm/entry/reserved.ts', row: 'expectsErrorCode', edit: '32 -> 33', because: 'vector 32 is looked up as vector 0, which has no error code either' },
  ...['nestedPaging', 'injecting', 'loadsPdpes'].map((applies): Equivalence => ({
    file: 'svm/entry/groups.ts',
    row: 'CHECK_GROUPS',
    edit: `without applies: ${applies}`,
    because: 'each rule of the group has the condition itself; the group is passed over for speed',
  })),
  { file: 'svm/vmcb/fields.ts', row: 'WIDTH_AND_CLEAN_BIT', edit: "without 'always'", because: 'no clean bit, written in another way' },
  ...['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'].map((segment, i): Equivalence => ({
    file: 'svm/vmcb/guest-registers.ts',
    row: i < 4 ? 'SWITCHED_SEGMENTS' : 'VMLOAD_SEGMENTS',
    edit: `VMCB.${segment}_SELECTOR -> VMCB.${segment}_ATTRIB`,
    because: 'words are moved, and both offsets lie in the same one',
  })),
  {
    file: 'svm/vmcb/guest-registers.ts',
    row: 'loadSegment',
    edit: '4 -> 5',
    line: 'S.BASE) + 4',
    because: 'words are written, and both offsets lie in the same one',
  },
  ...[
    ['VECTORS', '32 -> 33', undefined],
    ['NAMES', '< -> <=', 'VECTORS'],
  ].map(([row, edit, line]): Equivalence => ({
    file: 'svm/exit/code.ts',
    row: row!,
    edit: edit!,
    line,
    because: '40h + 32 is the code of INTR, whose name is entered afterwards',
  })),
  { file: 'svm/exit/code.ts', row: 'exitCodeName', edit: '< -> <=', because: 'code 0 has a name' },
  {
    file: 'svm/exit/exception.ts',
    row: 'TYPE_OF [CpuEventType.ExternalInterrupt]',
    edit: 'without [CpuEventType.ExternalInterrupt]: EventType.INTR,',
    because: 'the type of INTR is 0, as is that of a missing row',
  },
  ...['without [CpuEventType.OtherEvent]: EventType.EXCEPTION,', 'EventType.EXCEPTION -> EventType.SOFTWARE_INTERRUPT'].map((edit): Equivalence => ({
    file: 'svm/exit/exception.ts',
    row: 'TYPE_OF [CpuEventType.OtherEvent]',
    edit,
    because: 'no event of this processor has the type: it is for a monitor trap of VT-x',
  })),
  { file: 'svm/exit/exception.ts', row: 'interceptException', edit: '0 -> 1', line: 'PF_FETCH', after: '?? ', because: 'a page fault has an error code' },
  { file: 'svm/exit/info.ts', row: 'ioioInfo', edit: '0 -> 1', after: 'input ? ', because: 'bit 0 is TYPE, which is 1 for input anyway' },
  { file: 'svm/intercepts.ts', row: 'linearOperand', edit: '64 -> 65', line: 'asUintN', because: 'the address is cut into two halves of 32 bits afterwards' },
  { file: 'svm/permission-maps.ts', row: 'portIntercepted', edit: '> -> >=', because: 'a byte of the map more is read, and none of its bits is looked at' },
  { file: 'svm/instructions/execute.ts', row: 'RCX', edit: '1 -> 2', because: 'the ASID: the TLB drops the translation in all of them' },
  { file: 'svm/instructions/execute.ts', row: 'INSTRUCTIONS anyCpl', edit: 'true -> false', because: 'there is no false: that the property is there counts' },
  {
    file: 'svm/instructions/execute.ts',
    row: 'INSTRUCTIONS anyCpl',
    edit: 'true, execute: nothing -> nothing, execute: true',
    because: 'VMMCALL exits or is #UD, and never executes; that anyCpl is there counts',
  },
  {
    file: 'svm/instructions/execute.ts',
    row: 'INSTRUCTIONS execute',
    edit: 'without execute: nothing',
    because: 'VMMCALL and SKINIT exit or are #UD, and never execute',
  },
  { file: 'svm/instructions/execute.ts', row: 'moveState', edit: '0n -> 1n', line: 'translate', because: 'a nested page fault tells no linear address' },
  { file: 'svm/host-save-area.ts', row: 'PAGE', edit: '4096 -> 4097', because: 'more memory than is written is announced as written' },
  { file: 'svm/host-save-area.ts', row: 'HOST_WORDS', edit: '8 -> 9', after: 'RAX * ', because: 'RAX is register 0' },
  { file: 'svm/host-save-area.ts', row: 'BRANCH_RECORDS_AT', edit: '1 -> 2', because: 'the format of the area is the business of the processor' },
  {
    file: 'svm/host-save-area.ts',
    row: 'saveHostState',
    edit: '< -> <=',
    because: 'the word behind the last one is that of RFLAGS, which is written afterwards',
  },
  { file: 'svm/host-save-area.ts', row: 'loadHostState', edit: '64 -> 65', because: 'more is derived again than has to be' },
  { file: 'svm/host-save-area.ts', row: 'loadHostState', edit: '< -> <=', because: 'there is no register behind the last one' },
  { file: 'svm/host-save-area.ts', row: 'loadHostState', edit: '1 -> 2', line: 'shadowAt', because: 'no count of instructions is negative' },
  { file: 'svm/host-save-area.ts', row: 'loadHostState', edit: '&& -> ||', line: 'loadPdpes', because: 'PDPTE registers are loaded that no walk looks at' },
  { file: 'svm/host-save-area.ts', row: 'legal', edit: '4 -> 5', because: 'words are read, and both offsets lie in the same one' },
  { file: 'svm/vmcb/guest-registers.ts', row: 'SWITCHED', edit: '8 -> 9', line: 'RAX', because: 'RAX is register 0' },
  ...['loadGuestBranchRecords', 'saveGuestBranchRecords', 'loadHostBranchRecords'].map((row): Equivalence => ({
    file: 'svm/branch-records.ts',
    row,
    edit: '4 -> 5',
    because: 'words are read and written, and both offsets lie in the same one',
  })),
  { file: 'hypervisor/svm/exits.ts', row: 'VECTORS', edit: '32 -> 33', because: '40h + 32 is the code of INTR, whose row is entered afterwards' },
  {
    file: 'hypervisor/svm/exits.ts',
    row: 'buildTable',
    edit: '< -> <=',
    line: 'VECTORS',
    because: '40h + 32 is the code of INTR, whose row is entered afterwards',
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
