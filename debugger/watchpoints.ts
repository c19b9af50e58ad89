/**
 * Watchpoints: who touches a range of host-physical memory. The frames are flagged, so accesses to them take the slow path, as single
 * steps; everything else runs at full speed. What is heard is heard before the access; whether it changed anything shows afterwards.
 */
import type { Cpu } from '../cpu/cpu';
import { FrameFlag, PAGE_SIZE, RAM_BASE, type PhysicalMemory } from '../memory/physical-memory';
import type { WatchAccess } from './target';

/** Longer writes are runs of bytes, or say "this page": they count where bytes change. */
const LONGEST_STORE = 8;

export interface WatchRange {
  /** Host-physical; a range does not wrap, and is RAM. */
  readonly physical: number;
  readonly length: number;
}

/** An access, with what the watcher knew when it heard of it. */
export interface WatchHit<Place> {
  readonly id: number;
  readonly write: boolean;
  readonly place: Place;
  readonly oldValue: bigint;
  readonly newValue: bigint;
}

interface Watch<Place> {
  readonly id: number;
  readonly ranges: readonly WatchRange[];
  readonly access: WatchAccess;
  /** A write that was announced and not looked at yet. */
  announced: { readonly place: Place; readonly oldValue: bigint; readonly surely: boolean } | undefined;
}

export class Watchpoints<Place> {
  private readonly watches = new Map<number, Watch<Place>>();
  private hits: WatchHit<Place>[] = [];
  /** Off: accesses are not noted. */
  enabled = true;

  /**
   * @param cpus whose TLBs must not hold watched frames.
   * @param place where the access is made, and by which device if it is DMA. @param heard asks for a stop behind the instruction.
   */
  constructor(
    private readonly memory: PhysicalMemory,
    private readonly cpus: () => readonly Cpu[],
    private readonly place: (requester?: number) => Place,
    private readonly heard: () => void,
  ) {
    memory.onWrite((physical, length, requester) => this.written(physical, length, requester));
    memory.onRead = (physical, length) => this.read(physical, length);
  }

  add(id: number, ranges: readonly WatchRange[], access: WatchAccess): void {
    this.watches.set(id, { id, ranges, access, announced: undefined });
    for (const frame of framesOf(this.memory, ranges)) {
      if (access !== 'read') this.memory.frameFlags[frame] |= FrameFlag.Watched;
      if (access !== 'write') this.memory.frameFlags[frame] |= FrameFlag.ReadWatched;
      for (const cpu of this.cpus()) cpu.mmu.dropFrame(RAM_BASE + frame * PAGE_SIZE);
    }
  }

  remove(id: number): void {
    const watch = this.watches.get(id);
    if (watch === undefined) return;
    this.watches.delete(id);
    const rest = [...this.watches.values()];
    for (const frame of framesOf(this.memory, watch.ranges)) {
      const others = rest.filter((w) => framesOf(this.memory, w.ranges).has(frame));
      if (others.every((w) => w.access === 'read')) this.memory.frameFlags[frame] &= ~FrameFlag.Watched;
      if (others.every((w) => w.access === 'write')) this.memory.frameFlags[frame] &= ~FrameFlag.ReadWatched;
    }
  }

  /** What was touched since the last call, in order. */
  take(): WatchHit<Place>[] {
    for (const watch of this.watches.values()) this.settle(watch);
    const { hits } = this;
    this.hits = [];
    return hits;
  }

  private written(physical: number, length: number, requester?: number): void {
    if (!this.enabled) return;
    for (const watch of this.watches.values()) {
      if (watch.access === 'read' || !touches(watch, physical, length)) continue;
      this.settle(watch);
      watch.announced = { place: this.place(requester), oldValue: this.valueOf(watch), surely: length <= LONGEST_STORE };
      this.heard();
    }
  }

  private read(physical: number, length: number): void {
    if (!this.enabled) return;
    for (const watch of this.watches.values()) {
      if (watch.access === 'write' || !touches(watch, physical, length)) continue;
      const value = this.valueOf(watch);
      this.hits.push({ id: watch.id, write: false, place: this.place(), oldValue: value, newValue: value });
      this.heard();
    }
  }

  private settle(watch: Watch<Place>): void {
    const { announced } = watch;
    if (announced === undefined) return;
    watch.announced = undefined;
    const newValue = this.valueOf(watch);
    const { place, oldValue, surely } = announced;
    if (surely || newValue !== oldValue) this.hits.push({ id: watch.id, write: true, place, oldValue, newValue });
  }

  private valueOf(watch: Watch<Place>): bigint {
    let value = 0n;
    for (const { physical, length } of [...watch.ranges].reverse()) {
      const bytes = this.memory.readBytes(physical, length);
      for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    }
    return value;
  }
}

const touches = (watch: { readonly ranges: readonly WatchRange[] }, physical: number, length: number): boolean =>
  watch.ranges.some((r) => physical < r.physical + r.length && r.physical < physical + length);

function framesOf(memory: PhysicalMemory, ranges: readonly WatchRange[]): Set<number> {
  const frames = new Set<number>();
  for (const { physical, length } of ranges) {
    for (let a = physical - (physical % PAGE_SIZE); a < physical + length; a += PAGE_SIZE) frames.add((memory.host(a) - RAM_BASE) / PAGE_SIZE);
  }
  return frames;
}
