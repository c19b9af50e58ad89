/** A recording run again, and compared as it goes: the first thing that is different is named. */
import { createHash } from 'node:crypto';
import { Guest, type GuestConfig, type GuestStop } from '../hypervisor/guest';
import type { ExitRecord } from '../hypervisor/vcpu';
import { InputLog } from './input-log';
import { exitCheck, registerFingerprint, type Recording, type RecordingEnd } from './recording';

export interface ReplayResult {
  /** What is different first; undefined: nothing is. */
  readonly divergence: string | undefined;
  /** The recording has no end, because its process was killed: it was compared as far as it goes. */
  readonly incomplete: boolean;
  readonly instructions: number;
  readonly ticks: number;
  readonly exits: number;
  readonly consoleBytes: number;
  readonly consoleSha256: string;
}

interface Mark {
  readonly mark: number;
  readonly instructions: number;
  readonly registers: number;
}

/** Ticks of one piece of work. */
const SLICE = 20_000_000;
const hex = (value: bigint): string => `0x${value.toString(16)}`;

export class Replay {
  readonly guest: Guest;
  private readonly inputs = new InputLog();
  private readonly checks: Uint16Array;
  private readonly marks: Mark[] = [];
  private readonly end: RecordingEnd | undefined;
  private divergence: string | undefined;
  private delivered = 0;
  private marked = 0;
  private exits = 0;
  private last: ExitRecord | undefined;
  private consoleBytes = 0;
  private readonly console = createHash('sha256');

  /** @param config of the recorded machine. */
  constructor({ lines }: Recording, config: GuestConfig) {
    const checks: Buffer[] = [];
    let end: RecordingEnd | undefined;
    for (const line of lines) {
      if ('end' in line) end = line.end;
      else if ('mark' in line) this.marks.push(line);
      else if ('exits' in line) checks.push(Buffer.from(line.checks, 'base64'));
      else if ('tick' in line) this.inputs.byTick.push({ tick: line.tick, bytes: Buffer.from(line.input, 'base64') });
      else this.inputs.byByte.push({ byte: line.byte, bytes: Buffer.from(line.input, 'base64') });
    }
    this.end = end;
    const bytes = Buffer.concat(checks);
    this.checks = Uint16Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16LE(2 * i));
    this.guest = new Guest({ ...config, serialOutput: (byte) => this.output(byte, config.serialOutput), observer: { exit: (record) => this.exit(record) } });
  }

  /** In pieces. */
  *run(): Generator<undefined, ReplayResult, undefined> {
    const { guest } = this;
    const limit = this.end?.ticks ?? Math.max(0, ...this.marks.map((m) => m.mark), ...this.inputs.byTick.map((i) => i.tick));
    for (;;) {
      const input = this.inputs.tickOf(this.delivered);
      const mark = this.marked < this.marks.length ? this.marks[this.marked].mark : Infinity;
      const stop = guest.run(Math.min(limit, input, mark, guest.time + SLICE));
      if (this.divergence !== undefined || stop.kind === 'ended') return this.result(stop);
      if (guest.time >= mark) this.compareMark();
      if (guest.time >= input) guest.sendSerial(this.inputs.byTick[this.delivered++].bytes);
      if (guest.time >= limit && this.inputs.tickOf(this.delivered) > limit) return this.result(stop);
      yield;
    }
  }

  private diverged(what: string): void {
    if (this.divergence !== undefined) return;
    this.divergence = what;
    this.guest.stop();
  }

  private exit(record: ExitRecord): void {
    this.exits++;
    if (this.exits > this.checks.length) {
      if (this.end !== undefined) this.diverged(`exit ${this.exits} is not in the recording: ${describe(record)}`);
    } else if (exitCheck(record) !== this.checks[this.exits - 1]) {
      const before = this.last === undefined ? 'the first one' : `the one before, which agrees, was ${describe(this.last)}`;
      this.diverged(`exit ${this.exits} is another one: here ${describe(record)}; ${before}`);
    }
    this.last = record;
  }

  private compareMark(): void {
    const { mark, instructions, registers } = this.marks[this.marked++];
    const from = this.marked > 1 ? this.marks[this.marked - 2].instructions : 0;
    if (this.guest.instructions !== instructions) {
      this.diverged(
        `at ${mark} ns ${this.guest.instructions} instructions have retired, and ${instructions} in the recording: they part after instruction ${from}`,
      );
    } else if (registerFingerprint(this.guest) !== registers) {
      this.diverged(`at instruction ${instructions} the registers differ from the recording: they part after instruction ${from}`);
    }
  }

  private output(byte: number, pass: (byte: number) => void): void {
    this.consoleBytes++;
    this.console.update(Uint8Array.of(byte));
    pass(byte);
    for (const { bytes } of this.inputs.atByte(this.consoleBytes)) this.guest.sendSerial(bytes);
  }

  private result(stop: GuestStop): ReplayResult {
    const { guest, end, exits, consoleBytes } = this;
    const consoleSha256 = this.console.digest('hex');
    const result = { instructions: guest.instructions, ticks: guest.time, exits, consoleBytes, consoleSha256 };
    if (this.divergence === undefined && end !== undefined) {
      const differing = (['instructions', 'ticks', 'exits', 'consoleBytes', 'consoleSha256'] as const).find((key) => end[key] !== result[key]);
      if (differing !== undefined) this.divergence = `at the end ${differing} is ${result[differing]}, and ${end[differing]} in the recording (${stop.kind})`;
    }
    return { ...result, divergence: this.divergence, incomplete: end === undefined };
  }
}

const describe = ({ raw, rip, instructions }: ExitRecord): string => `${raw.reason} at RIP ${hex(rip)} after ${instructions} instructions`;
