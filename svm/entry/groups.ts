/** The tables of consistency checks in the order in which this processor makes them. The order is not architectural: every failure looks the same. */
import { injecting, nestedPaging, type EntryCheck, type EntryState } from './check';
import { CONTROL_CHECKS, INJECTION_CHECKS, NESTED_PAGING_CHECKS } from './controls';
import { GUEST_STATE_CHECKS, PDPE_CHECKS, loadsPdpes } from './guest-state';

export interface CheckGroup {
  readonly name: string;
  readonly checks: readonly EntryCheck[];
  /** If false, none of its rules applies: the group is passed over. Absent: always asked. */
  readonly applies?: (s: EntryState) => boolean;
}

export const CHECK_GROUPS: readonly CheckGroup[] = [
  { name: 'control area', checks: CONTROL_CHECKS },
  { name: 'nested paging', checks: NESTED_PAGING_CHECKS, applies: nestedPaging },
  { name: 'guest state', checks: GUEST_STATE_CHECKS },
  { name: 'event injection', checks: INJECTION_CHECKS, applies: injecting },
  { name: 'guest PDPEs', checks: PDPE_CHECKS, applies: loadsPdpes },
];

/** Every rule there is. */
export const ALL_CHECKS: readonly EntryCheck[] = CHECK_GROUPS.flatMap((group) => group.checks);
