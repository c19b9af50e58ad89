/**
 * Linear to physical: page walks (SDM "Paging"), the software TLB that compiled code looks up, and the slow path behind it.
 *
 * Linear addresses cross from compiled code as two 32-bit halves; physical addresses are JS numbers below 2^52.
 * TLB tags carry a context id: one for user and one for supervisor accesses of every (nested root, VPID/ASID, PCID). Flushing a
 * context means giving it fresh ids, so VM exits and CR3 switches cost no sweep.
 */
import { PAGE_SIZE, FrameFlag, RAM_BASE } from '../memory/physical-memory';
import type { Cpu } from './cpu';
import { Cr0, Cr4, Efer, Flag, Vector } from './registers';
import { updateSimdState } from './simd-state';
import { NestedAccess } from './interfaces';
import { JUMP_CACHE, JUMP_CACHE_BITS, R, T, TLB, TLB_BITS, TLB_ENTRY, TLB_VICTIM } from './layout';

/** What an access does; Supervisor marks implicit supervisor accesses (descriptor tables, TSS, event delivery). */
export const Access = { Read: 1, Write: 2, Fetch: 4, Supervisor: 8 } as const;

/** `flags` of the slow path as compiled code passes them: bytes in the low five bits. */
export const SlowFlag = { Write: 0x20, ReadModifyWrite: 0x40 } as const;

const TWO32 = 0x1_0000_0000;
const TLB_MASK = (1 << TLB_BITS) - 1;
const CONTEXT_LIMIT = 4096;
/** 51:12 of the upper half of an entry, before MAXPHYADDR narrows it. */
const HIGH_ADDRESS = 0x000f_ffff;

/** Page-fault error code bits. */
const Pf = { Present: 1, Write: 2, User: 4, Reserved: 8, Fetch: 16 } as const;
/** Paging-structure entry bits (low half). */
const Pte = { P: 1, W: 2, U: 4, A: 0x20, D: 0x40, PS: 0x80, G: 0x100 } as const;

interface ContextPair {
  readonly user: number;
  readonly supervisor: number;
}

export class Mmu {
  /** VPID or ASID of the running context; 0 is the host. */
  asid = 0;
  /** Set while a single step runs that may touch devices, code pages and page-crossing stores. */
  slowStep = false;
  /** The slow path asks for the instruction to be repeated as a slow step. */
  slowStepWanted = false;
  /** Watches or data breakpoints want to see every access: the TLB stays empty. */
  uncached = false;
  /** Walks so far: statistics. */
  walks = 0;

  // A bounced store of the current slow step, committed by commitStore().
  private storeBytes = 0;
  private storeLow = 0;
  private storeHigh = 0;

  private contexts = new Map<number, ContextPair>();
  private nestedRoots = new Map<number, number>();
  private nextContext = 1;
  /** TLB entries filled for user pages while RFLAGS.AC suspended SMAP (host addresses of entries). */
  private acFills: number[] = [];
  /** Virtual pages whose code the jump cache may know, and 2 MiB regions filled from large pages. */
  private readonly codePages = new Set<number>();
  private readonly largeRegions = new Set<number>();

  /** Guest-physical address of the entry used at each level of the last walk. */
  private readonly tableAddress = [0, 0, 0, 0, 0];
  // Result of the last walk.
  private page = 0;
  private userPage = false;
  private writablePage = false;
  private executablePage = false;
  private dirty = false;
  private large = false;
  private nestedPermissions = 7;
  private readonly memory;
  private readonly reservedHigh: number;

  constructor(private readonly cpu: Cpu) {
    this.memory = cpu.memory;
    this.reservedHigh = (HIGH_ADDRESS & ~(2 ** (cpu.profile.physicalAddressWidth - 32) - 1)) >>> 0;
    this.contextChanged();
  }

  // ---- contexts ----

  private contextKey(): number {
    const cpu = this.cpu;
    const pcid = (cpu.cr4 & Cr4.PCIDE) !== 0 ? cpu.get32(R.CR3) & 0xfff : 0;
    const nested = cpu.nested;
    let root = 0;
    if (nested !== undefined && nested.active) {
      root = this.nestedRoots.get(nested.root) ?? -1;
      if (root < 0) this.nestedRoots.set(nested.root, (root = this.nestedRoots.size + 1));
    }
    return (root * 65536 + this.asid) * 4096 + pcid;
  }

  /** Re-derives R.CONTEXT and R.JUMP_KEY after CPL, mode, CR3, VPID or nested root changed. */
  contextChanged(): void {
    const cpu = this.cpu;
    const key = this.contextKey();
    let pair = this.contexts.get(key);
    if (pair === undefined) {
      if (this.nextContext + 2 > CONTEXT_LIMIT) this.sweep();
      pair = { user: this.nextContext++, supervisor: this.nextContext++ };
      this.contexts.set(key, pair);
    }
    const context = cpu.get32(R.CPL) === 3 ? pair.user : pair.supervisor;
    cpu.set32(R.CONTEXT, context);
    // Everything that switches contexts, VM entries and exits too, comes through here.
    updateSimdState(cpu);
    const mode = cpu.codeSize === 64 ? 2 : cpu.codeSize === 32 ? 1 : 0;
    cpu.set32(R.JUMP_KEY + 4, ((context << 16) | (mode << 28)) >>> 0);
  }

  private supervisorContext(): number {
    return this.contexts.get(this.contextKey())!.supervisor;
  }

  /** Empties TLB and jump cache for good and starts the context ids again. */
  private sweep(): void {
    const base = this.cpu.base;
    this.memory.u8.fill(0, base + TLB, base + TLB + 2 * (TLB_ENTRY << TLB_BITS));
    this.clearJumpCache();
    this.contexts.clear();
    this.nestedRoots.clear();
    this.largeRegions.clear();
    this.acFills.length = 0;
    this.nextContext = 1;
  }

  clearJumpCache(): void {
    const base = this.cpu.base + JUMP_CACHE;
    this.memory.u8.fill(0, base, base + (16 << JUMP_CACHE_BITS));
    this.codePages.clear();
    this.onFetchFlush();
  }

  /** Forgets every cached translation of every context. */
  flushAll(): void {
    this.contexts.clear();
    this.contextChanged();
  }

  /** Forgets the translations of one VPID / ASID. */
  flushAsid(asid: number): void {
    for (const key of this.contexts.keys()) if (Math.floor(key / 4096) % 65536 === asid) this.contexts.delete(key);
    this.contextChanged();
  }

  /** After MOV to CR3; `keep`: bit 63 asked not to invalidate. Global translations are dropped too, which the architecture permits. */
  addressSpaceChanged(keep: boolean): void {
    if (!keep) this.contexts.delete(this.contextKey());
    this.contextChanged();
  }

  /** INVPCID: one PCID of the running VPID, or one address in it. */
  invalidatePcid(pcid: number, linear: bigint | undefined): void {
    if (linear !== undefined) return this.invalidatePage(linear);
    const key = this.contextKey();
    this.contexts.delete(key - (key % 4096) + pcid);
    this.contextChanged();
  }

  /** INVLPG. */
  invalidatePage(linear: bigint): void {
    const page = Number(BigInt.asUintN(48, linear) >> 12n);
    if (this.largeRegions.has(Math.floor(page / 512))) return this.flushAll();
    if (this.codePages.has(page)) this.clearJumpCache();
    const low = Number(BigInt.asUintN(32, linear)) & ~0xfff;
    const index = this.cpu.base + TLB + ((low >>> 12) & TLB_MASK) * TLB_ENTRY;
    this.poison(index);
    this.poison(index + (TLB_VICTIM - TLB));
  }

  private poison(entry: number): void {
    this.memory.u8.fill(0, entry, entry + T.ADDEND);
  }

  /** RFLAGS.AC went from 1 to 0 (or SMAP counts again): user pages are out of reach of the kernel again. */
  smapEnforcedAgain(): void {
    for (const entry of this.acFills) {
      this.poison(entry);
      this.poison(entry + (TLB_VICTIM - TLB));
    }
    this.acFills.length = 0;
  }

  /** A frame now holds decoded code: writes to it must take the slow path from here on. */
  frameBecameCode(host: number): void {
    const frame = (host - RAM_BASE) >>> 12;
    const flags = this.memory.frameFlags;
    if ((flags[frame] & FrameFlag.MappedWritable) === 0) return;
    flags[frame] &= ~FrameFlag.MappedWritable;
    const u32 = this.memory.u32;
    const first = (this.cpu.base + TLB) >>> 2;
    for (let e = first; e < first + ((2 * TLB_ENTRY) << TLB_BITS) / 4; e += TLB_ENTRY / 4) {
      if (u32[e + T.FRAME / 4] === frame) u32[e + T.WRITE / 4] = u32[e + T.WRITE / 4 + 1] = 0;
    }
  }

  /** The jump cache learns code of this linear page. */
  noteCodePage(low: number, high: number): void {
    this.codePages.add((high & 0xffff) * 0x10_0000 + (low >>> 12));
  }

  canonical(linear: bigint): boolean {
    return BigInt.asUintN(64, BigInt.asIntN(48, linear)) === linear;
  }

  // ---- page walks ----

  /** Reads a guest-physical quadword through the nested translation, as PDPTE loads do. */
  readPhysical64(physical: number): bigint {
    const nested = this.cpu.nested;
    // No linear address is being translated: an EPT violation must say so.
    if (nested === undefined || !nested.active) return this.memory.read64(physical);
    return this.memory.read64(this.orUnwind(nested.translate(physical, NestedAccess.Read | NestedAccess.Table, 0n)));
  }

  private orUnwind(physical: number): number {
    return physical >= 0 ? physical : this.cpu.unwind();
  }

  private nestedTable(gpa: number, access: number, linear: bigint): number {
    const nested = this.cpu.nested;
    if (nested === undefined || !nested.active) return gpa;
    return this.orUnwind(nested.translate(gpa, access | NestedAccess.Table | NestedAccess.LinearValid, linear));
  }

  private pageFault(code: number, low: number, high: number): never {
    return this.cpu.raise(Vector.PF, code, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
  }

  /**
   * Physical address (after both dimensions) of a linear address for `access`; raises #PF or exits. Sets accessed and dirty bits.
   * Both halves are 32-bit numbers of either sign.
   */
  translate(low: number, high: number, access: number): number {
    return this.orUnwind(this.translateOrExit(low, high, access));
  }

  /** The same, but -1 where the final access made a VM exit: device accesses of a VM are frequent, and exceptions dear. */
  private translateOrExit(low: number, high: number, access: number): number {
    const cpu = this.cpu;
    const cr0 = cpu.cr0;
    this.walks++;
    if ((cr0 & Cr0.PG) === 0) {
      this.page = (low & ~0xfff) >>> 0;
      this.userPage = false;
      this.writablePage = this.executablePage = this.dirty = true;
      this.large = false;
    } else this.walk(low | 0, high | 0, access, cr0);
    const nested = cpu.nested;
    if (nested !== undefined && nested.active) {
      const kind = access & Access.Fetch ? NestedAccess.Fetch : access & Access.Write ? NestedAccess.Write : NestedAccess.Read;
      const information =
        NestedAccess.LinearValid |
        (this.userPage ? NestedAccess.GuestUser : 0) |
        (this.writablePage ? NestedAccess.GuestWritable : 0) |
        (this.executablePage ? NestedAccess.GuestExecutable : 0);
      const linear = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
      const gpa = this.page + (low & 0xfff);
      const physical = nested.translate(gpa, kind | information, linear);
      this.nestedPermissions = nested.permissions;
      return physical;
    }
    this.nestedPermissions = 7;
    return this.page + (low & 0xfff);
  }

  private walk(low: number, high: number, access: number, cr0: number): void {
    const cpu = this.cpu;
    const cr4 = cpu.cr4;
    const efer = cpu.efer;
    const long = (efer & Efer.LMA) !== 0;
    const pae = (cr4 & Cr4.PAE) !== 0;
    const nxe = pae && (efer & Efer.NXE) !== 0;
    const user = cpu.get32(R.CPL) === 3 && (access & Access.Supervisor) === 0;
    const smep = (cr4 & Cr4.SMEP) !== 0;
    const write = (access & Access.Write) !== 0;
    const fetch = (access & Access.Fetch) !== 0;
    const code = (write ? Pf.Write : 0) | (user ? Pf.User : 0) | (fetch && (nxe || smep) ? Pf.Fetch : 0);
    const nested = cpu.nested !== undefined && cpu.nested.active;
    const linear = nested ? (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0) : 0n;
    const memory = this.memory;
    const u32 = memory.u32;

    let writable = true;
    let userAll = true;
    let noExecute = false;
    let table: number;
    let level: number;
    let entryBytes = 8;
    if (long) {
      level = 4;
      table = (cpu.get32(R.CR3) & ~0xfff) >>> 0;
      table += (cpu.get32(R.CR3 + 4) & HIGH_ADDRESS) * TWO32;
    } else if (pae) {
      const pdpte = R.PDPTE0 + (low >>> 30) * 8;
      const entry = cpu.get32(pdpte);
      if ((entry & Pte.P) === 0) this.pageFault(code, low, 0);
      level = 2;
      table = ((entry & ~0xfff) >>> 0) + (cpu.get32(pdpte + 4) & HIGH_ADDRESS) * TWO32;
    } else {
      level = 2;
      entryBytes = 4;
      table = (cpu.get32(R.CR3) & ~0xfff) >>> 0;
    }
    // Host addresses of the entries used, so that accessed bits are set only once the access is known to be allowed.
    let used0 = 0,
      used1 = 0,
      used2 = 0,
      used3 = 0;
    let entryLow = 0;
    let entryHigh = 0;
    for (;;) {
      let index: number;
      if (entryBytes === 4) index = level === 2 ? low >>> 22 : (low >>> 12) & 0x3ff;
      else if (level === 4) index = (high >>> 7) & 0x1ff;
      else if (level === 3) index = ((high & 0x7f) << 2) | (low >>> 30);
      else index = (low >>> (level === 2 ? 21 : 12)) & 0x1ff;
      let physical = table + index * entryBytes;
      this.tableAddress[level] = physical;
      if (nested) physical = this.nestedTable(physical, NestedAccess.Read, linear);
      const host = memory.host(physical);
      if (host === 0) {
        // Tables outside RAM read as the bus answers; there is nothing to set bits in.
        entryLow = memory.read32(physical) | 0;
        entryHigh = entryBytes === 8 ? memory.read32(physical + 4) | 0 : 0;
      } else {
        entryLow = u32[host >>> 2] | 0;
        entryHigh = entryBytes === 8 ? u32[(host >>> 2) + 1] | 0 : 0;
      }
      if (level === 4) used3 = host;
      else if (level === 3) used2 = host;
      else if (level === 2) used1 = host;
      else used0 = host;
      if ((entryLow & Pte.P) === 0) this.pageFault(code, low, long ? high : 0);
      const leaf = level === 1 || ((entryLow & Pte.PS) !== 0 && level <= 3 && (entryBytes === 8 || (cr4 & Cr4.PSE) !== 0));
      if (this.reserved(entryLow, entryHigh, level, leaf, entryBytes, nxe, long)) this.pageFault(code | Pf.Present | Pf.Reserved, low, long ? high : 0);
      if ((entryLow & Pte.W) === 0) writable = false;
      if ((entryLow & Pte.U) === 0) userAll = false;
      if (entryHigh < 0) noExecute = true;
      if (leaf) break;
      table = ((entryLow & ~0xfff) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32;
      level--;
    }

    // Permissions: SDM "Determination of Access Rights".
    const ac = (cpu.get32(R.RFLAGS_SYSTEM) & Flag.AC) !== 0 && (access & Access.Supervisor) === 0;
    let refused: boolean;
    if (user) refused = !userAll || (write && !writable) || (fetch && noExecute);
    else if (fetch) refused = noExecute || (userAll && smep);
    else refused = (userAll && (cr4 & Cr4.SMAP) !== 0 && !ac) || (write && !writable && (cr0 & Cr0.WP) !== 0);
    if (refused) this.pageFault(code | Pf.Present, low, long ? high : 0);

    // Accessed and dirty bits.
    if (used3 !== 0 && (u32[used3 >>> 2] & Pte.A) === 0) this.setBits(used3, this.tableAddress[4], Pte.A, nested, linear);
    if (used2 !== 0 && level < 3 && (u32[used2 >>> 2] & Pte.A) === 0) this.setBits(used2, this.tableAddress[3], Pte.A, nested, linear);
    if (used1 !== 0 && level < 2 && (u32[used1 >>> 2] & Pte.A) === 0) this.setBits(used1, this.tableAddress[2], Pte.A, nested, linear);
    const leafHost = level === 1 ? used0 : level === 2 ? used1 : used2;
    const bits = Pte.A | (write ? Pte.D : 0);
    if (leafHost !== 0 && (entryLow & bits) !== bits) {
      this.setBits(leafHost, this.tableAddress[level], bits, nested, linear);
      entryLow |= bits;
    }

    if (level === 1) this.page = ((entryLow & ~0xfff) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32;
    else if (entryBytes === 4) this.page = ((entryLow & 0xffc0_0000) >>> 0) + ((entryLow >>> 13) & 0xff) * TWO32 + (low & 0x3f_f000);
    else if (level === 2) this.page = ((entryLow & 0xffe0_0000) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32 + (low & 0x1f_f000);
    else this.page = ((entryLow & 0xc000_0000) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32 + (low & 0x3fff_f000);
    this.userPage = userAll;
    this.writablePage = writable || (!user && (cr0 & Cr0.WP) === 0);
    this.executablePage = !noExecute;
    this.dirty = (entryLow & Pte.D) !== 0;
    this.large = level > 1;
  }

  private setBits(host: number, gpa: number, bits: number, nested: boolean, linear: bigint): void {
    const physical = this.memory.physical(host);
    // With nested paging the table page must be writable in the second dimension too; the walk gave read access only.
    if (nested) this.nestedTable(gpa, NestedAccess.Write, linear);
    this.memory.aboutToWrite(physical, host, 4);
    this.memory.u32[host >>> 2] |= bits;
  }

  private reserved(low: number, high: number, level: number, leaf: boolean, entryBytes: number, nxe: boolean, long: boolean): boolean {
    if (entryBytes === 4) {
      if (!leaf || level === 1) return false;
      return (low & 0x0020_0000) !== 0 || ((low >>> 13) & 0xff & ~(this.reservedHigh ^ HIGH_ADDRESS)) !== 0;
    }
    if ((high & this.reservedHigh) !== 0) return true;
    if (high < 0 && !nxe) return true;
    if (!long && (high & 0x7ff0_0000) !== 0) return true;
    if (level === 4 && (low & Pte.PS) !== 0) return true;
    if (leaf && level === 2) return (low & 0x001f_e000) !== 0;
    if (leaf && level === 3) return (low & 0x3fff_e000) !== 0;
    return false;
  }

  // ---- the slow path of compiled code ----

  /**
   * Called by compiled code when the TLB does not answer. Returns a host address at which `bytes` (flags & 0x1f) may be read or written,
   * or 0: then cpu.fault says what to deliver, or slowStepWanted that the instruction must run as a slow step.
   */
  slow(low: number, high: number, flags: number): number {
    const bytes = flags & 0x1f;
    const write = (flags & SlowFlag.Write) !== 0;
    const cpu = this.cpu;
    if (!this.canonicalHigh(high)) cpu.raise(this.faultOfNonCanonical(), 0);
    if ((low & 0xfff) + bytes > PAGE_SIZE) return this.crossing(low, high, bytes, flags);
    const physical = this.translateOrExit(low, high, write ? Access.Write : Access.Read);
    if (physical < 0) return 0;
    const host = this.memory.host(physical);
    if (host === 0) return this.device(physical, low, high, bytes, flags);
    if (write) {
      const frameFlags = this.memory.frameFlags[(host - RAM_BASE) >>> 12];
      if ((frameFlags & (FrameFlag.Code | FrameFlag.Watched)) !== 0) {
        if (this.mayWriteQuietly(physical, bytes)) return host;
        if (!this.slowStep) return this.wantSlowStep();
        this.memory.aboutToWrite(physical, host, bytes);
        return host;
      }
    }
    if (!this.uncached) this.fill(low, high, host);
    return host;
  }

  /** Supplied by the step loop: its cache of fetch translations must go. */
  onFetchFlush: () => void = () => {};
  /** Supplied by the code cache: no decoded instruction overlaps these bytes of a code frame. */
  mayWriteQuietly: (physical: number, bytes: number) => boolean = () => false;
  /** Non-canonical addresses raise #SS(0) for stack accesses, else #GP(0); the step loop knows the instruction. */
  faultOfNonCanonical: () => number = () => Vector.GP;

  private canonicalHigh(high: number): boolean {
    return this.cpu.codeSize !== 64 || (high << 16) >> 16 === (high | 0);
  }

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
    if (!this.slowStep && (!this.memory.isRam(a) || !this.memory.isRam(b))) return this.wantSlowStep();
    const bounce = cpu.base + (write ? R.BOUNCE_WRITE : R.BOUNCE_READ);
    if (!write || (flags & SlowFlag.ReadModifyWrite) !== 0) {
      for (let i = 0; i < bytes; i++) cpu.u8[bounce + i] = this.memory.read8(i < first ? a + i : b + (i - first));
    }
    if (write) this.noteStore(low, high, bytes);
    return bounce;
  }

  private device(physical: number, low: number, high: number, bytes: number, flags: number): number {
    if (!this.slowStep) return this.wantSlowStep();
    const write = (flags & SlowFlag.Write) !== 0;
    const bounce = this.cpu.base + (write ? R.BOUNCE_WRITE : R.BOUNCE_READ);
    if (!write || (flags & SlowFlag.ReadModifyWrite) !== 0) this.readDevice(physical, bytes, bounce);
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
      const physical = this.translate(low, high, Access.Write);
      const inPage = Math.min(bytes - i, PAGE_SIZE - (low & 0xfff));
      const size = this.memory.isRam(physical) ? 1 : inPage >= 4 ? 4 : inPage >= 2 ? 2 : 1;
      let v = 0;
      for (let k = size - 1; k >= 0; k--) v = v * 256 + this.cpu.u8[bounce + i + k];
      if (size === 4) this.memory.write32(physical, v);
      else if (size === 2) this.memory.write16(physical, v);
      else this.memory.write8(physical, v);
      i += size;
    }
  }

  /** Puts the page of the last walk into the TLB, with the tags its permissions allow without further work. */
  private fill(low: number, high: number, host: number): void {
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
      flags[frame] |= FrameFlag.MappedWritable;
    } else u32[e + 2] = u32[e + 3] = 0;
    u32[e + 4] = u32[e + 5] = 0;
    u32[e + T.ADDEND / 4] = (host - low) >>> 0;
    u32[e + T.FRAME / 4] = frame;
    if (!user && this.userPage && (cpu.cr4 & Cr4.SMAP) !== 0) this.acFills.push(entryHost);
    if (this.large) this.largeRegions.add((high & 0xffff) * 2048 + (low >>> 21));
  }

  // ---- memory as TypeScript handlers see it ----

  /** Host address for an access that lies in one page of RAM, or 0 for a device (then this.devicePhysical). */
  private devicePhysical = 0;
  hostOf(low: number, high: number, access: number): number {
    const cpu = this.cpu;
    const context = (access & Access.Supervisor) !== 0 && cpu.get32(R.CPL) === 3 ? this.supervisorContext() : cpu.get32(R.CONTEXT);
    const write = (access & Access.Write) !== 0;
    const u32 = this.memory.u32;
    const e = (cpu.base + TLB + ((low >>> 12) & TLB_MASK) * TLB_ENTRY) >>> 2;
    const t = e + (write ? T.WRITE / 4 : T.READ / 4);
    if (u32[t] === ((low & ~0xfff) | context) >>> 0 && u32[t + 1] === high >>> 0 && (access & Access.Fetch) === 0) {
      if ((access & Access.Supervisor) === 0 || this.acFills.length === 0) return (low + u32[e + T.ADDEND / 4]) >>> 0;
    }
    if (!this.canonicalHigh(high)) cpu.gp();
    const physical = this.translate(low, high, access);
    const host = this.memory.host(physical);
    if (host === 0) {
      this.devicePhysical = physical;
      return 0;
    }
    if (write) this.memory.aboutToWrite(physical, host, Math.min(16, PAGE_SIZE - (host & 0xfff)));
    else if ((access & (Access.Fetch | Access.Supervisor)) === 0 && !this.uncached) this.fill(low, high, host);
    return host;
  }

  /** Reads 1, 2, 4 or 8 bytes; any alignment. */
  read(linear: bigint, bytes: number, access: number): bigint {
    const low = Number(linear & 0xffff_ffffn) | 0;
    const high = Number((linear >> 32n) & 0xffff_ffffn) | 0;
    if ((low & 0xfff) + bytes > PAGE_SIZE) {
      let value = 0n;
      this.probe(linear, bytes, access);
      for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | this.read(this.step(linear, i), 1, access);
      return value;
    }
    const host = this.hostOf(low, high, access);
    if (host === 0) {
      const p = this.devicePhysical;
      return bytes === 8 ? this.memory.read64(p) : BigInt(bytes === 4 ? this.memory.read32(p) : bytes === 2 ? this.memory.read16(p) : this.memory.read8(p));
    }
    const view = this.memory.view;
    return bytes === 8
      ? view.getBigUint64(host, true)
      : BigInt(bytes === 4 ? view.getUint32(host, true) : bytes === 2 ? view.getUint16(host, true) : this.memory.u8[host]);
  }

  write(linear: bigint, bytes: number, value: bigint, access: number): void {
    const low = Number(linear & 0xffff_ffffn) | 0;
    const high = Number((linear >> 32n) & 0xffff_ffffn) | 0;
    if ((low & 0xfff) + bytes > PAGE_SIZE) {
      this.probe(linear, bytes, access);
      for (let i = 0; i < bytes; i++) this.write(this.step(linear, i), 1, (value >> BigInt(8 * i)) & 0xffn, access);
      return;
    }
    const host = this.hostOf(low, high, access);
    if (host === 0) {
      const p = this.devicePhysical;
      if (bytes === 8) this.memory.write64(p, value);
      else if (bytes === 4) this.memory.write32(p, Number(value & 0xffff_ffffn));
      else if (bytes === 2) this.memory.write16(p, Number(value & 0xffffn));
      else this.memory.write8(p, Number(value & 0xffn));
      return;
    }
    const view = this.memory.view;
    if (bytes === 8) view.setBigUint64(host, value, true);
    else if (bytes === 4) view.setUint32(host, Number(value & 0xffff_ffffn), true);
    else if (bytes === 2) view.setUint16(host, Number(value & 0xffffn), true);
    else this.memory.u8[host] = Number(value & 0xffn);
  }

  /** Raises the fault that an access of `bytes` (at most a page) would raise; changes nothing but accessed and dirty bits. */
  probe(linear: bigint, bytes: number, access: number): void {
    const low = Number(linear & 0xffff_ffffn) | 0;
    const high = Number((linear >> 32n) & 0xffff_ffffn) | 0;
    if (!this.canonicalHigh(high)) this.cpu.gp();
    this.translate(low, high, access);
    if ((low & 0xfff) + bytes > PAGE_SIZE) {
      const next = this.step(linear, PAGE_SIZE - (low & 0xfff));
      const nextLow = Number(next & 0xffff_ffffn) | 0;
      const nextHigh = Number((next >> 32n) & 0xffff_ffffn) | 0;
      if (!this.canonicalHigh(nextHigh)) this.cpu.gp();
      this.translate(nextLow, nextHigh, access);
    }
  }

  /** linear + i, wrapped as the mode wraps linear addresses. */
  private step(linear: bigint, i: number): bigint {
    return BigInt.asUintN(this.cpu.codeSize === 64 ? 64 : 32, linear + BigInt(i));
  }
}
