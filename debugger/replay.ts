/** A recording run again, and compared as it goes: the first thing that is different is named. */
import { createHash } from 'node:crypto';
import { Guest, type GuestConfig, type GuestStop } from '../hypervisor/guest';
import { InputLog } from './input-log';
import { Moments } from './moments';
import { exitsOf } from './recorder';
import { registerFingerprint, type Recording, type RecordingEnd } from './recording';

export interface ReplayResult {
  /** What is different first; undefined: nothing is. */
  readonly divergence: string | undefined;
  /** The recording has no end, because its process was killed, or it was cut: it was compared as far as it goes. */
  readonly incomplete: boolean;
  /** Moments, marks and ends that agree. */
  readonly compared: number;
  readonly instructions: number;
  readonly ticks: number;
  readonly exits: number;
  readonly consoleBytes: number;
  readonly consoleSha256: string;
  /** Of the checks of all moments: VM exits, deliveries of events, and on a bare machine reads from devices. */
  readonly momentsSha256: string;
}

interface Mark {
  readonly mark: number;
  readonly instructions: number;
  readonly registers: number;
}

/** Ticks of one piece of work. */
const SLICE = 20_000_000;

export class Replay {
  readonly guest: Guest;
  private readonly inputs = new InputLog();
  private readonly checks: Uint16Array;
  private readonly marks: Mark[] = [];
  private readonly end: RecordingEnd | undefined;
  private divergence: string | undefined;
  private delivered = 0;
  private marked = 0;
  private moments = 0;
  private compared = 0;
  /** Instructions retired at the last moment that agreed, and what it was. */
  private agreed: { readonly instructions: number; readonly describe: () => string } = { instructions: 0, describe: () => 'the start' };
  private consoleBytes = 0;
  private readonly console = createHash('sha256');
  private readonly digest = createHash('sha256');
  private readonly word = new Uint16Array(1);

  /** @param config of the recorded machine. */
  constructor({ lines }: Recording, config: GuestConfig) {
    const checks: Buffer[] = [];
    let end: RecordingEnd | undefined;
    for (const line of lines) {
      if ('end' in line) end = line.end;
      else if ('mark' in line) this.marks.push(line);
      else if ('moments' in line) checks.push(Buffer.from(line.checks, 'base64'));
      else if ('tick' in line) this.inputs.byTick.push({ tick: line.tick, bytes: Buffer.from(line.input, 'base64') });
      else this.inputs.byByte.push({ byte: line.byte, bytes: Buffer.from(line.input, 'base64') });
    }
    this.end = end;
    const bytes = Buffer.concat(checks);
    this.checks = Uint16Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16LE(2 * i));
    const moments = new Moments({ moment: (check, exact, describe) => this.moment(check, exact, describe) });
    this.guest = new Guest({ ...config, serialOutput: (byte) => this.output(byte, config.serialOutput), observer: moments.observer(config.observer) });
    moments.attach(this.guest);
  }

  /** In pieces. */
  *run(): Generator<undefined, ReplayResult, undefined> {
    const { guest } = this;
    for (;;) {
      if (this.end === undefined && this.exhausted) return this.result({ kind: 'limit' });
      const limit = this.end?.ticks ?? Infinity;
      const input = this.inputs.tickOf(this.delivered);
      const mark = this.marked < this.marks.length ? this.marks[this.marked].mark : Infinity;
      const stop = guest.run(Math.min(limit, input, mark, guest.time + SLICE));
      if (this.divergence !== undefined || stop.kind === 'ended') return this.result(stop);
      if (guest.time >= mark) this.compareMark();
      if (guest.time >= input) guest.sendSerial(this.inputs.byTick[this.delivered++].bytes);
      else if (stop.kind === 'idle' && guest.time < Math.min(limit, mark)) return this.result(stop);
      if (guest.time >= limit && this.inputs.tickOf(this.delivered) > limit) return this.result(stop);
      yield;
    }
  }

  /** All that was recorded has come. */
  private get exhausted(): boolean {
    return this.moments >= this.checks.length && this.marked >= this.marks.length && this.inputs.tickOf(this.delivered) === Infinity;
  }

  private diverged(what: string): void {
    if (this.divergence !== undefined) return;
    this.divergence = what;
    this.guest.stop();
  }

  private moment(check: number, exact: boolean, describe: () => string): void {
    if (this.divergence !== undefined) return;
    this.moments++;
    this.word[0] = check;
    this.digest.update(this.word);
    const { instructions } = this.guest;
    if (this.moments > this.checks.length && this.end === undefined) return;
    if (check === this.checks[this.moments - 1]) {
      this.agreed = { instructions, describe };
      this.compared++;
      if (this.end === undefined && this.exhausted) this.guest.stop();
      return;
    }
    const what = this.moments > this.checks.length ? `the recording has nothing like ${describe()}` : `${describe()} differs from the recording`;
    const { agreed } = this;
    // Instructions are counted from 1: the one that is being executed has not retired.
    const where =
      exact || agreed.instructions === instructions
        ? `at instruction ${instructions + 1}`
        : `between instruction ${agreed.instructions + 1} and ${instructions + 1}`;
    this.diverged(`the runs part ${where}: ${what}; the last thing that agrees is ${agreed.describe()}, after ${agreed.instructions} instructions`);
  }

  private compareMark(): void {
    const { mark, instructions, registers } = this.marks[this.marked++];
    const from = Math.max(this.marked > 1 ? this.marks[this.marked - 2].instructions : 0, this.agreed.instructions);
    if (this.guest.instructions !== instructions) {
      this.diverged(
        `at ${mark} ns ${this.guest.instructions} instructions have retired, and ${instructions} in the recording: they part after instruction ${from}`,
      );
    } else if (registerFingerprint(this.guest) !== registers) {
      this.diverged(`at instruction ${instructions} the registers differ from the recording: they part after instruction ${from}`);
    } else this.compared++;
  }

  private output(byte: number, pass: (byte: number) => void): void {
    this.consoleBytes++;
    this.console.update(Uint8Array.of(byte));
    pass(byte);
    for (const { bytes } of this.inputs.atByte(this.consoleBytes)) this.guest.sendSerial(bytes);
  }

  private result(stop: GuestStop): ReplayResult {
    const { guest, end, consoleBytes } = this;
    const exits = exitsOf(guest);
    const [consoleSha256, momentsSha256] = [this.console, this.digest].map((hash) => hash.digest('hex'));
    const result = { instructions: guest.instructions, ticks: guest.time, exits, consoleBytes, consoleSha256, momentsSha256 };
    if (this.divergence === undefined && end !== undefined) {
      const differing = (['instructions', 'ticks', 'exits', 'consoleBytes', 'consoleSha256', 'momentsSha256'] as const).find((key) => end[key] !== result[key]);
      if (differing === undefined) this.compared++;
      else this.divergence = `at the end ${differing} is ${result[differing]}, and ${end[differing]} in the recording (${stop.kind})`;
    }
    if (this.divergence === undefined && end === undefined && !this.exhausted) {
      const { agreed } = this;
      const why = stop.kind === 'ended' ? `ended (${stop.explanation})` : 'halted for good';
      this.divergence = `the guest ${why} after ${guest.instructions} instructions, and the recording goes on; the last thing that agrees is ${agreed.describe()}, after ${agreed.instructions}`;
    }
    return { ...result, divergence: this.divergence, incomplete: end === undefined, compared: this.compared };
  }
}
