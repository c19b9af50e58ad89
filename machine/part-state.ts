/** Parts of a machine that need not be there, or need not have state yet. */
import { isStateful, type Stateful } from '../memory/stateful';

const ABSENT: Stateful = { saveState: () => undefined, restoreState: () => {} };

/**
 * The state of a part that may be absent (undefined). Throws Error for one that is there and cannot say what its state is: a snapshot
 * without it would be wrong.
 * @param what names the part for the error.
 */
export function partState(part: object | undefined, what: string): Stateful {
  if (part === undefined) return ABSENT;
  if (isStateful(part)) return part;
  throw new Error(`${what} cannot be part of a snapshot: it has no saveState() and restoreState()`);
}
