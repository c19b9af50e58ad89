/** The software TLB of a vCPU as data: the entries that are in use. */
import { FrameFlag, RAM_BASE } from '../memory/physical-memory';
import type { Cpu } from './cpu';
import { T, TLB, TLB_BITS, TLB_ENTRY } from './layout';

/** Both ways: the victim way follows the first. */
const ENTRIES = 2 << TLB_BITS;
const WORDS = TLB_ENTRY / 4;
/** Index, then the entry. */
const RECORD = 1 + WORDS;
const CONTEXT_MASK = 0xfff;

export function saveTlb(cpu: Cpu): Uint32Array {
  const { u32 } = cpu;
  const first = (cpu.base + TLB) >>> 2;
  const used = (e: number): boolean => {
    for (let w = 0; w < WORDS; w++) if (u32[e + w] !== 0) return true;
    return false;
  };
  let count = 0;
  for (let n = 0; n < ENTRIES; n++) if (used(first + n * WORDS)) count++;
  const out = new Uint32Array(count * RECORD);
  let at = 0;
  for (let n = 0; n < ENTRIES; n++) {
    const e = first + n * WORDS;
    if (!used(e)) continue;
    out[at] = n;
    out.set(u32.subarray(e, e + WORDS), at + 1);
    at += RECORD;
  }
  return out;
}

/** Contexts that are in use: the ids of others are not given out again, so that their entries never match. */
export type LiveContexts = ReadonlySet<number>;

/** @param dropCode called with the host address of each frame that may be written through the TLB and has decoded code. */
export function restoreTlb(cpu: Cpu, saved: Uint32Array, live: LiveContexts, dropCode: (host: number) => void): void {
  const { u32 } = cpu;
  const flags = cpu.memory.frameFlags;
  const first = (cpu.base + TLB) >>> 2;
  u32.fill(0, first, first + ENTRIES * WORDS);
  for (let at = 0; at < saved.length; at += RECORD) {
    const e = first + saved[at] * WORDS;
    u32.set(saved.subarray(at + 1, at + RECORD), e);
    // A watch set since the snapshot stays, and wants to hear of everything.
    if ((flags[u32[e + T.FRAME / 4]] & FrameFlag.ReadWatched) !== 0) u32.fill(0, e, e + T.ADDEND / 4);
    if (!writes(u32, e, live)) continue;
    const frame = u32[e + T.FRAME / 4];
    // Code was decoded there since the snapshot; a watch set since then stays, and wants to hear of writes.
    if ((flags[frame] & FrameFlag.Code) !== 0) dropCode(RAM_BASE + frame * 4096);
    if ((flags[frame] & FrameFlag.Watched) !== 0) u32[e + T.WRITE / 4] = u32[e + T.WRITE / 4 + 1] = 0;
  }
  markWritable(cpu, live);
}

/** Tags of other than poisoned entries are not 0: context 0 is not given out. */
const writes = (u32: Uint32Array, e: number, live: LiveContexts): boolean => {
  const tag = u32[e + T.WRITE / 4];
  return tag !== 0 && live.has(tag & CONTEXT_MASK);
};

/** Compiled code can write to these frames without another word. */
export function markWritable(cpu: Cpu, live: LiveContexts): void {
  const { u32 } = cpu;
  const flags = cpu.memory.frameFlags;
  const first = (cpu.base + TLB) >>> 2;
  for (let e = first; e < first + ENTRIES * WORDS; e += WORDS) {
    if (writes(u32, e, live)) flags[u32[e + T.FRAME / 4]] |= FrameFlag.MappedWritable | FrameFlag.Dirty;
  }
}
