/** Behind the software TLB: what happens when compiled code does not find a translation, and single steps that may touch anything. */
import { FrameFlag, PAGE_SIZE, RAM_BASE } from '../memory/physical-memory';
import { DataBreakpoints } from './data-breakpoints';
import { NestedAccess } from './interfaces';
import { R, T, TLB, TLB_ENTRY, TLB_VICTIM } from './layout';
import { Access, PageWalker } from './page-walker';
import { Cr4, Vector } from './registers';
import { TLB_MASK } from './translation-cache';

/** `flags` of the slow path as compiled code passes them: bytes in the low five bits. */
export const SlowFlag = { Write: 0x20, ReadModifyWrite: 0x40 } as const;

export abstract class SlowPath extends PageWalker {
  /** Set while a single step runs that may touch devices, code pages and page-crossing stores. */
  slowStep = false;
  /** The slow path asks for the instruction to be repeated as a slow step. */
  slowStepWanted = false;
  readonly dataBreakpoints = new DataBreakpoints(this.cpu);

  // A bounced store of the current slow step, committed by commitStore().
  private storeBytes = 0;
  private storeLow = 0;
  private storeHigh = 0;

  /**
   * Called by compiled code when the TLB does not answer. Returns a host address at which `bytes` (flags & 0x1f) may be read or written,
   * or 0: then cpu.fault says what to deliver, or slowStepWanted that the instruction must run as a slow step.
   */
  slow(low: number, high: number, flags: number): number {
    const bytes = flags & 0x1f;
    const write = (flags & SlowFlag.Write) !== 0;
    const cpu = this.cpu;
    if (!this.canonicalHigh(high)) cpu.raise(this.faultOfNonCanonical(), 0);
    // The trap comes after the instruction, which is the end of a single step.
    if (this.dataBreakpoints.armed && this.dataBreakpoints.access(low, high, bytes, write) && !this.slowStep) return this.wantSlowStep();
    if ((low & 0xfff) + bytes > PAGE_SIZE) return this.crossing(low, high, bytes, flags);
    const physical = this.translateOrExit(low, high, write ? Access.Write : Access.Read);
    if (physical < 0) return 0;
    if (this.intercepts(physical)) return this.intercepted(physical, low, high, bytes, flags);
    const host = this.memory.host(physical);
    if (host === 0) return this.device(physical, low, high, bytes, flags);
    if (write) {
      const frame = (host - RAM_BASE) >>> 12;
      const frameFlags = this.memory.frameFlags[frame];
      this.memory.frameFlags[frame] = frameFlags | FrameFlag.Dirty;
      if ((frameFlags & (FrameFlag.Code | FrameFlag.Watched)) !== 0) {
        if (this.mayWriteQuietly(physical, bytes)) return host;
        if (!this.slowStep) return this.wantSlowStep();
        this.memory.aboutToWrite(physical, host, bytes);
        return host;
      }
    }
    if (this.readWatched(host)) {
      if (!write) {
        if (!this.slowStep) return this.wantSlowStep();
        this.memory.aboutToRead(host, bytes);
      }
      return host;
    }
    if (!this.dataBreakpoints.covers(low, high)) this.fill(low, high, host);
    return host;
  }

  /** Data breakpoints lie in these pages, and in no others. */
  watchBreakpoints(pages: readonly (readonly [low: number, high: number])[]): void {
    this.dataBreakpoints.watch(pages);
    for (const [low] of pages) this.forgetSlot(low);
  }

  protected readWatched(host: number): boolean {
    return (this.memory.frameFlags[(host - RAM_BASE) >>> 12] & FrameFlag.ReadWatched) !== 0;
  }

  /** Supplied by the code cache: no decoded instruction overlaps these bytes of a code frame. */
  mayWriteQuietly: (physical: number, bytes: number) => boolean = () => false;
  /** Non-canonical addresses raise #SS(0) for stack accesses, else #GP(0); the step loop knows the instruction. */
  faultOfNonCanonical: () => number = () => Vector.GP;

  private wantSlowStep(): number {
    this.slowStepWanted = true;
    return 0;
  }

  private crossing(low: number, high: number, bytes: number, flags: number): number {
    const cpu = this.cpu;
    const write = (flags & SlowFlag.Write) !== 0;
    const nextLow = (low & ~0xfff) + PAGE_SIZE;
    let nextHigh = high;
    if (nextLow >>> 0 === 0) nextHigh = cpu.codeSize === 64 ? high + 1 : 0;
    if (write && !this.slowStep) return this.wantSlowStep();
    const access = write ? Access.Write : Access.Read;
    const first = PAGE_SIZE - (low & 0xfff);
    const a = this.translate(low, high, access);
    if (!this.canonicalHigh(nextHigh)) cpu.raise(this.faultOfNonCanonical(), 0);
    const b = this.translate(nextLow, nextHigh, access);
    if (!this.slowStep && !(this.plainRam(a) && this.plainRam(b))) return this.wantSlowStep();
    const bounce = cpu.base + (write ? R.BOUNCE_WRITE : R.BOUNCE_READ);
    if (!write || (flags & SlowFlag.ReadModifyWrite) !== 0) {
      if (this.memory.isRam(a)) this.memory.aboutToRead(this.memory.host(a), first);
      if (this.memory.isRam(b)) this.memory.aboutToRead(this.memory.host(b), bytes - first);
      for (let i = 0; i < bytes; i++) cpu.u8[bounce + i] = this.memory.read8(i < first ? a + i : b + (i - first));
    }
    if (write) this.noteStore(low, high, bytes);
    return bounce;
  }

  /** Compiled code may read it: nobody has to hear of that. */
  private plainRam(physical: number): boolean {
    const host = this.memory.host(physical);
    return host !== 0 && !this.readWatched(host);
  }

  private device(physical: number, low: number, high: number, bytes: number, flags: number): number {
    if (!this.slowStep) return this.wantSlowStep();
    const write = (flags & SlowFlag.Write) !== 0;
    const bounce = this.cpu.base + (write ? R.BOUNCE_WRITE : R.BOUNCE_READ);
    if (!write || (flags & SlowFlag.ReadModifyWrite) !== 0) this.readDevice(physical, bytes, bounce);
    if (write) this.noteStore(low, high, bytes);
    return bounce;
  }

  /** Like a device; but it may make a VM exit instead. */
  private intercepted(physical: number, low: number, high: number, bytes: number, flags: number): number {
    if (!this.slowStep) return this.wantSlowStep();
    const write = (flags & SlowFlag.Write) !== 0;
    const read = !write || (flags & SlowFlag.ReadModifyWrite) !== 0;
    const offset = physical & 0xfff;
    const { cpu, interceptor } = this;
    if (!interceptor!.permits(offset, bytes, (read ? Access.Read : 0) | (write ? Access.Write : 0))) return 0;
    const bounce = cpu.base + (write ? R.BOUNCE_WRITE : R.BOUNCE_READ);
    if (read) {
      const value = interceptor!.read(offset, bytes);
      for (let i = 0; i < bytes; i++) cpu.u8[bounce + i] = value >>> (8 * i);
    }
    if (write) this.noteStore(low, high, bytes);
    return bounce;
  }

  private readDevice(physical: number, bytes: number, to: number): void {
    for (let i = 0; i < bytes;) {
      const size = bytes - i >= 4 ? 4 : bytes - i >= 2 ? 2 : 1;
      const v = size === 4 ? this.memory.read32(physical + i) : size === 2 ? this.memory.read16(physical + i) : this.memory.read8(physical + i);
      for (let k = 0; k < size; k++) this.cpu.u8[to + i + k] = v >>> (8 * k);
      i += size;
    }
  }

  private noteStore(low: number, high: number, bytes: number): void {
    this.storeLow = low;
    this.storeHigh = high;
    this.storeBytes = bytes;
  }

  /** After a slow step: carries out its bounced store, if it made one and did not fault. */
  commitStore(done: boolean): void {
    const bytes = this.storeBytes;
    this.storeBytes = 0;
    if (bytes === 0 || !done) return;
    const bounce = this.cpu.base + R.BOUNCE_WRITE;
    for (let i = 0; i < bytes;) {
      const low = (this.storeLow + i) | 0;
      const high = low >>> 0 < this.storeLow >>> 0 && this.cpu.codeSize === 64 ? this.storeHigh + 1 : this.storeHigh;
      const physical = this.orUnwind(this.translateOrExit(low, high, Access.Write));
      const inPage = Math.min(bytes - i, PAGE_SIZE - (low & 0xfff));
      const answered = this.intercepts(physical);
      const size = answered ? bytes : this.memory.isRam(physical) ? 1 : inPage >= 4 ? 4 : inPage >= 2 ? 2 : 1;
      let v = 0;
      for (let k = size - 1; k >= 0; k--) v = v * 256 + this.cpu.u8[bounce + i + k];
      if (answered) this.interceptor!.write(physical & 0xfff, size, v);
      else if (size === 4) this.memory.write32(physical, v);
      else if (size === 2) this.memory.write16(physical, v);
      else this.memory.write8(physical, v);
      i += size;
    }
  }

  /** Puts the page of the last walk into the TLB, with the tags its permissions allow without further work. */
  protected fill(low: number, high: number, host: number): void {
    const cpu = this.cpu;
    const u32 = this.memory.u32;
    const user = cpu.get32(R.CPL) === 3;
    const context = cpu.get32(R.CONTEXT);
    const entryHost = cpu.base + TLB + ((low >>> 12) & TLB_MASK) * TLB_ENTRY;
    const e = entryHost >>> 2;
    const v = (entryHost + (TLB_VICTIM - TLB)) >>> 2;
    const tag = ((low & ~0xfff) | context) >>> 0;
    if ((u32[e] !== tag || u32[e + 1] !== high >>> 0) && (u32[e] | u32[e + 2]) !== 0) for (let i = 0; i < 8; i++) u32[v + i] = u32[e + i];
    const frame = (host - RAM_BASE) >>> 12;
    const flags = this.memory.frameFlags;
    u32[e] = tag;
    u32[e + 1] = high;
    const mayWrite =
      this.writablePage && this.dirty && (this.nestedPermissions & NestedAccess.Write) !== 0 && (flags[frame] & (FrameFlag.Code | FrameFlag.Watched)) === 0;
    if (mayWrite) {
      u32[e + 2] = tag;
      u32[e + 3] = high;
      flags[frame] |= FrameFlag.MappedWritable | FrameFlag.Dirty;
    } else u32[e + 2] = u32[e + 3] = 0;
    u32[e + 4] = u32[e + 5] = 0;
    u32[e + T.ADDEND / 4] = (host - low) >>> 0;
    u32[e + T.FRAME / 4] = frame;
    if (!user && this.userPage && (cpu.cr4 & Cr4.SMAP) !== 0) this.acFills.push(entryHost);
    if (this.large) this.largeRegions.add((high & 0xffff) * 2048 + (low >>> 21));
    cpu.observer.tlbFill?.(cpu, low, high, host);
  }
}
