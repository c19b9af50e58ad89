/** stdout as a pipe. Its reader may be slow or stand still: what it has not taken waits here, and the process lives on. */
import { Writable } from 'node:stream';

/** With so much waiting the pipe is full, and who can wait should. */
const ROOM = 1 << 20;
/** A page: what a pipe of Linux has room for again when its reader has taken anything. */
const PIECE = 4096;

export class PipeOutput extends Writable {
  readonly isTTY = false;
  /** Nobody waits any longer for what is still here. */
  abandoned = false;
  /** Bytes that the reader's pipe has taken, of everything and of the chunk that is on its way. */
  private taken = 0;
  private takenOfChunk = 0;

  /** @param target the pipe; takes what it is given in order, and calls back. */
  constructor(private readonly target: Pick<Writable, 'write'>) {
    super({ highWaterMark: ROOM });
  }

  /** Goes to the target in pieces: that the reader moves, if only slowly, is to be seen. */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.takenOfChunk = 0;
    const piece = (from: number): void => {
      const to = Math.min(from + PIECE, chunk.length);
      this.target.write(chunk.subarray(from, to), (error) => {
        this.taken += to - from;
        this.takenOfChunk = to;
        if (error || to === chunk.length) done(error);
        else piece(to);
      });
    };
    piece(0);
  }

  /** So much waits that no more should be written until `drain`. */
  get full(): boolean {
    return this.writableNeedDrain;
  }

  /**
   * Waits until everything is written. From `milliseconds` on, a reader that takes nothing for the time of `grace` is waited for no longer:
   * then this answers the number of bytes that were not written, and the process should end without them.
   */
  async delivered(milliseconds: number, grace: number): Promise<number> {
    if (this.writableLength === 0) return 0;
    const all = new Promise<boolean>((resolve) => void this.write(new Uint8Array(0), () => resolve(true)));
    if (milliseconds > 0 && (await within(all, milliseconds))) return 0;
    for (let before = -1; before !== this.taken;) {
      before = this.taken;
      if (await within(all, grace)) return 0;
    }
    this.abandoned = true;
    return this.writableLength - this.takenOfChunk;
  }
}

/** Longer ones would overflow a Node timer. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Whether it came true in that time. */
async function within(done: Promise<boolean>, milliseconds: number): Promise<boolean> {
  if (milliseconds > LONGEST_TIMER) return done;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), milliseconds)));
  const result = await Promise.race([done, late]);
  clearTimeout(timer);
  return result;
}
