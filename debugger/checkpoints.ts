/**
 * Snapshots taken on the way, from which the past is reached: restore one, and run forward. They share the pages of RAM that did not
 * change between them. When they need more memory than they may have, some go: the older a stretch of the run, the fewer are left of it.
 */
import { pagesBeside } from '../memory/ram-state';
import { PAGE_SIZE } from '../memory/physical-memory';
import type { GuestState } from '../hypervisor/guest-state';
import { comparePositions, type Position } from './target';

export interface Checkpoint<Extra> {
  readonly position: Position;
  readonly state: GuestState;
  readonly extra: Extra;
}

/** How many are kept at most, whatever they need. */
const MOST = 256;

export class Checkpoints<Extra> {
  private list: Checkpoint<Extra>[] = [];
  private readonly sizes = new WeakMap<Checkpoint<Extra>, number>();

  /** @param budget bytes that the snapshots may hold beside the first one, which is always kept. */
  constructor(private readonly budget: number) {}

  get all(): readonly Checkpoint<Extra>[] {
    return this.list;
  }
  get first(): Checkpoint<Extra> | undefined {
    return this.list.at(0);
  }

  /** The last one at or before a position. */
  before(position: Position): Checkpoint<Extra> | undefined {
    return this.list.findLast((c) => comparePositions(c.position, position) <= 0);
  }

  add(checkpoint: Checkpoint<Extra>): void {
    const at = this.list.findIndex((c) => comparePositions(c.position, checkpoint.position) >= 0);
    if (at >= 0 && comparePositions(this.list[at].position, checkpoint.position) === 0) return;
    this.list.splice(at < 0 ? this.list.length : at, 0, checkpoint);
    while (this.list.length > MOST || (this.list.length > 2 && this.bytes > this.budget)) this.thin();
  }

  clear(): void {
    this.list = [];
  }

  /** Forgets everything behind a position. */
  truncate(position: Position): void {
    this.list = this.list.filter((c) => comparePositions(c.position, position) <= 0);
  }

  /** Memory held beside what the first snapshot holds. */
  get bytes(): number {
    let sum = 0;
    for (let i = 1; i < this.list.length; i++) {
      const beside = pagesBeside(this.list[i].state.machine.ram, this.list[i - 1].state.machine.ram) * PAGE_SIZE;
      sum += beside + this.sizeOf(this.list[i]);
    }
    return sum;
  }

  /** Without RAM. */
  private sizeOf(checkpoint: Checkpoint<Extra>): number {
    let size = this.sizes.get(checkpoint);
    if (size === undefined) {
      const { machine, ...rest } = checkpoint.state;
      const { ram: _, ...withoutRam } = machine;
      this.sizes.set(checkpoint, (size = arrayBytes(withoutRam) + arrayBytes(rest)));
    }
    return size;
  }

  /** Drops the one whose absence costs least: the gap that it leaves, relative to how long ago it was. The first and the last stay. */
  private thin(): void {
    const now = this.list[this.list.length - 1].position.instructions;
    let best = 1;
    let least = Infinity;
    for (let i = 1; i < this.list.length - 1; i++) {
      const gap = this.list[i + 1].position.instructions - this.list[i - 1].position.instructions;
      const cost = gap / (now - this.list[i].position.instructions + 1);
      if (cost < least) [least, best] = [cost, i];
    }
    this.list.splice(best, 1);
  }
}

/** Bytes of the typed arrays in plain data. */
function arrayBytes(value: unknown): number {
  if (value === null || typeof value !== 'object') return 0;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  let sum = 0;
  for (const item of Object.values(value)) sum += arrayBytes(item);
  return sum;
}
