/**
 * What a VM sees on its bus: RAM whose host frames are found on first touch, and its own devices.
 * Guest-physical addresses are JS numbers below 2^52.
 */
import type { AccessSize, MmioDevice } from '../devices/bus';
import { LOW_RAM_LIMIT, type DeviceObserver, type PhysicalMemory } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';
import { LARGE, SMALL, type HostFrames } from './frames';

const FOUR_GIB = 0x1_0000_0000;
/** Not the address of a block: this one is backed by single pages. */
const PAGES = 1;

interface Range {
  readonly base: number;
  readonly size: number;
  readonly device: MmioDevice;
}

/** Which host frames stand behind guest memory. */
export interface GuestMemoryState {
  readonly blocks: Float64Array;
  readonly pages: readonly (readonly [block: number, pages: Float64Array])[];
}

export class GuestMemory implements Stateful<GuestMemoryState> {
  /** By guest 2 MiB block: host address of a block that is backed as one; PAGES: see `pages`; 0: nothing yet. */
  private readonly blocks: Float64Array;
  /** Host addresses of the 4 KiB pages of blocks that are backed page by page; 0: nothing yet. */
  private readonly pages = new Map<number, Float64Array>();
  private readonly ranges: Range[] = [];
  onDevice: DeviceObserver | undefined;
  private readonly lowRam: number;
  private readonly highRam: number;

  /**
   * @param bytes RAM of the VM: below 3 GiB first, the rest from 4 GiB on.
   * @param map told of every page that got a host frame: programs the nested paging structures.
   */
  constructor(
    readonly bytes: number,
    private readonly hostMemory: PhysicalMemory,
    private readonly frames: HostFrames,
    private readonly map: (gpa: number, host: number, size: number) => void,
  ) {
    this.lowRam = Math.min(bytes, LOW_RAM_LIMIT);
    this.highRam = bytes - this.lowRam;
    this.blocks = new Float64Array(Math.ceil((this.highRam > 0 ? FOUR_GIB + this.highRam : this.lowRam) / LARGE));
  }

  /** First address behind all RAM. */
  get end(): number {
    return this.highRam > 0 ? FOUR_GIB + this.highRam : this.lowRam;
  }

  isRam(gpa: number): boolean {
    return gpa < this.lowRam || (gpa >= FOUR_GIB && gpa < FOUR_GIB + this.highRam);
  }

  /** Gives the page of `gpa` a host frame, if it is RAM; false if it is not. */
  back(gpa: number): boolean {
    if (!this.isRam(gpa)) return false;
    if (this.hostOf(gpa) !== undefined) return true;
    const block = gpa - (gpa % LARGE);
    if (this.isRam(block) && this.isRam(block + LARGE - 1)) {
      const frame = this.frames.takeLarge();
      if (frame !== undefined) {
        this.clear(frame, LARGE);
        this.blocks[block / LARGE] = frame;
        this.map(block, frame, LARGE);
        return true;
      }
    }
    const page = gpa - (gpa % SMALL);
    const frame = this.frames.takeSmall();
    this.clear(frame, SMALL);
    this.pagesOf(block / LARGE)[(page - block) / SMALL] = frame;
    this.map(page, frame, SMALL);
    return true;
  }

  /** Memory that a VM gets must not show what was there before. Untouched frames are zero already, and stay uncommitted. */
  private clear(frame: number, size: number): void {
    if (this.dirtyFrames) this.hostMemory.writeBytes(frame, new Uint8Array(size));
  }
  /** Host frames may hold old data (they were poisoned, or belonged to another VM). */
  dirtyFrames = false;

  private pagesOf(block: number): Float64Array {
    let pages = this.pages.get(block);
    if (pages === undefined) {
      this.pages.set(block, (pages = new Float64Array(LARGE / SMALL)));
      this.blocks[block] = PAGES;
    }
    return pages;
  }

  /** Host-physical address of a backed guest-physical address. */
  hostOf(gpa: number): number | undefined {
    const block = Math.floor(gpa / LARGE);
    const host = block < this.blocks.length ? this.blocks[block] : 0;
    if (host === 0) return undefined;
    const offset = gpa - block * LARGE;
    if (host !== PAGES) return host + offset;
    const page = this.pages.get(block)![offset >>> 12];
    return page === 0 ? undefined : page + (offset & 0xfff);
  }

  /** The same for DMA, which is a first touch too; 0 outside RAM. */
  host(gpa: number): number {
    return this.back(gpa) ? this.hostOf(gpa)! : 0;
  }

  /** Copies bytes into guest RAM. Throws RangeError if some of them are not RAM. */
  writeBytes(gpa: number, bytes: Uint8Array, requester?: number): void {
    for (let done = 0; done < bytes.length;) {
      const a = gpa + done;
      const chunk = Math.min(bytes.length - done, SMALL - (a % SMALL));
      if (!this.back(a)) throw new RangeError(`guest-physical 0x${a.toString(16)} is not RAM (the VM has ${this.bytes} bytes)`);
      this.hostMemory.writeBytes(this.hostOf(a)!, bytes.subarray(done, done + chunk), requester);
      done += chunk;
    }
  }

  /** Copies bytes out of guest RAM; unbacked pages read as zero, devices as all ones. */
  readBytes(gpa: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const a = gpa + done;
      const chunk = Math.min(length - done, SMALL - (a % SMALL));
      const host = this.hostOf(a);
      if (host !== undefined) out.set(this.hostMemory.readBytes(host, chunk), done);
      else if (!this.isRam(a)) out.fill(0xff, done, done + chunk);
      done += chunk;
    }
    return out;
  }

  // ---- snapshots: the frames' contents, and the nested paging structures, are host RAM ----

  saveState(): GuestMemoryState {
    return { blocks: this.blocks.slice(), pages: [...this.pages].map(([block, pages]) => [block, pages.slice()] as const) };
  }

  restoreState({ blocks, pages }: GuestMemoryState): void {
    this.blocks.set(blocks);
    this.pages.clear();
    for (const [block, frames] of pages) this.pages.set(block, frames.slice());
  }

  // ---- devices ----

  mapMmio(base: number, size: number, device: MmioDevice): void {
    this.ranges.unshift({ base, size, device });
  }
  unmapMmio(device: MmioDevice): void {
    for (let i = this.ranges.length - 1; i >= 0; i--) if (this.ranges[i].device === device) this.ranges.splice(i, 1);
  }
  private at(gpa: number): Range | undefined {
    return this.ranges.find((r) => gpa >= r.base && gpa < r.base + r.size);
  }
  readMmio(gpa: number, size: AccessSize): number {
    const r = this.at(gpa);
    const value = r ? r.device.readMmio(gpa - r.base, size) >>> 0 : size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    this.onDevice?.(gpa, size, value, false);
    return value;
  }
  writeMmio(gpa: number, size: AccessSize, value: number): void {
    this.onDevice?.(gpa, size, value >>> 0, true);
    const r = this.at(gpa);
    if (r) r.device.writeMmio(gpa - r.base, size, value >>> 0);
  }
}
