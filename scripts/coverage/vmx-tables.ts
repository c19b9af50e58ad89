/** VT-x as this model has it: from the tables that the model itself runs on. */
import { Cpu } from '../../cpu/cpu';
import { parseProfile } from '../../cpu/profiles/profile';
import { supportedCr4 } from '../../cpu/system/control-state';
import { PhysicalMemory } from '../../memory/physical-memory';
import { SDM } from '../../spec/sdm';
import { FULL_VMX_PROFILE, VmxMsr, vmxCapabilities, type Allowed } from '../../vmx/capabilities';
import { EntryControl, ExitControl, PinBased, Primary, Secondary } from '../../vmx/controls';
import { CHECK_GROUPS } from '../../vmx/entry/groups';
import { ExitReason } from '../../vmx/exit/reason';
import { FIELD_NAMES, FieldType, FieldWidth, VMCS, typeOf, widthOf } from '../../vmx/vmcs/fields';
import type { CoverageTable } from './markdown';
import type { SourceNames } from './source-names';

const hex = (value: number | bigint, digits: number): string => `${value.toString(16).toUpperCase().padStart(digits, '0')}h`;
const bitOf = (mask: number): number => Math.log2(mask >>> 0);

/** What tests call the exits that they do not name: an instruction, a phrase of a title, or the number in the exit-reason field. */
const SPOKEN: Readonly<Partial<Record<keyof typeof ExitReason, readonly string[]>>> = {
  ControlRegisterAccess: ['MOV_TO_CR', 'MOV_FROM_CR'],
  MovDr: ['MOV_TO_DR', 'MOV DR'],
  IoInstruction: ['INS', 'OUTS', 'IN', 'OUT'],
  GdtrOrIdtrAccess: ['LGDT', 'SIDT'],
  LdtrOrTrAccess: ['LTR', 'SLDT'],
  ExceptionOrNmi: ['exception bitmap'],
  TprBelowThreshold: ['below the threshold'],
  PreemptionTimerExpired: ['preemption timer'],
  EntryFailureGuestState: [`#${0x8000_0021}`],
  EntryFailureMsrLoading: [`#${0x8000_0022}`],
};

/** `EptViolation` as `EPT violation`, `ept-violation`, `EPT_VIOLATION` or `ExitReason.EptViolation`. */
const spoken = (name: string): RegExp =>
  new RegExp(
    `(?<![\\w-])${name
      .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
      .split(' ')
      .join('[ _-]?')}(?![\\w-])`,
    'i',
  );

export function vmxTables(tests: SourceNames, sources: SourceNames): CoverageTable[] {
  const profile = parseProfile('intel-vmx');
  const capabilities = vmxCapabilities(profile, FULL_VMX_PROFILE, supportedCr4(new Cpu(new PhysicalMemory(1 << 20), profile)));

  const controls = (title: string, table: Readonly<Record<string, number>>, { allowed0, allowed1 }: Allowed): CoverageTable => ({
    title,
    columns: ['Bit', 'Control', 'Settings'],
    rows: Object.entries(table).map(([name, mask]) => {
      const present = (allowed1 & mask) !== 0;
      return {
        cells: [String(bitOf(mask)), name, (allowed0 & mask) !== 0 ? '1' : present ? '0 or 1' : '0'],
        present,
        test: tests.mention([name]),
      };
    }),
  });

  return [
    {
      title: 'VMX capability MSRs',
      columns: ['Index', 'MSR', 'Value'],
      rows: Object.entries(VmxMsr).map(([name, index]) => {
        const value = capabilities.msrs.get(index);
        const present = value !== undefined || name === 'IA32_FEATURE_CONTROL';
        const shown = value === undefined ? (present ? 'read/write' : '#GP') : hex(value, 16);
        return { cells: [hex(index, 3), name, shown], present, test: tests.mention([name, `#${index}`]) };
      }),
    },
    controls('Pin-based VM-execution controls', PinBased, capabilities.pinBased),
    controls('Primary processor-based VM-execution controls', Primary, capabilities.primary),
    controls('Secondary processor-based VM-execution controls', Secondary, capabilities.secondary),
    controls('VM-exit controls', ExitControl, capabilities.exit),
    controls('VM-entry controls', EntryControl, capabilities.entry),
    {
      title: 'Basic exit reasons',
      note: 'Raised in: the file of `vmx/` that names the reason; without one this processor never exits for it.',
      columns: ['Number', 'Reason', 'Raised in'],
      rows: (Object.keys(ExitReason).filter((key) => Number.isNaN(Number(key))) as (keyof typeof ExitReason)[]).map((name) => {
        const raised = sources.mention([`ExitReason.${name}`]);
        const other = SPOKEN[name];
        const test = tests.find(spoken(name)) ?? (other === undefined ? undefined : tests.mention(other));
        return { cells: [String(ExitReason[name]), name, raised ?? '-'], present: raised !== undefined, test: raised === undefined ? undefined : test };
      }),
    },
    {
      title: 'VMCS fields',
      columns: ['Encoding', 'Field', 'Type', 'Width'],
      rows: FIELD_NAMES.map((name, i) => {
        const encoding = VMCS[name];
        const present = capabilities.fields[i];
        return { cells: [hex(encoding, 4), name, FieldType[typeOf(encoding)], FieldWidth[widthOf(encoding)]], present, test: tests.mention([name]) };
      }),
    },
    ...CHECK_GROUPS.map(({ name, failure, checks }): CoverageTable => ({
      title: `VM-entry checks: ${name}`,
      note: { controls: 'A broken rule: VMfailValid, error 7.', host: 'A broken rule: VMfailValid, error 8.', guest: 'A broken rule: exit reason 33.' }[
        failure
      ],
      columns: ['Rule', 'SDM', 'Id'],
      rows: checks.map((c) => ({ cells: [c.rule, SDM[c.sdm].title, c.id], present: true, test: tests.mention([c.id]) })),
    })),
  ];
}
