/** A machine that does what a test says, and a process around it that keeps what was written. */
import { EventEmitter } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../../cli/main';
import type { Io } from '../../cli/run-command';
import type { CreateRunner, GuestRunner, GuestSpec, RunStop } from '../../cli/runner';

export interface Script {
  /** What each call of run() answers; the last goes on for ever. */
  readonly stops: readonly ((guest: FakeGuest) => RunStop)[];
}

export class FakeGuest implements GuestRunner {
  readonly received: number[] = [];
  ticks = 0;
  calls = 0;
  constructor(
    readonly spec: GuestSpec,
    private readonly script: Script,
  ) {}
  print(text: string): void {
    for (const byte of new TextEncoder().encode(text)) this.spec.serialOutput(byte);
  }
  run(maxInstructions: number): RunStop {
    const stop = this.script.stops[Math.min(this.calls++, this.script.stops.length - 1)](this);
    if (stop.kind === 'limit') this.ticks += maxInstructions;
    return stop;
  }
  sendSerial(bytes: Uint8Array): void {
    this.received.push(...bytes);
  }
  get receivedText(): string {
    return String.fromCharCode(...this.received);
  }
  listening(): boolean {
    return true;
  }
  stats() {
    return { instructions: this.ticks, ticks: this.ticks, rows: [{ reason: 'CPUID', count: 3, details: [{ detail: 1, count: 3 }] }] };
  }
}

export class FakeStdin extends EventEmitter {
  isTTY = false;
  raw = false;
  setRawMode(raw: boolean): this {
    this.raw = raw;
    return this;
  }
  resume(): this {
    return this;
  }
  pause(): this {
    return this;
  }
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly guest: FakeGuest | undefined;
}

const directory = mkdtempSync(join(tmpdir(), 'vmexit-cli-'));
/** A file with these contents; returns its path. */
export function file(name: string, contents: string | Uint8Array = ''): string {
  const path = join(directory, name);
  writeFileSync(path, contents);
  return path;
}

export const limit = (): RunStop => ({ kind: 'limit' });
export const idle = (): RunStop => ({ kind: 'idle' });
export const powerOff = (): RunStop => ({ kind: 'ended', outcome: { kind: 'power-off', explanation: 'off' } });

/** Around a command line, other than usual. */
export interface Surroundings {
  /** Instead of a machine that follows the script. */
  readonly createRunner?: CreateRunner;
  readonly stdout?: Io['stdout'];
  readonly onInterrupt?: Io['onInterrupt'];
}

/** Runs a command line. stdin is at its end unless the test keeps it open. */
export async function vmexit(
  args: readonly string[],
  stops: Script['stops'] = [powerOff],
  stdin?: FakeStdin,
  surroundings: Surroundings = {},
): Promise<Result> {
  let stdout = '';
  let stderr = '';
  let guest: FakeGuest | undefined;
  const decode = (data: string | Uint8Array): string => (typeof data === 'string' ? data : new TextDecoder().decode(data));
  const input = stdin ?? new FakeStdin();
  const io: Io = {
    stdin: input as unknown as Io['stdin'],
    stdout: surroundings.stdout ?? { write: (data) => (stdout += decode(data)) },
    stderr: { write: (data) => (stderr += decode(data)) },
    now: () => performance.now(),
    onInterrupt: surroundings.onInterrupt ?? (() => () => {}),
  };
  const running = main(args, io, surroundings.createRunner ?? ((spec) => (guest = new FakeGuest(spec, { stops }))));
  if (stdin === undefined) setImmediate(() => input.emit('end'));
  const code = await running;
  return { code, stdout, stderr, guest };
}
