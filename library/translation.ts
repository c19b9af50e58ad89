/** A linear address translated as the processor would, as data: every entry it reads in both dimensions, and how many references that takes. */
import { hostAddress, referencesOf, type Walk } from '../debugger/paging';

export interface Translation {
  /** The address that was translated, 64 bits. */
  readonly linear: bigint;
  /** What the guest's paging makes of it; undefined when that fails. */
  readonly guestPhysical: number | undefined;
  /** Behind EPT or NPT; on a bare machine without a guest of its own the same as guestPhysical. undefined when something is missing. */
  readonly hostPhysical: number | undefined;
  /** What is missing, in one line. */
  readonly problem: string | undefined;
  /** Memory references of the walk with nothing cached: 4 without nested paging, 24 for four levels by four. */
  readonly references: number;
  /** The guest's entries, each with the nested walk that leads to it; `nested` is that of the final address. */
  readonly walk: Walk;
}

export function translationOf(linear: bigint, walk: Walk): Translation {
  return {
    linear,
    guestPhysical: walk.result,
    hostPhysical: hostAddress(walk),
    problem: walk.problem ?? walk.nested?.problem,
    references: referencesOf(walk),
    walk,
  };
}
