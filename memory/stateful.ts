/**
 * Something whose state is data. `saveState` gives a copy that later running does not change, made of plain objects, arrays, numbers,
 * bigints and typed arrays (what structured cloning takes); `restoreState` puts it back, into the same object or into another one that
 * was built with the same options, possibly in another process.
 */
export interface Stateful<T = unknown> {
  /** At an instruction boundary, outside any callback. Throws Error where that is not so. */
  saveState(): T;
  restoreState(state: T): void;
}

/** What can be asked of something that need not have state. */
export function isStateful(value: unknown): value is Stateful {
  const candidate = value as Partial<Stateful> | undefined;
  return typeof candidate?.saveState === 'function' && typeof candidate.restoreState === 'function';
}
