/** A cache of fixed size: when it is full the entry that came first goes. Lookups do not change the order, so the order is that of fills. */
import type { Stateful } from '../memory/stateful';

export class BoundedMap<V> implements Stateful<[number, V][]> {
  private readonly map = new Map<number, V>();

  constructor(readonly capacity: number) {}

  get size(): number {
    return this.map.size;
  }
  get(key: number): V | undefined {
    return this.map.get(key);
  }
  set(key: number, value: V): void {
    // A new fill of an old key is a new entry.
    this.map.delete(key);
    if (this.map.size >= this.capacity) this.map.delete(this.map.keys().next().value!);
    this.map.set(key, value);
  }
  delete(key: number): void {
    this.map.delete(key);
  }
  clear(): void {
    this.map.clear();
  }
  deleteWhere(gone: (value: V, key: number) => boolean): void {
    for (const [key, value] of this.map) if (gone(value, key)) this.map.delete(key);
  }
  entries(): IterableIterator<[number, V]> {
    return this.map.entries();
  }

  /** Values are plain data that nobody changes: they are shared with the state. */
  saveState(): [number, V][] {
    return [...this.map];
  }
  restoreState(state: [number, V][]): void {
    this.map.clear();
    for (const [key, value] of state) this.map.set(key, value);
  }
}
