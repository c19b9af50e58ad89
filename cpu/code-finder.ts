/** From R.RIP to code: the fetch translation, the decoded record, the jump cache; gates and code outside RAM on the way. */
import type { Stateful } from '../memory/stateful';
import type { CodeBreakpoints } from './code-breakpoints';
import type { CodeCache } from './code-cache';
import { restoreFetches, restoreJumps, saveFetches, saveJumps, type CodeFinderState } from './code-finder-state';
import { UNWIND, Vector, type Cpu } from './cpu';
import { decode } from './decoder/decode';
import { Segment, type Insn } from './decoder/insn';
import { EventType } from './interfaces';
import { linearHighOfJump, linearLowOfJump } from './jump-key';
import { JUMP_CACHE, JUMP_CACHE_BITS, R } from './layout';
import { Access } from './mmu';
import { jumpIndex } from './stage/jump-hash';

/** Answers that are no address and no record: a gate stands there; the instruction must be single-stepped; a debugger's breakpoint is there. */
export const GATE = -1;
export const STEP = -2;
export const BREAK = -3;

const MAX_INSTRUCTION = 15;
const FETCH_ENTRIES = 1024;

export class CodeFinder implements Stateful<CodeFinderState> {
  lookups = 0;
  /** Small translation cache for instruction fetches: linear page, context, host page. */
  private readonly fetchTags = new Float64Array(FETCH_ENTRIES).fill(-1);
  private readonly fetchHosts = new Float64Array(FETCH_ENTRIES);
  private readonly state: number;

  /** @param gates host-physical addresses at which root-mode execution stops. */
  constructor(
    private readonly cpu: Cpu,
    private readonly code: CodeCache,
    private readonly gates: ReadonlySet<number>,
  ) {
    this.state = cpu.base >>> 2;
    cpu.mmu.onFetchFlush = () => this.fetchTags.fill(-1);
  }

  /** Of a debugger; undefined: none, and nothing is compared. */
  breakpoints: CodeBreakpoints | undefined;
  /** The instruction at R.RIP executes though a breakpoint is there. */
  passing = false;

  /** The last lookup stayed in the page it came from and found a cached block. */
  samePage = false;
  /** Record of the code at R.RIP; 0 when the fetch faulted (cpu.fault), GATE, BREAK, or STEP when it must be single-stepped. */
  lookup(): number {
    const cpu = this.cpu;
    this.lookups++;
    const host = this.locate();
    if (host <= 0) return host;
    // The same code under another linear address.
    if (this.code.breaks.size > 0 && this.code.breaks.has(host)) return STEP;
    const u32 = cpu.u32;
    const s = this.state;
    const low = u32[s + R.PAGE_BASE / 4] | (host & 0xfff) | 0;
    const high = u32[s + R.PAGE_BASE / 4 + 1];
    let record = this.code.find(host, cpu.codeSize);
    if (record === 0) {
      this.samePage = false;
      record = this.crossingRecord(low, high, host);
      if (record <= 0) return record;
    }
    const entry = (cpu.base + JUMP_CACHE + jumpIndex(low) * 16) >>> 2;
    u32[entry] = (low ^ u32[s + R.JUMP_KEY / 4]) >>> 0;
    u32[entry + 1] = (high ^ u32[s + R.JUMP_KEY / 4 + 1]) >>> 0;
    u32[entry + 2] = record;
    u32[entry + 3] = host;
    cpu.mmu.noteCodePage(low, high);
    return record;
  }

  /** Host address of the code at R.RIP, 0 when the fetch faulted (cpu.fault), GATE, BREAK, or STEP for code outside RAM. Sets PAGE_BASE. */
  locate(): number {
    const cpu = this.cpu;
    const u32 = cpu.u32;
    const s = this.state;
    let low = (u32[s + R.RIP / 4] + u32[s + R.CODE_BASE / 4]) | 0;
    let high = u32[s + R.RIP / 4 + 1];
    if (cpu.codeSize !== 64) {
      high = 0;
      if (u32[s + R.RIP / 4] > cpu.segmentLimit(Segment.CS)) return this.fetchFault();
    } else if (!cpu.mmu.canonicalHigh(high)) return this.fetchFault();
    else low = u32[s + R.RIP / 4] | 0;
    let host: number;
    try {
      host = this.codeHost(low, high);
    } catch (e) {
      if (e !== UNWIND) throw e;
      return 0;
    }
    if (host < 0) return 0;
    const previousPage = u32[s + R.PAGE_BASE / 4];
    this.samePage = previousPage === (low & ~0xfff) >>> 0 && u32[s + R.PAGE_BASE / 4 + 1] === high >>> 0;
    u32[s + R.PAGE_BASE / 4] = low & ~0xfff;
    u32[s + R.PAGE_BASE / 4 + 1] = high;
    if (this.breakpoints !== undefined && this.breaksAt(this.breakpoints, low, high, host)) return BREAK;
    if (host === 0) return STEP;
    if (this.gates.size > 0 && !cpu.guestMode && this.gates.has(cpu.memory.physical(host))) return GATE;
    return host;
  }

  private breaksAt(breakpoints: CodeBreakpoints, low: number, high: number, host: number): boolean {
    if (breakpoints.empty || (breakpoints.guestOnly && !this.cpu.guestMode)) return false;
    const offsets = breakpoints.inPage(low, high);
    if (offsets === undefined) return false;
    if (host !== 0) this.breakBlocks(offsets, host);
    return !this.passing && offsets.has(low & 0xfff);
  }

  /** Blocks in the page of `host` end where a breakpoint is. */
  private breakBlocks(offsets: ReadonlyMap<number, Set<number>>, host: number, again = false): void {
    for (const [offset, places] of offsets) {
      const place = ((host & ~0xfff) >>> 0) + offset;
      if (places.has(place) && !again) continue;
      places.add(place);
      this.code.breakAt(place);
    }
  }

  /** Breakpoints were set, or the jump cache was restored: no entry of it may lead past one. The translations that it implies stay. */
  breakpointsChanged(): void {
    const { breakpoints, cpu } = this;
    if (breakpoints === undefined || breakpoints.empty) return;
    const first = (cpu.base + JUMP_CACHE) >>> 2;
    for (let e = first; e < first + (4 << JUMP_CACHE_BITS); e += 4) {
      if (cpu.u32[e + 2] === 0) continue;
      const low = linearLowOfJump((e - first) / 4, cpu.u32[e]);
      const offsets = breakpoints.inPage(low, linearHighOfJump(low, cpu.u32[e], cpu.u32[e + 1]));
      if (offsets !== undefined) this.breakBlocks(offsets, cpu.u32[e + 3], true);
    }
  }

  /** RIP beyond the limit of CS, or not canonical: #GP(0). */
  private fetchFault(): 0 {
    this.cpu.fault = { vector: Vector.GP, type: EventType.HardwareException, errorCode: 0, payload: 0n, length: 0 };
    return 0;
  }

  /** Host address of code, 0 outside RAM. Raises page faults. */
  fetchHost(low: number, high: number): number {
    return this.cpu.mmu.orUnwind(this.codeHost(low, high));
  }

  /** The same, but negative as addressOf() where the fetch is refused. */
  private codeHost(low: number, high: number): number {
    const cpu = this.cpu;
    const context = cpu.get32(R.CONTEXT);
    const slot = (low >>> 12) & (FETCH_ENTRIES - 1);
    // A double holds 36 bits of page number and 12 of context; of the 45 that 57-bit addresses have, the slot is 10. No context is of both widths.
    const page = cpu.get32(R.LA57) === 0 ? (high & 0xffff) * 0x10_0000 + (low >>> 12) : (high & 0x1ff_ffff) * 0x400 + (low >>> 22);
    const tag = page * 4096 + context;
    if (this.fetchTags[slot] === tag) return this.fetchHosts[slot] + (low & 0xfff);
    const physical = cpu.mmu.addressOf(low, high, Access.Fetch);
    if (physical < 0) return physical;
    const host = cpu.memory.host(physical);
    if (host !== 0) {
      this.fetchTags[slot] = tag;
      this.fetchHosts[slot] = (host & ~0xfff) >>> 0;
    }
    return host;
  }

  private crossingRecord(low: number, high: number, host: number): number {
    const cpu = this.cpu;
    let insn: Insn;
    let second: number;
    try {
      const nextLow = ((low & ~0xfff) + 0x1000) | 0;
      second = this.fetchHost(nextLow, nextLow === 0 && cpu.codeSize === 64 ? high + 1 : high);
      if (second === 0) return STEP;
      insn = this.decodeBytes(host, second);
    } catch (e) {
      if (e !== UNWIND) throw e;
      return 0;
    }
    return this.code.crossing(insn, host, second, cpu.codeSize);
  }

  private decodeBytes(host: number, second: number): Insn {
    const bytes = new Uint8Array(2 * MAX_INSTRUCTION);
    const first = Math.min(MAX_INSTRUCTION, 4096 - (host & 0xfff));
    for (let i = 0; i < first; i++) bytes[i] = this.cpu.u8[host + i];
    for (let i = first; i < MAX_INSTRUCTION + 1; i++) bytes[i] = this.cpu.u8[second + i - first];
    return decode(bytes, 0, MAX_INSTRUCTION + 1, this.cpu.codeSize)!;
  }

  /** Fetches and decodes the instruction at R.RIP without the code cache (from devices too). Throws UNWIND on a fetch fault. */
  fetch(): Insn {
    const cpu = this.cpu;
    const bytes = new Uint8Array(MAX_INSTRUCTION + 1);
    const linear = BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, cpu.rip + cpu.get64(R.CODE_BASE));
    let low = Number(linear & 0xffff_ffffn) | 0;
    let high = Number(linear >> 32n) | 0;
    let physical = cpu.mmu.translate(low, high, Access.Fetch);
    for (let n = 0; n < MAX_INSTRUCTION + 1; n++) {
      bytes[n] = cpu.memory.read8(physical);
      physical++;
      low = (low + 1) | 0;
      if ((low & 0xfff) === 0 && n < MAX_INSTRUCTION) {
        const known = decode(bytes, 0, n + 1, cpu.codeSize);
        if (known !== undefined) return known;
        if (low === 0 && cpu.codeSize === 64) high++;
        physical = cpu.mmu.translate(low, high, Access.Fetch);
      }
    }
    return decode(bytes, 0, MAX_INSTRUCTION + 1, cpu.codeSize)!;
  }

  // ---- snapshots ----

  saveState(): CodeFinderState {
    return { lookups: this.lookups, fetches: saveFetches(this.fetchTags, this.fetchHosts), jumps: saveJumps(this.cpu, this.code) };
  }

  /** RAM and the MMU have been restored. */
  restoreState({ lookups, fetches, jumps }: CodeFinderState): void {
    this.lookups = lookups;
    restoreJumps(this.cpu, this.code, jumps);
    restoreFetches(this.fetchTags, this.fetchHosts, fetches);
  }
}
