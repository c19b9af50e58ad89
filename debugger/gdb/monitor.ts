/** GDB's "monitor": lines of our own debugger, for what GDB knows nothing of. */
import type { Interpreter } from '../commands/interpreter';

export interface MonitorAnswer {
  readonly text: string;
  /** The target is not where GDB thinks. */
  readonly moved: boolean;
  readonly quit: boolean;
}

/** A line, worked on in pieces. Throws DebugError (at once or on the way) for what cannot be done. */
export type Monitor = (line: string) => Generator<undefined, MonitorAnswer, undefined>;

export const monitorOf = (interpreter: Interpreter): Monitor =>
  function* (line) {
    const { text, stop, quit = false } = yield* interpreter.execute(line);
    return { text, moved: stop !== undefined, quit };
  };
