/** `vmexit replay LOG`: a recorded run again, compared with what happened then. */
import { dirname, resolve } from 'node:path';
import { parseRecording, RecordingError, sha256, type RecordedFiles, type Recording } from '../debugger/recording';
import { Replay, type ReplayResult } from '../debugger/replay';
import { OverlayDisk, type BlockBackend } from '../devices/block-backend';
import { EXIT_CODES } from './exit-codes';
import { build } from './guest-machine';
import { readFile } from './input-file';
import type { Io } from './run-command';
import type { GuestSpec } from './runner';
import { UserError } from './user-error';

export interface ReplayOptions {
  readonly log: string;
  /** Instead of the file that was recorded. */
  readonly image?: string;
  readonly initrd?: string;
  /** Show the console. */
  readonly console: boolean;
  readonly json: boolean;
}

/** Throws UserError. */
export function readRecording(path: string): Recording {
  const text = new TextDecoder().decode(readFile(path, 'the recording'));
  try {
    return parseRecording(text);
  } catch (error) {
    if (error instanceof RecordingError) throw new UserError(`${path}: ${error.message}`);
    throw error;
  }
}

/** The bytes that were recorded, or nothing: other ones would make another run. */
function theSame(file: { readonly path: string; readonly sha256: string }, given: string | undefined, log: string, option: string): Uint8Array {
  const path = given ?? resolve(dirname(log), file.path);
  const bytes = readFile(path, 'a file of the recording');
  if (sha256(bytes) === file.sha256) return bytes;
  throw new UserError(`${path} is not the file that was recorded: its contents have changed; give the old one with ${option}`);
}

/** A disk whose contents are those bytes. */
function inMemory(bytes: Uint8Array): BlockBackend {
  return { size: bytes.length, readOnly: true, read: (offset, length) => bytes.slice(offset, offset + length), write: () => false, flush: () => true };
}

/** The recorded machine with its files as they were. Throws UserError. */
export function specOf(recording: Recording, options: Pick<ReplayOptions, 'log' | 'image' | 'initrd'>, serialOutput: (byte: number) => void): GuestSpec {
  const { machine, files } = recording.header;
  const { image, initrd, modules, drives = [] }: RecordedFiles = files;
  return {
    ...machine,
    image: theSame(image, options.image, options.log, '--image'),
    initrd: initrd && theSame(initrd, options.initrd, options.log, '--initrd'),
    modules: modules.map((m) => ({ bytes: theSame(m, undefined, options.log, 'its old path'), commandLine: m.commandLine })),
    drives: drives.map(({ kind, readOnly, ...file }) => {
      const disk = inMemory(theSame(file, undefined, options.log, 'its old path'));
      return { kind, backend: readOnly ? disk : new OverlayDisk(disk) };
    }),
    serialOutput,
  };
}

/** Process status: 0 when the runs are the same. */
export async function replayCommand(options: ReplayOptions, io: Io): Promise<number> {
  const recording = readRecording(options.log);
  const pending: number[] = [];
  const flush = (): void => {
    if (pending.length > 0) io.stdout.write(Uint8Array.from(pending.splice(0)));
  };
  const spec = specOf(recording, options, (byte) => options.console && void pending.push(byte));
  const run = build(spec, (config) => new Replay(recording, config)).run();
  for (;;) {
    const { done, value } = run.next();
    flush();
    if (done === true) return report(value, options, io);
    await new Promise(setImmediate);
  }
}

function report(result: ReplayResult, { json, log }: ReplayOptions, io: Io): number {
  const { divergence, incomplete, compared, instructions, exits, consoleBytes, consoleSha256 } = result;
  const same = divergence === undefined;
  if (same && compared === 0)
    throw new UserError(`${log}: the recording was cut before the first thing that could be compared, so it says nothing: record the run again`);
  if (json) io.stdout.write(`${JSON.stringify({ same, ...result })}\n`);
  else if (same) {
    const note = incomplete ? '; the recording has no end: the run that made it was killed, or the file was cut' : '';
    io.stdout.write(
      `the same${incomplete ? ' as far as the recording goes' : ''}: ${instructions} instructions, ${exits} VM exits, ${consoleBytes} bytes of console (SHA-256 ${consoleSha256})${note}\n`,
    );
  } else io.stderr.write(`vmexit: the replay is another run: ${divergence}\n`);
  return same ? 0 : EXIT_CODES.divergence.code;
}
