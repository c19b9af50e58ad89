/** What a launch or attach request asks for, as a guest under a debugger: an image, a recorded run, or a snapshot. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { Interpreter } from '../debugger/commands/interpreter';
import type { Debuggee, DebuggeeHooks, OpenDebuggee } from '../debugger/dap/debuggee';
import { Session } from '../debugger/session';
import { readSnapshot, SnapshotFileError } from '../debugger/snapshot/file';
import { elfSymbols, symbolsOf } from '../debugger/symbols';
import { DebugError } from '../debugger/target';
import { seededEntropy } from '../hypervisor/guest';
import type { SymbolTable } from '../trace/symbols';
import { checkDebugOptions, DebugOptionsSchema, type DebugOptions } from './debug-options';
import { openDrives } from './disk-image';
import { exitCode } from './exit-codes';
import { build, runStopOf } from './guest-machine';
import { machineSpec } from './guest-spec';
import { readFile } from './input-file';
import { readRecording, specOf } from './replay-command';
import { parseTypeScript, Typist } from './type-script';
import { UserError } from './user-error';

const text = z.union([z.string(), z.array(z.string()).transform((parts) => parts.join(' '))]);

/** Beside the options of `vmexit debug`, which have the names that they have there. */
const OwnSchema = z.looseObject({
  program: z.string().optional(),
  recording: z.string().optional(),
  snapshot: z.string().optional(),
  append: text.optional(),
  backend: z.string().optional(),
  stopOnEntry: z.boolean().optional(),
  stopAtEnd: z.boolean().optional(),
  /** A typing script; `type` is the client's. */
  typing: z.string().optional(),
  cwd: z.string().optional(),
});
type Own = z.output<typeof OwnSchema>;

/** Options of the command line that have no place here, or have another name. */
const NOT_HERE: ReadonlySet<string> = new Set(['image', 'type', 'script', 'command', 'json', 'logLevel']);
const OPTIONS = Object.keys(DebugOptionsSchema.shape).filter((key) => !NOT_HERE.has(key));
const OWN = ['program', 'recording', 'snapshot', 'stopOnEntry', 'stopAtEnd', 'typing', 'cwd'];
/** What clients put into every configuration. */
const CLIENTS: ReadonlySet<string> = new Set(
  'type request name noDebug preLaunchTask postDebugTask internalConsoleOptions presentation debugServer serverReadyAction restart console env'.split(' '),
);
const FILES: ReadonlySet<string> = new Set(['initrd', 'symbols']);

/** Throws UserError, with attributes named as the user wrote them. */
function optionsOf(own: Own, program: string): DebugOptions {
  const file = (path: string): string => resolve(own.cwd ?? '.', path);
  const given = OPTIONS.filter((key) => own[key] !== undefined).map((key) => {
    const value = own[key];
    if (FILES.has(key) && typeof value === 'string') return [key, file(value)];
    return [key, typeof value === 'number' ? String(value) : value];
  });
  const raw: Record<string, unknown> = Object.fromEntries(given);
  if (raw.backend === 'bare') Object.assign(raw, { backend: undefined, bare: true });
  if (own.typing !== undefined) raw.type = file(own.typing);
  return checkDebugOptions({ ...raw, image: file(program) });
}

const known = (key: string): boolean => OPTIONS.includes(key) || OWN.includes(key) || CLIENTS.has(key) || key.startsWith('__');

interface Made {
  readonly session: Session;
  readonly symbols: SymbolTable | undefined;
}

const symbolsFrom = (path: string | undefined, image: Uint8Array): SymbolTable | undefined =>
  path === undefined ? elfSymbols(image) : symbolsOf(readFile(path, 'symbols'), path);

function ofProgram(own: Own, program: string, { console, exit }: DebuggeeHooks): Made {
  const options = optionsOf(own, program);
  const spec = machineSpec(options);
  const steps = options.type === undefined ? [] : parseTypeScript(new TextDecoder().decode(readFile(options.type, 'typing script')));
  const typist = new Typist(steps, (bytes) => session.sendSerial(bytes));
  const serialOutput = (byte: number): void => {
    console(byte);
    typist.output(byte);
  };
  // Going back in time takes writes back, too.
  const { drives } = openDrives(options.drive, true);
  const session = build({ ...spec, drives, serialOutput, observer: { exit } }, (config) => new Session(config, { budget: options.snapshots }));
  typist.start();
  return { session, symbols: symbolsFrom(options.symbols, spec.image) };
}

/** What came in from outside comes in again; what the user types into it begins another history. */
function ofRecording(own: Own, path: string, { console, exit }: DebuggeeHooks): Made {
  const log = resolve(own.cwd ?? '.', path);
  const recording = readRecording(log);
  const spec = specOf(recording, { log }, console);
  const session = build({ ...spec, observer: { exit } }, (config) => new Session(config));
  const { inputs } = session.timeline;
  for (const line of recording.lines) {
    if (!('input' in line)) continue;
    const bytes = Buffer.from(line.input, 'base64');
    if ('tick' in line) inputs.byTick.push({ tick: line.tick, bytes });
    else inputs.byByte.push({ byte: line.byte, bytes });
  }
  return { session, symbols: symbolsFrom(typeof own.symbols === 'string' ? resolve(own.cwd ?? '.', own.symbols) : undefined, spec.image) };
}

function ofSnapshot(own: Own, path: string, { console, exit }: DebuggeeHooks): Made {
  const state = readSnapshot(resolve(own.cwd ?? '.', path));
  const { settings } = state;
  // The state of the entropy source is in the snapshot.
  const config = { ...settings, image: new Uint8Array(0), serialOutput: console, observer: { exit }, entropy: seededEntropy(0) };
  let session: Session;
  try {
    session = new Session(config, { from: state });
  } catch (error) {
    // Of a machine with parts that no settings tell of: its drives.
    throw new DebugError(`snapshot ${path}: ${(error as Error).message}`, { cause: error });
  }
  const symbols = typeof own.symbols === 'string' ? symbolsFrom(resolve(own.cwd ?? '.', own.symbols), new Uint8Array(0)) : undefined;
  return { session, symbols };
}

function make(how: 'launch' | 'attach', own: Own, hooks: DebuggeeHooks): Made {
  const { program, recording, snapshot } = own;
  if ([program, recording, snapshot].filter((given) => given !== undefined).length !== 1)
    throw new DebugError(`${how}: give one of ${how === 'launch' ? 'program, ' : ''}recording, snapshot`);
  if (recording !== undefined) return ofRecording(own, recording, hooks);
  if (snapshot !== undefined) return ofSnapshot(own, snapshot, hooks);
  if (how === 'attach') throw new DebugError('attach: there is nothing of a program to attach to; use launch, or give a recording or a snapshot');
  return ofProgram(own, program!, hooks);
}

/** UserError says "--memory 5X: ..." of what is "memory" here. */
const sayAs = (how: string, error: unknown): unknown => {
  if (error instanceof UserError || error instanceof SnapshotFileError)
    return new DebugError(`${how}: ${error.message.replace(/(^|\s)--(?=[a-z])/g, '$1')}`, { cause: error });
  return error;
};

export const openDebuggee: OpenDebuggee = (how, args, hooks): Debuggee => {
  const parsed = OwnSchema.safeParse(args);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new DebugError(`${how}: ${path.join('.')}: ${message}`);
  }
  const own = parsed.data;
  let made: Made;
  try {
    made = make(how, own, hooks);
  } catch (error) {
    throw sayAs(how, error);
  }
  const { session, symbols } = made;
  const { guest } = session.timeline;
  const past = own.program === undefined;
  return {
    session,
    interpreter: new Interpreter(session, symbols),
    stopOnEntry: own.stopOnEntry ?? past,
    stopAtEnd: own.stopAtEnd ?? past,
    exitCode: () => {
      const stop = runStopOf(guest.run(guest.time), guest);
      return stop.kind === 'ended' ? exitCode(stop.outcome) : 0;
    },
    notes: Object.keys(own)
      .filter((key) => !known(key))
      .map((key) => `${how}: there is no attribute "${key}"; it is ignored`),
  };
};
