/**
 * Host-physical memory for guests and for the hypervisor's own structures. Guest memory is never identity-mapped: which host frame
 * stands behind a guest page is the allocator's choice, and with a seed that choice is permuted.
 */
import type { PhysicalMemory } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';

export const SMALL = 4096;
export const LARGE = 0x20_0000;

/** Frames not given out, in the order in which they will be (from the end). */
export interface HostFramesState {
  readonly large: readonly number[];
  readonly small: readonly number[];
}

export class HostFrames implements Stateful<HostFramesState> {
  private large: number[] = [];
  private small: number[] = [];

  /**
   * @param ranges free host-physical memory, page aligned.
   * @param seed 0: ascending addresses; otherwise the order is a permutation that follows from the seed.
   */
  constructor(ranges: readonly { readonly base: number; readonly size: number }[], seed = 0) {
    for (const { base, size } of ranges) {
      let a = Math.ceil(base / SMALL) * SMALL;
      const end = base + size;
      for (; a % LARGE !== 0 && a + SMALL <= end; a += SMALL) this.small.push(a);
      for (; a + LARGE <= end; a += LARGE) this.large.push(a);
      for (; a + SMALL <= end; a += SMALL) this.small.push(a);
    }
    if (seed !== 0) {
      shuffle(this.large, seed);
      shuffle(this.small, seed ^ 0x5bd1_e995);
    }
    // Allocation pops from the end.
    this.large.reverse();
    this.small.reverse();
  }

  /** A free 4 KiB frame. Throws RangeError when host memory is used up. */
  takeSmall(): number {
    const frame = this.small.pop();
    if (frame !== undefined) return frame;
    const block = this.takeLarge();
    if (block === undefined) throw new RangeError('host memory is used up: give the physical machine more RAM');
    for (let a = block + LARGE - SMALL; a > block; a -= SMALL) this.small.push(a);
    return block;
  }

  /** A free 4 KiB frame, cleared: for the hypervisor's own structures. */
  takeZeroed(memory: PhysicalMemory): number {
    const frame = this.takeSmall();
    memory.writeBytes(frame, new Uint8Array(SMALL));
    return frame;
  }

  /** Consecutive 4 KiB frames, at most a 2 MiB block of them. Throws RangeError when host memory is used up. */
  takeRun(count: number): number {
    const block = count * SMALL <= LARGE ? this.takeLarge() : undefined;
    if (block === undefined) throw new RangeError(`no ${count} consecutive frames of host memory are left: give the physical machine more RAM`);
    for (let a = block + LARGE - SMALL; a >= block + count * SMALL; a -= SMALL) this.small.push(a);
    return block;
  }

  /** A free 2 MiB block, or undefined. */
  takeLarge(): number | undefined {
    return this.large.pop();
  }

  saveState(): HostFramesState {
    return { large: [...this.large], small: [...this.small] };
  }

  restoreState({ large, small }: HostFramesState): void {
    this.large = [...large];
    this.small = [...small];
  }

  /** Everything not given out: for tests that poison it. */
  free(): readonly { readonly base: number; readonly size: number }[] {
    return [...this.small.map((base) => ({ base, size: SMALL })), ...this.large.map((base) => ({ base, size: LARGE }))];
  }
}

/** Fisher-Yates with xorshift32. */
function shuffle(list: number[], seed: number): void {
  let x = seed | 0 || 1;
  for (let i = list.length - 1; i > 0; i--) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    const j = (x >>> 0) % (i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
}
