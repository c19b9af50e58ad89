/**
 * The target side of GDB's remote protocol: packets to motions, questions and changes of a DebugTarget. It does nothing by itself:
 * whoever owns the run calls advance() again and again, and looks after sockets in between.
 */
import { DebugError, type DebugTarget, type Motion, type Stop } from '../target';
import { GdbConnection } from './connection';
import { hexOfText } from './hex';
import { InsertedBreakpoints } from './inserted-breakpoints';
import type { Monitor, MonitorAnswer } from './monitor';
import { PACKETS, type PacketContext } from './packets';
import type { Move } from './resume-packets';
import { announcement, stopReply, type GdbFeatures } from './stop-reply';

/** What one call of advance() did. */
export type Advance =
  /** A piece of work; there is more. */
  | { readonly kind: 'working' }
  /** Nothing to do until a packet comes. */
  | { readonly kind: 'held' }
  /** Nothing to do until input comes, for which the guest waits; or a packet. */
  | { readonly kind: 'waiting' }
  /** The guest runs without a debugger and stopped: at its end, waiting for input, or where a monitor command wants a stop. */
  | { readonly kind: 'stopped'; readonly stop: Stop };

/** Takes the bytes of one debugger, as long as it is attached. */
export type GdbLine = (bytes: Uint8Array) => void;

export interface StubOptions {
  readonly monitor: Monitor;
  /** Stand still until the first debugger comes. */
  readonly wait: boolean;
  /** Input may still wake a guest that is halted. */
  readonly inputOpen: () => boolean;
  /** advance() has something to do. */
  readonly wake: () => void;
}

type Work =
  | { readonly kind: 'motion'; readonly move: Move; motion: Motion | undefined }
  | { readonly kind: 'monitor'; readonly work: Generator<undefined, MonitorAnswer, undefined> };

/** Packets that may come while the target is busy; GDB sends none. */
const MOST_PENDING = 16;
const NO_FEATURES: GdbFeatures = { swbreak: false, hwbreak: false, errorMessage: false };
/** EINVAL. Without the error-message feature GDB wants a number. */
const REFUSED = 'E16';
/** GDB keeps registers and frames until it moves the target itself. */
const STALE = 'GDB has not seen this: "maintenance flush register-cache" makes it look again.\n';
/** Characters of text in an O packet: bytes are at most three times as many, and digits twice those. */
const OUTPUT_PIECE = 2048;

export class GdbStub {
  private readonly inserted: InsertedBreakpoints;
  private readonly context: PacketContext;
  private connection: GdbConnection | undefined;
  private line: GdbLine | undefined;
  private features = NO_FEATURES;
  private work: Work | undefined;
  private free: Move | undefined;
  private readonly pending: string[] = [];
  private interrupting = false;
  /** Where it stands, as far as a debugger has been told. */
  private stop: Stop | undefined;
  /** A debugger asked for the end of the run. */
  killed = false;

  constructor(
    private readonly target: DebugTarget,
    private readonly options: StubOptions,
  ) {
    this.inserted = new InsertedBreakpoints(target);
    this.context = this.makeContext();
    if (!options.wait) this.release();
  }

  get attached(): boolean {
    return this.connection !== undefined;
  }

  // ---- the line ----

  /** A debugger came: the target stands still. Answers where its bytes go. The debugger before it is forgotten. */
  attach(write: (bytes: Uint8Array) => void): GdbLine {
    this.drop();
    this.forget();
    this.stop = undefined;
    this.features = NO_FEATURES;
    const connection = new GdbConnection(write, { packet: (body) => this.arrived(body), interrupt: () => this.interrupt() });
    this.connection = connection;
    const line: GdbLine = (bytes) => {
      if (this.line === line) connection.receive(bytes);
    };
    this.line = line;
    return line;
  }

  /** The line is broken. The target stands still, as GDB left it, and waits for the next debugger. */
  lost(line: GdbLine): void {
    if (this.line !== line) return;
    this.drop();
    this.forget();
  }

  /** D: the guest goes on without a debugger. */
  private detach(): void {
    this.drop();
    this.forget();
    this.release();
  }

  private forget(): void {
    this.connection = undefined;
    this.line = undefined;
    this.inserted.clear();
    this.pending.length = 0;
  }

  private release(): void {
    this.free = { begin: () => this.target.resume(), patient: true };
    this.start(this.free);
  }

  /** Ends what is going on, at a valid place. */
  private drop(): void {
    const { work } = this;
    this.work = undefined;
    this.free = undefined;
    this.interrupting = false;
    if (work?.kind === 'motion') work.motion?.return(undefined as never);
    else work?.work.return(undefined as never);
  }

  // ---- work ----

  private start(move: Move): void {
    this.work = { kind: 'motion', move, motion: undefined };
    this.interrupting = false;
    this.stop = undefined;
    this.options.wake();
  }

  private interrupt(): void {
    if (this.work === undefined) return;
    this.interrupting = true;
    this.options.wake();
  }

  /** Does a piece of what a debugger asked for, or of the free run. */
  advance(): Advance {
    const { work } = this;
    if (work === undefined) return { kind: 'held' };
    try {
      return work.kind === 'motion' ? this.advanceMotion(work) : this.advanceMonitor(work);
    } catch (error) {
      if (!(error instanceof DebugError) || !this.attached) throw error;
      // A motion that could not be made: GDB shows the text and sees a stop.
      this.finish(work.kind === 'motion' ? `E.${error.message}` : undefined, work.kind === 'monitor' ? `${error.message}\n` : undefined);
      return { kind: 'working' };
    }
  }

  private advanceMotion(work: Extract<Work, { kind: 'motion' }>): Advance {
    const stop = this.interrupting ? this.interrupted(work.motion) : this.piece(work);
    if (stop === undefined) return { kind: 'working' };
    if (stop.kind === 'idle' && work.move.patient && this.attached && this.options.inputOpen()) {
      work.motion = undefined;
      return { kind: 'waiting' };
    }
    if (work.move === this.free) {
      // The next call of advance() goes on from here.
      work.motion = undefined;
      return { kind: 'stopped', stop };
    }
    this.stop = stop;
    this.finish(stopReply(stop, this.inserted, this.features), announcement(stop, this.inserted));
    return { kind: 'working' };
  }

  private piece(work: Extract<Work, { kind: 'motion' }>): Stop | undefined {
    work.motion ??= work.move.begin();
    const { done, value } = work.motion.next();
    return done === true ? value : undefined;
  }

  /** Dropping a motion leaves the target at a valid place. */
  private interrupted(motion: Motion | undefined): Stop {
    motion?.return(undefined as never);
    return { kind: 'interrupted', explanation: 'interrupted', position: this.target.position };
  }

  private advanceMonitor({ work }: Extract<Work, { kind: 'monitor' }>): Advance {
    // Commands look at this between their pieces, and tell how far they came.
    if (this.interrupting) this.target.interrupt();
    const { done, value } = work.next();
    if (done !== true) return { kind: 'working' };
    if (value.moved) this.stop = undefined;
    if (value.quit) this.killed = true;
    const text = value.text === '' || value.text.endsWith('\n') ? value.text : `${value.text}\n`;
    this.finish(undefined, value.moved ? `${text}${STALE}` : text);
    return { kind: 'working' };
  }

  /** The end of some work: text for people, then the reply (OK after a monitor command), then packets that came meanwhile. */
  private finish(reply: string | undefined, text: string | undefined): void {
    this.work = undefined;
    this.interrupting = false;
    if (text !== undefined) for (let at = 0; at < text.length; at += OUTPUT_PIECE) this.connection?.send(`O${hexOfText(text.slice(at, at + OUTPUT_PIECE))}`);
    this.connection?.send(reply ?? 'OK');
    while (this.work === undefined && this.pending.length > 0) this.packet(this.pending.shift()!);
  }

  // ---- packets ----

  private arrived(body: string): void {
    this.options.wake();
    if (this.work === undefined) return this.packet(body);
    if (this.pending.length < MOST_PENDING) this.pending.push(body);
  }

  private packet(body: string): void {
    const reply = this.replyTo(body);
    if (reply !== undefined) this.connection?.send(reply);
  }

  /** '' says that there is no such packet; undefined that the answer comes later, or never. */
  private replyTo(body: string): string | undefined {
    const row = PACKETS.find(({ begins }) => body.startsWith(begins));
    if (row === undefined) return '';
    try {
      return row.run(this.context, body.slice(row.begins.length));
    } catch (error) {
      if (!(error instanceof DebugError)) throw error;
      return this.features.errorMessage ? `E.${error.message}` : REFUSED;
    }
  }

  /** What packets may do with us. */
  private makeContext(): PacketContext {
    return {
      target: this.target,
      inserted: this.inserted,
      status: () => stopReply(this.stop, this.inserted, this.features),
      move: (move) => this.start(move),
      monitor: (line) => {
        this.work = { kind: 'monitor', work: this.options.monitor(line) };
        this.options.wake();
      },
      useFeatures: (features) => void (this.features = features),
      stopAcknowledging: () => this.connection?.stopAcknowledging(),
      detach: () => {
        this.connection?.send('OK');
        this.detach();
      },
      kill: (reply) => {
        if (reply !== undefined) this.connection?.send(reply);
        this.drop();
        this.killed = true;
        this.options.wake();
      },
    };
  }
}
