/**
 * Breakpoints of a debugger outside the machine: linear addresses before which the step loop stops. What runs cannot see them: no byte
 * of memory, no register and no translation changes. They are compared where code is looked up, so they hold in every address space and
 * follow a page that is mapped elsewhere; decoded blocks end before them (CodeCache.breaks), so that execution comes to a lookup.
 */
export class CodeBreakpoints {
  /** Offsets by linear page; and where blocks were made to end for each of them. */
  private readonly pages = new Map<number, Map<number, Set<number>>>();
  /** Root-mode code is the hypervisor's own, and no breakpoint is meant for it. */
  guestOnly = false;
  /** Linear address of the breakpoint that stopped the step loop last; taken (and cleared) by whoever asked for the stop. */
  hit: bigint | undefined;
  // The instruction that has been reported and is to be executed now.
  private passAt = -1;
  private passRip = 0n;

  get empty(): boolean {
    return this.pages.size === 0;
  }

  /** @param address canonical. */
  add(address: bigint): void {
    const { page, offset } = split(address);
    let offsets = this.pages.get(page);
    if (offsets === undefined) this.pages.set(page, (offsets = new Map<number, Set<number>>()));
    if (!offsets.has(offset)) offsets.set(offset, new Set());
  }

  /** Returns the host addresses that no longer end blocks. */
  delete(address: bigint): ReadonlySet<number> {
    const { page, offset } = split(address);
    const offsets = this.pages.get(page);
    const places = offsets?.get(offset);
    offsets?.delete(offset);
    if (offsets?.size === 0) this.pages.delete(page);
    return places ?? new Set();
  }

  /** What breaks in the page of a linear address, given as two words; undefined: nothing. */
  inPage(low: number, high: number): ReadonlyMap<number, Set<number>> | undefined {
    return this.pages.get(pageNumber(low, high));
  }

  /** The instruction at `rip` is not reported again before so many instructions have retired. */
  pass(retired: number, rip: bigint): void {
    this.passAt = retired;
    this.passRip = rip;
  }
  passes(retired: number, rip: bigint): boolean {
    return this.passAt === retired && this.passRip === rip;
  }
}

/** 45 bits of page number: the rest of a canonical address follows from them. */
const pageNumber = (low: number, high: number): number => (high & 0x1ff_ffff) * 0x10_0000 + (low >>> 12);

function split(address: bigint): { page: number; offset: number } {
  const low = Number(address & 0xffff_ffffn);
  return { page: pageNumber(low, Number(address >> 32n)), offset: low & 0xfff };
}
