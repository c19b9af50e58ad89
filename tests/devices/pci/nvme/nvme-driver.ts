/** A driver of a few lines: it rings doorbells and reads completions, as the specification tells hosts to. */
import { memoryDisk, type BlockBackend } from '../../../../devices/block-backend';
import { NvmeController } from '../../../../devices/pci/nvme/nvme-controller';
import { FunctionBench } from '../function-bench';

export const BAR = 0;
export const Reg = { CAP: 0x00, VS: 0x08, INTMS: 0x0c, INTMC: 0x10, CC: 0x14, CSTS: 0x1c, AQA: 0x24, ASQ: 0x28, ACQ: 0x30 } as const;
export const ASQ = 0x1_0000;
export const ACQ = 0x1_1000;
export const SQ = 0x1_2000;
export const CQ = 0x1_3000;
export const DATA = 0x2_0000;
export const ADMIN_ENTRIES = 8;
export const IO_ENTRIES = 4;
/** Enough for any command to complete. */
export const SOON = 1_000_000;
/** EN, 64-byte commands, 16-byte completions, pages of 4 KiB. */
export const ENABLE = (4 << 20) | (6 << 16) | 1;

export interface Command {
  readonly opcode: number;
  readonly nsid?: number;
  readonly flags?: number;
  readonly prp1?: number;
  readonly prp2?: number;
  /** Command dwords from 10 on. */
  readonly cdw?: readonly number[];
}

export interface Completion {
  readonly cid: number;
  /** Status code type << 8 | status code. */
  readonly status: number;
  readonly doNotRetry: boolean;
  readonly result: number;
  readonly head: number;
  readonly queue: number;
}

export class NvmeDriver {
  readonly bench: FunctionBench<NvmeController>;
  private cid = 0;
  private readonly tails = new Map<number, number>();
  private readonly heads = new Map<number, { head: number; phase: number }>();

  constructor(readonly disk: BlockBackend = memoryDisk(1 << 20)) {
    this.bench = new FunctionBench(new NvmeController({ backend: disk, serial: 'TEST1' }));
  }

  private entries(queue: number): number {
    return queue === 0 ? ADMIN_ENTRIES : IO_ENTRIES;
  }

  /** "Initialization": admin queue registers, then CC.EN. */
  start(cc = ENABLE): this {
    const { bench } = this;
    bench.write(BAR, Reg.AQA, ((ADMIN_ENTRIES - 1) << 16) | (ADMIN_ENTRIES - 1));
    bench.write(BAR, Reg.ASQ, ASQ);
    bench.write(BAR, Reg.ASQ + 4, 0);
    bench.write(BAR, Reg.ACQ, ACQ);
    bench.write(BAR, Reg.ACQ + 4, 0);
    bench.write(BAR, Reg.CC, cc);
    this.tails.clear();
    this.heads.clear();
    bench.memory.writeBytes(ACQ, new Uint8Array(0x3000));
    return this;
  }

  /** One I/O queue pair, number 1, with interrupts on vector 0. */
  startIo(vector = 0): this {
    this.start();
    expect(this.admin({ opcode: 0x05, prp1: CQ, cdw: [((IO_ENTRIES - 1) << 16) | 1, (vector << 16) | 3] }).status).toBe(0);
    expect(this.admin({ opcode: 0x01, prp1: SQ, cdw: [((IO_ENTRIES - 1) << 16) | 1, (1 << 16) | 1] }).status).toBe(0);
    return this;
  }

  /** Puts a command into a queue and rings; returns its identifier. */
  submit(queue: number, { opcode, nsid = 0, flags = 0, prp1 = 0, prp2 = 0, cdw = [] }: Command): number {
    const tail = this.tails.get(queue) ?? 0;
    const entry = new DataView(new ArrayBuffer(64));
    const cid = (this.cid = (this.cid + 1) & 0xffff);
    entry.setUint8(0, opcode);
    entry.setUint8(1, flags);
    entry.setUint16(2, cid, true);
    entry.setUint32(4, nsid, true);
    entry.setBigUint64(24, BigInt(prp1), true);
    entry.setBigUint64(32, BigInt(prp2), true);
    cdw.forEach((dword, i) => entry.setUint32(40 + 4 * i, dword, true));
    this.bench.memory.writeBytes((queue === 0 ? ASQ : SQ) + tail * 64, new Uint8Array(entry.buffer));
    this.tails.set(queue, (tail + 1) % this.entries(queue));
    this.bench.write(BAR, 0x1000 + 8 * queue, this.tails.get(queue)!);
    return cid;
  }

  /** The next completion, if its phase tag says it is there; frees its slot unless told not to. */
  poll(queue: number, free = true): Completion | undefined {
    const at = this.heads.get(queue) ?? { head: 0, phase: 1 };
    const entry = new DataView(this.bench.memory.readBytes((queue === 0 ? ACQ : CQ) + at.head * 16, 16).slice().buffer);
    const last = entry.getUint32(12, true);
    if (((last >>> 16) & 1) !== at.phase) return undefined;
    const head = (at.head + 1) % this.entries(queue);
    this.heads.set(queue, { head, phase: head === 0 ? 1 - at.phase : at.phase });
    if (free) this.bench.write(BAR, 0x1004 + 8 * queue, head);
    return {
      cid: last & 0xffff,
      status: (last >>> 17) & 0x7ff,
      doNotRetry: last >>> 31 === 1,
      result: entry.getUint32(0, true),
      head: entry.getUint16(8, true),
      queue: entry.getUint16(10, true),
    };
  }

  run(queue: number, command: Command): Completion {
    const cid = this.submit(queue, command);
    this.bench.bench.advance(SOON);
    const completion = this.poll(queue);
    expect(completion?.cid).toBe(cid);
    return completion!;
  }

  admin(command: Command): Completion {
    return this.run(0, command);
  }

  io(command: Command): Completion {
    return this.run(1, { nsid: 1, ...command });
  }

  identify(cns: number, nsid = 0): { completion: Completion; bytes: Uint8Array; view: DataView } {
    const completion = this.admin({ opcode: 0x06, nsid, prp1: DATA, cdw: [cns] });
    const bytes = this.bench.memory.readBytes(DATA, 4096);
    return { completion, bytes, view: new DataView(bytes.buffer) };
  }
}
