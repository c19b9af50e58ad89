/**
 * What the processor remembers of address translation: contexts, the software TLB that compiled code looks up, the jump cache, and how
 * all of them are invalidated.
 *
 * TLB tags carry a context id: one for user and one for supervisor accesses of every (nested root, VPID/ASID, PCID). Flushing a
 * context means giving it fresh ids, so VM exits and CR3 switches cost no sweep.
 */
import { FrameFlag, RAM_BASE, type PhysicalMemory } from '../memory/physical-memory';
import { isCanonical, isCanonicalHigh, type LinearAddressWidth } from './canonical';
import type { Cpu } from './cpu';
import { jumpKeyHigh, jumpKeyLow } from './jump-key';
import { JUMP_CACHE, JUMP_CACHE_BITS, R, T, TLB, TLB_BITS, TLB_ENTRY, TLB_VICTIM } from './layout';
import { Cr4 } from './registers';
import { updateSimdState } from './simd-state';

export const TLB_MASK = (1 << TLB_BITS) - 1;
const CONTEXT_LIMIT = 4096;
/** Added to the number of the nested root in context keys under CR4.LA57: what 4-level paging left says nothing about 5-level paging. */
const LA57_ROOT = 2 ** 20;

interface ContextPair {
  readonly user: number;
  readonly supervisor: number;
}

export abstract class TranslationCache {
  /** VPID or ASID of the running context; 0 is the host. */
  asid = 0;

  protected contexts = new Map<number, ContextPair>();
  protected nestedRoots = new Map<number, number>();
  protected nextContext = 1;
  /** TLB entries filled for user pages while RFLAGS.AC suspended SMAP (host addresses of entries). */
  protected acFills: number[] = [];
  /** Virtual pages whose code the jump cache may know, and 2 MiB regions filled from large pages. */
  protected readonly codePages = new Set<number>();
  protected readonly largeRegions = new Set<number>();
  protected readonly memory: PhysicalMemory;

  constructor(protected readonly cpu: Cpu) {
    this.memory = cpu.memory;
    this.contextChanged();
  }

  /** Supplied by the step loop: its cache of fetch translations must go. */
  onFetchFlush: () => void = () => {};

  private contextKey(): number {
    const cpu = this.cpu;
    const pcid = (cpu.cr4 & Cr4.PCIDE) !== 0 ? cpu.get32(R.CR3) & 0xfff : 0;
    const nested = cpu.nested;
    let root = 0;
    if (nested !== undefined && nested.active) {
      root = this.nestedRoots.get(nested.root) ?? -1;
      if (root < 0) this.nestedRoots.set(nested.root, (root = this.nestedRoots.size + 1));
    }
    if ((cpu.cr4 & Cr4.LA57) !== 0) root += LA57_ROOT;
    return (root * 65536 + this.asid) * 4096 + pcid;
  }

  /** Re-derives R.CONTEXT, R.JUMP_KEY and R.LA57 after CPL, mode, CR3, VPID or nested root changed. */
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
    const la57 = (cpu.cr4 & Cr4.LA57) !== 0;
    cpu.set32(R.LA57, la57 ? 1 : 0);
    cpu.set32(R.JUMP_KEY, jumpKeyLow(context, la57));
    cpu.set32(R.JUMP_KEY + 4, jumpKeyHigh(context, mode, la57));
  }

  protected supervisorContext(): number {
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
    this.forgetSlot(Number(BigInt.asUintN(32, linear)));
  }

  /** Empties the entries in which the page of a linear address stands, if it is cached, in whatever context. */
  protected forgetSlot(low: number): void {
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

  /** Writes to a frame must take the slow path from here on: it holds decoded code. */
  protectFrame(frame: number): void {
    const u32 = this.memory.u32;
    const first = (this.cpu.base + TLB) >>> 2;
    for (let e = first; e < first + ((2 * TLB_ENTRY) << TLB_BITS) / 4; e += TLB_ENTRY / 4) {
      if (u32[e + T.FRAME / 4] === frame) u32[e + T.WRITE / 4] = u32[e + T.WRITE / 4 + 1] = 0;
    }
  }

  /** Every access to a frame must take the slow path from here on. Nothing is forgotten of which linear page it belongs to. */
  dropFrame(host: number): void {
    const frame = (host - RAM_BASE) >>> 12;
    this.memory.frameFlags[frame] &= ~FrameFlag.MappedWritable;
    const u32 = this.memory.u32;
    const first = (this.cpu.base + TLB) >>> 2;
    for (let e = first; e < first + ((2 * TLB_ENTRY) << TLB_BITS) / 4; e += TLB_ENTRY / 4) {
      if (u32[e + T.FRAME / 4] === frame) for (let word = 0; word < T.ADDEND / 4; word++) u32[e + word] = 0;
    }
  }

  /** The jump cache learns code of this linear page. Here and in largeRegions 48 bits stand for the address: two that share them are forgotten together. */
  noteCodePage(low: number, high: number): void {
    this.codePages.add((high & 0xffff) * 0x10_0000 + (low >>> 12));
  }

  /** Bits of linear addresses now. */
  private get width(): LinearAddressWidth {
    return this.cpu.get32(R.LA57) !== 0 ? 57 : 48;
  }
  /** An access or a branch may use it in 64-bit mode as it is now. */
  canonical(linear: bigint): boolean {
    return isCanonical(linear, this.width);
  }
  /** A register that holds an address takes it, and an invalidation of a translation. */
  canonicalForProcessor(linear: bigint): boolean {
    return isCanonical(linear, this.cpu.linearAddressWidth);
  }
  /** canonical() by bits 63:32; true outside 64-bit mode. */
  canonicalHigh(high: number): boolean {
    return this.cpu.codeSize !== 64 || isCanonicalHigh(high, this.width);
  }
}
