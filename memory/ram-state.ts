/**
 * The contents of RAM as an immutable table of pages. Tables share what did not change between them: whole chunks, and pages; a page of
 * zeroes is absent. So a snapshot costs the pages that were written since the one before.
 */
import { FrameFlag, PAGE_SIZE, RAM_BASE, type PhysicalMemory } from './physical-memory';
import type { Stateful } from './stateful';

/** Pages of one chunk of the table. */
export const CHUNK_PAGES = 512;
const PAGE_WORDS = PAGE_SIZE / 4;
/** Copies are cut from slabs: one allocation for many pages. */
const SLAB_PAGES = 64;

/**
 * The first slabs are shared buffers: V8 does not count these as memory that it could free, so that it does not look through its heap again
 * and again while snapshots grow, which costs more than the copies do. Later ones are counted: what is not needed any more goes then.
 */
const UNCOUNTED_SLABS = 512;

/** Never changed once it is in a table; undefined: zeroes. */
export type RamPage = Uint8Array | undefined;
type Chunk = readonly RamPage[] | undefined;

export interface RamState {
  /** RAM frames, of 4 KiB; frame n starts at host address RAM_BASE + n * 4096. */
  readonly frames: number;
  /** By frame / CHUNK_PAGES; undefined: all zeroes. */
  readonly chunks: readonly Chunk[];
}

/** The page of a frame. */
export const pageOf = (state: RamState, frame: number): RamPage => state.chunks[Math.floor(frame / CHUNK_PAGES)]?.[frame % CHUNK_PAGES];

/** How many pages of `state` are not shared with `base`: what it costs beside it. */
export function pagesBeside(state: RamState, base: RamState | undefined): number {
  let count = 0;
  state.chunks.forEach((chunk, c) => {
    const other = base?.chunks[c];
    if (chunk !== other) chunk?.forEach((page, i) => (count += page !== undefined && page !== other?.[i] ? 1 : 0));
  });
  return count;
}

/** Frames that a table made now would have to look at: about what it costs. */
export function writtenPages({ frameFlags }: PhysicalMemory): number {
  let count = 0;
  for (let frame = 0; frame < frameFlags.length; frame++) count += frameFlags[frame] & FrameFlag.Dirty;
  return count / FrameFlag.Dirty;
}

/** Keeps RAM and its last table together: FrameFlag.Dirty marks the frames in which they may differ. */
export class RamTracker implements Stateful<RamState> {
  /** What RAM holds, frames marked dirty excepted. RAM starts as zeroes. */
  private current: RamState;
  private slab: Uint8Array = new Uint8Array(0);
  private slabs = 0;
  private slabUsed = 0;

  /**
   * @param remark called when no frame is marked any more: must mark those that can be written without FrameFlag.Dirty being set,
   *   because a TLB holds a write tag for them.
   */
  constructor(
    private readonly memory: PhysicalMemory,
    private readonly remark: () => void,
  ) {
    const frames = memory.ramBytes / PAGE_SIZE;
    this.current = { frames, chunks: new Array<Chunk>(Math.ceil(frames / CHUNK_PAGES)).fill(undefined) };
  }

  saveState(): RamState {
    const { frames } = this.current;
    const chunks = [...this.current.chunks];
    for (const [c, dirty] of this.dirtyFrames()) {
      const old = chunks[c];
      const changed = dirty.filter((frame) => !this.holds(frame, old?.[frame % CHUNK_PAGES]));
      if (changed.length === 0) continue;
      const chunk = old === undefined ? new Array<RamPage>(CHUNK_PAGES).fill(undefined) : [...old];
      for (let at = 0; at < changed.length;) at = this.copyRun(changed, at, chunk);
      chunks[c] = chunk;
    }
    this.settle({ frames, chunks });
    return this.current;
  }

  /** Throws RangeError when `state` is of a machine with more or less RAM; then nothing was written. */
  restoreState(state: RamState): void {
    const { frames, chunks } = this.current;
    if (state.frames !== frames) throw new RangeError(`the snapshot has ${state.frames * PAGE_SIZE} bytes of RAM, this machine ${frames * PAGE_SIZE}`);
    for (const [c, dirty] of this.dirtyFrames()) for (const frame of dirty) this.put(frame, state.chunks[c]?.[frame % CHUNK_PAGES]);
    state.chunks.forEach((chunk, c) => {
      const mine = chunks[c];
      if (chunk === mine) return;
      for (let i = 0; i < CHUNK_PAGES; i++) if (chunk?.[i] !== mine?.[i]) this.put(c * CHUNK_PAGES + i, chunk?.[i]);
    });
    this.settle(state);
  }

  private settle(state: RamState): void {
    this.current = state;
    const flags = this.memory.frameFlags;
    for (let frame = 0; frame < flags.length; frame++) flags[frame] &= ~FrameFlag.Dirty;
    this.remark();
  }

  /** Frames marked dirty, by chunk. */
  private dirtyFrames(): Map<number, number[]> {
    const flags = this.memory.frameFlags;
    const found = new Map<number, number[]>();
    for (let frame = 0; frame < flags.length; frame++) {
      if ((flags[frame] & FrameFlag.Dirty) === 0) continue;
      const c = Math.floor(frame / CHUNK_PAGES);
      const list = found.get(c);
      if (list === undefined) found.set(c, [frame]);
      else list.push(frame);
    }
    return found;
  }

  /** RAM has exactly these bytes in a frame. */
  private holds(frame: number, page: RamPage): boolean {
    const { i32 } = this.memory;
    const first = (RAM_BASE + frame * PAGE_SIZE) >>> 2;
    if (page === undefined) {
      for (let i = 0; i < PAGE_WORDS; i++) if (i32[first + i] !== 0) return false;
      return true;
    }
    const words = new Int32Array(page.buffer, page.byteOffset, PAGE_WORDS);
    for (let i = 0; i < PAGE_WORDS; i++) if (i32[first + i] !== words[i]) return false;
    return true;
  }

  /** Copies the page of `changed[at]` and of frames that follow it without a gap, in one piece; answers the index behind them. */
  private copyRun(changed: readonly number[], at: number, chunk: RamPage[]): number {
    const first = changed[at];
    if (this.holds(first, undefined)) {
      chunk[first % CHUNK_PAGES] = undefined;
      return at + 1;
    }
    if (this.slabUsed === this.slab.length) {
      const bytes = SLAB_PAGES * PAGE_SIZE;
      this.slab = new Uint8Array(this.slabs++ < UNCOUNTED_SLABS ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
      this.slabUsed = 0;
    }
    const room = (this.slab.length - this.slabUsed) / PAGE_SIZE;
    let count = 1;
    while (count < room && changed[at + count] === first + count && !this.holds(first + count, undefined)) count++;
    const host = RAM_BASE + first * PAGE_SIZE;
    this.slab.set(this.memory.u8.subarray(host, host + count * PAGE_SIZE), this.slabUsed);
    for (let i = 0; i < count; i++) chunk[(first + i) % CHUNK_PAGES] = this.slab.subarray(this.slabUsed, (this.slabUsed += PAGE_SIZE));
    return at + count;
  }

  /** Writes a page where RAM has something else: code that is decoded from unchanged pages stays. */
  private put(frame: number, page: RamPage): void {
    if (this.holds(frame, page)) return;
    const { memory } = this;
    const host = RAM_BASE + frame * PAGE_SIZE;
    memory.aboutToWrite(memory.physical(host), host, PAGE_SIZE);
    if (page === undefined) memory.u8.fill(0, host, host + PAGE_SIZE);
    else memory.u8.set(page, host);
  }
}
