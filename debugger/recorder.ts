/** A run that is recorded: a guest, and a writer for the lines of recording.ts. */
import { createHash } from 'node:crypto';
import { Guest, type GuestConfig, type GuestStop } from '../hypervisor/guest';
import { Moments } from './moments';
import { registerFingerprint, type RecordingLine } from './recording';

/** Moments in one line. */
const CHUNK = 1024;
/** Ticks between marks. */
const MARK_INTERVAL = 50_000_000;

export class RecordedRun {
  readonly guest: Guest;
  private readonly checks = new Uint16Array(CHUNK);
  private chunked = 0;
  private moments = 0;
  private nextMark = MARK_INTERVAL;
  private readonly console = createHash('sha256');
  private readonly digest = createHash('sha256');
  private consoleBytes = 0;
  private sending = false;
  private settled = false;
  private typed: Uint8Array[] = [];

  constructor(
    config: GuestConfig,
    private readonly write: (line: RecordingLine) => void,
  ) {
    const moments = new Moments({ moment: (check) => this.moment(check) });
    this.guest = new Guest({ ...config, serialOutput: (byte) => this.output(byte, config.serialOutput), observer: moments.observer(config.observer) });
    moments.attach(this.guest);
  }

  run(limit: number): GuestStop {
    const { guest } = this;
    // Input comes at a moment that virtual time alone names: one at which the guest was stopped by time.
    if (this.typed.length > 0) {
      if (!this.settled) {
        const stop = this.slice(guest.time + 1);
        if (!this.settled) return stop;
      }
      for (const bytes of this.typed.splice(0)) {
        this.write({ input: Buffer.from(bytes).toString('base64'), tick: guest.time });
        guest.sendSerial(bytes);
      }
    }
    return this.slice(limit);
  }

  private slice(limit: number): GuestStop {
    const stop = this.guest.run(limit);
    this.settled = stop.kind === 'limit' || stop.kind === 'idle';
    if (this.settled && this.guest.time >= this.nextMark) {
      this.nextMark = this.guest.time + MARK_INTERVAL;
      this.flush();
      this.write({ mark: this.guest.time, instructions: this.guest.instructions, registers: registerFingerprint(this.guest) });
    }
    return stop;
  }

  sendSerial(bytes: Uint8Array): void {
    if (!this.sending) return void this.typed.push(bytes.slice());
    this.write({ input: Buffer.from(bytes).toString('base64'), byte: this.consoleBytes });
    this.guest.sendSerial(bytes);
  }

  private output(byte: number, pass: (byte: number) => void): void {
    this.consoleBytes++;
    this.console.update(Uint8Array.of(byte));
    this.sending = true;
    pass(byte);
    this.sending = false;
  }

  private moment(check: number): void {
    this.checks[this.chunked++] = check;
    this.moments++;
    if (this.chunked === CHUNK) this.flush();
  }

  private flush(): void {
    if (this.chunked === 0) return;
    const checks = Buffer.from(this.checks.buffer, 0, this.chunked * 2);
    this.digest.update(checks);
    const moments: [number, number] = [this.moments - this.chunked + 1, this.moments];
    this.write({ moments, instructions: this.guest.instructions, checks: checks.toString('base64') });
    this.chunked = 0;
  }

  /** To be called once, when the run is over. @param because how it ended, in a word. */
  end(because: string): void {
    this.flush();
    const { guest, consoleBytes } = this;
    const exits = exitsOf(guest);
    const [consoleSha256, momentsSha256] = [this.console, this.digest].map((hash) => hash.digest('hex'));
    this.write({ end: { instructions: guest.instructions, ticks: guest.time, exits, because, consoleBytes, consoleSha256, momentsSha256 } });
  }
}

export const exitsOf = (guest: Guest): number => guest.vm?.vcpu.statistics.total ?? 0;
