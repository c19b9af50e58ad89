/** Several sources on one interrupt line: it is asserted while any of them asserts it. */
import type { InterruptLine } from './bus';

export class SharedLine {
  private asserting = 0;

  constructor(private readonly target: InterruptLine) {}

  /** A new source on the line. */
  source(): InterruptLine {
    let asserted = false;
    return {
      set: (level) => {
        if (level === asserted) return;
        asserted = level;
        this.asserting += level ? 1 : -1;
        this.target.set(this.asserting > 0);
      },
    };
  }
}
