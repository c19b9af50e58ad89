/** Several sources on one interrupt line: it is asserted while any of them asserts it. */
import type { Stateful } from '../memory/stateful';
import type { InterruptLine } from './bus';

export class SharedLine implements Stateful<boolean[]> {
  /** Levels of the sources, in the order in which they were made. */
  private readonly sources: boolean[] = [];
  private asserting = 0;

  constructor(private readonly target: InterruptLine) {}

  /** A new source on the line. */
  source(): InterruptLine {
    const index = this.sources.push(false) - 1;
    return {
      set: (level) => {
        if (level === this.sources[index]) return;
        this.sources[index] = level;
        this.asserting += level ? 1 : -1;
        this.target.set(this.asserting > 0);
      },
    };
  }

  saveState(): boolean[] {
    return [...this.sources];
  }

  /** Silently: the level of the line is part of the target's state too. */
  restoreState(levels: readonly boolean[]): void {
    if (levels.length !== this.sources.length) throw new RangeError(`the snapshot has ${levels.length} sources on a line of ${this.sources.length}`);
    levels.forEach((level, i) => (this.sources[i] = level));
    this.asserting = levels.filter(Boolean).length;
  }
}
