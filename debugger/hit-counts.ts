/**
 * How often breakpoints were come to, for those that stop at some of the times only. Counted are places of the history: one that is
 * visited again, after going back, has the number that it had. What is passed while breakpoints are not in force (seek) is not counted.
 */
import { comparePositions, DebugError, type Position } from './target';

export interface HitCondition {
  readonly text: string;
  /** @param number 1 for the first time. */
  readonly holds: (number: number) => boolean;
}

const COMPARISONS: Readonly<Record<string, (number: number, given: number) => boolean>> = {
  '': (number, given) => number === given,
  '==': (number, given) => number === given,
  '>': (number, given) => number > given,
  '>=': (number, given) => number >= given,
  '<': (number, given) => number < given,
  '<=': (number, given) => number <= given,
  '%': (number, given) => number % given === 0,
};

/** "5" (the fifth time), "> 5", "% 100" (every hundredth). Throws DebugError for anything else. */
export function parseHitCondition(text: string): HitCondition {
  const match = /^(|==|>=|>|<=|<|%)\s*(\d{1,15})$/.exec(text.trim());
  const given = Number(match?.[2]);
  if (match === null || (match[1] === '%' && given === 0))
    throw new DebugError(`"${text}" is no hit count: give 5 (the fifth time), > 5, >= 5, < 5, <= 5, or % 5 (every fifth time)`);
  const compare = COMPARISONS[match[1]];
  return { text: text.trim(), holds: (number) => compare(number, given) };
}

type Place = Pick<Position, 'instructions' | 'events'>;
const compare = (a: Place, b: Place): number => comparePositions({ ...a, exits: 0, ticks: 0 }, { ...b, exits: 0, ticks: 0 });

export class HitCounts {
  /** By breakpoint, in the order of the history. */
  private readonly places = new Map<number, Place[]>();

  /** The breakpoint is come to here. Answers for which time. */
  number(id: number, { instructions, events }: Position): number {
    const here = { instructions, events };
    let list = this.places.get(id);
    if (list === undefined) this.places.set(id, (list = []));
    let at = list.length;
    while (at > 0 && compare(list[at - 1], here) > 0) at--;
    if (at > 0 && compare(list[at - 1], here) === 0) return at;
    list.splice(at, 0, here);
    return at + 1;
  }

  remove(id: number): void {
    this.places.delete(id);
  }

  /** What lay behind this position will not come. */
  truncate(position: Position): void {
    for (const [id, list] of this.places)
      this.places.set(
        id,
        list.filter((place) => compare(place, position) <= 0),
      );
  }
}
