/** What a launch or attach request asks for, as a guest under a debugger: an image, a recorded run, or a snapshot. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { Interpreter } from '../debugger/commands/interpreter';
import type { Debuggee, DebuggeeHooks, OpenDebuggee } from '../debugger/dap/debuggee';
import { Session } from '../debugger/session';
import { SnapshotFileError } from '../debugger/snapshot/file';
import { DebugError } from '../debugger/target';
import type { OpenDisks } from '../library/disk-image';
import type { SymbolTable } from '../trace/symbols';
import { checkDebugOptions, DebugOptionsSchema, type DebugOptions } from './debug-options';
import { failureTeller, openDrives } from './disk-image';
import { exitCode } from './exit-codes';
import { build, runStopOf } from './guest-machine';
import { machineSpec } from './guest-spec';
import { readFile } from './input-file';
import { openRecording, openSnapshot, symbolsFrom } from './past-guest';
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
  readonly disks?: OpenDisks;
}

function ofProgram(own: Own, program: string, { console, exit, warn }: DebuggeeHooks): Made {
  const options = optionsOf(own, program);
  const spec = machineSpec(options);
  const steps = options.type === undefined ? [] : parseTypeScript(new TextDecoder().decode(readFile(options.type, 'typing script')));
  const typist = new Typist(steps, (bytes) => session.sendSerial(bytes));
  const serialOutput = (byte: number): void => {
    console(byte);
    typist.output(byte);
  };
  // Going back in time takes writes back, too.
  const symbols = symbolsFrom(options.symbols, spec.image);
  const disks = openDrives(options.drive, true, failureTeller(warn));
  let session: Session;
  try {
    session = build({ ...spec, drives: disks.drives, serialOutput, observer: { exit } }, (config) => new Session(config, { budget: options.snapshots }));
  } catch (error) {
    disks.close();
    throw error;
  }
  typist.start();
  return { session, symbols, disks };
}

function make(how: 'launch' | 'attach', own: Own, hooks: DebuggeeHooks): Made {
  const { program, recording, snapshot } = own;
  if ([program, recording, snapshot].filter((given) => given !== undefined).length !== 1)
    throw new DebugError(`${how}: give one of ${how === 'launch' ? 'program, ' : ''}recording, snapshot`);
  const past = recording ?? snapshot;
  if (past !== undefined) {
    const file = (name: string): string => resolve(own.cwd ?? '.', name);
    const open = recording !== undefined ? openRecording : openSnapshot;
    return open(file(past), { symbols: typeof own.symbols === 'string' ? file(own.symbols) : undefined, serialOutput: hooks.console, exit: hooks.exit });
  }
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
  const { session, symbols, disks } = made;
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
    close: () => disks?.close(),
  };
};
