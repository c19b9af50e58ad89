/** A guest under a debugger that does not begin with an image: a recorded run, or a snapshot. */
import { Session } from '../debugger/session';
import { readSnapshot } from '../debugger/snapshot/file';
import { elfSymbols, symbolsOf } from '../debugger/symbols';
import { DebugError } from '../debugger/target';
import { seededEntropy } from '../hypervisor/guest';
import type { ExitRecord } from '../hypervisor/vcpu';
import type { SymbolTable } from '../trace/symbols';
import { build } from './guest-machine';
import { readFile } from './input-file';
import { readRecording, specOf } from './replay-command';

export interface PastGuestOptions {
  /** A file. */
  readonly symbols: string | undefined;
  readonly serialOutput: (byte: number) => void;
  readonly exit: (record: ExitRecord) => void;
  /** Bytes that the snapshots for going back may hold. */
  readonly budget?: number;
}

export interface PastGuest {
  readonly session: Session;
  readonly symbols: SymbolTable | undefined;
}

/** Symbols of a file, or of the image itself. Throws DebugError. */
export const symbolsFrom = (path: string | undefined, image: Uint8Array): SymbolTable | undefined =>
  path === undefined ? elfSymbols(image) : symbolsOf(readFile(path, 'symbols'), path);

/** What came in from outside comes in again; what the user types into it begins another history. Throws UserError. */
export function openRecording(path: string, { symbols, serialOutput, exit, budget }: PastGuestOptions): PastGuest {
  const recording = readRecording(path);
  const spec = specOf(recording, { log: path }, serialOutput);
  const session = build({ ...spec, observer: { exit } }, (config) => new Session(config, { budget }));
  const { inputs } = session.timeline;
  for (const line of recording.lines) {
    if (!('input' in line)) continue;
    const bytes = Buffer.from(line.input, 'base64');
    if ('tick' in line) inputs.byTick.push({ tick: line.tick, bytes });
    else inputs.byByte.push({ byte: line.byte, bytes });
  }
  return { session, symbols: symbolsFrom(symbols, spec.image) };
}

/** Throws SnapshotFileError, and DebugError for a machine that settings alone do not make. */
export function openSnapshot(path: string, { symbols, serialOutput, exit, budget }: PastGuestOptions): PastGuest {
  const state = readSnapshot(path);
  // The state of the entropy source is in the snapshot.
  const config = { ...state.settings, image: new Uint8Array(0), serialOutput, observer: { exit }, entropy: seededEntropy(0) };
  let session: Session;
  try {
    session = new Session(config, { from: state, budget });
  } catch (error) {
    // Of a machine with parts that no settings tell of: its drives.
    throw new DebugError(`snapshot ${path}: ${(error as Error).message}`, { cause: error });
  }
  return { session, symbols: symbols === undefined ? undefined : symbolsFrom(symbols, new Uint8Array(0)) };
}
