/**
 * The tables of entry checks in the order in which this processor makes them, and what makes a group worth checking again:
 * a group that passed is skipped on this VMCS until one of the fields that its rules read was written.
 */
import { FIELD_NAMES, type FieldName } from '../vmcs/fields';
import type { EntryCheck } from './check';
import { CONTROL_MEMORY_CHECKS, ENTRY_CONTROL_CHECKS, EXECUTION_CONTROL_CHECKS, EXIT_CONTROL_CHECKS, INJECTION_CHECKS } from './controls';
import { GUEST_REGISTER_CHECKS } from './guest-registers';
import { GUEST_DESCRIPTOR_TABLE_CHECKS, GUEST_SEGMENT_CHECKS } from './guest-segments';
import {
  GUEST_MEMORY_CHECKS,
  GUEST_NON_REGISTER_CHECKS,
  GUEST_PDPTE_CHECKS,
  GUEST_PDPTE_MEMORY_CHECKS,
  GUEST_RFLAGS_CHECKS,
  GUEST_RIP_CHECKS,
} from './guest-state';
import { HOST_STATE_CHECKS } from './host-state';

export interface CheckGroup {
  readonly name: string;
  /** Where a broken rule leads: VM-instruction error 7, error 8, or a failed entry with exit reason 33. */
  readonly failure: 'controls' | 'host' | 'guest';
  readonly checks: readonly EntryCheck[];
  /** Its rules read memory outside the VMCS: never skipped. */
  readonly readsMemory?: true;
}

export const CHECK_GROUPS: readonly CheckGroup[] = [
  { name: 'VM-execution controls', failure: 'controls', checks: EXECUTION_CONTROL_CHECKS },
  { name: 'VM-execution controls that point to memory', failure: 'controls', checks: CONTROL_MEMORY_CHECKS, readsMemory: true },
  { name: 'VM-exit controls', failure: 'controls', checks: EXIT_CONTROL_CHECKS },
  { name: 'VM-entry controls', failure: 'controls', checks: ENTRY_CONTROL_CHECKS },
  { name: 'event injection', failure: 'controls', checks: INJECTION_CHECKS },
  { name: 'host state', failure: 'host', checks: HOST_STATE_CHECKS },
  { name: 'guest control registers, debug registers and MSRs', failure: 'guest', checks: GUEST_REGISTER_CHECKS },
  { name: 'guest segment registers', failure: 'guest', checks: GUEST_SEGMENT_CHECKS },
  { name: 'guest descriptor-table registers', failure: 'guest', checks: GUEST_DESCRIPTOR_TABLE_CHECKS },
  { name: 'guest RIP', failure: 'guest', checks: GUEST_RIP_CHECKS },
  { name: 'guest RFLAGS', failure: 'guest', checks: GUEST_RFLAGS_CHECKS },
  { name: 'guest non-register state', failure: 'guest', checks: GUEST_NON_REGISTER_CHECKS },
  { name: 'VMCS link pointer', failure: 'guest', checks: GUEST_MEMORY_CHECKS, readsMemory: true },
  { name: 'guest PDPTEs', failure: 'guest', checks: GUEST_PDPTE_CHECKS },
  { name: 'guest PDPTEs in memory', failure: 'guest', checks: GUEST_PDPTE_MEMORY_CHECKS, readsMemory: true },
];

/** Every rule there is. */
export const ALL_CHECKS: readonly EntryCheck[] = CHECK_GROUPS.flatMap((group) => group.checks);

/** GROUPS_READING[fieldNumber]: a bit for each group with a rule that reads the field. */
export const GROUPS_READING: Uint32Array = Uint32Array.from(FIELD_NAMES, (name: FieldName) =>
  CHECK_GROUPS.reduce((bits, group, g) => (group.checks.some((check) => check.fields.includes(name)) ? bits | (1 << g) : bits), 0),
);

/** The groups that may be skipped at all. */
export const SKIPPABLE = CHECK_GROUPS.reduce((bits, group, g) => (group.readsMemory ? bits : bits | (1 << g)), 0);
