/** VMRUN's consistency checks as data: what a rule is, how a table of them is asked, and how a broken one is explained. */
import { cite, type ApmKey } from '../../spec/apm';
import { EventInfo, EVENT_TYPE_SHIFT, NestedControl } from '../controls';
import { SvmFeature } from '../features';
import { describeField } from '../vmcb/fields';
import { VMCB, type VmcbField } from '../vmcb/layout';

/** What the rules need to know of the processor that executes VMRUN. */
export interface ProcessorFacts {
  /** MAXPHYADDR: CPUID Fn8000_0008_EAX[7:0]. */
  readonly physicalAddressWidth: number;
  /** EFER bits that are not MBZ. */
  readonly supportedEfer: number;
  /** CR4 bits that are not MBZ. */
  readonly supportedCr4: number;
  /** CPUID Fn8000_000A_EDX. */
  readonly svmFeatures: number;
  /** CPUID Fn8000_000A_EBX: ASIDs are 0 to this number - 1. */
  readonly asids: number;
  /** CR0.PG of the host. */
  readonly hostPaging: boolean;
}

/**
 * What a rule may look at: the guest state, and the processor. "VMCB Clean field behavior: the final merged hardware state is used for
 * consistency checks", hence `word` answers with cached values where the processor takes a field from its cache.
 */
export interface EntryState extends ProcessorFacts {
  /** 32 bits at an offset of the VMCB that is a multiple of 4, unsigned. */
  word(offset: number): number;
  /** 32 bits of physical memory: the PDPEs that CR3 points to. */
  memory32(physicalAddress: number): number;
}

/** One sentence of the APM, as data. A broken one ends VMRUN with #VMEXIT(VMEXIT_INVALID). */
export interface EntryCheck {
  /** Stable: tests, traces, docs and bug reports refer to it. */
  readonly id: string;
  readonly apm: ApmKey;
  /** The rule as a sentence that is true of every valid VMCB. */
  readonly rule: string;
  /** Every field that `when` and `holds` read: shown to the user. */
  readonly fields: readonly VmcbField[];
  /** What they read of the processor: shown too. */
  readonly facts?: readonly (keyof ProcessorFacts)[];
  /** The "if" in front of the sentence; absent: the rule always applies. */
  readonly when?: (s: EntryState) => boolean;
  readonly holds: (s: EntryState) => boolean;
}

export interface Violation {
  readonly check: EntryCheck;
  readonly values: readonly (readonly [VmcbField, bigint])[];
  readonly facts: readonly (readonly [keyof ProcessorFacts, number | boolean])[];
}

const broken = (check: EntryCheck, s: EntryState): boolean => (check.when === undefined || check.when(s)) && !check.holds(s);

/** The first broken rule, as hardware stops at one. */
export function firstBroken(table: readonly EntryCheck[], s: EntryState): EntryCheck | undefined {
  for (const check of table) if (broken(check, s)) return check;
  return undefined;
}

/** Every broken rule, in table order, with the values that break it. */
export function violations(table: readonly EntryCheck[], s: EntryState): Violation[] {
  return table
    .filter((check) => broken(check, s))
    .map((check) => ({
      check,
      values: check.fields.map((f) => [f, fieldValue(s, f)] as const),
      facts: (check.facts ?? []).map((f) => [f, s[f]] as const),
    }));
}

export function explain({ check, values, facts }: Violation): string {
  const fields = values.map(([field, value]) => `${field} = 0x${value.toString(16)}`);
  const processor = facts.map(([fact, value]) => `${fact} = ${FACTS_IN_HEX.has(fact) ? `0x${(Number(value) >>> 0).toString(16)}` : value}`);
  return `${check.rule}\n  here: ${[...fields, ...processor].join(', ')}\n  ${cite(check.apm)}  [${check.id}]`;
}
const FACTS_IN_HEX: ReadonlySet<keyof ProcessorFacts> = new Set(['supportedEfer', 'supportedCr4', 'svmFeatures']);

/** A field of up to 64 bits, whatever its width and alignment. */
export function fieldValue(s: EntryState, field: VmcbField): bigint {
  const { offset, bits } = describeField(field);
  const low = BigInt(s.word(offset & ~3)) >> BigInt((offset & 3) * 8);
  const value = bits > 32 ? low | (BigInt(s.word(offset + 4)) << 32n) : low;
  return BigInt.asUintN(Math.min(bits, 64), value);
}

// ---- the vocabulary of the rules ----

export const low = (s: EntryState, offset: number): number => s.word(offset);
export const high = (s: EntryState, offset: number): number => s.word(offset + 4);
export const isSet = (s: EntryState, offset: number, bits: number): boolean => (s.word(offset) & bits) !== 0;
export const hasFeature = (s: EntryState, feature: number): boolean => (s.svmFeatures & feature) !== 0;

/** No bit of a 64-bit field is at or above the width of physical addresses. */
export const withinPhysicalWidth = (s: EntryState, offset: number): boolean => high(s, offset) < 2 ** (s.physicalAddressWidth - 32);

/** "Nested paging is enabled": a processor without the feature does not read the bit. */
export const nestedPaging = (s: EntryState): boolean => hasFeature(s, SvmFeature.NP) && isSet(s, VMCB.NESTED_CONTROL, NestedControl.NP_ENABLE);

/** Each PA field of half of a PAT is UC 0, WC 1, WT 4, WP 5, WB 6 or UC- 7, and its bits 7:3 are 0: bit 1 is never set without bit 2. */
export const isPatHalf = (word: number): boolean => (word & 0xf8f8_f8f8) === 0 && (word & ~(word >>> 1) & 0x0202_0202) === 0;

/** Bits 55:52 and 47:40 of the descriptor. */
export const csAttributes = (s: EntryState): number => s.word(VMCB.CS_SELECTOR) >>> 16;
export const SegmentAttribute = { L: 1 << 9, D: 1 << 10 } as const;

export const injecting = (s: EntryState): boolean => isSet(s, VMCB.EVENTINJ, EventInfo.VALID);
export const injectedType = (s: EntryState): number => (low(s, VMCB.EVENTINJ) & EventInfo.TYPE) >>> EVENT_TYPE_SHIFT;
export const injectedVector = (s: EntryState): number => low(s, VMCB.EVENTINJ) & EventInfo.VECTOR;
