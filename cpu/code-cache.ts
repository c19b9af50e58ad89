/**
 * Decoded code: from bytes in RAM to records, found again by (host page, code size, offset).
 *
 * A block runs from an entry to the first instruction that ends it (or MAX_BLOCK instructions). Only block entries are shared:
 * links, the jump cache and fall-throughs lead to them. When bytes under a block change, its entry record becomes STALE, so that
 * whoever still leads there is sent to look up again; nothing else has to be found and purged.
 */
import { FrameFlag, PAGE_SIZE, RAM_BASE, type PhysicalMemory } from '../memory/physical-memory';
import { decode } from './decoder/decode';
import type { CodeSize, Insn } from './decoder/insn';
import { RECORDS, RECORDS_END, RECORD_SIZE } from './layout';
import { Lowering } from './lowering';
import { MAX_BLOCK, Rec } from './stage/record';
import { Special, type Interpreter } from './stage/interpreter';

const MODE: Record<CodeSize, number> = { 16: 0, 32: 1, 64: 2 };
/** Records of one single step: address, instruction, continuation. */
const SCRATCH_RECORDS = 8;
/** A run of records never needs more room than this. */
const RUN_MARGIN = 3 * 4096 * RECORD_SIZE;

interface Block {
  readonly start: number;
  readonly end: number;
  readonly mode: number;
  readonly record: number;
}

/** What is decoded of one RAM frame. */
class CodeFrame {
  /** Entry records by offset * 4 + mode. */
  readonly entries = new Map<number, number>();
  blocks: Block[] = [];
  /** One bit a byte that some block covers. */
  readonly covered = new Uint32Array(PAGE_SIZE / 32);

  add(block: Block): void {
    this.blocks.push(block);
    this.cover(block);
  }
  private cover(block: Block): void {
    for (let o = block.start; o < block.end && o < PAGE_SIZE; o++) this.covered[o >>> 5] |= 1 << (o & 31);
  }
  overlaps(offset: number, bytes: number): boolean {
    for (let o = offset; o < offset + bytes; o++) if ((this.covered[o >>> 5] >>> (o & 31)) & 1) return true;
    return false;
  }
  recover(): void {
    this.covered.fill(0);
    for (const b of this.blocks) this.cover(b);
  }
}

export class CodeCache {
  private readonly frames = new Map<number, CodeFrame>();
  private next: number;
  /** Instructions with a TypeScript handler, by the index their record's IMMEDIATE holds. */
  readonly insns: Insn[] = [];
  /** By record number: start offset (13 bits) | index in block << 13 | length << 21. */
  private readonly meta = new Uint32Array((RECORDS_END - RECORDS) / RECORD_SIZE);
  private readonly lowering: Lowering;
  private readonly first: number;
  /** Told when a frame gets its first record: TLBs must stop writing to it directly. */
  onFrameBecameCode: (host: number) => void = () => {};
  /** Told when every record was dropped: jump caches must forget. */
  onFlush: () => void = () => {};
  /** Host-physical addresses that no block runs over: execution stops there in root mode. */
  readonly gates = new Set<number>();
  /** Host addresses at which a block must not go on either, because a debugger's breakpoint stands at a linear address of theirs. */
  readonly breaks = new Set<number>();
  decoded = 0;
  invalidations = 0;

  constructor(
    private readonly memory: PhysicalMemory,
    private readonly interpreter: Interpreter,
    isSystemBlockEnd: (op: string) => boolean | undefined,
    features: (name: string) => boolean,
    cpus = 1,
  ) {
    this.lowering = new Lowering(memory, interpreter, this.insns, isSystemBlockEnd, features);
    this.first = RECORDS + cpus * SCRATCH_RECORDS * RECORD_SIZE;
    this.next = this.first;
    for (let i = 0; i < cpus; i++) this.insns.push(undefined as unknown as Insn);
    memory.onWrite((physical, length) => this.invalidate(physical, length));
  }

  startOffset(record: number): number {
    return this.meta[(record - RECORDS) >>> 5] & 0x1fff;
  }
  indexInBlock(record: number): number {
    return (this.meta[(record - RECORDS) >>> 5] >>> 13) & 0xff;
  }
  lengthOf(record: number): number {
    return this.meta[(record - RECORDS) >>> 5] >>> 21;
  }
  private setMeta(record: number, start: number, index: number, length: number): void {
    this.meta[(record - RECORDS) >>> 5] = start | (index << 13) | (length << 21);
  }

  private frame(host: number): CodeFrame {
    const number = (host - RAM_BASE) >>> 12;
    let frame = this.frames.get(number);
    if (frame === undefined) {
      this.frames.set(number, (frame = new CodeFrame()));
      this.memory.frameFlags[number] |= FrameFlag.Code;
      this.onFrameBecameCode(host);
    }
    return frame;
  }

  /** Entry record of the code at a host address, or 0 when its first instruction reaches beyond the page. */
  find(host: number, codeSize: CodeSize): number {
    const number = (host - RAM_BASE) >>> 12;
    const key = (host & 0xfff) * 4 + MODE[codeSize];
    const known = this.frames.get(number)?.entries.get(key);
    if (known !== undefined) return known;
    if (this.next + RUN_MARGIN > RECORDS_END) this.flush();
    return this.decodeRun(host, codeSize);
  }

  /** A block that starts at a host address is decoded. */
  has(host: number, codeSize: CodeSize): boolean {
    return this.frames.get((host - RAM_BASE) >>> 12)?.entries.has((host & 0xfff) * 4 + MODE[codeSize]) === true;
  }

  /** Drops every record. Never while compiled code runs. */
  flush(): void {
    for (const number of this.frames.keys()) this.memory.frameFlags[number] &= ~FrameFlag.Code;
    this.frames.clear();
    this.insns.length = (this.first - RECORDS) / (SCRATCH_RECORDS * RECORD_SIZE);
    this.next = this.first;
    this.onFlush();
  }

  private decodeRun(host: number, codeSize: CodeSize): number {
    const page = (host & ~0xfff) >>> 0;
    const frame = this.frame(host);
    const mode = MODE[codeSize];
    const end = page + PAGE_SIZE;
    let offset = host & 0xfff;
    let entry = 0;
    for (;;) {
      // One block.
      const start = offset;
      const first = this.next;
      if (entry !== 0) {
        const known = frame.entries.get(start * 4 + mode);
        if (known !== undefined || start >= PAGE_SIZE) {
          this.fall(start, 0, known ?? 0);
          return entry;
        }
      }
      let count = 0;
      let producer = 0;
      let ended = false;
      let conditional = false;
      while (count < MAX_BLOCK) {
        if ((count > 0 || entry !== 0) && this.isBoundary(page + offset)) break;
        const insn = offset < PAGE_SIZE ? decode(this.memory.u8, page + offset, end, codeSize) : undefined;
        if (insn === undefined) break;
        this.decoded++;
        count++;
        const records = this.lowering.write(this.next, insn, offset, producer);
        for (let r = 0; r < records; r++) this.setMeta(this.next + r * RECORD_SIZE, offset, count - 1, insn.length);
        this.next += records * RECORD_SIZE;
        producer = this.lowering.producer;
        offset += insn.length;
        if (this.lowering.endsBlock) {
          this.memory.u8[this.next - RECORD_SIZE + Rec.COUNT] = count;
          ended = true;
          conditional = insn.op === 'JCC' || insn.op === 'LOOP' || insn.op === 'LOOPE' || insn.op === 'LOOPNE' || insn.op === 'JCXZ';
          break;
        }
      }
      if (count === 0) {
        // The instruction crosses the page, or is behind a gate: it is not decoded here.
        if (entry === 0) return 0;
        this.fall(offset, 0, 0);
        return entry;
      }
      frame.entries.set(start * 4 + mode, first);
      frame.add({ start, end: offset, mode, record: first });
      if (entry === 0) entry = first;
      if (!ended) {
        this.fall(offset, count, 0);
        return entry;
      }
      if (!conditional) return entry;
    }
  }

  private isBoundary(host: number): boolean {
    if (this.gates.size > 0 && this.gates.has(this.memory.physical(host))) return true;
    return this.breaks.size > 0 && this.breaks.has(host);
  }

  /** No block runs over a host address from here on. */
  breakAt(host: number): void {
    this.breaks.add(host);
    this.invalidate(this.memory.physical(host), 1);
  }

  /** Ends a run: go on at a page offset, whose entry record may be known. */
  private fall(offset: number, count: number, link: number): void {
    const r = this.next;
    this.next += RECORD_SIZE;
    this.writePlain(r, Special.Fall, offset, count);
    this.memory.u32[(r + Rec.LINK) >>> 2] = link;
    this.setMeta(r, offset, count, 0);
  }

  private writePlain(r: number, special: string, offset: number, count: number): void {
    const { u8, u16, u32 } = this.memory;
    u32[(r + Rec.HANDLER) >>> 2] = this.interpreter.specialHandler(special);
    u8[r + Rec.IP16] = 0;
    u8[r + Rec.COUNT] = count;
    u16[(r + Rec.NEXT) >>> 1] = offset;
    u32[(r + Rec.IMMEDIATE) >>> 2] = offset;
    u32[(r + Rec.IMMEDIATE + 4) >>> 2] = 0;
    u32[(r + Rec.LINK) >>> 2] = 0;
  }

  /** Records that execute exactly one instruction and then stop for want of budget (BUDGET must be 1). */
  single(insn: Insn, offset: number, cpu: number): number {
    const r = RECORDS + cpu * SCRATCH_RECORDS * RECORD_SIZE;
    const records = this.lowering.write(r, insn, offset, 0, cpu);
    for (let i = 0; i < records; i++) this.setMeta(r + i * RECORD_SIZE, offset, 0, insn.length);
    const last = r + (records - 1) * RECORD_SIZE;
    if (this.lowering.endsBlock) this.memory.u8[last + Rec.COUNT] = 1;
    const after = r + records * RECORD_SIZE;
    this.writePlain(after, Special.Fall, offset + insn.length, 1);
    this.setMeta(after, offset + insn.length, 1, 0);
    return r;
  }

  /** After an instruction that crosses into a second page was decoded elsewhere: a block of its own, watched in both frames. */
  crossing(insn: Insn, host: number, secondHost: number, codeSize: CodeSize): number {
    if (this.next + RUN_MARGIN > RECORDS_END) this.flush();
    const mode = MODE[codeSize];
    const offset = host & 0xfff;
    const first = this.next;
    const records = this.lowering.write(first, insn, offset, 0);
    for (let i = 0; i < records; i++) this.setMeta(first + i * RECORD_SIZE, offset, 0, insn.length);
    this.next += records * RECORD_SIZE;
    if (this.lowering.endsBlock) this.memory.u8[this.next - RECORD_SIZE + Rec.COUNT] = 1;
    this.fall(offset + insn.length, this.lowering.endsBlock ? 0 : 1, 0);
    this.frame(host).add({ start: offset, end: PAGE_SIZE, mode, record: first });
    this.frame(secondHost).add({ start: 0, end: offset + insn.length - PAGE_SIZE, mode, record: first });
    return first;
  }

  /** True when no decoded instruction covers these bytes of RAM. */
  untouched(physical: number, bytes: number): boolean {
    const host = this.memory.host(physical);
    const number = (host - RAM_BASE) >>> 12;
    if ((this.memory.frameFlags[number] & FrameFlag.Watched) !== 0) return false;
    const frame = this.frames.get(number);
    return frame === undefined || !frame.overlaps(host & 0xfff, Math.min(bytes, PAGE_SIZE - (host & 0xfff)));
  }

  /** Drops the blocks over [physical, physical + length), which lies inside one page: its bytes are about to change, or a gate moved. */
  invalidate(physical: number, length: number): void {
    const host = this.memory.host(physical);
    const number = (host - RAM_BASE) >>> 12;
    const frame = this.frames.get(number);
    if (frame === undefined) return;
    const from = host & 0xfff;
    const to = Math.min(from + length, PAGE_SIZE);
    if (!frame.overlaps(from, to - from)) return;
    this.invalidations++;
    const kept: Block[] = [];
    for (const b of frame.blocks) {
      if (b.end <= from || b.start >= to) kept.push(b);
      else this.drop(frame, b);
    }
    frame.blocks = kept;
    if (kept.length === 0) {
      this.frames.delete(number);
      this.memory.frameFlags[number] &= ~FrameFlag.Code;
    } else frame.recover();
  }

  private drop(frame: CodeFrame, b: Block): void {
    const key = b.start * 4 + b.mode;
    if (frame.entries.get(key) === b.record) frame.entries.delete(key);
    this.writePlain(b.record, Special.Stale, this.startOffset(b.record), 0);
  }

  /** The TypeScript instruction of a record. */
  insnOf(record: number): Insn {
    return this.insns[this.memory.u32[(record + Rec.IMMEDIATE) >>> 2]];
  }
  /** Offset in the vCPU block of the segment that an address record checks, or -1 for other records. */
  segmentOf(record: number): number {
    const handler = this.memory.u32[(record + Rec.HANDLER) >>> 2];
    const isAddress = handler === this.interpreter.specialHandler(Special.AddressRead) || handler === this.interpreter.specialHandler(Special.AddressWrite);
    return isAddress ? this.memory.u16[(record + Rec.SRC) >>> 1] : -1;
  }
  /** Sets the target of a direct branch once it is known. */
  link(record: number, target: number): void {
    this.memory.u32[(record + Rec.LINK) >>> 2] = target;
  }
  /** A STALE record whose code was decoded again leads on to the new record: links that still point to it need no search. */
  forward(stale: number, record: number): void {
    if (stale === record) return;
    this.writePlain(stale, Special.Fall, this.startOffset(stale), 0);
    this.link(stale, record);
  }
  targetOffset(record: number): number {
    return this.memory.i32[(record + Rec.IMMEDIATE) >>> 2];
  }
}
