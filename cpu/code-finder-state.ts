/**
 * What a processor has cached of where its code is, as data. Decoded records are not state (they follow from RAM), but which pages can be
 * fetched from without a walk is: the fetch cache, and the entries of the jump cache as linear and host addresses.
 */
import type { CodeCache } from './code-cache';
import type { Cpu } from './cpu';
import type { CodeSize } from './decoder/insn';
import { linearHighOfJump, linearLowOfJump, modeOfJump } from './jump-key';
import { JUMP_CACHE, JUMP_CACHE_BITS } from './layout';

export interface CodeFinderState {
  readonly lookups: number;
  /** Slot, tag, host page of each fetch translation. */
  readonly fetches: Float64Array;
  /** Index, both words of the tag, host address of each jump-cache entry. */
  readonly jumps: Uint32Array;
}

const FETCH_FIELDS = 3;
const JUMP_WORDS = 4;
const JUMP_ENTRIES = 1 << JUMP_CACHE_BITS;
/** Words of an entry: tag (2), record, host address of the code. */
const RECORD = 2;
const HOST = 3;
const CODE_SIZES: readonly CodeSize[] = [16, 32, 64];

export function saveFetches(tags: Float64Array, hosts: Float64Array): Float64Array {
  const out: number[] = [];
  tags.forEach((tag, slot) => {
    if (tag >= 0) out.push(slot, tag, hosts[slot]);
  });
  return Float64Array.from(out);
}

export function restoreFetches(tags: Float64Array, hosts: Float64Array, saved: Float64Array): void {
  tags.fill(-1);
  for (let i = 0; i < saved.length; i += FETCH_FIELDS) {
    tags[saved[i]] = saved[i + 1];
    hosts[saved[i]] = saved[i + 2];
  }
}

export function saveJumps(cpu: Cpu, code: CodeCache): Uint32Array {
  const { u32 } = cpu;
  const first = (cpu.base + JUMP_CACHE) >>> 2;
  const out: number[] = [];
  for (let n = 0; n < JUMP_ENTRIES; n++) {
    const e = first + n * JUMP_WORDS;
    // An entry whose code has been dropped leads to a lookup, as no entry does.
    if (u32[e + RECORD] === 0 || !code.has(u32[e + HOST], codeSizeOf(u32[e + 1]))) continue;
    out.push(n, u32[e], u32[e + 1], u32[e + HOST]);
  }
  return Uint32Array.from(out);
}

/** Decodes what the entries lead to, as far as it is not decoded already. */
export function restoreJumps(cpu: Cpu, code: CodeCache, saved: Uint32Array): void {
  const { u32 } = cpu;
  const first = (cpu.base + JUMP_CACHE) >>> 2;
  u32.fill(0, first, first + JUMP_ENTRIES * JUMP_WORDS);
  for (let i = 0; i < saved.length; i += JUMP_WORDS) {
    const [n, low, high, host] = saved.subarray(i, i + JUMP_WORDS);
    const record = code.find(host, codeSizeOf(high));
    if (record === 0) continue;
    u32.set([low, high, record, host], first + n * JUMP_WORDS);
    // Decoding may have dropped all code, and with it what the MMU knew of this page.
    const linear = linearLowOfJump(n, low);
    cpu.mmu.noteCodePage(linear, linearHighOfJump(linear, low, high));
  }
}

const codeSizeOf = (high: number): CodeSize => CODE_SIZES[modeOfJump(high)];
