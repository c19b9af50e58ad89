/** `vmexit dap`: the debugger for editors that speak the Debug Adapter Protocol, over stdio or a port of this computer. */
import { createRequire } from 'node:module';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type * as AdapterModule from '../debugger/dap/adapter';
import { openDebuggee } from './dap-guest';
import type { Io } from './run-command';
import { fileError, UserError } from './user-error';

const LOOPBACK = '127.0.0.1';
const MOST_PORT = 0xffff;

export interface DapOptions {
  /** undefined: stdio. 0: any that is free. */
  readonly port?: number;
}

/** Throws UserError. */
export function checkDapOptions({ port }: { readonly port?: string }): DapOptions {
  if (port === undefined) return {};
  const number = /^\d{1,5}$/.test(port) ? Number(port) : NaN;
  if (!(number <= MOST_PORT)) throw new UserError(`--port ${port}: not a number from 0 to ${MOST_PORT}`);
  return { port: number };
}

/** Process status: 0 when the client is gone; of a server, when the user ends it. */
export async function dapCommand({ port }: DapOptions, io: Io): Promise<number> {
  // Loading the protocol's library takes longer than most commands need to start.
  const { DapAdapter } = createRequire(__filename)('../debugger/dap/adapter') as typeof AdapterModule;
  if (port !== undefined) return serve(port, io, (socket) => new DapAdapter(openDebuggee).serve(socket, socket));
  const adapter = new DapAdapter(openDebuggee);
  const takeBack = io.onInterrupt(() => adapter.shutdown());
  await adapter.serve(io.stdin, io.stdout as unknown as NodeJS.WritableStream);
  takeBack();
  io.stdin.pause();
  io.stdin.unref?.();
  return 0;
}

/** Every connection debugs a guest of its own. */
async function serve(port: number, io: Io, connected: (socket: Socket) => Promise<void>): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    void connected(socket).then(() => socket.end());
  });
  await new Promise<void>((done, failed) => {
    server.once('error', (error) => failed(listenError(error, port)));
    server.listen(port, LOOPBACK, done);
  });
  io.stderr.write(`vmexit: a debug adapter listens on ${LOOPBACK}:${(server.address() as AddressInfo).port}\n`);
  await new Promise<void>((done) => void io.onInterrupt(done));
  for (const socket of sockets) socket.destroy();
  server.close();
  return 0;
}

function listenError(error: unknown, port: number): UserError {
  const { code } = error as { readonly code?: string };
  if (code === 'EADDRINUSE') return new UserError(`--port ${port}: another program listens there; choose another port, or 0 for any`);
  return fileError(error, 'listen on', `${LOOPBACK}:${port}`);
}
