/** States on both sides of the line that a rule of VM entry draws, and how a list of them is judged. */
import { ALL_CHECKS } from '../../vmx/entry/groups';
import type { FieldName } from '../../vmx/vmcs/fields';
import { baselineWith, type Patch, type Surroundings } from './vmcs-values';

export type Value = bigint | number;

export interface Case {
  readonly valid: boolean;
  readonly patch: Patch;
  readonly surroundings?: Surroundings;
}

/** Which of these the rule judges differently, or by a field that it does not name; expected: none. */
export function misjudged(id: string, cases: readonly Case[]): string[] {
  const check = ALL_CHECKS.find((c) => c.id === id);
  if (check === undefined) return [`there is no rule ${id}`];
  return cases.flatMap(({ valid, patch, surroundings }) => {
    const state = baselineWith(patch, surroundings);
    const judged = (check.when === undefined || check.when(state)) && !check.holds(state) ? 'refused' : 'accepted';
    const unnamed = [...state.seen].filter((field) => !check.fields.includes(field)).map((field) => `reads ${field}`);
    const shown = Object.entries(patch).map(([field, value]) => `${field}=0x${BigInt(value).toString(16)}`);
    return [...(judged === (valid ? 'accepted' : 'refused') ? [] : [`${shown.join(' ')}: ${judged}`]), ...unnamed];
  });
}

export const cases = (valid: boolean, patches: readonly Patch[], surroundings?: Surroundings): Case[] =>
  patches.map((patch) => ({ valid, patch, surroundings }));

/** A field with valid and invalid values, in a state that is otherwise `given`. */
export const values = (given: Patch, field: FieldName, valid: readonly Value[], invalid: readonly Value[], surroundings?: Surroundings): Case[] => [
  ...cases(
    true,
    valid.map((v) => ({ ...given, [field]: v })),
    surroundings,
  ),
  ...cases(
    false,
    invalid.map((v) => ({ ...given, [field]: v })),
    surroundings,
  ),
];

export const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
export const bit = (n: number): bigint => 1n << BigInt(n);

/** Of the bits of a field, these may be 1, the others not: every bit by itself on top of `base`. */
export const mayBe1 = (given: Patch, field: FieldName, base: Value, allowed: readonly number[], width: 32 | 64 = 64, surroundings?: Surroundings): Case[] =>
  range(0, width - 1).map((n) => ({ valid: allowed.includes(n), patch: { ...given, [field]: BigInt(base) | bit(n) }, surroundings }));

/** These bits must be 1: every bit by itself taken out of all ones. */
export const mustBe1 = (given: Patch, field: FieldName, required: readonly number[], all: bigint = 0xffff_ffffn, surroundings?: Surroundings): Case[] =>
  range(0, all.toString(2).length - 1).map((n) => ({ valid: !required.includes(n), patch: { ...given, [field]: all & ~bit(n) }, surroundings }));

/** Whatever the field holds is valid. */
export const anything = (
  given: Patch,
  field: FieldName,
  surroundings?: Surroundings,
  all: readonly Value[] = [0, 1, 2, 0xffff_ffff, 0x8000_0000_0000n, (1n << 64n) - 1n],
): Case[] => values(given, field, all, [], surroundings);

const TOP = (1n << 64n) - (1n << 47n);
/** SDM "Canonical Addressing", 48 bits: 63:47 are equal. */
export const canonical = (given: Patch, field: FieldName, surroundings?: Surroundings): Case[] =>
  values(
    given,
    field,
    [0, bit(47) - 1n, TOP, TOP | 0x1234n, (1n << 64n) - 1n, ...range(0, 46).map(bit)],
    [...range(47, 63).map(bit), ...range(47, 63).map((n) => ((1n << 64n) - 1n) & ~bit(n))],
    surroundings,
  );

/** 4-KByte aligned (or as many low bits 0 as told), 46 bits of physical address. */
export const physicalAddress = (given: Patch, field: FieldName, surroundings?: Surroundings, alignment = 12): Case[] =>
  mayBe1(given, field, 0, range(alignment, 45), 64, surroundings);
