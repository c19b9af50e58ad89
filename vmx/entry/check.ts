/** VM-entry checks as data: what a rule is, how a table of them is asked, and how a broken one is explained. */
import { isCanonicalHigh, type LinearAddressWidth } from '../../cpu/canonical';
import { Cr4 } from '../../cpu/registers';
import { cite, type SdmKey } from '../../spec/sdm';
import { EntryControl, ExitControl, Primary, Secondary } from '../controls';
import type { VmxCapabilities } from '../capabilities';
import type { FieldName } from '../vmcs/fields';

/** What a rule may look at: the current VMCS and the processor that enters. Nothing else. */
export interface EntryState {
  /** Bits 31:0 of a field, unsigned. */
  low(field: FieldName): number;
  /** Bits 63:32. */
  high(field: FieldName): number;
  read(field: FieldName): bigint;
  readonly capabilities: VmxCapabilities;
  readonly physicalAddressWidth: number;
  /** Bits of linear addresses that the processor supports. */
  readonly linearAddressWidth: LinearAddressWidth;
  /** Bits of IA32_EFER that the processor has. */
  readonly eferBits: number;
  /** IA32_EFER.LMA of the processor that executes VMLAUNCH or VMRESUME. */
  readonly longMode: boolean;
  /** The current-VMCS pointer. */
  readonly vmcsPointer: number;
  /** 32 bits of physical memory: what a pointer in the VMCS points to. */
  memory32(physicalAddress: number): number;
}

/** One sentence of the SDM, as data. */
export interface EntryCheck {
  /** Stable: tests, traces, docs and bug reports refer to it. */
  readonly id: string;
  readonly sdm: SdmKey;
  /** The rule as a sentence that is true of every valid VMCS. */
  readonly rule: string;
  /** Every field that `when` and `holds` read: shown to the user, and the reason to check again after one was written. */
  readonly fields: readonly FieldName[];
  /** The "if ... is 1" in front of the sentence; absent: the rule always applies. */
  readonly when?: (s: EntryState) => boolean;
  readonly holds: (s: EntryState) => boolean;
  /** Guest-state rules: exit qualification of the failed entry when it is not 0. */
  readonly qualification?: number;
}

export interface Violation {
  readonly check: EntryCheck;
  readonly values: readonly (readonly [FieldName, bigint])[];
}

const broken = (check: EntryCheck, s: EntryState): boolean => (check.when === undefined || check.when(s)) && !check.holds(s);

/** The first broken rule, as hardware stops at one. */
export function firstBroken(table: readonly EntryCheck[], s: EntryState): EntryCheck | undefined {
  for (const check of table) if (broken(check, s)) return check;
  return undefined;
}

/** Every broken rule, in table order, with the values that break it. */
export function violations(table: readonly EntryCheck[], s: EntryState): Violation[] {
  return table.filter((check) => broken(check, s)).map((check) => ({ check, values: check.fields.map((f) => [f, s.read(f)] as const) }));
}

export function explain({ check, values }: Violation): string {
  const shown = values.map(([field, value]) => `${field} = 0x${value.toString(16)}`).join(', ');
  return `${check.rule}\n  here: ${shown}\n  ${cite(check.sdm)}  [${check.id}]`;
}

// ---- the vocabulary of the rules ----

export const primaryIs = (s: EntryState, control: number): boolean => (s.low('PRIMARY_PROCESSOR_BASED_CONTROLS') & control) !== 0;
/** "If the 'activate secondary controls' control is 0, VM entry acts as if every secondary control were 0." */
export const secondaryIs = (s: EntryState, control: number): boolean =>
  primaryIs(s, Primary.ACTIVATE_SECONDARY_CONTROLS) && (s.low('SECONDARY_PROCESSOR_BASED_CONTROLS') & control) !== 0;
export const SECONDARY_FIELDS: readonly FieldName[] = ['PRIMARY_PROCESSOR_BASED_CONTROLS', 'SECONDARY_PROCESSOR_BASED_CONTROLS'];
export const pinIs = (s: EntryState, control: number): boolean => (s.low('PIN_BASED_CONTROLS') & control) !== 0;
export const exitIs = (s: EntryState, control: number): boolean => (s.low('VM_EXIT_CONTROLS') & control) !== 0;
export const entryIs = (s: EntryState, control: number): boolean => (s.low('VM_ENTRY_CONTROLS') & control) !== 0;
export const ia32eGuest = (s: EntryState): boolean => entryIs(s, EntryControl.IA32E_MODE_GUEST);
export const host64 = (s: EntryState): boolean => exitIs(s, ExitControl.HOST_ADDRESS_SPACE_SIZE);
export const unrestricted = (s: EntryState): boolean => secondaryIs(s, Secondary.UNRESTRICTED_GUEST);

/** Bits of `field` above the width of physical addresses are 0, and so are its low `alignment` bits. */
export function isPhysicalAddress(s: EntryState, field: FieldName, alignment: number): boolean {
  return (s.low(field) & (2 ** alignment - 1)) === 0 && withinPhysicalWidth(s, field);
}
export const withinPhysicalWidth = (s: EntryState, field: FieldName): boolean => s.high(field) < 2 ** (s.physicalAddressWidth - 32);

/** Bits 63:47 are equal; 63:56 on a processor that supports 57-bit addresses, whatever CR4.LA57 is or will be. */
export const isCanonical = (s: EntryState, field: FieldName): boolean => isCanonicalHigh(s.high(field), s.linearAddressWidth);
/** The same for an address that execution goes on at under the host's CR4. */
export const isCanonicalInHost = (s: EntryState, field: FieldName): boolean => isCanonicalHigh(s.high(field), (s.low('HOST_CR4') & Cr4.LA57) !== 0 ? 57 : 48);
/** Bits 63:48 are equal, or 63:57: one bit less than canonical addresses have. */
export const upperBitsEqual = (s: EntryState, field: FieldName): boolean => {
  const upper = (s.high(field) | 0) >> (s.linearAddressWidth - 32);
  return upper === 0 || upper === -1;
};

/** Each byte of IA32_PAT names one of UC, WC, WT, WP, WB, UC-. */
export const isPat = (s: EntryState, field: FieldName): boolean => patWord(s.low(field)) && patWord(s.high(field));
function patWord(word: number): boolean {
  for (let shift = 0; shift < 32; shift += 8) {
    const type = (word >>> shift) & 0xff;
    if (type > 7 || type === 2 || type === 3) return false;
  }
  return true;
}
