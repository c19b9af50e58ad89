/** Why VMRUN of a VMCB would fail: every broken rule, not only the first; and what it would let pass although the manual reserves it. */
import { violations as violationsOf, type EntryState, type Violation } from './check';
import { ALL_CHECKS } from './groups';
import { RESERVED_USES } from './reserved';

export { explain, type Violation } from './check';

/** All broken rules in the order of the checks: VMRUN ends with VMEXIT_INVALID if there is one. Changes nothing. */
export const violations = (s: EntryState): Violation[] => violationsOf(ALL_CHECKS, s);

/** Reserved encodings and bits of absent features: VMRUN does not refuse them, and what they do is not defined. */
export const reservedUses = (s: EntryState): Violation[] => violationsOf(RESERVED_USES, s);

/** The name under which tools ask. */
export const checkEntry = violations;
