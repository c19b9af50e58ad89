/** AMD-V as this model has it: from the tables that the model itself runs on. */
import { parseProfile } from '../../cpu/profiles/profile';
import { APM } from '../../spec/apm';
import { Intercept3, Intercept4, Intercept5 } from '../../svm/controls';
import type { EntryCheck } from '../../svm/entry/check';
import { CHECK_GROUPS } from '../../svm/entry/groups';
import { RESERVED_USES } from '../../svm/entry/reserved';
import { EXIT_CODES, ExitCodeBase, exitCodeHigh, exitCodeLow, exitCodeName } from '../../svm/exit/code';
import { SvmFeature, type SvmFeatureName } from '../../svm/features';
import { FIELDS } from '../../svm/vmcb/fields';
import { CleanBit } from '../../svm/vmcb/layout';
import type { CoverageRow, CoverageTable } from './markdown';
import type { SourceNames } from './source-names';
import { SVM_FEATURE_TESTS } from './svm-feature-tests';

const hex = (value: number, digits = 3): string => `${value.toString(16).toUpperCase().padStart(digits, '0')}h`;
const bitOf = (mask: number): number => Math.log2(mask >>> 0);
const CLEAN_BIT_NAMES = Object.keys(CleanBit);

const LEAF = 0x8000_000a;

export function svmTables(tests: SourceNames, sources: SourceNames): CoverageTable[] {
  const [revision, asids, , features] = parseProfile('amd-svm').cpuid(LEAF, 0);

  const intercepts = (title: string, table: Readonly<Record<string, number>>, word: 3 | 4 | 5): CoverageTable => ({
    title,
    columns: ['Bit', 'Intercept', 'Exit code', 'Acted on in'],
    rows: Object.entries(table).map(([name, mask]) => {
      const code = ExitCodeBase[`INTERCEPTS_${word}`] + bitOf(mask);
      const family = /^CR\d_WRITE_TRAP$/.test(name) ? ['ExitCodeBase.CR_WRITE_TRAP'] : [];
      const acts = sources.mention([`Intercept${word}.${name}`, `ExitCode.${name}`, ...family]) ?? sources.mention([`'${name}'`]);
      return row([String(bitOf(mask)), name, hex(code), acts ?? '-'], acts !== undefined, testOfCode(tests, name, code));
    }),
  });

  const rules = (title: string, note: string, checks: readonly EntryCheck[]): CoverageTable => ({
    title,
    note,
    columns: ['Rule', 'APM', 'Id'],
    rows: checks.map((c) => row([c.rule, APM[c.apm].title, c.id], true, tests.mention([c.id]))),
  });

  return [
    {
      title: 'CPUID Fn8000_000A',
      note: `Revision ${revision & 0xff}, ${asids} ASIDs.`,
      columns: ['Bit of EDX', 'Feature', 'Advertised'],
      rows: (Object.entries(SvmFeature) as [SvmFeatureName, number][]).map(([name, mask]) => {
        const advertised = (features & mask) !== 0;
        return row([String(bitOf(mask)), name, advertised ? 'yes' : 'no'], advertised, testOfFeature(name));
      }),
    },
    intercepts('Intercepts at 00Ch', Intercept3, 3),
    intercepts('Intercepts at 010h', Intercept4, 4),
    intercepts('Intercepts at 014h', Intercept5, 5),
    {
      title: 'Exit codes',
      note: 'Raised in: the file of `svm/` that names the code; without one this processor never exits with it.',
      columns: ['Code', 'Name', 'Raised in'],
      rows: exitCodeRows(tests, sources),
    },
    {
      title: 'VMCB fields',
      note: 'Used in: the file of `svm/` outside the tables of rules that reads or writes the field.',
      columns: ['Offset', 'Field', 'Bits', 'Clean bit', 'Used in'],
      rows: FIELDS.map(({ name, offset, bits, cleanBit }) => {
        const used = sources.mention([`VMCB.${name}`]);
        const clean = cleanBit === undefined ? '-' : `${cleanBit} ${CLEAN_BIT_NAMES[cleanBit]}`;
        return row([hex(offset), name, String(bits), clean, used ?? '-'], used !== undefined, tests.mention([`VMCB.${name}`, name]));
      }),
    },
    ...CHECK_GROUPS.map(({ name, checks }) => rules(`VMRUN checks: ${name}`, 'A broken rule: VMEXIT_INVALID.', checks)),
    rules('VMRUN: reserved uses', 'Shown to the user; VMRUN does not refuse them.', RESERVED_USES),
  ];
}

/** What tests call the instruction or event of an intercept whose name is of two words. */
const SPOKEN: Readonly<Record<string, readonly string[]>> = {
  IDTR_READ: ['SIDT'],
  GDTR_READ: ['SGDT'],
  LDTR_READ: ['SLDT'],
  TR_READ: ['STR'],
  IDTR_WRITE: ['LIDT'],
  GDTR_WRITE: ['LGDT'],
  LDTR_WRITE: ['LLDT'],
  TR_WRITE: ['LTR'],
  CR0_SEL_WRITE: ['selective write', 'selective'],
  SWINT: ['INT 21h'],
  IOIO: ['IOIO'],
  MSR: ['RDMSR', 'MSR'],
  MWAIT_CONDITIONAL: ['MONITOR_MWAIT'],
  EFER_WRITE_TRAP: ['write trap of EFER'],
  CR0_WRITE_TRAP: ['write trap of CR%i'],
  CR3_WRITE_TRAP: ['write trap of CR%i'],
  CR4_WRITE_TRAP: ['write trap of CR%i'],
  TASK_SWITCH: ['TASK_SWITCH'],
  SHUTDOWN: ['shutdown'],
  INTR: ['INTR'],
  VINTR: ['VINTR'],
  INVALID: ['INVALID'],
};
/** A test speaks of an exit when it has the name and the code: "HLT" alone may be an instruction that a guest happens to execute. */
const testOfCode = (tests: SourceNames, name: string, code: number): string | undefined =>
  tests.mention([`ExitCode.${name}`]) ?? (code < 0 ? tests.mention([name]) : tests.mentionWith([name, ...(SPOKEN[name] ?? [])], code));

const testOfFeature = (name: SvmFeatureName): string | undefined => {
  const test = SVM_FEATURE_TESTS[name];
  return test === undefined ? undefined : `tests/${test[0]}`;
};

const row = (cells: readonly string[], present: boolean, test: string | undefined): CoverageRow => ({ cells, present, test: present ? test : undefined });

/** The families that are indexed by a register or vector are one row each. */
const FAMILIES: readonly (readonly [first: number, count: number, name: keyof typeof ExitCodeBase, pattern: RegExp])[] = [
  [0x00, 16, 'CR_READ', /^MOV from and to CR%i$/m],
  [0x10, 16, 'CR_WRITE', /^MOV from and to CR%i$/m],
  [0x20, 16, 'DR_READ', /^MOV from and to DR%i$/m],
  [0x30, 16, 'DR_WRITE', /^MOV from and to DR%i$/m],
  [0x40, 32, 'EXCP', /^EXCEPTION_INTERCEPTS$/m],
  [0x90, 16, 'CR_WRITE_TRAP', /^write trap of CR%i/m],
];

function exitCodeRows(tests: SourceNames, sources: SourceNames): CoverageRow[] {
  return EXIT_CODES.flatMap((code): CoverageRow[] => {
    const family = FAMILIES.find(([first, count]) => code >= first && code < first + count);
    if (family === undefined) {
      const name = exitCodeName(code).replace('VMEXIT_', '');
      const raised = sources.mention([`ExitCode.${name}`]);
      const shown = code < 0 ? hex(exitCodeHigh(code), 8).replace('h', '_') + hex(exitCodeLow(code), 8) : hex(code);
      return [row([shown, exitCodeName(code), raised ?? '-'], raised !== undefined, testOfCode(tests, name, code))];
    }
    const [first, count, base, pattern] = family;
    if (code !== first) return [];
    const raised = sources.mention([`ExitCodeBase.${base}`]);
    const names = `${exitCodeName(first)} to ${exitCodeName(first + count - 1)}`;
    return [
      row(
        [`${hex(first)}-${hex(first + count - 1)}`, names, raised ?? '-'],
        raised !== undefined,
        tests.mention([`ExitCodeBase.${base}`]) ?? tests.find(pattern),
      ),
    ];
  });
}
