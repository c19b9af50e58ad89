/**
 * Data breakpoints as memory accesses see them. SDM "Breakpoint Field Recognition", "Data Memory and I/O Breakpoint Exception Conditions".
 *
 * An aligned breakpoint lies in one page, so at most four pages are concerned; they stay out of the TLB, and every access to them comes
 * through the slow path, which asks here. All other pages cost nothing.
 *
 * Accesses that the processor makes by itself (descriptor tables, the TSS, the stack of an event's delivery) count as the instruction's
 * own; the manuals do not exempt them. Page walks are physical and do not.
 */
import type { Cpu } from './cpu';
import { dataBreakpoint } from './debug';

export class DataBreakpoints {
  /** Some data breakpoint is enabled. */
  armed = false;
  /** Conditions met by the current instruction, as DR6 bits: they become a trap when it completes, and nothing if it faults. */
  hits = 0;
  /** Low and high words of the linear pages concerned. */
  private pages: readonly (readonly [low: number, high: number])[] = [];

  constructor(private readonly cpu: Cpu) {}

  /** The debug registers were loaded. */
  watch(pages: readonly (readonly [low: number, high: number])[]): void {
    this.pages = pages;
    this.armed = pages.length !== 0;
  }

  /** A breakpoint lies in the page of this linear address. */
  covers(low: number, high: number): boolean {
    if (!this.armed) return false;
    for (const page of this.pages) if (page[0] === (low & ~0xfff) && page[1] === (high | 0)) return true;
    return false;
  }

  /** An access of the current instruction. True when it meets a breakpoint. */
  access(low: number, high: number, bytes: number, write: boolean): boolean {
    if (!this.covers(low, high) && (low & 0xfff) + bytes <= 4096) return false;
    const hits = dataBreakpoint(this.cpu, (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0), bytes, write);
    this.hits |= hits;
    return hits !== 0;
  }

  /** What the instruction that just completed has met; the next one starts with nothing. */
  take(): number {
    const { hits } = this;
    this.hits = 0;
    return hits;
  }
}
