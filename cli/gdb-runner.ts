/** A guest that a debugger may stop: the run loop drives it as any other, and GDB has its say at every slice. */
import { Interpreter } from '../debugger/commands/interpreter';
import { monitorOf } from '../debugger/gdb/monitor';
import { listenForGdb, type GdbEndpoint, type GdbServer } from '../debugger/gdb/server';
import { GdbStub } from '../debugger/gdb/stub';
import { Session } from '../debugger/session';
import { elfSymbols } from '../debugger/symbols';
import { build, runStopOf } from './guest-machine';
import type { GuestRunner, GuestSpec, RunStop } from './runner';
import { requireSocketPath } from './socket-path';
import { fileError } from './user-error';

export interface GdbOptions {
  readonly endpoint: GdbEndpoint;
  /** The first instruction executes when a debugger says so. */
  readonly wait: boolean;
  readonly inputOpen: () => boolean;
  /** The runner has something to do. */
  readonly wake: () => void;
  /** For the user: where it listens. */
  readonly announce: (text: string) => void;
}

export interface DebuggedRunner extends GuestRunner {
  close(): void;
}

/** Throws UserError for what cannot be run, and where nobody can listen. */
export async function createGdbRunner(spec: GuestSpec, options: GdbOptions): Promise<DebuggedRunner> {
  // Motions look up every few milliseconds by themselves.
  const session = build(spec, (config) => new Session({ ...config, pause: undefined }));
  const { guest } = session.timeline;
  const { wait, inputOpen, wake } = options;
  const monitor = monitorOf(new Interpreter(session, elfSymbols(spec.image)));
  const stub = new GdbStub(session, { monitor, wait, inputOpen, wake });
  const server = await listen(stub, options.endpoint);
  options.announce(`GDB may connect: target remote ${server.address}${wait ? ' (the guest waits for it)' : ''}`);
  const run = (): RunStop => {
    const did = stub.advance();
    if (stub.killed) return { kind: 'ended', outcome: { kind: 'user-quit', explanation: 'the debugger ended the run' } };
    switch (did.kind) {
      case 'working':
        return { kind: 'limit' };
      case 'held':
        return { kind: 'held' };
      case 'waiting':
        return { kind: 'idle' };
      case 'stopped':
        // A breakpoint that a monitor command left behind stops nobody: there is no debugger to tell.
        return did.stop.kind === 'ended' || did.stop.kind === 'idle' ? runStopOf(guest.run(guest.time), guest) : { kind: 'limit' };
    }
  };
  return {
    run,
    sendSerial: (bytes) => session.sendSerial(bytes),
    listening: () => guest.listening,
    stats: () => ({ instructions: guest.instructions, ticks: guest.time, rows: guest.exitRows() }),
    close: () => server.close(),
  };
}

async function listen(stub: GdbStub, endpoint: GdbEndpoint): Promise<GdbServer> {
  if (endpoint.kind === 'unix') requireSocketPath(endpoint.path);
  try {
    return await listenForGdb(stub, endpoint);
  } catch (error) {
    throw endpoint.kind === 'unix' ? fileError(error, 'listen on', endpoint.path) : portError(error, endpoint);
  }
}

/** fileError speaks of files; a port in use is no file. */
function portError(error: unknown, { host, port }: Extract<GdbEndpoint, { kind: 'tcp' }>): Error {
  const { code = '' } = error as { readonly code?: string };
  const cause = code === 'EADDRINUSE' ? Object.assign(new Error('another program listens there; choose another port'), { code: '' }) : error;
  return fileError(cause, 'listen for GDB on', `${host}:${port}`);
}
