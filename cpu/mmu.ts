/**
 * The memory management unit of one processor: page walks (page-walker.ts) behind a software TLB (translation-cache.ts), the slow path
 * of compiled code (slow-path.ts), and here memory as TypeScript handlers see it.
 *
 * Linear addresses cross from compiled code as two 32-bit halves; physical addresses are JS numbers below 2^52.
 */
import { PAGE_SIZE } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';
import { dataBreakpointPages } from './debug';
import type { InterceptedPage } from './interfaces';
import { R, T, TLB, TLB_ENTRY } from './layout';
import { Access } from './page-walker';
import { SlowPath } from './slow-path';
import { markWritable, restoreTlb, saveTlb } from './tlb-state';
import { TLB_MASK } from './translation-cache';

/** Cached translations are state: a guest sees them by the accessed and dirty flags that a walk would set, and by what it did not flush. */
export interface MmuState {
  readonly asid: number;
  readonly walks: number;
  readonly contexts: readonly (readonly [key: number, user: number, supervisor: number])[];
  readonly nestedRoots: readonly (readonly [root: number, number: number])[];
  readonly nextContext: number;
  readonly acFills: readonly number[];
  readonly codePages: Float64Array;
  readonly largeRegions: Float64Array;
  readonly tlb: Uint32Array;
}

export { Access } from './page-walker';

export class Mmu extends SlowPath implements Stateful<MmuState> {
  /** Host address for an access of `bytes` that lies in one page of RAM, or 0 for a device (then this.devicePhysical). */
  private devicePhysical = 0;
  hostOf(low: number, high: number, access: number, bytes: number): number {
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
    const physical = this.orUnwind(this.translateOrExit(low, high, access));
    const host = this.intercepts(physical) ? 0 : this.memory.host(physical);
    if (this.dataBreakpoints.armed) this.dataBreakpoints.access(low, high, bytes, write);
    if (host === 0) {
      this.devicePhysical = physical;
      return 0;
    }
    if (write) this.memory.aboutToWrite(physical, host, Math.min(16, PAGE_SIZE - (host & 0xfff)));
    else if ((access & (Access.Fetch | Access.Supervisor)) === 0 && !this.readWatched(host) && !this.dataBreakpoints.covers(low, high))
      this.fill(low, high, host);
    return host;
  }

  /** Reads 1, 2, 4 or 8 bytes; any alignment. DEVIATION: with CR0.AM and RFLAGS.AC a misaligned access at CPL 3 raises no #AC. */
  read(linear: bigint, bytes: number, access: number): bigint {
    const low = Number(linear & 0xffff_ffffn) | 0;
    const high = Number((linear >> 32n) & 0xffff_ffffn) | 0;
    if ((low & 0xfff) + bytes > PAGE_SIZE) {
      let value = 0n;
      this.probe(linear, bytes, access);
      for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | this.read(this.step(linear, i), 1, access);
      return value;
    }
    const host = this.hostOf(low, high, access, bytes);
    if (host === 0) {
      const p = this.devicePhysical;
      if (this.intercepts(p)) return BigInt(this.permitted(p, bytes, Access.Read).read(p & 0xfff, bytes));
      return bytes === 8 ? this.memory.read64(p) : BigInt(bytes === 4 ? this.memory.read32(p) : bytes === 2 ? this.memory.read16(p) : this.memory.read8(p));
    }
    const view = this.memory.view;
    this.memory.aboutToRead(host, bytes);
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
    const host = this.hostOf(low, high, access, bytes);
    if (host === 0) {
      const p = this.devicePhysical;
      if (this.intercepts(p)) this.permitted(p, bytes, Access.Write).write(p & 0xfff, bytes, Number(value & 0xffff_ffffn));
      else if (bytes === 8) this.memory.write64(p, value);
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
    this.probePage(low, high, access);
    if ((low & 0xfff) + bytes > PAGE_SIZE) {
      const next = this.step(linear, PAGE_SIZE - (low & 0xfff));
      const nextLow = Number(next & 0xffff_ffffn) | 0;
      const nextHigh = Number((next >> 32n) & 0xffff_ffffn) | 0;
      if (!this.canonicalHigh(nextHigh)) this.cpu.gp();
      this.probePage(nextLow, nextHigh, access);
    }
  }

  /** What the delivery of an event pushes is answered for, or refused, push by push. */
  private probePage(low: number, high: number, access: number): void {
    if (this.cpu.delivering === undefined) this.translate(low, high, access);
    else this.orUnwind(this.translateOrExit(low, high, access));
  }

  /** Who answers for an intercepted page, when it permits the access; otherwise a VM exit unwinds. */
  private permitted(physical: number, bytes: number, access: number): InterceptedPage {
    return this.interceptor!.permits(physical & 0xfff, bytes, access) ? this.interceptor! : this.cpu.unwind();
  }

  /** linear + i, wrapped as the mode wraps linear addresses. */
  private step(linear: bigint, i: number): bigint {
    return BigInt.asUintN(this.cpu.codeSize === 64 ? 64 : 32, linear + BigInt(i));
  }

  // ---- snapshots ----

  /** Supplied by the code cache: nothing decoded of this frame is to be kept, because the TLB allows writes to it. */
  dropCode: (host: number) => void = () => {};

  saveState(): MmuState {
    const { asid, walks, nextContext } = this;
    return {
      ...{ asid, walks, nextContext },
      contexts: [...this.contexts].map(([key, { user, supervisor }]) => [key, user, supervisor] as const),
      nestedRoots: [...this.nestedRoots],
      acFills: [...this.acFills],
      codePages: Float64Array.from(this.codePages),
      largeRegions: Float64Array.from(this.largeRegions),
      tlb: saveTlb(this.cpu),
    };
  }

  /** The vCPU block and RAM have been restored. */
  restoreState(state: MmuState): void {
    const { asid, walks, nextContext } = state;
    Object.assign(this, { asid, walks, nextContext, slowStep: false, slowStepWanted: false });
    this.contexts = new Map(state.contexts.map(([key, user, supervisor]) => [key, { user, supervisor }]));
    this.nestedRoots = new Map(state.nestedRoots);
    this.acFills = [...state.acFills];
    replace(this.codePages, state.codePages);
    replace(this.largeRegions, state.largeRegions);
    this.watchBreakpoints(dataBreakpointPages(this.cpu));
    restoreTlb(this.cpu, state.tlb, this.liveContexts(), this.dropCode);
  }

  /** Marks every frame dirty that the TLB lets compiled code write to. */
  markWritable(): void {
    markWritable(this.cpu, this.liveContexts());
  }

  private liveContexts(): Set<number> {
    return new Set([...this.contexts.values()].flatMap(({ user, supervisor }) => [user, supervisor]));
  }
}

function replace(set: Set<number>, members: Iterable<number>): void {
  set.clear();
  for (const member of members) set.add(member);
}
