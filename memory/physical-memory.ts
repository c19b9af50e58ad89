/**
 * The physical address space of one machine: RAM inside one WebAssembly.Memory, everything else on the bus.
 *
 * Physical addresses are JS numbers (up to 2^52, exact in a double). A *host address* is a byte offset into the
 * WebAssembly.Memory; 0 means "not RAM". RAM is one run of host addresses from RAM_BASE:
 * physical [0, 3 GiB) first, the rest is remapped from physical 4 GiB on, as chipsets do.
 */

/** Host address of physical address 0. Below it live the vCPU blocks, the TLBs and the decoded records. */
export const RAM_BASE = 0x1000_0000;
export const PAGE_SIZE = 4096;
/** RAM beyond this is seen from 4 GiB on; between stand PCI, ECAM, IOAPIC, HPET, local APIC. */
export const LOW_RAM_LIMIT = 0xc000_0000;
const FOUR_GIB = 0x1_0000_0000;
const WASM_PAGE = 65536;

/** Flags of a RAM frame (see {@link PhysicalMemory.frameFlags}). */
export const FrameFlag = {
  /** Decoded records exist for this frame: writers must tell the code cache. */
  Code: 1,
  /** Some TLB may hold a write tag for this frame. */
  MappedWritable: 2,
  /** A watcher wants to hear of every write (dirty log, watchpoint). */
  Watched: 4,
  /** The frame may have changed since RAM was last saved or restored (see ram-state.ts). Whoever writes RAM sets it, or fills a TLB. */
  Dirty: 8,
  /** A watcher wants to hear of every read by an instruction: no TLB holds the frame. */
  ReadWatched: 16,
} as const;

/** What stands on the bus beside RAM. `offset` is relative to the start of the range; values are unsigned. */
export interface MmioDevice {
  readMmio(offset: number, size: 1 | 2 | 4): number;
  writeMmio(offset: number, size: 1 | 2 | 4, value: number): void;
}

interface MmioRange {
  readonly base: number;
  readonly size: number;
  readonly device: MmioDevice;
}

/** Told of an access to a device behind a port or a physical address: what was read, or what is to be written. */
export type DeviceObserver = (address: number, size: 1 | 2 | 4, value: number, write: boolean) => void;

/** Told before bytes of a Code or Watched frame change. `requester`: a device writes them. */
export type WriteObserver = (physicalAddress: number, length: number, requester?: number) => void;

export class PhysicalMemory {
  readonly memory: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;
  readonly view: DataView;
  /** One byte a RAM frame, indexed by (hostAddress - RAM_BASE) >>> 12. */
  readonly frameFlags: Uint8Array;
  readonly lowRam: number;
  readonly highRam: number;
  private readonly ranges: MmioRange[] = [];
  private readonly observers: WriteObserver[] = [];
  onDevice: DeviceObserver | undefined;

  /** @param ramBytes multiple of 4096, 1 MiB to 3.5 GiB. Throws RangeError otherwise. */
  constructor(readonly ramBytes: number) {
    if (ramBytes % PAGE_SIZE !== 0 || ramBytes < 1 << 20 || ramBytes > 0xe000_0000) {
      throw new RangeError(`RAM size ${ramBytes} is not a multiple of 4096 from 1 MiB to 3584 MiB`);
    }
    const pages = (RAM_BASE + ramBytes + WASM_PAGE - 1) / WASM_PAGE;
    this.memory = new WebAssembly.Memory({ initial: Math.floor(pages), maximum: Math.floor(pages) });
    const buffer = this.memory.buffer;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    this.view = new DataView(buffer);
    this.lowRam = Math.min(ramBytes, LOW_RAM_LIMIT);
    this.highRam = ramBytes - this.lowRam;
    this.frameFlags = new Uint8Array(ramBytes / PAGE_SIZE);
  }

  /** Host address of a physical address, or 0 where there is no RAM. A 4 KiB page never straddles. */
  host(physical: number): number {
    if (physical < this.lowRam) return RAM_BASE + physical;
    if (physical >= FOUR_GIB && physical - FOUR_GIB < this.highRam) return RAM_BASE + LOW_RAM_LIMIT + (physical - FOUR_GIB);
    return 0;
  }

  /** The inverse of {@link host} for RAM. */
  physical(host: number): number {
    const offset = host - RAM_BASE;
    return offset < LOW_RAM_LIMIT ? offset : offset - LOW_RAM_LIMIT + FOUR_GIB;
  }

  isRam(physical: number): boolean {
    return this.host(physical) !== 0;
  }

  // ---- the bus ----

  /** Puts a device on the bus. Later ranges win over earlier ones; RAM wins over all. */
  mapMmio(base: number, size: number, device: MmioDevice): void {
    this.ranges.unshift({ base, size, device });
  }

  unmapMmio(device: MmioDevice): void {
    for (let i = this.ranges.length - 1; i >= 0; i--) if (this.ranges[i].device === device) this.ranges.splice(i, 1);
  }

  private range(physical: number): MmioRange | undefined {
    for (const r of this.ranges) if (physical >= r.base && physical < r.base + r.size) return r;
    return undefined;
  }

  // ---- reads: RAM or device; an empty place on the bus reads as all ones ----

  read8(physical: number): number {
    const h = this.host(physical);
    return h !== 0 ? this.u8[h] : this.readDevice(physical, 1);
  }

  read16(physical: number): number {
    const h = this.host(physical);
    return h !== 0 && (h & 0xfff) <= 0xffe ? this.view.getUint16(h, true) : this.readDevice(physical, 2);
  }

  read32(physical: number): number {
    const h = this.host(physical);
    return h !== 0 && (h & 0xfff) <= 0xffc ? this.view.getUint32(h, true) : this.readDevice(physical, 4);
  }

  read64(physical: number): bigint {
    const h = this.host(physical);
    if (h !== 0 && (h & 0xfff) <= 0xff8) return this.view.getBigUint64(h, true);
    return BigInt(this.read32(physical)) | (BigInt(this.read32(physical + 4)) << 32n);
  }

  private readDevice(physical: number, size: 1 | 2 | 4): number {
    if (this.host(physical) !== 0) {
      // RAM, but across a page: byte by byte.
      let value = 0;
      for (let i = size - 1; i >= 0; i--) value = value * 256 + this.read8(physical + i);
      return value;
    }
    const r = this.range(physical);
    const value = r ? r.device.readMmio(physical - r.base, size) >>> 0 : size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    this.onDevice?.(physical, size, value, false);
    return value;
  }

  // ---- writes: the one path by which anything but compiled code changes RAM ----

  write8(physical: number, value: number): void {
    const h = this.host(physical);
    if (h === 0) return this.writeDevice(physical, 1, value);
    this.aboutToWrite(physical, h, 1);
    this.u8[h] = value;
  }

  write16(physical: number, value: number): void {
    const h = this.host(physical);
    if (h === 0 || (h & 0xfff) > 0xffe) return this.writeDevice(physical, 2, value);
    this.aboutToWrite(physical, h, 2);
    this.view.setUint16(h, value, true);
  }

  write32(physical: number, value: number): void {
    const h = this.host(physical);
    if (h === 0 || (h & 0xfff) > 0xffc) return this.writeDevice(physical, 4, value);
    this.aboutToWrite(physical, h, 4);
    this.view.setUint32(h, value, true);
  }

  write64(physical: number, value: bigint): void {
    const h = this.host(physical);
    if (h === 0 || (h & 0xfff) > 0xff8) {
      this.write32(physical, Number(value & 0xffff_ffffn));
      this.write32(physical + 4, Number((value >> 32n) & 0xffff_ffffn));
      return;
    }
    this.aboutToWrite(physical, h, 8);
    this.view.setBigUint64(h, value, true);
  }

  private writeDevice(physical: number, size: 1 | 2 | 4, value: number): void {
    if (this.host(physical) !== 0) {
      for (let i = 0; i < size; i++, value >>>= 8) this.write8(physical + i, value & 0xff);
      return;
    }
    this.onDevice?.(physical, size, value >>> 0, true);
    const r = this.range(physical);
    if (r) r.device.writeMmio(physical - r.base, size, value >>> 0);
  }

  /** Copies bytes out of RAM; device space reads as all ones. */
  readBytes(physical: number, length: number): Uint8Array {
    const out = new Uint8Array(length).fill(0xff);
    for (let done = 0; done < length;) {
      const chunk = Math.min(length - done, PAGE_SIZE - ((physical + done) % PAGE_SIZE));
      const h = this.host(physical + done);
      if (h !== 0) out.set(this.u8.subarray(h, h + chunk), done);
      done += chunk;
    }
    return out;
  }

  /** Copies bytes into RAM. Throws RangeError if any of them would fall outside RAM; then nothing was written. `requester`: it is DMA of that. */
  writeBytes(physical: number, bytes: Uint8Array, requester?: number): void {
    const pages = (): number[] => {
      const starts: number[] = [];
      for (let a = physical; a < physical + bytes.length; a += PAGE_SIZE - (a % PAGE_SIZE)) starts.push(a);
      return starts;
    };
    for (const a of pages()) {
      if (this.host(a) === 0) throw new RangeError(`0x${a.toString(16)} is not RAM (machine has ${this.ramBytes} bytes)`);
    }
    for (const a of pages()) {
      const chunk = Math.min(physical + bytes.length - a, PAGE_SIZE - (a % PAGE_SIZE));
      const h = this.host(a);
      this.aboutToWrite(a, h, chunk, requester);
      this.u8.set(bytes.subarray(a - physical, a - physical + chunk), h);
    }
  }

  // ---- who wants to hear of writes ----

  onWrite(observer: WriteObserver): void {
    this.observers.push(observer);
  }

  /** Told of reads by instructions of frames that are ReadWatched. */
  onRead: WriteObserver | undefined;

  /** Instructions read [host, host + length), which is RAM inside one page. Instruction fetches and page walks do not say so. */
  aboutToRead(host: number, length: number): void {
    if ((this.frameFlags[(host - RAM_BASE) >>> 12] & FrameFlag.ReadWatched) !== 0) this.onRead?.(this.physical(host), length);
  }

  /** Must precede every change of RAM at [host, host + length) inside one page. */
  aboutToWrite(physical: number, host: number, length: number, requester?: number): void {
    const frame = (host - RAM_BASE) >>> 12;
    const flags = this.frameFlags[frame];
    if ((flags & FrameFlag.Dirty) === 0) this.frameFlags[frame] = flags | FrameFlag.Dirty;
    if ((flags & (FrameFlag.Code | FrameFlag.Watched)) === 0) return;
    for (const observer of this.observers) observer(physical, length, requester);
  }
}
